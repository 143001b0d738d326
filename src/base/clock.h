/*
 * Monotonic time in seconds, for rates and benchmarks.
 */
#ifndef SKY_BASE_CLOCK_H
#define SKY_BASE_CLOCK_H

double sky_now(void);

#endif
