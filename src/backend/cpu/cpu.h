/*
 * What the CPU back end's files share: its state, the tensors of a node, and the one way in which maps are cut into pieces. Pieces depend on shapes alone and
 * sums over them are merged in their order, so results do not depend on the number of threads.
 */
#ifndef SKY_BACKEND_CPU_CPU_H
#define SKY_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "dnnl.h"

#include <omp.h>
#include <string.h>

struct sky_cpu {
    struct sky_dnnl *dnnl;
};

#define SKY_OP(name, inputs, outputs, file, doc) extern const struct sky_operation sky_cpu_##name;
#include "ops/ops.def"
#undef SKY_OP

static inline struct sky_dnnl *sky_cpu_dnnl(const struct sky_kernel *kernel)
{
    return ((struct sky_cpu *)kernel->device->state)->dnnl;
}

static inline int sky_cpu_threads(const struct sky_kernel *kernel)
{
    return kernel->device->options.threads;
}

/* The node's tensors; NULL where an optional one is absent. */
static inline const struct sky_tensor *sky_cpu_in(const struct sky_kernel *kernel, int index)
{
    return sky_graph_get(kernel->graph, kernel->node->in[index]);
}

static inline const struct sky_tensor *sky_cpu_out(const struct sky_kernel *kernel, int index)
{
    return sky_graph_get(kernel->graph, kernel->node->out[index]);
}

static inline size_t sky_cpu_align(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* A map [N,H,W,C] as rows of channels. */
struct sky_map_shape {
    int64_t images, positions, channels;
};

static inline struct sky_map_shape sky_map_shape_of(const struct sky_tensor *tensor)
{
    return (struct sky_map_shape){tensor->dim[0], tensor->dim[1] * tensor->dim[2], tensor->dim[3]};
}

/*
 * Each image's positions cut into units of equal length (the last one shorter), about 256 KiB of float each: short enough to spread over threads and to sum in
 * single precision, long enough that a unit's sums are little beside its data.
 */
struct sky_units {
    int64_t per_image, length, count, positions;
};

static inline struct sky_units sky_units_of(const struct sky_map_shape *map)
{
    int64_t length = 65536 / map->channels;
    if (length < 16) length = 16;
    const int64_t wanted = (map->positions + length - 1) / length;
    length = (map->positions + wanted - 1) / wanted;
    const int64_t per_image = (map->positions + length - 1) / length;
    return (struct sky_units){per_image, length, per_image * map->images, map->positions};
}

/* One unit: its image, its first position in that image and how many it has. */
struct sky_unit {
    int64_t image, first, length;
};

static inline struct sky_unit sky_unit_at(const struct sky_units *units, int64_t index)
{
    const int64_t image = index / units->per_image, first = index % units->per_image * units->length;
    const int64_t left = units->positions - first;
    return (struct sky_unit){image, first, left < units->length ? left : units->length};
}

/* This thread's contiguous share of `count` pieces, inside a parallel region. A second pass takes its share backwards: what was read last is still in the
 * cache. */
static inline void sky_my_share(int64_t count, int64_t *begin, int64_t *end)
{
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    *begin = count * thread / threads;
    *end = count * (thread + 1) / threads;
}

/* Channels are merged in blocks of this many. */
#define SKY_CHANNEL_BLOCK 64

static inline int64_t sky_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Not a number stays what it is. */
static inline float sky_relu(float x)
{
    return x < 0 ? 0 : x;
}

/* Adds the units' rows [C] of one image in order: sum[c] over u of parts[(u * stride) + c], for channels first .. first + count - 1 (count <=
 * SKY_CHANNEL_BLOCK). */
static inline void sky_sum_units(const float *parts, int64_t units, int64_t stride, int64_t first, int64_t count, double *restrict sum)
{
    for (int64_t c = 0; c < count; c++) sum[c] = 0;
    for (int64_t u = 0; u < units; u++)
        for (int64_t c = 0; c < count; c++) sum[c] += (double)parts[u * stride + first + c];
}

/* Writes a gradient, or adds to it. Either pointer may be NULL: nothing is wanted. */
static inline void sky_give(float *gradient, int64_t index, double value, bool accumulate)
{
    if (gradient) gradient[index] = (float)(accumulate ? (double)gradient[index] + value : value);
}

#endif
