/*
 * Rows of all ranks' batches, view by view: copies, one thread an element. What a rank shares is its x [P,N,D] in f32, then its labels [N] in i32, to a multiple of 8 bytes.
 */
#include "device.cuh"
#include "kernels.h"

#include "graph/scalars.h"

using namespace sky;

constexpr int THREADS = 128;

__global__ void share_rows_kernel(const uint32_t *x, const uint32_t *labels, uint32_t *mine, int64_t elements, int64_t rows)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < elements + rows; i += (int64_t)gridDim.x * blockDim.x)
        mine[i] = i < elements ? x[i] : labels[i - elements];
}

/*
 * What rank r gives lies r * stride words behind x and labels; stride 0: alone. Blocks of `length` words, a view's rows (or labels): block b of rank r is block b * ranks + r of
 * all.
 */
__global__ void place_blocks_kernel(const uint32_t *from, uint32_t *to, int64_t blocks, int64_t length, int64_t ranks, int64_t stride)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < blocks * ranks * length; i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t block = i / length, rank = block % ranks;
        to[i] = from[rank * stride + block / ranks * length + i % length];
    }
}

__global__ void own_rows_kernel(const float *dy, const sky_scalars *scalars, float *dx, int64_t blocks, int64_t length, int64_t ranks)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < blocks * length; i += (int64_t)gridDim.x * blockDim.x)
        dx[i] = (float)ranks * dy[(i / length * ranks + scalars->rank) * length + i % length];
}

static int64_t elements_of(const struct sky_cuda_gather *g) { return g->heads * g->rows * g->features; }

int sky_cuda_share_rows(sky_stream stream, const struct sky_cuda_gather *g, const float *x, const int32_t *labels, void *mine)
{
    const int64_t elements = elements_of(g);
    SKY_LAUNCH(share_rows_kernel, grid_of(elements + g->rows, THREADS), THREADS, 0, stream, (const uint32_t *)x, (const uint32_t *)labels, (uint32_t *)mine, elements, g->rows);
    return (int)cudaGetLastError();
}

int sky_cuda_gather_rows(sky_stream stream, const struct sky_cuda_gather *g, const float *x, const int32_t *labels, const void *all, float *y, int32_t *all_labels)
{
    const int64_t elements = elements_of(g), members = g->rows / g->groups, ranks = g->ranks, stride = all ? (elements + g->rows + 1) / 2 * 2 : 0;
    const uint32_t *rows = all ? (const uint32_t *)all : (const uint32_t *)x, *names = all ? (const uint32_t *)all + elements : (const uint32_t *)labels;
    SKY_LAUNCH(place_blocks_kernel, grid_of(elements * ranks, THREADS), THREADS, 0, stream, rows, (uint32_t *)y, g->heads * g->groups, members * g->features, ranks, stride);
    SKY_LAUNCH(place_blocks_kernel, grid_of(g->rows * ranks, THREADS), THREADS, 0, stream, names, (uint32_t *)all_labels, (int64_t)g->groups, members, ranks, stride);
    return (int)cudaGetLastError();
}

int sky_cuda_own_rows(sky_stream stream, const struct sky_cuda_gather *g, const float *dy, const struct sky_scalars *scalars, float *dx)
{
    const int64_t length = g->rows / g->groups * g->features;
    SKY_LAUNCH(own_rows_kernel, grid_of(elements_of(g), THREADS), THREADS, 0, stream, dy, scalars, dx, g->heads * g->groups, length, (int64_t)g->ranks);
    return (int)cudaGetLastError();
}
