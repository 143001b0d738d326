/*
 * Heads, small tensors [P,N,D]: batch norm over the rows of each view and head, its gradient, its inference form, and dropout. A block works on 32 features of
 * one head, its rows share out the images. Launch-bound: one launch each, two where statistics are over several ranks.
 */
#include "kernels.h"
#include "map_tiles.cuh"
#include "ranks.cuh"

#include "base/rng.h"
#include "graph/scalars.h"

using namespace sky;

constexpr int THREADS = 256;

struct head_place {
    int d;
    int64_t weight; /* index into [P,D] */
    bool active;

    __device__ explicit head_place(int features)
        : d((int)(blockIdx.x * MERGE_CHANNELS + threadIdx.x)), weight((int64_t)blockIdx.y * features + d), active(d < features)
    {
    }
};

struct head_shape {
    int rows, features, groups; /* of [P,N,D] */
};

/* Mean and centred squares of `members` rows of a feature; every thread of the block calls it. */
__device__ inline void head_moments(const float *own, int members, int features, bool active, double *shared, double &center, double &squares)
{
    double sum = 0, spread = 0;
    for (int i = (int)threadIdx.y; active && i < members; i += MERGE_ROWS) sum += (double)own[(int64_t)i * features];
    center = merge_rows<double>(sum, shared) / members;
    for (int i = (int)threadIdx.y; active && i < members; i += MERGE_ROWS) {
        const double off = (double)own[(int64_t)i * features] - center;
        spread += off * off;
    }
    squares = merge_rows<double>(spread, shared);
}

__global__ void __launch_bounds__(MERGE_CHANNELS *MERGE_ROWS)
    head_bn_kernel(const float *x, const float *gamma, const float *beta, float *running_mean, float *running_var, float *y, float *mean /* [P,G,D] */,
                   float *invstd, head_shape shape, double momentum, double epsilon, bool update, sky_cuda_share share)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const head_place at(shape.features);
    const int members = shape.rows / shape.groups;
    for (int group = 0; group < shape.groups; group++) {
        const int64_t block = (int64_t)blockIdx.y * shape.groups + group;
        const float *own = x + block * members * shape.features + at.d;
        double center = 0, squares = 0;
        if (!share.all) head_moments(own, members, shape.features, at.active, shared, center, squares);
        if (!at.active) continue;
        if (share.all) merge_ranks(share, (int64_t)gridDim.y * shape.groups, block, shape.features, at.d, members, center, squares);
        if (share.mine) {
            if (threadIdx.y == 0) say(share, block, shape.features, at.d, center, squares);
            continue;
        }
        const double rows = (double)members * share.ranks;
        const double slope = 1 / sqrt(squares / rows + epsilon), scale = (double)gamma[at.weight] * slope, shift = (double)beta[at.weight];
        for (int i = (int)threadIdx.y; i < members; i += MERGE_ROWS)
            y[(block * members + i) * shape.features + at.d] = (float)(scale * ((double)own[(int64_t)i * shape.features] - center) + shift);
        if (threadIdx.y != 0) continue;
        mean[block * shape.features + at.d] = (float)center;
        invstd[block * shape.features + at.d] = (float)slope;
        if (!update) continue;
        running_mean[at.weight] = (float)((1 - momentum) * (double)running_mean[at.weight] + momentum * center);
        running_var[at.weight] = (float)((1 - momentum) * (double)running_var[at.weight] + momentum * squares / (rows - 1));
    }
}

__global__ void __launch_bounds__(MERGE_CHANNELS *MERGE_ROWS)
    head_bn_grad_kernel(const float *dy, const float *x, const float *mean, const float *invstd, const float *gamma, float *dx, float *dgamma, float *dbeta,
                        head_shape shape, bool accumulate, sky_cuda_share share)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const head_place at(shape.features);
    const int members = shape.rows / shape.groups;
    double total[2] = {0, 0};
    for (int group = 0; group < shape.groups; group++) {
        const int64_t block = (int64_t)blockIdx.y * shape.groups + group, first = block * members * shape.features + at.d;
        const double center = at.active ? (double)mean[block * shape.features + at.d] : 0,
                     slope = at.active ? (double)invstd[block * shape.features + at.d] : 0;
        double sum[2] = {0, 0};
        for (int i = (int)threadIdx.y; at.active && !share.all && i < members; i += MERGE_ROWS) {
            const double g = (double)dy[first + (int64_t)i * shape.features];
            sum[0] += g, sum[1] += g * ((double)x[first + (int64_t)i * shape.features] - center) * slope;
        }
        for (int k = 0; k < 2; k++) sum[k] = merge_rows<double>(sum[k], shared), total[k] += sum[k];
        if (at.active && share.mine && threadIdx.y == 0) say(share, block, shape.features, at.d, sum[0], sum[1]);
        if (at.active && share.all) add_ranks(share, (int64_t)gridDim.y * shape.groups, block, shape.features, at.d, sum);
        const double rows = (double)members * share.ranks;
        for (int i = (int)threadIdx.y; at.active && dx && !share.mine && i < members; i += MERGE_ROWS) {
            const int64_t element = first + (int64_t)i * shape.features;
            const double xhat = ((double)x[element] - center) * slope;
            dx[element] = (float)((double)gamma[at.weight] * slope * ((double)dy[element] - sum[0] / rows - xhat * sum[1] / rows));
        }
    }
    if (!at.active || threadIdx.y != 0 || share.all) return;
    if (dbeta) dbeta[at.weight] = (float)(total[0] + (accumulate ? (double)dbeta[at.weight] : 0));
    if (dgamma) dgamma[at.weight] = (float)(total[1] + (accumulate ? (double)dgamma[at.weight] : 0));
}

__global__ void head_bn_infer_kernel(const float *x, const float *gamma, const float *beta, const float *mean, const float *var, float *y, head_shape shape,
                                     int64_t count, float epsilon)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const int64_t weight = i / shape.features / shape.rows * shape.features + i % shape.features;
    y[i] = gamma[weight] * ((x[i] - mean[weight]) / sqrtf(var[weight] + epsilon)) + beta[weight];
}

static dim3 head_grid(const struct sky_cuda_heads *heads) { return dim3((unsigned)div_up(heads->features, MERGE_CHANNELS), (unsigned)heads->heads); }
static constexpr size_t MERGE_BYTES = MERGE_CHANNELS * MERGE_ROWS * sizeof(double);

int sky_cuda_head_bn(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, const float *gamma, const float *beta, float *running_mean,
                     float *running_var, float *y, float *mean, float *invstd, double momentum, double epsilon, bool update,
                     const struct sky_cuda_share *share)
{
    const head_shape shape = {(int)heads->rows, (int)heads->features, heads->groups};
    SKY_LAUNCH(head_bn_kernel, head_grid(heads), dim3(MERGE_CHANNELS, MERGE_ROWS), MERGE_BYTES, stream, x, gamma, beta, running_mean, running_var, y, mean,
               invstd, shape, momentum, epsilon, update, *share);
    return (int)cudaGetLastError();
}

int sky_cuda_head_bn_grad(sky_stream stream, const struct sky_cuda_heads *heads, const float *dy, const float *x, const float *mean, const float *invstd,
                          const float *gamma, float *dx, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share)
{
    const head_shape shape = {(int)heads->rows, (int)heads->features, heads->groups};
    SKY_LAUNCH(head_bn_grad_kernel, head_grid(heads), dim3(MERGE_CHANNELS, MERGE_ROWS), MERGE_BYTES, stream, dy, x, mean, invstd, gamma, dx, dgamma, dbeta,
               shape, accumulate, *share);
    return (int)cudaGetLastError();
}

int sky_cuda_head_bn_infer(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, const float *gamma, const float *beta, const float *mean,
                           const float *var, float *y, double epsilon)
{
    const head_shape shape = {(int)heads->rows, (int)heads->features, heads->groups};
    const int64_t count = heads->heads * heads->rows * heads->features;
    SKY_LAUNCH(head_bn_infer_kernel, (unsigned)div_up(count, THREADS), THREADS, 0, stream, x, gamma, beta, mean, var, y, shape, count, (float)epsilon);
    return (int)cudaGetLastError();
}

/* ---- dropout ---- */

/* The same ten rounds as sky_philox_raw (base/rng.c): Philox4x32-10. */
__device__ inline void philox(const uint32_t seed[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = seed[0], k1 = seed[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0, high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0, c1 = low1, c2 = high0 ^ c3 ^ k1, c3 = low0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* A thread decides on four elements: one Philox block, or two where a view's rows do not begin with one. */
__global__ void dropout_kernel(const float *x, float *y, int64_t count, int64_t view, const sky_scalars *scalars, uint32_t layer, uint64_t threshold, float scale)
{
    const int64_t first = 4 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x);
    const uint32_t seed[2] = {(uint32_t)scalars->seed, (uint32_t)(scalars->seed >> 32)};
    uint32_t counter[4] = {0, layer, (uint32_t)scalars->step, SKY_RNG_DROPOUT}, word[4];
    int64_t drawn = -1;
    for (int64_t i = first; i < first + 4 && i < count; i++) {
        const int64_t element = i + (i / view * scalars->other_ranks + scalars->rank) * view; /* of the whole batch */
        if (element / 4 != drawn) {
            drawn = element / 4, counter[0] = (uint32_t)drawn;
            philox(seed, counter, word);
        }
        y[i] = word[element % 4] >= threshold ? x[i] * scale : 0.0f;
    }
}

/* word 2^-32 >= rate, in whole numbers. */
int sky_cuda_dropout(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, float *y, const struct sky_scalars *scalars, uint32_t layer,
                     double rate)
{
    const int64_t view = heads->rows / heads->groups * heads->features, count = heads->heads * heads->groups * view;
    SKY_LAUNCH(dropout_kernel, (unsigned)div_up(div_up(count, 4), THREADS), THREADS, 0, stream, x, y, count, view, scalars, layer,
               (uint64_t)ceil(rate * 4294967296.0), (float)(1 / (1 - rate)));
    return (int)cudaGetLastError();
}
