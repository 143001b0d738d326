/*
 * How kernels over maps [N,H,W,C] share out the work. A tile is one image, a span of its positions and a span of channels; a block of 256 threads works on one:
 * threads along x hold neighbouring channels (W each, 16 bytes where C allows), threads along y take positions in turn, SPAN_ROWS each. Spans depend on the
 * shape alone, so sums do not depend on the device. Sums over positions leave a block as rows of a scratch tensor [N, spans, K, C] that a second, small kernel
 * adds up in order.
 */
#pragma once

#include "device.cuh"
#include "kernels.h"

namespace sky {

constexpr int TILE_THREADS = 256, SPAN_ROWS = 16, MERGE_CHANNELS = 32, MERGE_ROWS = 32;

/* A map [N, positions, channels] in tiles of `span` positions; group: which of G groups of images (views) an image belongs to. */
struct map_tiles {
    int channels, positions, span, spans, images, group_images;
};


inline int tile_columns(int packs) { return packs >= 32 ? 32 : packs >= 16 ? 16 : 8; }

inline map_tiles tiles_of(int64_t images, int64_t positions, int64_t channels, int groups, int width)
{
    const int rows = TILE_THREADS / tile_columns((int)(channels / width)), span = rows * SPAN_ROWS;
    return {(int)channels, (int)positions, span, (int)div_up(positions, span), (int)images, (int)(images / groups)};
}

/* Scratch floats for K sums a tile, whatever width is used (single channels give the most spans a block could need). */
inline int64_t tile_sums(int64_t images, int64_t positions, int64_t channels, int sums)
{
    const int64_t shortest = TILE_THREADS / 32 * SPAN_ROWS;
    return images * div_up(positions, shortest) * channels * sums;
}

inline dim3 tile_grid(const map_tiles &tiles, int width)
{
    const int packs = tiles.channels / width;
    return dim3((unsigned)div_up(packs, tile_columns(packs)), (unsigned)tiles.spans, (unsigned)tiles.images);
}

inline dim3 tile_block(const map_tiles &tiles, int width)
{
    const int columns = tile_columns(tiles.channels / width);
    return dim3((unsigned)columns, (unsigned)(TILE_THREADS / columns));
}

/* Where a thread of a tile works. `start` is the offset of its first element; the next row is `step` elements on. */
template <int W> struct tile_thread {
    int channel, first, last, image, group;
    int64_t start, step;
    bool active; /* its channels exist */

    __device__ explicit tile_thread(const map_tiles &tiles)
    {
        channel = (int)(blockIdx.x * blockDim.x + threadIdx.x) * W;
        image = (int)blockIdx.z, group = image / tiles.group_images;
        first = (int)blockIdx.y * tiles.span + (int)threadIdx.y;
        last = min((int)(blockIdx.y + 1) * tiles.span, tiles.positions);
        start = ((int64_t)image * tiles.positions + first) * tiles.channels + channel;
        step = (int64_t)blockDim.y * tiles.channels;
        active = channel < tiles.channels;
    }
};

/*
 * Visits this thread's positions, U at a time while that many are left: all U loads are on their way before the first is used. load(i, offset) and use(i,
 * offset) work on slot i of the caller's arrays. `offset` counts elements of the map.
 */
template <int U, int W, class Load, class Use> __device__ inline void visit(const tile_thread<W> &at, Load load, Use use)
{
    const int rows = (int)blockDim.y;
    int position = at.first;
    int64_t offset = at.start;
    for (; position + (U - 1) * rows < at.last; position += U * rows, offset += U * at.step) {
        for (int i = 0; i < U; i++) load(i, offset + i * at.step);
        for (int i = 0; i < U; i++) use(i, offset + i * at.step);
    }
    for (; position < at.last; position += rows, offset += at.step) load(0, offset), use(0, offset);
}

/* W elements as they are in memory: half the registers of floats while they wait. One element, or 16 bytes. */
template <class T, int W> struct raw_values {
    T element[W];

    __device__ float operator[](int i) const { return to_float(element[i]); }
};

template <class T, int W> __device__ inline void load_raw(const T *from, raw_values<T, W> &to)
{
    if constexpr (W == 1) to.element[0] = *from;
    else {
        const uint4 bits = *reinterpret_cast<const uint4 *>(from);
        memcpy((void *)to.element, &bits, sizeof bits);
    }
}

template <class T, int W> __device__ inline void store_values(T *to, const float (&from)[W])
{
    if constexpr (W == 1) *to = from_float<T>(from[0]);
    else {
        pack<T> values;
        for (int i = 0; i < W; i++) values.value[i] = from[i];
        store_pack(to, values);
    }
}

/* W parameters from p[channel], p f32 (any alignment). */
template <int W> __device__ inline void load_parameters(const float *p, float (&to)[W])
{
    for (int i = 0; i < W; i++) to[i] = p[i];
}

using norm_parameters = sky_cuda_norm;

/* Batch norm of W channels: scale (z - mean) + beta with scale = gamma invstd. Everyone computes it this way, so that a mask recomputed is the mask that was. */
template <int W> struct channel_norm {
    float mean[W], invstd[W], scale[W], beta[W];

    __device__ channel_norm(const norm_parameters &norm, int group, int channel, int channels)
    {
        load_parameters<W>(norm.mean + (int64_t)group * channels + channel, mean);
        load_parameters<W>(norm.invstd + (int64_t)group * channels + channel, invstd);
        load_parameters<W>(norm.gamma + channel, scale);
        load_parameters<W>(norm.beta + channel, beta);
        for (int k = 0; k < W; k++) scale[k] *= invstd[k];
    }
    __device__ float centred(int k, float z) const { return z - mean[k]; }
    __device__ float apply(int k, float z) const { return fmaf(scale[k], z - mean[k], beta[k]); }
};

inline size_t tile_shared_bytes(int width, int sums) { return (size_t)TILE_THREADS * width * sums * sizeof(float); }

/*
 * Adds K sums a channel over the block's rows, in order, and writes them to this tile's rows of scratch [N, spans, K, C]. Every thread of the block calls it; `shared` has
 * tile_shared_bytes(W, K).
 */
template <int W, int K> __device__ inline void write_tile_sums(const map_tiles &tiles, const float (&sums)[K][W], float *shared, float *scratch)
{
    const int columns = (int)blockDim.x * W, row = (int)threadIdx.y, thread = (int)(threadIdx.y * blockDim.x + threadIdx.x);
    for (int k = 0; k < K; k++)
        for (int i = 0; i < W; i++) shared[(row * K + k) * columns + (int)threadIdx.x * W + i] = sums[k][i];
    __syncthreads();
    float *out = scratch + ((int64_t)blockIdx.z * tiles.spans + blockIdx.y) * K * tiles.channels + (int64_t)blockIdx.x * columns;
    for (int j = thread; j < K * columns; j += TILE_THREADS) {
        const int k = j / columns, column = j % columns;
        if ((int)blockIdx.x * columns + column >= tiles.channels) continue;
        float total = 0;
        for (int r = 0; r < (int)blockDim.y; r++) total += shared[(r * K + k) * columns + column];
        out[(int64_t)k * tiles.channels + column] = total;
    }
}

/* Adds MERGE_ROWS values a channel (one a thread row) in order; every thread gets the total of its column. */
template <class T> __device__ inline T merge_rows(T value, T *shared /* [MERGE_ROWS][MERGE_CHANNELS] */)
{
    shared[threadIdx.y * MERGE_CHANNELS + threadIdx.x] = value;
    __syncthreads();
    T total = 0;
    for (int r = 0; r < MERGE_ROWS; r++) total += shared[r * MERGE_CHANNELS + threadIdx.x];
    __syncthreads();
    return total;
}

/* Launches by element type and by whether 16-byte packs fit: launch(T *, width) with width an integral_constant. */
template <int W> struct width_is { static constexpr int value = W; };

template <class F> inline int with_map(enum sky_dtype type, int64_t channels, const void *a, const void *b, const void *c, const void *d, F launch)
{
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        if (packs_fit<T>(channels, a, b, c, d)) launch(t, width_is<pack<T>::size>{});
        else launch(t, width_is<1>{});
    });
}

} // namespace sky
