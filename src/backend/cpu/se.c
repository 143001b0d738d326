/*
 * Squeeze and excitation: the squeeze, from BN's statistics or as plain channel means, the two small layers, and their gradient from the block tail's sums.
 */
#include "cpu.h"
#include "product.h"
#include "vector.h"

/* squeeze = gamma (image_mean - mean) invstd + beta */
static sky_status squeeze_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *squeeze = sky_cpu_out(kernel, 0);
    const int64_t images = squeeze->dim[0], channels = squeeze->dim[1], group_images = images / kernel->node->attr.bn.groups;
    const float *image_mean = run->in[0], *mean = run->in[1], *invstd = run->in[2], *gamma = run->in[3], *beta = run->in[4];
    float *y = run->out[0];
    for (int64_t n = 0; n < images; n++) {
        const int64_t group = n / group_images * channels, at = n * channels;
        for (int64_t c = 0; c < channels; c++) y[at + c] = gamma[c] * (image_mean[at + c] - mean[group + c]) * invstd[group + c] + beta[c];
    }
    return SKY_OK;
}

static sky_status mean_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    kernel->work_bytes = (size_t)(sky_units_of(&map).count * map.channels) * sizeof(float); /* sums [units,C] */
    return SKY_OK;
}

static void unit_sum(const float *restrict y, int64_t rows, int64_t channels, float *restrict sum)
{
    for (int64_t c = 0; c < channels; c++) sum[c] = 0;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4, y += 4 * channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) sum[c] += (y[c] + y[channels + c]) + (y[2 * channels + c] + y[3 * channels + c]);
    }
    for (; r < rows; r++, y += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) sum[c] += y[c];
    }
}

static sky_status mean_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    const struct sky_units units = sky_units_of(&map);
    const int64_t blocks = (map.channels + SKY_CHANNEL_BLOCK - 1) / SKY_CHANNEL_BLOCK;
    const float *y = run->in[0];
    float *squeeze = run->out[0], *sums = run->work;
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t u = 0; u < units.count; u++) {
            const struct sky_unit unit = sky_unit_at(&units, u);
            unit_sum(y + (unit.image * map.positions + unit.first) * map.channels, unit.length, map.channels, sums + u * map.channels);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < map.images * blocks; i++) {
            const int64_t n = i / blocks, first = i % blocks * SKY_CHANNEL_BLOCK, channels = sky_min(SKY_CHANNEL_BLOCK, map.channels - first);
            double total[SKY_CHANNEL_BLOCK];
            sky_sum_units(sums + n * units.per_image * map.channels, units.per_image, map.channels, first, channels, total);
            for (int64_t c = 0; c < channels; c++) squeeze[n * map.channels + first + c] = (float)(total[c] / (double)map.positions);
        }
    }
    return SKY_OK;
}

/* Outputs of a layer, or columns of a matrix, in one piece of work. */
enum { PIECE = 64 };

static inline int64_t pieces_of(int64_t count)
{
    return (count + PIECE - 1) / PIECE;
}

static sky_status gate_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *out = sky_cpu_out(kernel, 0);
    const int64_t images = in->dim[0], channels = in->dim[1], reduced = out->dim[1];
    const float *squeeze = run->in[0], *w1 = run->in[1], *b1 = run->in[2], *w2 = run->in[3], *b2 = run->in[4];
    float *hidden = run->out[0], *gate = run->out[1]; /* [N,R], [N,C] */
    enum { HIDDEN_PIECE = 16 };
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t first = 0; first < reduced; first += HIDDEN_PIECE) {
            const int64_t count = sky_min(HIDDEN_PIECE, reduced - first);
            sky_product_nt(squeeze, w1 + first * channels, b1 + first, images, count, channels, hidden + first, reduced);
            for (int64_t n = 0; n < images; n++)
                for (int64_t r = 0; r < count; r++) hidden[n * reduced + first + r] = sky_relu(hidden[n * reduced + first + r]);
        }
#pragma omp for schedule(static)
        for (int64_t first = 0; first < channels; first += PIECE) {
            const int64_t count = sky_min(PIECE, channels - first);
            sky_product_nt(hidden, w2 + first * reduced, b2 + first, images, count, reduced, gate + first, channels);
            for (int64_t n = 0; n < images; n++) {
                float *row = gate + n * channels + first;
#pragma omp simd
                for (int64_t c = 0; c < count; c++) row[c] = 1 / (1 + sky_exp(-row[c]));
            }
        }
    }
    return SKY_OK;
}

/* Gradients of the two layers' sums: da [N,C] and dh [N,R]. */
static sky_status gate_grad_prepare(struct sky_kernel *kernel)
{
    kernel->work_bytes = sky_cpu_in(kernel, 2)->bytes + sky_cpu_in(kernel, 3)->bytes;
    return SKY_OK;
}

static sky_status gate_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 2), *small = sky_cpu_in(kernel, 3);
    const int64_t images = in->dim[0], channels = in->dim[1], reduced = small->dim[1];
    const float *sum_g = run->in[0], *sum_gz = run->in[1], *squeeze = run->in[2], *hidden = run->in[3], *gate = run->in[4], *w1 = run->in[5], *w2 = run->in[6],
                *gamma = run->in[7], *beta = run->in[8];
    float *dsqueeze = run->out[0], *dw1 = run->out[1], *db1 = run->out[2], *dw2 = run->out[3], *db2 = run->out[4];
    float *da = run->work, *dh = da + images * channels;
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t n = 0; n < images; n++)
            for (int64_t c = 0; c < channels; c++) {
                const int64_t i = n * channels + c;
                da[i] = (gamma[c] * sum_gz[i] + beta[c] * sum_g[i]) * gate[i] * (1 - gate[i]);
            }
#pragma omp for schedule(static)
        for (int64_t n = 0; n < images; n++) {
            sky_product_nn(da + n * channels, w2, 1, reduced, channels, reduced, dh + n * reduced);
            for (int64_t r = 0; r < reduced; r++)
                if (!(hidden[n * reduced + r] > 0)) dh[n * reduced + r] = 0;
        }
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < pieces_of(channels); i++) {
            const int64_t first = i * PIECE, count = sky_min(PIECE, channels - first);
            sky_product_nn(dh, w1 + first, images, count, reduced, channels, dsqueeze + first);
            if (dw2) sky_product_tn(da + first, channels, hidden, images, count, reduced, run->accumulate, dw2 + first * reduced);
            sky_column_sums(da, images, channels, first, count, run->accumulate, db2);
        }
#pragma omp for schedule(static)
        for (int64_t r = 0; r < reduced; r++) {
            if (dw1) sky_product_tn(dh + r, reduced, squeeze, images, 1, channels, run->accumulate, dw1 + r * channels);
            sky_column_sums(dh, images, reduced, r, 1, run->accumulate, db1);
        }
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_BN_SQUEEZE = {.run = squeeze_run};
const struct sky_operation sky_cpu_CHANNEL_MEAN = {.prepare = mean_prepare, .run = mean_run};
const struct sky_operation sky_cpu_SE_GATE = {.run = gate_run};
const struct sky_operation sky_cpu_SE_GATE_GRAD = {.prepare = gate_grad_prepare, .run = gate_grad_run};
