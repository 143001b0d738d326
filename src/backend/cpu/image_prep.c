/*
 * What brings images and maps to the size and range that the next layer wants: normalisation of uint8 images, and bilinear up-sampling with its transpose.
 */
#include "cpu.h"

/* One row of one image. */
static void prep_row(const uint8_t *restrict from, float *restrict to, int64_t width, bool mirror, const float scale[3], const float shift[3])
{
    if (mirror) {
        for (int64_t w = 0; w < width; w++)
            for (int c = 0; c < 3; c++) to[w * 3 + c] = (float)from[(width - 1 - w) * 3 + c] * scale[c] - shift[c];
        return;
    }
    for (int64_t w = 0; w < width; w++)
        for (int c = 0; c < 3; c++) to[w * 3 + c] = (float)from[w * 3 + c] * scale[c] - shift[c];
}

/* Rectangles lie in the image as it was before the mirror. */
static void erase_row(float *to, int64_t h, int64_t width, bool mirror, const int32_t box[4])
{
    if (h < box[0] || h >= box[0] + box[2]) return;
    const int64_t left = box[1] < 0 ? 0 : box[1], right = sky_min(box[1] + box[3], width);
    for (int64_t w = left; w < right; w++)
        for (int c = 0; c < 3; c++) to[(mirror ? width - 1 - w : w) * 3 + c] = 0;
}

static sky_status prep_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_out(kernel, 0);
    const int64_t height = shape->dim[1], width = shape->dim[2];
    const uint8_t *images = run->in[0]; /* [N,H,W,3] */
    const int32_t *erased = run->in[1]; /* [N,4] top left height width, or NULL */
    const struct sky_scalars *scalars = run->in[2];
    float *x = run->out[0], scale[3], shift[3]; /* [N,H,W,3] */
    for (int c = 0; c < 3; c++) {
        scale[c] = (float)(1 / (255.0 * (double)kernel->node->attr.prep.std[c]));
        shift[c] = (float)((double)kernel->node->attr.prep.mean[c] / (double)kernel->node->attr.prep.std[c]);
    }
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < shape->dim[0] * height; row++) {
        prep_row(images + row * width * 3, x + row * width * 3, width, scalars->mirror, scale, shift);
        if (erased) erase_row(x + row * width * 3, row % height, width, scalars->mirror, erased + row / height * 4);
    }
    return SKY_OK;
}

/* Output position -> the two input positions and the weight of the second. */
struct blend {
    int64_t first, second;
    float weight;
};

static struct blend blend_of(int64_t position, int64_t in, int64_t out)
{
    const double source = out > 1 ? (double)(position * (in - 1)) / (double)(out - 1) : 0;
    const int64_t first = (int64_t)source;
    return (struct blend){first, first + 1 < in ? first + 1 : first, (float)(source - (double)first)};
}

static sky_status upsample_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *out = sky_cpu_out(kernel, 0);
    const int64_t height = in->dim[1], width = in->dim[2], channels = in->dim[3], rows = out->dim[1], columns = out->dim[2];
    const float *x = run->in[0];
    float *y = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < out->dim[0] * rows; row++) {
        const struct blend down = blend_of(row % rows, height, rows);
        const float *upper = x + (row / rows * height + down.first) * width * channels, *lower = x + (row / rows * height + down.second) * width * channels;
        for (int64_t q = 0; q < columns; q++) {
            const struct blend across = blend_of(q, width, columns);
            const float *restrict a = upper + across.first * channels, *restrict b = upper + across.second * channels;
            const float *restrict c = lower + across.first * channels, *restrict d = lower + across.second * channels;
            float *restrict to = y + (row * columns + q) * channels;
#pragma omp simd
            for (int64_t i = 0; i < channels; i++) {
                const float top = (1 - across.weight) * a[i] + across.weight * b[i], bottom = (1 - across.weight) * c[i] + across.weight * d[i];
                to[i] = (1 - down.weight) * top + down.weight * bottom;
            }
        }
    }
    return SKY_OK;
}

/* What input position `at` gets of an output position. */
static float share_of(const struct blend *blend, int64_t at)
{
    return (blend->first == at ? 1 - blend->weight : 0) + (blend->second == at ? blend->weight : 0);
}

static sky_status upsample_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *out = sky_cpu_out(kernel, 0);
    const int64_t rows = in->dim[1], columns = in->dim[2], height = out->dim[1], width = out->dim[2], channels = out->dim[3];
    const float *dy = run->in[0];
    float *dx = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < out->dim[0] * height; row++) {
        float *restrict to = dx + row * width * channels;
        memset(to, 0, (size_t)(width * channels) * sizeof *to);
        for (int64_t p = 0; p < rows; p++) {
            const struct blend down = blend_of(p, height, rows);
            const float share = share_of(&down, row % height);
            if (share == 0) continue;
            for (int64_t q = 0; q < columns; q++) {
                const struct blend across = blend_of(q, width, columns);
                const float *restrict from = dy + ((row / height * rows + p) * columns + q) * channels;
                const float left = share * (1 - across.weight), right = share * across.weight;
#pragma omp simd
                for (int64_t c = 0; c < channels; c++) to[across.first * channels + c] += left * from[c];
#pragma omp simd
                for (int64_t c = 0; c < channels; c++) to[across.second * channels + c] += right * from[c];
            }
        }
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_IMAGE_PREP = {.run = prep_run};
const struct sky_operation sky_cpu_UPSAMPLE = {.run = upsample_run};
const struct sky_operation sky_cpu_UPSAMPLE_GRAD = {.run = upsample_grad_run};
