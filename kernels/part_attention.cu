/*
 * Part attention: every feature of every part weighted by its softmax over the parts, and its gradient. Head tensors, a few hundred KiB: one thread a feature,
 * which reads its parts again from cache rather than hold them.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

enum { THREADS = 128 };

/* Of one feature over the parts: the largest value, and the sum of exponentials. */
struct softmax {
    float largest, sum;
    __device__ float weight(float value) const { return expf(value - largest) / sum; }
};

__device__ static inline struct softmax softmax_of(const float *x, int64_t parts, int64_t stride)
{
    struct softmax result = {x[0], 0.0f};
    for (int64_t p = 1; p < parts; p++) result.largest = fmaxf(result.largest, x[p * stride]);
    for (int64_t p = 0; p < parts; p++) result.sum += expf(x[p * stride] - result.largest);
    return result;
}

__global__ void __launch_bounds__(THREADS) part_attention_kernel(const float *x, float *y /* [P,N*C] both */, int64_t parts, int64_t stride)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= stride) return;
    const struct softmax over = softmax_of(x + i, parts, stride);
    for (int64_t p = 0; p < parts; p++) {
        const float value = x[p * stride + i];
        y[p * stride + i] = value * over.weight(value);
    }
}

__global__ void __launch_bounds__(THREADS)
    part_attention_grad_kernel(const float *dy, const float *x, float *dx /* [P,N*C] all */, int64_t parts, int64_t stride)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= stride) return;
    const struct softmax over = softmax_of(x + i, parts, stride);
    float mean = 0; /* of dy x under the softmax */
    for (int64_t p = 0; p < parts; p++) {
        const float value = x[p * stride + i];
        mean += dy[p * stride + i] * value * over.weight(value);
    }
    for (int64_t p = 0; p < parts; p++) {
        const float value = x[p * stride + i], gradient = dy[p * stride + i];
        dx[p * stride + i] = over.weight(value) * (gradient + gradient * value - mean);
    }
}

int sky_cuda_part_attention(sky_stream stream, const float *x, float *y, int64_t parts, int64_t stride)
{
    SKY_LAUNCH(part_attention_kernel, (unsigned)div_up(stride, THREADS), THREADS, 0, stream, x, y, parts, stride);
    return (int)cudaGetLastError();
}

int sky_cuda_part_attention_grad(sky_stream stream, const float *dy, const float *x, float *dx, int64_t parts, int64_t stride)
{
    SKY_LAUNCH(part_attention_grad_kernel, (unsigned)div_up(stride, THREADS), THREADS, 0, stream, dy, x, dx, parts, stride);
    return (int)cudaGetLastError();
}
