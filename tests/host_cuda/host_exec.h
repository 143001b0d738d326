/*
 * Runs CUDA kernels on the host: blocks one after another, each thread of a block a fiber. A thread runs until it meets a barrier; a barrier opens when all
 * live threads of its block (or all lanes of its mask) wait at the same call, and one that cannot open aborts with the place of the launch and what the threads
 * wait for. Threads and blocks run in an order shuffled by a seed (host_order.h), so that a missing barrier shows as another result. Shared memory is dynamic
 * only: filled with 0xFF before each block and followed by a guard page; under AddressSanitizer its bounds are exact.
 *
 * Stricter than CUDA: a warp barrier's mask may not name a lane that has returned. Included by kernels/launch.cuh instead of nvcc's own language. Not here:
 * float atomics (forbidden in this project), tensor cores, asynchronous copies.
 */
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>

#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#undef __shared__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "kernels take shared memory through SKY_DYNAMIC_SHARED")

namespace host_exec {

/* What a thread waits for. */
enum class barrier { none, block, warp };

const uint3 &thread_index();
const uint3 &block_index();
const dim3 &block_size();
const dim3 &grid_size();
void *dynamic_shared();

/*
 * Waits at a call of this name: every lane of `mask` must come to it with the same mask, or every live thread of the block. A value that is brought is then
 * visible to the others, until its lane brings another.
 */
void bring(uint64_t mine);
void wait(barrier what, const char *call, unsigned mask = 0);
uint64_t lane_value(int lane, unsigned mask); /* of this thread's warp, in the exchange just made; all ones from a lane outside the mask: CUDA leaves it open */
int lane();
uint64_t block_total(); /* of the values brought to the block barrier just passed */
bool exact_bounds();    /* whether any access outside shared memory traps, not only one that meets the guard page */

struct place {
    const char *kernel, *file;
    int line;
};
void launch(const place &where, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);

template <class T> inline T exchange(const char *call, unsigned mask, T value, int source)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bring(bits);
    wait(barrier::warp, call, mask);
    bits = lane_value(source, mask);
    wait(barrier::warp, call, mask); /* nobody brings the next value before all have read this one */
    memcpy(&value, &bits, sizeof value);
    return value;
}

} // namespace host_exec

#define threadIdx (host_exec::thread_index())
#define blockIdx (host_exec::block_index())
#define blockDim (host_exec::block_size())
#define gridDim (host_exec::grid_size())
#define SKY_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    ((void)(stream), host_exec::launch({#kernel, __FILE__, __LINE__}, dim3(grid), dim3(block), (shared_bytes), [&] { kernel(__VA_ARGS__); }))
#define SKY_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(host_exec::dynamic_shared())

static inline void __syncthreads() { host_exec::wait(host_exec::barrier::block, "__syncthreads"); }
static inline int __syncthreads_count(int predicate)
{
    host_exec::bring(predicate != 0);
    host_exec::wait(host_exec::barrier::block, "__syncthreads_count");
    return (int)host_exec::block_total();
}
static inline int __syncthreads_or(int predicate) { return __syncthreads_count(predicate) > 0; }
static inline void __syncwarp(unsigned mask = 0xffffffffu) { host_exec::wait(host_exec::barrier::warp, "__syncwarp", mask); }
static inline void __threadfence() {}

template <class T> static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32)
{
    const int lane = host_exec::lane();
    return host_exec::exchange("__shfl_sync", mask, value, (lane & ~(width - 1)) + (source & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32)
{
    const int lane = host_exec::lane(), source = lane ^ bits;
    return host_exec::exchange("__shfl_xor_sync", mask, value, source / width <= lane / width ? source : lane);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    const int lane = host_exec::lane(), source = lane + (int)delta;
    return host_exec::exchange("__shfl_down_sync", mask, value, source / width == lane / width ? source : lane);
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32)
{
    const int lane = host_exec::lane(), source = lane - (int)delta;
    return host_exec::exchange("__shfl_up_sync", mask, value, source >= lane / width * width ? source : lane);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    unsigned result = 0;
    host_exec::bring(predicate != 0);
    host_exec::wait(host_exec::barrier::warp, "__ballot_sync", mask);
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1 && host_exec::lane_value(i, mask)) result |= 1u << i;
    host_exec::wait(host_exec::barrier::warp, "__ballot_sync", mask);
    return result;
}
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

/* Of whole numbers: their order does not change the result. */
template <class T> static inline T atomicAdd(T *address, T value)
{
    static_assert(!std::is_floating_point<T>::value, "sums of floats have a fixed order here");
    const T old = *address;
    *address = old + value;
    return old;
}
template <class T> static inline T atomicMax(T *address, T value)
{
    const T old = *address;
    *address = std::max(old, value);
    return old;
}

template <class T> static inline T __ldg(const T *address) { return *address; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline float __int_as_float(int x)
{
    float value;
    memcpy(&value, &x, sizeof value);
    return value;
}
static inline int __float_as_int(float x)
{
    int value;
    memcpy(&value, &x, sizeof value);
    return value;
}
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
using std::max;
using std::min;
