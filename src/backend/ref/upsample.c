/*
 * Reference bilinear up-sampling with align_corners (the corners of both maps coincide), and its transpose.
 */
#include "ref.h"

/* Output position -> the two input positions and the weight of the second. */
struct blend {
    int64_t first, second;
    double weight;
};

static struct blend blend_of(int64_t position, int64_t in, int64_t out)
{
    const double source = out > 1 ? (double)(position * (in - 1)) / (double)(out - 1) : 0;
    const int64_t first = (int64_t)source;
    return (struct blend){first, first + 1 < in ? first + 1 : first, source - (double)first};
}

sky_status ref_UPSAMPLE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    const int64_t height = x.dim[1], width = x.dim[2], channels = x.dim[3];
    for (int64_t i = 0; i < y.count; i++) {
        const int64_t c = i % channels, q = i / channels % y.dim[2], p = i / channels / y.dim[2] % y.dim[1], n = i / channels / y.dim[2] / y.dim[1];
        const struct blend down = blend_of(p, height, y.dim[1]), across = blend_of(q, width, y.dim[2]);
        const int64_t upper = (n * height + down.first) * width, lower = (n * height + down.second) * width;
        const double top = (1 - across.weight) * ref_get(&x, (upper + across.first) * channels + c) + across.weight * ref_get(&x, (upper + across.second) * channels + c);
        const double bottom = (1 - across.weight) * ref_get(&x, (lower + across.first) * channels + c) + across.weight * ref_get(&x, (lower + across.second) * channels + c);
        ref_set(&y, i, (1 - down.weight) * top + down.weight * bottom);
    }
    return SKY_OK;
}

/* How much of output `position` input `at` gets. */
static double share_of(int64_t at, int64_t position, int64_t in, int64_t out)
{
    const struct blend blend = blend_of(position, in, out);
    return (blend.first == at ? 1 - blend.weight : 0) + (blend.second == at ? blend.weight : 0);
}

sky_status ref_UPSAMPLE_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), dx = ref_out(kernel, run, 0);
    const int64_t height = dx.dim[1], width = dx.dim[2], channels = dx.dim[3], out_height = dy.dim[1], out_width = dy.dim[2];
    for (int64_t i = 0; i < dx.count; i++) {
        const int64_t c = i % channels, w = i / channels % width, h = i / channels / width % height, n = i / channels / width / height;
        double sum = 0;
        for (int64_t p = 0; p < out_height; p++) {
            const double down = share_of(h, p, height, out_height);
            if (down == 0) continue;
            for (int64_t q = 0; q < out_width; q++)
                sum += down * share_of(w, q, width, out_width) * ref_get(&dy, ((n * out_height + p) * out_width + q) * channels + c);
        }
        ref_set(&dx, i, sum);
    }
    return SKY_OK;
}
