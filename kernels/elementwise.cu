/*
 * Sums of two tensors and conversions between element types. Memory-bound: 16-byte accesses, grid-stride loops, single elements at the end.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

constexpr int THREADS = 256;

template <class T> __global__ void add_kernel(const T *a, const T *b, T *y, int64_t count, int64_t packs)
{
    const int64_t start = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = start; i < packs; i += step) {
        const pack<T> left = load_pack(a + i * pack<T>::size), right = load_pack(b + i * pack<T>::size);
        pack<T> sum;
        for (int k = 0; k < pack<T>::size; k++) sum.value[k] = left.value[k] + right.value[k];
        store_pack(y + i * pack<T>::size, sum);
    }
    for (int64_t i = packs * pack<T>::size + start; i < count; i += step) y[i] = from_float<T>(to_float(a[i]) + to_float(b[i]));
}

template <class T> __global__ void cast_kernel(const float *x, T *y, int64_t count)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x) y[i] = from_float<T>(x[i]);
}

template <class T> __global__ void cast_accumulate_kernel(const T *x, float *y, int64_t count, int64_t slices, bool accumulate)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x) {
        float sum = to_float(x[i]);
        for (int64_t s = 1; s < slices; s++) sum += to_float(x[s * count + i]);
        y[i] = sum + (accumulate ? y[i] : 0.0f);
    }
}

int sky_cuda_add(sky_stream stream, enum sky_dtype type, const void *a, const void *b, void *y, int64_t count)
{
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        const int64_t packs = packs_fit<T>(0, a, b, y) ? count / pack<T>::size : 0;
        SKY_LAUNCH(add_kernel<T>, grid_of(div_up(count, pack<T>::size), THREADS), THREADS, 0, stream, (const T *)a, (const T *)b, (T *)y, count, packs);
    });
}

int sky_cuda_cast(sky_stream stream, const float *x, enum sky_dtype type, void *y, int64_t count)
{
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        SKY_LAUNCH(cast_kernel<T>, grid_of(count, THREADS), THREADS, 0, stream, x, (T *)y, count);
    });
}

int sky_cuda_cast_accumulate(sky_stream stream, enum sky_dtype type, const void *x, float *y, int64_t count, int64_t slices, bool accumulate)
{
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        SKY_LAUNCH(cast_accumulate_kernel<T>, grid_of(count, THREADS), THREADS, 0, stream, (const T *)x, y, count, slices, accumulate);
    });
}

const char *sky_cuda_error_text(int error) { return cudaGetErrorString((cudaError_t)error); }
