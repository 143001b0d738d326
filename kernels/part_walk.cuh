/*
 * How the kernels of part pooling go through a map: ring by ring. A block takes LANES threads' channels of one image; `slices` threads share out the positions
 * of each channel, and their results are merged in order. Every block lists the map's positions sorted by ring (in a ring row by row), so that a thread works
 * on one ring at a time, in registers, and a part is a stretch of the list. Also the exponents, and what powers need.
 */
#pragma once

#include "approximate.cuh"
#include "few.cuh"
#include "kernels.h"
#include "ops/ops.h"

namespace sky {

enum { PART_LANES = 16, PART_FEW = 4 /* channels of a thread: a power costs more than the load's width saves */, PART_IN_FLIGHT = 4, PART_MOST_SLICES = 16 };

/* max(x, eps), and its logarithm */
static constexpr float GEM_EPSILON = 1e-6f, LOG2_GEM_EPSILON = -19.931568569324174f;

__device__ inline float clamp_low(float x) /* NaN stays NaN */
{
    return x < GEM_EPSILON ? GEM_EPSILON : x;
}

/* By value into kernels: about half a KiB. */
struct part_map {
    struct sky_part_table table;
    int64_t images;
    int width, positions, channels;
    __device__ int64_t pooled(int part, int64_t image, int channel) const { return (part * images + image) * channels + channel; } /* place in [P,N,C] */
};

inline part_map part_map_of(const struct sky_cuda_parts *parts)
{
    return {*parts->table, parts->images, (int)parts->width, (int)(parts->height * parts->width), (int)parts->channels};
}

enum exponent_kind { EXPONENT_FIXED, EXPONENT_SCALAR, EXPONENT_CHANNEL, EXPONENT_PART };

struct part_exponents {
    const float *p;
    enum exponent_kind kind;
    float fixed;
    __device__ float of(int part, int channel) const
    {
        return kind == EXPONENT_FIXED ? fixed : p[kind == EXPONENT_PART ? part : kind == EXPONENT_CHANNEL ? channel : 0];
    }
};

inline part_exponents part_exponents_of(const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *exponents)
{
    const enum exponent_kind kind = !exponents->p                         ? EXPONENT_FIXED
                                    : exponents->count == 1               ? EXPONENT_SCALAR
                                    : exponents->count == parts->channels ? EXPONENT_CHANNEL
                                                                          : EXPONENT_PART;
    return {exponents->p, kind, exponents->fixed};
}

/* Positions of a box, which for box r - 1 are those of the list before ring r. */
__device__ inline int box_area(const int16_t *box)
{
    return (box[2] - box[0]) * (box[3] - box[1]);
}

__device__ inline int ring_start(const part_map &map, int ring)
{
    return ring == 0 ? 0 : box_area(map.table.box[ring - 1]);
}

__device__ inline bool box_holds(const int16_t *box, int h, int w)
{
    return h >= box[0] && w >= box[1] && h < box[2] && w < box[3];
}

__device__ inline int ring_of(const part_map &map, int h, int w)
{
    int ring = 0;
    while (ring < map.table.ring_count - 1 && !box_holds(map.table.box[ring], h, w)) ring++;
    return ring;
}

/* Positions of the box that come before (h, w), row by row. */
__device__ inline int box_before(const int16_t *box, int h, int w)
{
    const int width = box[3] - box[1];
    if (h < box[0]) return 0;
    if (h >= box[2]) return box_area(box);
    return (h - box[0]) * width + min(max(w - box[1], 0), width);
}

/* order [H*W]: all threads of the block take part; a barrier must follow. */
__device__ inline void list_positions(const part_map &map, uint16_t *order)
{
    for (int i = (int)threadIdx.x; i < map.positions; i += (int)blockDim.x) {
        const int h = i / map.width, w = i % map.width, ring = ring_of(map, h, w);
        const int16_t *box = map.table.box[ring];
        const int before = ring == 0 ? 0 : box_area(box - 4) - box_before(box - 4, h, w); /* what the inner box has yet to come counts as listed already */
        order[box_before(box, h, w) + before] = (uint16_t)i;
    }
}

/* One block's own: which channels, and the thread's place in it. */
template <int S> struct part_block {
    static constexpr int width = PART_LANES * S; /* channels of the block */
    int lane, slice, slices, first, channel;     /* first: the block's; channel: the thread's */
    __device__ part_block()
        : lane((int)threadIdx.x % PART_LANES), slice((int)threadIdx.x / PART_LANES), slices((int)blockDim.x / PART_LANES), first((int)blockIdx.x * width),
          channel(first + lane * S)
    {
    }
};

/* Elements of the list from `first` to `last` that are this slice's: take(values, position), several loads in flight. */
template <int S, class T, class F>
__device__ inline void walk_positions(const T *x, int channels, const uint16_t *order, int first, int last, int slice, int slices, F take)
{
    for (int at = first + slice; at < last; at += slices * PART_IN_FLIGHT) {
        raw_few<T, S> raw[PART_IN_FLIGHT];
        int position[PART_IN_FLIGHT];
        for (int k = 0; k < PART_IN_FLIGHT; k++) {
            position[k] = order[min(at + k * slices, last - 1)];
            raw[k] = load_raw<S>(x + position[k] * channels);
        }
        for (int k = 0; k < PART_IN_FLIGHT; k++)
            if (at + k * slices < last) take(to_few<T, S>(raw[k]), position[k]);
    }
}

/* As many as keep `rows` rows of `bytes` a channel and slice within `most` bytes; fewer where images and channels give blocks enough. A function of the shape
 * alone. */
inline int part_slices(int64_t blocks, int64_t rows, int64_t bytes, int64_t most)
{
    int slices = blocks <= 1024 ? PART_MOST_SLICES : PART_MOST_SLICES / 2;
    while (slices > 2 && rows * slices * bytes > most) slices /= 2;
    return slices;
}

} // namespace sky
