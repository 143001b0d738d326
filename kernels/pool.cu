/*
 * Maximum pooling over windows and over the whole map, with the places of the maxima, and both gradients, which gather: no atomics, one rounding.
 *
 * Bytes an element of x, with E bytes an element of a map and window 3, stride 2: MAX_POOL E + (E + 1)/4 (windows overlap in cache), its gradient the same;
 * GLOBAL_MAX E; its gradient E, with 8 bytes an image and channel read again by every PIXELS positions.
 */
#include "few.cuh"
#include "kernels.h"

using namespace sky;

enum { THREADS = 256, LANES = 16, SLICES = 16, IN_FLIGHT = 4, PIXELS = 8 };

struct windows {
    struct map_size in, out; /* of x and of y */
    int window, stride, pad;
};

/* One thread a few channels of one y. */
template <class T, int S>
__global__ void __launch_bounds__(THREADS, 4)
    max_pool_kernel(const T *x /* [N,H,W,C] */, T *y /* [N,P,Q,C] */, uint8_t *index /* [N,P,Q,C] or null */, struct windows over)
{
    const int channels = over.in.channels, groups = channels / S, item = (int)(blockIdx.x * THREADS + threadIdx.x);
    const int q = item / groups, c = item % groups * S, p = (int)blockIdx.y;
    if (q >= over.out.width) return;
    const int top = p * over.stride - over.pad, left = q * over.stride - over.pad;
    const int first_h = top < 0 ? 0 : top, last_h = min(top + over.window, over.in.height), first_w = left < 0 ? 0 : left,
              last_w = min(left + over.window, over.in.width);
    const T *from = x + blockIdx.z * over.in.image() + c;
    few<S> best;
    int at[S];
    for (int i = 0; i < S; i++) best.value[i] = 0, at[i] = -1;
    for (int h = first_h; h < last_h; h++)
        for (int w = first_w; w < last_w; w += 3) { /* three loads in flight */
            raw_few<T, S> raw[3];
            for (int k = 0; k < 3; k++) raw[k] = load_raw<S>(from + (h * over.in.width + min(w + k, last_w - 1)) * channels);
            for (int k = 0; k < 3; k++) { /* past the end: the last one again, which is not larger */
                const few<S> value = to_few<T, S>(raw[k]);
                const int place = (h - top) * over.window + (w + k - left);
                for (int i = 0; i < S; i++)
                    if (at[i] < 0 || value.value[i] > best.value[i]) best.value[i] = value.value[i], at[i] = place;
            }
        }
    const int64_t to = blockIdx.z * over.out.image() + ((int64_t)p * over.out.width + q) * channels + c;
    uint8_t places[S];
    for (int i = 0; i < S; i++) places[i] = (uint8_t)at[i];
    store_few<S>(y + to, best);
    if (index) store_integers<S>(index + to, places);
}

/* One thread a few channels of one dx: the sum over the windows that hold the pixel and had their maximum here. */
template <class T, int S>
__global__ void __launch_bounds__(THREADS)
    max_pool_grad_kernel(const T *dy /* [N,P,Q,C] */, const uint8_t *index /* [N,P,Q,C] */, T *dx /* [N,H,W,C] */, struct windows over)
{
    const int channels = over.in.channels, groups = channels / S, item = (int)(blockIdx.x * THREADS + threadIdx.x);
    const int w = item / groups, c = item % groups * S, h = (int)blockIdx.y;
    if (w >= over.in.width) return;
    const int down = h + over.pad, across = w + over.pad;
    const int first_p = down < over.window ? 0 : (down - over.window) / over.stride + 1, last_p = min(down / over.stride, over.out.height - 1);
    const int first_q = across < over.window ? 0 : (across - over.window) / over.stride + 1, last_q = min(across / over.stride, over.out.width - 1);
    const int64_t image = blockIdx.z * over.out.image() + c;
    few<S> sum = {};
    for (int p = first_p; p <= last_p; p++)
        for (int q = first_q; q <= last_q; q += 2) { /* two pairs of loads in flight */
            raw_few<T, S> raw[2];
            uint8_t at[2][S];
            for (int k = 0; k < 2; k++) {
                const int64_t from = image + (p * over.out.width + min(q + k, last_q)) * channels;
                raw[k] = load_raw<S>(dy + from);
                load_integers<S>(index + from, at[k]);
            }
            for (int k = 0; k < 2; k++) {
                const few<S> gradient = to_few<T, S>(raw[k]);
                const int place = (down - p * over.stride) * over.window + across - (q + k) * over.stride;
                for (int i = 0; i < S; i++) sum.value[i] += at[k][i] == place && q + k <= last_q ? gradient.value[i] : 0.0f;
            }
        }
    store_few<S>(dx + blockIdx.z * over.in.image() + ((int64_t)h * over.in.width + w) * channels + c, sum);
}

/* One block an image and LANES * S channels: SLICES threads share out the positions of a few channels and are merged in order. */
template <class T, int S>
__global__ void __launch_bounds__(LANES *SLICES)
    global_max_kernel(const T *x /* [N,H,W,C] */, float *y /* [1,N,C] */, int32_t *index /* [N,C] or null */, int positions, int channels)
{
    SKY_DYNAMIC_SHARED(float, values); /* [SLICES][LANES*S], then as many places */
    int32_t *places = reinterpret_cast<int32_t *>(values + SLICES * LANES * S);
    const int lane = threadIdx.x % LANES, slice = threadIdx.x / LANES, c = (int)(blockIdx.x * LANES + lane) * S;
    const T *from = x + (int64_t)blockIdx.y * positions * channels + c;
    few<S> best;
    int32_t at[S];
    for (int i = 0; i < S; i++) best.value[i] = 0, at[i] = -1;
    if (c < channels) {
        for (int first = slice; first < positions; first += SLICES * IN_FLIGHT) {
            raw_few<T, S> raw[IN_FLIGHT];
            for (int k = 0; k < IN_FLIGHT; k++) raw[k] = load_raw<S>(from + min(first + k * SLICES, positions - 1) * channels);
            for (int k = 0; k < IN_FLIGHT; k++) {
                const few<S> value = to_few<T, S>(raw[k]);
                for (int i = 0; i < S; i++)
                    if (first + k * SLICES < positions && (at[i] < 0 || value.value[i] > best.value[i]))
                        best.value[i] = value.value[i], at[i] = first + k * SLICES;
            }
        }
    }
    for (int i = 0; i < S; i++) {
        values[(slice * LANES + lane) * S + i] = best.value[i];
        places[(slice * LANES + lane) * S + i] = at[i];
    }
    __syncthreads();
    const int own = (int)threadIdx.x, channel = (int)blockIdx.x * LANES * S + own; /* LANES * S threads: one a channel */
    if (own >= LANES * S || channel >= channels) return;
    float largest = values[own];
    int32_t place = places[own];
    for (int k = 1; k < SLICES; k++) {
        const float value = values[k * LANES * S + own];
        const int32_t where = places[k * LANES * S + own];
        if (where >= 0 && (value > largest || (value == largest && where < place))) largest = value, place = where;
    }
    y[(int64_t)blockIdx.y * channels + channel] = largest;
    if (index) index[(int64_t)blockIdx.y * channels + channel] = place;
}

/* One thread a few channels of PIXELS positions. */
template <class T, int S>
__global__ void __launch_bounds__(THREADS)
    global_max_grad_kernel(const float *dy /* [1,N,C] */, const int32_t *index /* [N,C] */, T *dx /* [N,H,W,C] */, int positions, int channels)
{
    const int groups = channels / S, item = (int)(blockIdx.x * THREADS + threadIdx.x), first = item / groups * PIXELS, c = item % groups * S;
    if (first >= positions) return;
    const int64_t image = blockIdx.y;
    const few<S> gradient = load_few<S>(dy + image * channels + c);
    int32_t at[S];
    load_integers<S>(index + image * channels + c, at);
    for (int k = first; k < min(first + PIXELS, positions); k++) {
        few<S> made;
        for (int i = 0; i < S; i++) made.value[i] = at[i] == k ? gradient.value[i] : 0.0f;
        store_few<S>(dx + image * positions * channels + k * channels + c, made);
    }
}

static struct windows windows_of(const struct sky_cuda_window *window)
{
    return {{(int)window->height, (int)window->width, (int)window->channels},
            {(int)window->out_height, (int)window->out_width, (int)window->channels},
            window->window,
            window->stride,
            window->pad};
}

/* Blocks over the columns of a row and groups of channels, rows, images. */
static dim3 row_grid(const struct map_size *size, int few, int64_t images)
{
    return dim3((unsigned)div_up((int64_t)size->width * (size->channels / few), THREADS), (unsigned)size->height, (unsigned)images);
}

int sky_cuda_max_pool(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *x, void *y, uint8_t *index)
{
    const struct windows over = windows_of(window);
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        if (packs_fit<T>(window->channels, x, y) && ((uintptr_t)index & (S - 1)) == 0)
            SKY_LAUNCH((max_pool_kernel<T, S>), row_grid(&over.out, S, window->images), THREADS, 0, stream, (const T *)x, (T *)y, index, over);
        else SKY_LAUNCH((max_pool_kernel<T, 1>), row_grid(&over.out, 1, window->images), THREADS, 0, stream, (const T *)x, (T *)y, index, over);
    });
}

int sky_cuda_max_pool_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *dy, const uint8_t *index, void *dx)
{
    const struct windows over = windows_of(window);
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        if (packs_fit<T>(window->channels, dy, dx) && ((uintptr_t)index & (S - 1)) == 0)
            SKY_LAUNCH((max_pool_grad_kernel<T, S>), row_grid(&over.in, S, window->images), THREADS, 0, stream, (const T *)dy, index, (T *)dx, over);
        else SKY_LAUNCH((max_pool_grad_kernel<T, 1>), row_grid(&over.in, 1, window->images), THREADS, 0, stream, (const T *)dy, index, (T *)dx, over);
    });
}

int sky_cuda_global_max(sky_stream stream, enum sky_dtype map, const void *x, float *y, int32_t *index, int64_t images, int64_t positions, int64_t channels)
{
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        const auto launch = [&](auto kernel, int few) {
            const dim3 grid((unsigned)div_up(channels, LANES * few), (unsigned)images);
            SKY_LAUNCH(kernel, grid, LANES * SLICES, (size_t)SLICES * LANES * few * 8, stream, (const T *)x, y, index, (int)positions, (int)channels);
        };
        if (packs_fit<T>(channels, x)) launch(global_max_kernel<T, S>, S);
        else launch(global_max_kernel<T, 1>, 1);
    });
}

int sky_cuda_global_max_grad(sky_stream stream, enum sky_dtype map, const float *dy, const int32_t *index, void *dx, int64_t images, int64_t positions,
                             int64_t channels)
{
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        const auto launch = [&](auto kernel, int few) {
            const dim3 grid((unsigned)div_up(div_up(positions, PIXELS) * (channels / few), THREADS), (unsigned)images);
            SKY_LAUNCH(kernel, grid, THREADS, 0, stream, dy, index, (T *)dx, (int)positions, (int)channels);
        };
        if (packs_fit<T>(channels, dy, index, dx)) launch(global_max_grad_kernel<T, S>, S);
        else launch(global_max_grad_kernel<T, 1>, 1);
    });
}
