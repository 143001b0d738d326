/*
 * Cosines between the rows of two views and their gradient. Small tensors (heads x rows x features, a few MB): one warp a cosine, one block a row of the gradient.
 * Two launches each.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

constexpr int THREADS = 128, SUM_THREADS = 256;

__global__ void __launch_bounds__(THREADS) norm_kernel(const float *x, float *inverse_norm, int64_t row_count, int64_t features)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= row_count) return;
    float square = 0;
    for (int64_t d = lane; d < features; d += 32) square += x[row * features + d] * x[row * features + d];
    square = warp_sum(square);
    if (lane == 0) inverse_norm[row] = square > 0 ? 1 / sqrtf(square) : square * 0; /* NaN stays NaN */
}

__device__ inline float scale_of(const sky_cuda_views &v, const float *t) { return (t ? expf(*t) : 1.0f) / (v.joint ? (float)v.heads : 1.0f); }

__global__ void __launch_bounds__(THREADS) cosine_kernel(sky_cuda_views v, const float *x, const float *t, const float *inverse_norm, float *y, int64_t count)
{
    const int64_t element = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (element >= count) return;
    const int64_t head = element / (v.members * v.members), i = element / v.members % v.members, j = element % v.members;
    float sum = 0;
    for (int64_t p = head; p < (v.joint ? v.heads : head + 1); p++) {
        const int64_t a = p * v.rows + v.first * v.members + i, b = p * v.rows + v.second * v.members + j;
        float product = 0;
        for (int64_t d = lane; d < v.features; d += 32) product += x[a * v.features + d] * x[b * v.features + d];
        sum += warp_sum(product) * inverse_norm[a] * inverse_norm[b];
    }
    if (lane == 0) y[element] = scale_of(v, t) * sum;
}

int sky_cuda_similarity(sky_stream stream, const struct sky_cuda_views *v, const float *x, const float *t, float *y, float *inverse_norm)
{
    const int64_t rows = v->heads * v->rows, count = (v->joint ? 1 : v->heads) * v->members * v->members;
    SKY_LAUNCH(norm_kernel, (unsigned)div_up(rows, THREADS / 32), THREADS, 0, stream, x, inverse_norm, rows, v->features);
    SKY_LAUNCH(cosine_kernel, (unsigned)div_up(count, THREADS / 32), THREADS, 0, stream, *v, x, t, inverse_norm, y, count);
    return (int)cudaGetLastError();
}

/* One block a row of x: pull = sum_j dy_j u_j over the other view's unit rows; dx = (pull - u (u . pull)) / norm. */
__global__ void __launch_bounds__(THREADS)
    similarity_grad_kernel(sky_cuda_views v, const float *dy, const float *x, const float *inverse_norm, const float *t, float *dx)
{
    SKY_DYNAMIC_SHARED(float, shared); /* [warps + 1] */
    const int64_t row = blockIdx.x, p = row / v.rows, view = row % v.rows / v.members, i = row % v.members;
    const bool is_first = view == v.first, is_second = view == v.second;
    float *out = dx + row * v.features;
    const float *own = x + row * v.features;
    const float norm = inverse_norm[row], scale = scale_of(v, t);
    const float *pulls = dy + (v.joint ? 0 : p * v.members * v.members) + (is_first ? i * v.members : i);
    const int64_t others = p * v.rows + (is_first ? v.second : v.first) * v.members, stride = is_first ? 1 : v.members;
    float along = 0;
    for (int64_t d = threadIdx.x; d < v.features; d += THREADS) {
        float pull = 0;
        for (int64_t j = 0; j < v.members && (is_first || is_second); j++) pull += pulls[j * stride] * x[(others + j) * v.features + d] * inverse_norm[others + j];
        out[d] = pull;
        along += pull * own[d] * norm;
    }
    along = block_sum(along, shared);
    if (threadIdx.x == 0) shared[THREADS / 32] = along;
    __syncthreads();
    along = shared[THREADS / 32];
    for (int64_t d = threadIdx.x; d < v.features; d += THREADS) out[d] = is_first || is_second ? scale * norm * (out[d] - along * own[d] * norm) : 0.0f;
}

/* dt = sum dy y, by one block in a fixed order. */
__global__ void __launch_bounds__(SUM_THREADS) scale_grad_kernel(const float *dy, const float *y, float *dt, int64_t count, bool accumulate)
{
    SKY_DYNAMIC_SHARED(double, shared);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += SUM_THREADS) sum += (double)dy[i] * (double)y[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *dt = (float)(sum + (accumulate ? (double)*dt : 0.0));
}

int sky_cuda_similarity_grad(sky_stream stream, const struct sky_cuda_views *v, const float *dy, const float *x, const float *inverse_norm, const float *y,
                             const float *t, float *dx, float *dt, bool accumulate)
{
    const int64_t count = (v->joint ? 1 : v->heads) * v->members * v->members;
    SKY_LAUNCH(similarity_grad_kernel, (unsigned)(v->heads * v->rows), THREADS, (THREADS / 32 + 1) * sizeof(float), stream, *v, dy, x, inverse_norm, t, dx);
    if (dt) SKY_LAUNCH(scale_grad_kernel, 1, SUM_THREADS, SUM_THREADS / 32 * sizeof(double), stream, dy, y, dt, count, accumulate);
    return (int)cudaGetLastError();
}
