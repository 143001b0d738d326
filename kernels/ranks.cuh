/*
 * Batch norm over all ranks' images, in two halves (sky_cuda_share): what a rank says of a statistic is two rows [2,width] of doubles, mean and centred
 * squares, or two sums. Everyone merges all ranks' rows in rank order, so all get the same bits; with one rank the numbers are those of a run alone.
 */
#pragma once

#include "device.cuh"
#include "kernels.h"

namespace sky {

/* This rank's two numbers of column `at` of a statistic. */
__device__ inline void say(const sky_cuda_share &share, int64_t statistic, int64_t width, int64_t at, double first, double second)
{
    double *row = share.mine + 2 * statistic * width + at;
    row[0] = first, row[width] = second;
}

/* Moments of `positions` values a rank (Chan, Golub and LeVeque). */
__device__ inline void merge_ranks(const sky_cuda_share &share, int64_t statistics, int64_t statistic, int64_t width, int64_t at, double positions,
                                   double &mean, double &squares)
{
    mean = squares = 0;
    for (int r = 0; r < share.ranks; r++) {
        const double *row = share.all + 2 * (r * statistics + statistic) * width + at;
        const double difference = row[0] - mean;
        mean += difference / (r + 1);
        squares += row[width] + difference * difference * positions * r / (r + 1);
    }
}

__device__ inline void add_ranks(const sky_cuda_share &share, int64_t statistics, int64_t statistic, int64_t width, int64_t at, double (&sum)[2])
{
    sum[0] = sum[1] = 0;
    for (int r = 0; r < share.ranks; r++) {
        const double *row = share.all + 2 * (r * statistics + statistic) * width + at;
        sum[0] += row[0], sum[1] += row[width];
    }
}

/* All ranks' sums [G,2,C] as batch norm's gradient over a map wants them, [2,G,C] (batch_norm.cu). */
void totals_of_ranks(sky_stream stream, const sky_cuda_share &share, float *totals, int groups, int64_t channels);

} // namespace sky
