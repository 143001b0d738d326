/*
 * Over whole arenas: the gradients' sum of squares in double, stochastic gradient descent, AdamW, the moving average. Bytes an element: 4; 20 and 28 (and 2 for the
 * copy in lower precision); 12. Two launches each, one for the average. Learning rates and scales are read on the device, so that a recorded step follows them.
 */
#include "device.cuh"
#include "kernels.h"

#include "graph/scalars.h"

using namespace sky;

constexpr int THREADS = 256, CHUNK = 16384;

/* ---- sum of squares ---- */

__global__ void __launch_bounds__(THREADS) squares_kernel(const float *x, double *partial, int64_t count)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const int64_t first = (int64_t)blockIdx.x * CHUNK, last = first + CHUNK < count ? first + CHUNK : count;
    double sum = 0;
    for (int64_t i = first + 4 * (int64_t)threadIdx.x; i < last; i += 4 * THREADS) {
        if (i + 4 <= last) {
            const pack<float> four = load_pack(x + i);
            for (int k = 0; k < 4; k++) sum += (double)four.value[k] * (double)four.value[k];
        } else
            for (int64_t k = i; k < last; k++) sum += (double)x[k] * (double)x[k];
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS) total_kernel(const double *partial, double *out, int64_t count)
{
    SKY_DYNAMIC_SHARED(double, shared);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *out = sum;
}

int64_t sky_cuda_sum_squares_doubles(int64_t count) { return div_up(count, CHUNK); }

int sky_cuda_sum_squares(sky_stream stream, const float *x, int64_t count, double *out, double *scratch)
{
    const int64_t blocks = div_up(count, CHUNK);
    SKY_LAUNCH(squares_kernel, (unsigned)blocks, THREADS, THREADS / 32 * sizeof(double), stream, x, scratch, count);
    SKY_LAUNCH(total_kernel, 1, THREADS, THREADS / 32 * sizeof(double), stream, scratch, out, blocks);
    return (int)cudaGetLastError();
}

/* ---- what both updates have in common ---- */

__device__ inline bool is_left_out(const double *sum_squares, const sky_scalars *scalars) { return !isfinite(*sum_squares) || scalars->void_update != 0; }

/* What gradients are multiplied by, clipping included. */
__device__ inline float gradient_scale(const double *sum_squares, const sky_scalars *scalars, float clip_norm)
{
    const double norm = (double)scalars->gradient_scale * sqrt(*sum_squares);
    return clip_norm > 0 && norm > (double)clip_norm ? (float)((double)scalars->gradient_scale * ((double)clip_norm / norm)) : scalars->gradient_scale;
}

/* Counts what it changes. */
__device__ inline float clamped_to(const sky_cuda_piece &piece, float w, int &count)
{
    if (!(piece.low < piece.high && (w < piece.low || w > piece.high))) return w;
    count++;
    return w < piece.low ? piece.low : piece.high;
}

__global__ void __launch_bounds__(THREADS)
    report_kernel(const double *sum_squares, const sky_scalars *scalars, const unsigned *clamped, int64_t pieces, double *report)
{
    SKY_DYNAMIC_SHARED(double, shared);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < pieces; i += THREADS) sum += clamped[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x != 0) return;
    report[0] = (double)scalars->gradient_scale * sqrt(*sum_squares);
    report[1] = is_left_out(sum_squares, scalars) ? 1 : 0;
    report[2] = sum, report[3] = 0;
}

/* ---- SGD ---- */

struct sgd_rates {
    float momentum, clip_norm;
    bool nesterov;
};

/* One block a piece of one parameter. A sum of squares that is not finite, or a void update, leaves everything as it is; the copy in lower precision is written all the same. */
template <class T>
__global__ void __launch_bounds__(THREADS) sgd_kernel(const sky_cuda_piece *pieces, float *params, const float *grads, float *momenta,
                                                      const double *sum_squares, const sky_scalars *scalars, T *shadow, unsigned *clamped, sgd_rates rates)
{
    SKY_DYNAMIC_SHARED(int, shared);
    const sky_cuda_piece piece = pieces[blockIdx.x];
    const bool skip = is_left_out(sum_squares, scalars);
    const float scale = gradient_scale(sum_squares, scalars, rates.clip_norm), lr = scalars->lr[piece.group];
    int count = 0;
    for (int64_t i = piece.offset + threadIdx.x; i < piece.offset + piece.count; i += THREADS) {
        float w = params[i];
        if (!skip) {
            const float g = fmaf(piece.weight_decay, w, grads[i] * scale), m = fmaf(rates.momentum, momenta[i], g);
            w -= lr * (rates.nesterov ? fmaf(rates.momentum, m, g) : m);
            w = clamped_to(piece, w, count);
            momenta[i] = m, params[i] = w;
        }
        if (shadow) shadow[i] = from_float<T>(w);
    }
    count = block_sum(count, shared);
    if (threadIdx.x == 0) clamped[blockIdx.x] = (unsigned)count;
}

int sky_cuda_sgd(sky_stream stream, const struct sky_cuda_update *p, double momentum, bool nesterov)
{
    const sgd_rates rates = {(float)momentum, (float)p->clip_norm, nesterov};
    const size_t shared = THREADS / 32 * sizeof(double);
    return with_type(p->shadow ? p->shadow_type : SKY_F32, [&](auto *t) {
        using T = element<decltype(t)>;
        if (p->piece_count)
            SKY_LAUNCH(sgd_kernel<T>, (unsigned)p->piece_count, THREADS, shared, stream, p->pieces, p->params, p->grads, p->momenta, p->sum_squares, p->scalars,
                       (T *)p->shadow, p->scratch, rates);
        SKY_LAUNCH(report_kernel, 1, THREADS, shared, stream, p->sum_squares, p->scalars, p->scratch, p->piece_count, p->report);
    });
}

/* ---- AdamW ---- */

struct adamw_rates {
    double beta1, beta2;
    float clip_norm, epsilon;
};

/* As sgd_kernel. The first thread finds how far the means have come from zero, once a block. */
template <class T>
__global__ void __launch_bounds__(THREADS) adamw_kernel(const sky_cuda_piece *pieces, float *params, const float *grads, float *means, float *squares,
                                                        const double *sum_squares, const sky_scalars *scalars, T *shadow, unsigned *clamped, adamw_rates rates)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const sky_cuda_piece piece = pieces[blockIdx.x];
    const bool skip = is_left_out(sum_squares, scalars);
    const float scale = gradient_scale(sum_squares, scalars, rates.clip_norm);
    if (threadIdx.x == 0) {
        const double lr = (double)scalars->lr[piece.group], count = (double)scalars->update;
        shared[0] = 1 - lr * (double)piece.weight_decay;
        shared[1] = lr / (1 - pow(rates.beta1, count));
        shared[2] = 1 / sqrt(1 - pow(rates.beta2, count));
    }
    __syncthreads();
    const float keep = (float)shared[0], step = (float)shared[1], unbias = (float)shared[2], beta1 = (float)rates.beta1, beta2 = (float)rates.beta2;
    const float rest1 = (float)(1 - rates.beta1), rest2 = (float)(1 - rates.beta2);
    int count = 0;
    for (int64_t i = piece.offset + threadIdx.x; i < piece.offset + piece.count; i += THREADS) {
        float w = params[i];
        if (!skip) {
            const float g = grads[i] * scale, m = fmaf(beta1, means[i], rest1 * g), v = fmaf(beta2, squares[i], rest2 * g * g);
            w = keep * w - step * m / fmaf(sqrtf(v), unbias, rates.epsilon);
            w = clamped_to(piece, w, count);
            means[i] = m, squares[i] = v, params[i] = w;
        }
        if (shadow) shadow[i] = from_float<T>(w);
    }
    __syncthreads();
    const double all = block_sum((double)count, shared);
    if (threadIdx.x == 0) clamped[blockIdx.x] = (unsigned)all;
}

int sky_cuda_adamw(sky_stream stream, const struct sky_cuda_update *p, const struct sky_cuda_adamw *adamw)
{
    const adamw_rates rates = {adamw->beta1, adamw->beta2, (float)p->clip_norm, (float)adamw->epsilon};
    const size_t shared = THREADS / 32 * sizeof(double);
    return with_type(p->shadow ? p->shadow_type : SKY_F32, [&](auto *t) {
        using T = element<decltype(t)>;
        if (p->piece_count)
            SKY_LAUNCH(adamw_kernel<T>, (unsigned)p->piece_count, THREADS, shared, stream, p->pieces, p->params, p->grads, p->momenta, adamw->squares,
                       p->sum_squares, p->scalars, (T *)p->shadow, p->scratch, rates);
        SKY_LAUNCH(report_kernel, 1, THREADS, shared, stream, p->sum_squares, p->scalars, p->scratch, p->piece_count, p->report);
    });
}

/* ---- moving average ---- */

__global__ void ema_kernel(const float *params, float *average, int64_t count, const sky_scalars *scalars, double *report)
{
    const float decay = scalars->ema_decay, rest = 1.0f - decay;
    const int64_t start = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t i = start; i < count && scalars->void_update == 0; i += (int64_t)gridDim.x * blockDim.x) average[i] = fmaf(decay, average[i], rest * params[i]);
    if (start == 0) *report = 0;
}

int sky_cuda_ema(sky_stream stream, const float *params, float *average, int64_t count, const struct sky_scalars *scalars, double *report)
{
    SKY_LAUNCH(ema_kernel, grid_of(count, THREADS), THREADS, 0, stream, params, average, count, scalars, report);
    return (int)cudaGetLastError();
}
