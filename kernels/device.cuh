/*
 * What kernels share: element types as float, 16-byte packs, sums over warps and blocks in a fixed order, grid sizes. Nothing here launches anything.
 */
#pragma once

#include "launch.cuh"

#include "base/dtype.h"

namespace sky {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T> __device__ inline T from_float(float x);
template <> __device__ inline float from_float<float>(float x) { return x; }
template <> __device__ inline __half from_float<__half>(float x) { return __float2half_rn(x); }
template <> __device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

/* 16 bytes of one tensor: 4 floats, or 8 elements of a low-precision type. */
template <class T> struct pack {
    static constexpr int size = 16 / (int)sizeof(T);
    float value[size];
};

template <class T> __device__ inline pack<T> load_pack(const T *from) /* 16-byte aligned */
{
    const uint4 raw = *reinterpret_cast<const uint4 *>(from);
    T element[pack<T>::size];
    memcpy((void *)element, &raw, sizeof raw);
    pack<T> result;
    for (int i = 0; i < pack<T>::size; i++) result.value[i] = to_float(element[i]);
    return result;
}

template <class T> __device__ inline void store_pack(T *to, const pack<T> &from)
{
    T element[pack<T>::size];
    uint4 raw;
    for (int i = 0; i < pack<T>::size; i++) element[i] = from_float<T>(from.value[i]);
    memcpy(&raw, (const void *)element, sizeof raw);
    *reinterpret_cast<uint4 *>(to) = raw;
}

/* Whether rows of `length` elements that start at these pointers can be read and written in packs. */
template <class T> inline bool packs_fit(int64_t length, const void *a, const void *b = nullptr, const void *c = nullptr, const void *d = nullptr)
{
    return length % pack<T>::size == 0 && (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)d) & 15) == 0;
}

/* NaN stays NaN, so that a broken step is seen. */
__device__ inline float relu(float x) { return x < 0 ? 0.0f : x; }

/* Every lane gets the sum; lanes are added in a fixed tree. All 32 lanes take part. */
template <class T> __device__ inline T warp_sum(T value)
{
    for (int offset = 16; offset > 0; offset >>= 1) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

/* Thread 0 (of a one-dimensional block of whole warps) gets the sum; `scratch` holds one T a warp. Ends with a barrier: scratch may be used again. */
template <class T> __device__ inline T block_sum(T value, T *scratch)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_sum(value);
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    if (warp == 0) value = warp_sum(lane < warps ? scratch[lane] : T(0));
    __syncthreads();
    return value;
}

inline int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Blocks for a grid-stride loop over `count` items of `threads` a block: enough to fill any device several times over, and a number of its own, not the device's. */
inline unsigned grid_of(int64_t count, int threads, int64_t most = 4096)
{
    const int64_t blocks = div_up(count, threads);
    return (unsigned)(blocks < 1 ? 1 : blocks < most ? blocks : most);
}

/* Calls `launch` with a null pointer of the element type, so that one generic lambda serves every type: with_type(map, [&](auto *t) { using T = ...; }). */
template <class F> inline int with_type(enum sky_dtype type, F launch)
{
    switch (type) {
    case SKY_F32: launch((float *)nullptr); break;
    case SKY_BF16: launch((__nv_bfloat16 *)nullptr); break;
    case SKY_F16: launch((__half *)nullptr); break;
    default: return (int)cudaErrorInvalidValue;
    }
    return (int)cudaGetLastError();
}

template <class P> struct element_of;
template <class T> struct element_of<T *> { using type = T; };
template <class P> using element = typename element_of<P>::type;

} // namespace sky
