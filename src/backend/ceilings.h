/*
 * What this machine can do at most, measured: multiply-adds in registers and memory traffic. Benchmarks print how far from it they are.
 */
#ifndef SKY_BACKEND_CEILINGS_H
#define SKY_BACKEND_CEILINGS_H

#include "skygem/status.h"

struct sky_ceilings {
    double multiply_adds_per_second; /* f32, all threads */
    double bytes_per_second;         /* triad over memory far larger than the caches, all threads */
};

/* Takes about half a second. */
sky_status sky_ceilings_measure(int threads, struct sky_ceilings *out);

#endif
