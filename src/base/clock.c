/*
 * The monotonic clock behind clock.h.
 */
#include "clock.h"

#include <time.h>

double sky_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
