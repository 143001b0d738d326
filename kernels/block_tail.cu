/*
 * The end of a residual block, out = relu(S + gate BN(z)), and its gradient (algebra: ops.h). Bytes of the map, element size e: forward reads z and the
 * shortcut and writes out (3e); backward's first pass reads dout (twice where two consumers give a gradient), out and z and writes g (4e or 5e), its second
 * reads g and z and writes dz (3e). Launches: one; two and two.
 */
#include "kernels.h"
#include "map_tiles.cuh"
#include "ranks.cuh"

using namespace sky;

constexpr int UNROLL = 2; /* of three to five streams of 16 bytes a thread */

/* ---- forward ---- */

template <class T, int W, bool NORM, bool GATE, bool SIDE>
__global__ void __launch_bounds__(TILE_THREADS)
    tail_kernel(const T *z, norm_parameters norm, const float *gate /* [N,C] */, const T *shortcut, norm_parameters side, T *out, map_tiles tiles)
{
    const tile_thread<W> at(tiles);
    if (!at.active) return;
    /* main: value (z - center) scale + shift, gate included; the shortcut's likewise */
    float center[W] = {}, scale[W], shift[W] = {}, side_center[W] = {}, side_scale[W], side_shift[W] = {};
    for (int k = 0; k < W; k++) scale[k] = side_scale[k] = 1;
    if constexpr (NORM) {
        const channel_norm<W> bn(norm, at.group, at.channel, tiles.channels);
        for (int k = 0; k < W; k++) center[k] = bn.mean[k], scale[k] = bn.scale[k], shift[k] = bn.beta[k];
    }
    if constexpr (SIDE) {
        const channel_norm<W> bn(side, at.group, at.channel, tiles.channels);
        for (int k = 0; k < W; k++) side_center[k] = bn.mean[k], side_scale[k] = bn.scale[k], side_shift[k] = bn.beta[k];
    }
    if constexpr (GATE) {
        const float *own = gate + (int64_t)at.image * tiles.channels + at.channel;
        for (int k = 0; k < W; k++) scale[k] *= own[k], shift[k] *= own[k];
    }
    raw_values<T, W> value[UNROLL], straight[UNROLL];
    visit<UNROLL>(
        at, [&](int i, int64_t offset) { load_raw(z + offset, value[i]), load_raw(shortcut + offset, straight[i]); },
        [&](int i, int64_t offset) {
            float result[W];
            for (int k = 0; k < W; k++) {
                const float through = SIDE ? fmaf(side_scale[k], straight[i][k] - side_center[k], side_shift[k]) : straight[i][k];
                result[k] = relu(through + fmaf(scale[k], value[i][k] - center[k], shift[k]));
            }
            store_values<T, W>(out + offset, result);
        });
}

int sky_cuda_block_tail(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, const struct sky_cuda_norm *norm,
                        const float *gate, const void *shortcut, const struct sky_cuda_norm *side, void *out)
{
    return with_map(map, shape->channels, z, shortcut, out, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        const auto go = [&](auto with_norm, auto with_gate, auto with_side) {
            SKY_LAUNCH((tail_kernel<T, W, decltype(with_norm)::value, decltype(with_gate)::value, decltype(with_side)::value>), tile_grid(tiles, W),
                       tile_block(tiles, W), 0, stream, (const T *)z, *norm, gate, (const T *)shortcut, *side, (T *)out, tiles);
        };
        const auto pick = [](bool yes, auto next) { yes ? next(std::true_type{}) : next(std::false_type{}); };
        pick(norm->mean, [&](auto a) { pick(gate, [&](auto b) { pick(side->mean, [&](auto c) { go(a, b, c); }); }); });
    });
}

/* ---- backward, first pass: the masked gradient and its sums an image and channel ---- */

template <class T, int W, bool TWO>
__global__ void __launch_bounds__(TILE_THREADS) reduce_kernel(const T *dout, const T *dout2, const T *out, const T *z, const float *mean /* [G,C] */,
                                                              const float *invstd, T *g, float *partial /* [N,spans,2,C] */, map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(float, shared);
    const tile_thread<W> at(tiles);
    float sums[2][W] = {};
    if (at.active) {
        float center[W], slope[W];
        load_parameters<W>(mean + (int64_t)at.group * tiles.channels + at.channel, center);
        load_parameters<W>(invstd + (int64_t)at.group * tiles.channels + at.channel, slope);
        raw_values<T, W> gradient[UNROLL], second[UNROLL], result[UNROLL], value[UNROLL];
        visit<UNROLL>(
            at,
            [&](int i, int64_t offset) {
                load_raw(dout + offset, gradient[i]), load_raw(out + offset, result[i]), load_raw(z + offset, value[i]);
                if constexpr (TWO) load_raw(dout2 + offset, second[i]);
            },
            [&](int i, int64_t offset) {
                float masked[W];
                for (int k = 0; k < W; k++) {
                    const float whole = TWO ? gradient[i][k] + second[i][k] : gradient[i][k];
                    masked[k] = result[i][k] > 0 ? whole : 0.0f;
                    sums[0][k] += masked[k], sums[1][k] += masked[k] * (value[i][k] - center[k]);
                }
                store_values<T, W>(g + offset, masked);
            });
        for (int k = 0; k < W; k++) sums[1][k] *= slope[k];
    }
    write_tile_sums<W, 2>(tiles, sums, shared, partial);
}

/* Adds an image's spans in order. */
__global__ void span_totals_kernel(const float *partial, float *sum_g /* [N,C] */, float *sum_gz, map_tiles tiles)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, channels = tiles.channels;
    if (i >= tiles.images * channels) return;
    const float *row = partial + i / channels * tiles.spans * 2 * channels + i % channels;
    float total[2] = {0, 0};
    for (int s = 0; s < tiles.spans; s++) total[0] += row[(int64_t)s * 2 * channels], total[1] += row[((int64_t)s * 2 + 1) * channels];
    sum_g[i] = total[0], sum_gz[i] = total[1];
}

int64_t sky_cuda_block_tail_reduce_floats(const struct sky_cuda_map *shape) { return tile_sums(shape->images, shape->positions, shape->channels, 2); }

int sky_cuda_block_tail_reduce(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *dout, const void *dout2, const void *out,
                               const void *z, const float *mean, const float *invstd, void *g, float *sum_g, float *sum_gz, float *scratch)
{
    return with_map(map, shape->channels, dout, dout2 ? dout2 : dout, out, (const void *)((uintptr_t)z | (uintptr_t)g), [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        const auto go = [&](auto two) {
            SKY_LAUNCH((reduce_kernel<T, W, decltype(two)::value>), tile_grid(tiles, W), tile_block(tiles, W), tile_shared_bytes(W, 2), stream, (const T *)dout,
                       (const T *)dout2, (const T *)out, (const T *)z, mean, invstd, (T *)g, scratch, tiles);
        };
        if (dout2) go(std::true_type{});
        else go(std::false_type{});
        SKY_LAUNCH(span_totals_kernel, (unsigned)div_up(shape->images * shape->channels, 128), 128, 0, stream, scratch, sum_g, sum_gz, tiles);
    });
}

/* ---- backward, second pass: the gradient by z ---- */

/* BN's two sums a group follow from the image sums; over the groups they are the gradients of beta and gamma. One thread a channel. */
__global__ void tail_totals_kernel(const float *sum_g, const float *sum_gz, const float *image_mean, const float *mean, const float *invstd, const float *gate,
                                   const float *dsqueeze, float *totals /* [2,G,C] */, float *dgamma, float *dbeta, bool accumulate, sky_cuda_share share,
                                   map_tiles tiles)
{
    const int c = (int)(blockIdx.x * blockDim.x + threadIdx.x), groups = tiles.images / tiles.group_images;
    const int64_t channels = tiles.channels;
    if (c >= tiles.channels) return;
    double all[2] = {0, 0};
    for (int group = 0; group < groups; group++) {
        const double center = (double)mean[group * channels + c], slope = (double)invstd[group * channels + c];
        double own[2] = {0, 0};
        for (int m = 0; m < tiles.group_images; m++) {
            const int64_t i = ((int64_t)group * tiles.group_images + m) * channels + c;
            const double s = gate ? (double)gate[i] : 1, q = dsqueeze ? (double)dsqueeze[i] : 0;
            own[0] += s * (double)sum_g[i] + q;
            own[1] += s * (double)sum_gz[i] + q * ((double)image_mean[i] - center) * slope;
        }
        for (int k = 0; k < 2; k++) all[k] += own[k];
        if (share.mine) say(share, group, channels, c, own[0], own[1]);
        for (int k = 0; k < 2 && !share.mine; k++) totals[((int64_t)k * groups + group) * channels + c] = (float)own[k];
    }
    if (dbeta) dbeta[c] = (float)(all[0] + (accumulate ? (double)dbeta[c] : 0));
    if (dgamma) dgamma[c] = (float)(all[1] + (accumulate ? (double)dgamma[c] : 0));
}

template <class T, int W>
__global__ void __launch_bounds__(TILE_THREADS) tail_grad_kernel(const T *g, const T *z, const float *mean, const float *invstd, const float *gamma,
                                                                 const float *gate, const float *dsqueeze, const float *totals, int ranks, T *dz,
                                                                 map_tiles tiles)
{
    const tile_thread<W> at(tiles);
    if (!at.active) return;
    const int groups = tiles.images / tiles.group_images;
    const int64_t statistic = (int64_t)at.group * tiles.channels + at.channel, own = (int64_t)at.image * tiles.channels + at.channel;
    const float share = 1.0f / ((float)tiles.positions * (float)tiles.group_images * (float)ranks), pixel = 1.0f / (float)tiles.positions;
    /* dz = through g + level + tilt (z - center) */
    float center[W], through[W], level[W], tilt[W];
    load_parameters<W>(mean + statistic, center);
    for (int k = 0; k < W; k++) {
        const float slope = invstd[statistic + k], factor = gamma[at.channel + k] * slope, q = dsqueeze ? dsqueeze[own + k] : 0.0f;
        through[k] = factor * (gate ? gate[own + k] : 1.0f);
        level[k] = factor * (q * pixel - totals[statistic + k] * share);
        tilt[k] = -factor * slope * totals[(int64_t)groups * tiles.channels + statistic + k] * share;
    }
    raw_values<T, W> gradient[2 * UNROLL], value[2 * UNROLL];
    visit<2 * UNROLL>(
        at, [&](int i, int64_t offset) { load_raw(g + offset, gradient[i]), load_raw(z + offset, value[i]); },
        [&](int i, int64_t offset) {
            float result[W];
            for (int k = 0; k < W; k++) result[k] = fmaf(through[k], gradient[i][k], fmaf(tilt[k], value[i][k] - center[k], level[k]));
            store_values<T, W>(dz + offset, result);
        });
}

int64_t sky_cuda_block_tail_grad_floats(const struct sky_cuda_map *shape) { return 2 * (int64_t)shape->groups * shape->channels; }

int sky_cuda_block_tail_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *g, const void *z, const float *mean,
                             const float *invstd, const float *gamma, const float *image_mean, const float *sum_g, const float *sum_gz, const float *gate,
                             const float *dsqueeze, void *dz, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share,
                             float *scratch)
{
    return with_map(map, shape->channels, g, z, dz, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        if (share->all) totals_of_ranks(stream, *share, scratch, shape->groups, shape->channels);
        else
            SKY_LAUNCH(tail_totals_kernel, (unsigned)div_up(tiles.channels, 64), 64, 0, stream, sum_g, sum_gz, image_mean, mean, invstd, gate, dsqueeze,
                       scratch, dgamma, dbeta, accumulate, *share, tiles);
        if (!share->mine)
            SKY_LAUNCH((tail_grad_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), 0, stream, (const T *)g, (const T *)z, mean, invstd, gamma, gate,
                       dsqueeze, scratch, share->ranks, (T *)dz, tiles);
    });
}
