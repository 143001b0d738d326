/*
 * A loss's terms (of rows, pairs or anchors) added up in order by one block.
 */
#pragma once

#include "device.cuh"
#include "kernels.h"

namespace sky {

constexpr int SUM_THREADS = 256;

/* Each thread a stretch, then thread by thread. */
static __global__ void __launch_bounds__(SUM_THREADS) sum_terms_kernel(const float *terms, float *loss, int64_t count, double share)
{
    SKY_DYNAMIC_SHARED(double, shared);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += SUM_THREADS) sum += (double)terms[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *loss = (float)(sum * share);
}

static inline void sum_terms(sky_stream stream, const float *terms, float *loss, int64_t count, double share)
{
    SKY_LAUNCH(sum_terms_kernel, 1, SUM_THREADS, SUM_THREADS / 32 * sizeof(double), stream, terms, loss, count, share);
}

} // namespace sky
