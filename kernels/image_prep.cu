/*
 * Input preparation: u8 pixels to normalised numbers, with the flip test's mirror and the erased rectangles. Reads 1 byte an element and writes 2 or 4, so
 * stores are what counts: a thread makes 16 bytes of output (4 or 8 elements, whose pixels it works out: rows of 3-channel pixels are no multiples of 16
 * bytes). The mirror is a number in device memory, since a recorded run must follow it.
 */
#include "few.cuh"
#include "graph/scalars.h"
#include "kernels.h"

using namespace sky;

enum { THREADS = 256, ITEMS = 4 };

struct normalisation {
    float scale[3], shift[3]; /* x = image * scale - shift */
};

/* Rectangles lie in the image as it was before the mirror. */
__device__ static inline bool hides(const int32_t *box /* top left height width */, int h, int w)
{
    return h >= box[0] && h - box[0] < box[2] && w >= box[1] && w - box[1] < box[3];
}

template <class T, int S>
__global__ void __launch_bounds__(THREADS)
    image_prep_kernel(const uint8_t *images /* [N,H,W,3] */, const int32_t *erased /* [N,4] or null */, const struct sky_scalars *scalars, T *x /* [N,H,W,3] */,
                      struct map_size size, struct normalisation by)
{
    const int64_t image = blockIdx.y, elements = size.image();
    const uint8_t *from = images + image * elements;
    const bool flip = scalars->mirror != 0;
    int32_t box[4] = {0, 0, 0, 0};
    if (erased)
        for (int i = 0; i < 4; i++) box[i] = erased[image * 4 + i];
    for (int item = 0; item < ITEMS; item++) {
        const int64_t at = (((int64_t)blockIdx.x * ITEMS + item) * THREADS + threadIdx.x) * S;
        if (at >= elements) return;
        uint8_t byte[S];
        few<S> made;
        int pixel = (int)at / 3, c = (int)at % 3, h = pixel / size.width, w = pixel % size.width;
        if (!flip) load_integers<S>(from + at, byte);
        for (int i = 0; i < S; i++) {
            const int source = flip ? size.width - 1 - w : w;
            if (flip) byte[i] = from[((int64_t)h * size.width + source) * 3 + c];
            const float scale = c == 0 ? by.scale[0] : c == 1 ? by.scale[1] : by.scale[2], shift = c == 0 ? by.shift[0] : c == 1 ? by.shift[1] : by.shift[2];
            made.value[i] = hides(box, h, source) ? 0.0f : (float)byte[i] * scale - shift;
            if (++c == 3) {
                c = 0;
                if (++w == size.width) w = 0, h++;
            }
        }
        store_few<S>(x + image * elements + at, made);
    }
}

int sky_cuda_image_prep(sky_stream stream, enum sky_dtype map, const uint8_t *images, const int32_t *erased, const struct sky_scalars *scalars,
                        const float mean[3], const float std[3], void *x, int64_t count, int64_t height, int64_t width)
{
    const struct map_size size = {(int)height, (int)width, 3};
    struct normalisation by;
    for (int c = 0; c < 3; c++) {
        by.scale[c] = (float)(1 / (255.0 * (double)std[c]));
        by.shift[c] = (float)((double)mean[c] / (double)std[c]);
    }
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        const dim3 grid((unsigned)div_up(size.image(), THREADS * ITEMS * S), (unsigned)count),
            single((unsigned)div_up(size.image(), THREADS * ITEMS), (unsigned)count);
        if (packs_fit<T>(size.image(), x) && ((uintptr_t)images & (S - 1)) == 0)
            SKY_LAUNCH((image_prep_kernel<T, S>), grid, THREADS, 0, stream, images, erased, scalars, (T *)x, size, by);
        else SKY_LAUNCH((image_prep_kernel<T, 1>), single, THREADS, 0, stream, images, erased, scalars, (T *)x, size, by);
    });
}
