/*
 * The nearest gallery rows of each query: the `places` smallest keys |g|^2/2 - q.g (eval/features.h) of a row, equal keys by lower item. Products come as a block
 * [queries, items]; a gallery in several blocks is merged as they come, because a query's list stays in memory between them.
 * Key and item are one 64-bit number, so no two are equal and the smallest ones are the same set in whatever order they are met. A block a query walks its row
 * once, keeps what is below the last place, and sorts when room runs out: about places * ln(items / places) numbers of a row are ever kept.
 * Bytes: 4 an item and query of products, beside 8 an item and dimension that the products cost.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

constexpr int THREADS = 256, ROOM = 1024;
constexpr unsigned long long EMPTY = ~0ull;
static_assert(SKY_CUDA_TOP_PLACES + THREADS <= ROOM, "a sorted list and one round of candidates must fit");

/* Ascending like the keys; none is a NaN. */
__device__ inline unsigned ascending_bits(float key)
{
    const unsigned bits = (unsigned)__float_as_int(key);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* list [ROOM], ascending; all threads of the block. */
__device__ inline void sort_list(unsigned long long *list)
{
    for (int size = 2; size <= ROOM; size *= 2)
        for (int stride = size / 2; stride > 0; stride /= 2) {
            for (int i = (int)threadIdx.x; i < ROOM / 2; i += THREADS) {
                const int low = 2 * i - (i & (stride - 1)), high = low + stride;
                const unsigned long long a = list[low], b = list[high];
                if ((a > b) == ((low & size) == 0)) list[low] = b, list[high] = a;
            }
            __syncthreads();
        }
}

/* A block a query. */
__global__ void __launch_bounds__(THREADS) top_kernel(sky_cuda_top p)
{
    SKY_DYNAMIC_SHARED(unsigned long long, list); /* [ROOM]: sorted places, then candidates; after it their number */
    unsigned *candidates = (unsigned *)(list + ROOM);
    uint64_t *kept = p.lists + (p.first_query + blockIdx.x) * p.places;
    const float *products = p.products + (int64_t)blockIdx.x * p.items;
    for (int i = (int)threadIdx.x; i < ROOM; i += THREADS) list[i] = p.first_item > 0 && i < p.places ? kept[i] : EMPTY;
    if (threadIdx.x == 0) *candidates = 0;
    __syncthreads();
    int waiting = 0;
    for (int64_t begin = 0; begin < p.items; begin += THREADS) {
        const int64_t item = begin + threadIdx.x;
        const unsigned long long mine =
            item < p.items ? (unsigned long long)ascending_bits(p.half_norms[p.first_item + item] - products[item]) << 32 | (unsigned)(p.first_item + item) : EMPTY;
        const bool near = mine < list[p.places - 1];
        if (near) list[p.places + (int)atomicAdd(candidates, 1u)] = mine;
        waiting += __syncthreads_count(near);
        if (waiting <= ROOM - p.places - THREADS) continue;
        sort_list(list);
        for (int i = p.places + (int)threadIdx.x; i < ROOM; i += THREADS) list[i] = EMPTY;
        if (threadIdx.x == 0) *candidates = 0;
        waiting = 0;
        __syncthreads();
    }
    sort_list(list);
    for (int i = (int)threadIdx.x; i < p.places; i += THREADS) kept[i] = list[i];
}

int sky_cuda_top_keys(sky_stream stream, const struct sky_cuda_top *p, int64_t queries)
{
    SKY_LAUNCH(top_kernel, (unsigned)queries, THREADS, ROOM * sizeof(unsigned long long) + sizeof(unsigned), stream, *p);
    return (int)cudaGetLastError();
}
