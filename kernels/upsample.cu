/*
 * Bilinear up-sampling with align_corners, and its transpose, which gathers: an input position looks through the outputs that it had a share in. Both move the
 * small map once and the large one once; neighbours come from cache.
 */
#include "few.cuh"
#include "kernels.h"

using namespace sky;

enum { THREADS = 256 };

/* Output position -> the two input positions and the weight of the second. */
struct blend {
    int first, second;
    float weight;
};

__device__ static inline struct blend blend_of(int position, int in, int out)
{
    if (out == 1) return {0, in > 1 ? 1 : 0, 0.0f};
    const int scaled = position * (in - 1), first = scaled / (out - 1);
    return {first, first + 1 < in ? first + 1 : first, (float)(scaled % (out - 1)) / (float)(out - 1)};
}

/* Outputs that input `at` has a share in: those within one input step of it. `step` is 1 / (out - 1). */
__device__ static inline void reach_of(int at, int in, int out, int *first, int *last, float *step)
{
    *first = 0, *last = out - 1, *step = out > 1 ? 1.0f / (float)(out - 1) : 0.0f;
    if (out == 1 && at > 0) *last = -1;
    if (in == 1 || out == 1) return;
    *first = at == 0 ? 0 : ((at - 1) * (out - 1) + in - 2) / (in - 1);
    *last = min((at + 1) * (out - 1) / (in - 1), out - 1);
}

/* The share: 1 where the positions coincide, 0 a step away. */
__device__ static inline float share_of(int at, int position, int in, int out, float step)
{
    return fmaxf(1 - (float)abs(position * (in - 1) - at * (out - 1)) * step, 0.0f);
}

template <class T, int S>
__global__ void __launch_bounds__(THREADS) upsample_kernel(const T *x /* [N,H,W,C] */, T *y /* [N,P,Q,C] */, struct map_size in, struct map_size out)
{
    const int channels = in.channels, groups = channels / S, item = (int)(blockIdx.x * THREADS + threadIdx.x), q = item / groups, c = item % groups * S;
    if (q >= out.width) return;
    const struct blend down = blend_of((int)blockIdx.y, in.height, out.height), across = blend_of(q, in.width, out.width);
    const T *from = x + blockIdx.z * in.image() + c;
    const few<S> a = load_few<S>(from + (down.first * in.width + across.first) * channels),
                 b = load_few<S>(from + (down.first * in.width + across.second) * channels);
    const few<S> d = load_few<S>(from + (down.second * in.width + across.first) * channels),
                 e = load_few<S>(from + (down.second * in.width + across.second) * channels);
    few<S> made;
    for (int i = 0; i < S; i++) {
        const float top = (1 - across.weight) * a.value[i] + across.weight * b.value[i], bottom = (1 - across.weight) * d.value[i] + across.weight * e.value[i];
        made.value[i] = (1 - down.weight) * top + down.weight * bottom;
    }
    store_few<S>(y + blockIdx.z * out.image() + ((int64_t)blockIdx.y * out.width + q) * channels + c, made);
}

template <class T, int S>
__global__ void __launch_bounds__(THREADS, 3) upsample_grad_kernel(const T *dy /* [N,P,Q,C] */, T *dx /* [N,H,W,C] */, struct map_size in, struct map_size out)
{
    const int channels = in.channels, groups = channels / S, item = (int)(blockIdx.x * THREADS + threadIdx.x), w = item / groups, c = item % groups * S,
              h = (int)blockIdx.y;
    if (w >= in.width) return;
    const T *from = dy + blockIdx.z * out.image() + c;
    int first_p, last_p, first_q, last_q;
    float step_p, step_q;
    reach_of(h, in.height, out.height, &first_p, &last_p, &step_p);
    reach_of(w, in.width, out.width, &first_q, &last_q, &step_q);
    few<S> sum = {};
    for (int p = first_p; p <= last_p; p++) {
        const float down = share_of(h, p, in.height, out.height, step_p);
        for (int q = first_q; q <= last_q; q++) {
            const float share = down * share_of(w, q, in.width, out.width, step_q);
            const few<S> gradient = load_few<S>(from + (p * out.width + q) * channels);
            for (int i = 0; i < S; i++) sum.value[i] += share * gradient.value[i];
        }
    }
    store_few<S>(dx + blockIdx.z * in.image() + ((int64_t)h * in.width + w) * channels + c, sum);
}

static dim3 row_grid(const struct map_size *size, int few, int64_t images)
{
    return dim3((unsigned)div_up((int64_t)size->width * (size->channels / few), THREADS), (unsigned)size->height, (unsigned)images);
}

int sky_cuda_upsample(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *x, void *y)
{
    const struct map_size in = {(int)window->height, (int)window->width, (int)window->channels},
                          out = {(int)window->out_height, (int)window->out_width, (int)window->channels};
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        if (packs_fit<T>(window->channels, x, y))
            SKY_LAUNCH((upsample_kernel<T, S>), row_grid(&out, S, window->images), THREADS, 0, stream, (const T *)x, (T *)y, in, out);
        else SKY_LAUNCH((upsample_kernel<T, 1>), row_grid(&out, 1, window->images), THREADS, 0, stream, (const T *)x, (T *)y, in, out);
    });
}

int sky_cuda_upsample_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *dy, void *dx)
{
    const struct map_size in = {(int)window->height, (int)window->width, (int)window->channels},
                          out = {(int)window->out_height, (int)window->out_width, (int)window->channels};
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        if (packs_fit<T>(window->channels, dy, dx))
            SKY_LAUNCH((upsample_grad_kernel<T, S>), row_grid(&in, S, window->images), THREADS, 0, stream, (const T *)dy, (T *)dx, in, out);
        else SKY_LAUNCH((upsample_grad_kernel<T, 1>), row_grid(&in, 1, window->images), THREADS, 0, stream, (const T *)dy, (T *)dx, in, out);
    });
}
