/*
 * Counting for exact ranks: for every query and each of its right rows, how many gallery rows' keys lie certainly below the right row's key, and which lie too
 * close to say. Keys are |g|^2/2 - q.g (eval/features.h); products come as a block [queries, items]. Counts are whole numbers, so their order does not matter.
 * Bytes: a row of products is read once for every RIGHTS right rows of its query.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

constexpr int THREADS = 256, RIGHTS = 8, STRETCHES = 2;

__global__ void scale_kernel(float *x, int64_t count, float factor)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x) x[i] *= factor;
}

/* Blocks along x: RIGHTS right rows of one query; along y: queries. */
__global__ void __launch_bounds__(THREADS) count_kernel(sky_cuda_count p)
{
    SKY_DYNAMIC_SHARED(unsigned, shared); /* [STRETCHES][RIGHTS] */
    const int64_t query = blockIdx.y, begin = p.first[p.first_query + query] + (int64_t)blockIdx.x * RIGHTS, end = p.first[p.first_query + query + 1];
    const int rights = (int)(end - begin < RIGHTS ? end - begin : RIGHTS);
    if (rights <= 0) return;
    float low[RIGHTS], high[RIGHTS];
    for (int t = 0; t < RIGHTS; t++) {
        const float key = t < rights ? p.right_keys[begin + t] : NAN; /* nothing is below a NaN */
        low[t] = key - p.margin, high[t] = key + p.margin;
    }
    for (int i = (int)threadIdx.x; i < STRETCHES * RIGHTS; i += THREADS) shared[i] = 0;
    __syncthreads();
    const float *products = p.products + query * p.items;
    for (int stretch = 0; stretch < STRETCHES; stretch++) {
        unsigned below[RIGHTS] = {};
        for (int64_t item = p.bounds[stretch] + threadIdx.x; item < p.bounds[stretch + 1]; item += THREADS) {
            const float key = p.half_norms[item] - products[item];
            for (int t = 0; t < RIGHTS; t++) {
                below[t] += key < low[t];
                if (!(key >= low[t] && key <= high[t])) continue;
                const unsigned at = atomicAdd(p.near_count, 1u);
                if (at < p.near_room) p.near[at][0] = (uint32_t)(begin + t), p.near[at][1] = (uint32_t)item;
            }
        }
        for (int t = 0; t < RIGHTS; t++) atomicAdd(&shared[stretch * RIGHTS + t], below[t]);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < STRETCHES * rights; i += THREADS) {
        const int stretch = i / rights, t = i % rights;
        p.before[stretch * p.right_count + begin + t] = shared[stretch * RIGHTS + t];
    }
}

int sky_cuda_scale(sky_stream stream, float *x, int64_t count, float factor)
{
    SKY_LAUNCH(scale_kernel, grid_of(count, THREADS), THREADS, 0, stream, x, count, factor);
    return (int)cudaGetLastError();
}

int sky_cuda_count_keys(sky_stream stream, const struct sky_cuda_count *p, int64_t queries, int64_t most_rights)
{
    if (most_rights < 1) return 0;
    SKY_LAUNCH(count_kernel, dim3((unsigned)div_up(most_rights, RIGHTS), (unsigned)queries), THREADS, STRETCHES * RIGHTS * sizeof(unsigned), stream, *p);
    return (int)cudaGetLastError();
}
