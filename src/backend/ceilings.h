/*
 * What a device can do at most, measured: multiply-adds and memory traffic. Benchmarks print how far from it they are.
 */
#ifndef SKY_BACKEND_CEILINGS_H
#define SKY_BACKEND_CEILINGS_H

#include "skygem/status.h"

struct sky_ceilings {
    double multiply_adds_per_second; /* CPU: f32 in registers, all threads; GPU: a large matrix product in the precision of the run */
    double bytes_per_second;         /* over memory far larger than the caches: a triad on the CPU, a copy on the GPU, both directions counted */
};

/* Of this machine's processor. Takes about half a second. */
sky_status sky_ceilings_measure(int threads, struct sky_ceilings *out);

#endif
