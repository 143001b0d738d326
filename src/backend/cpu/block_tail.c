/*
 * The fused end of a residual block: relu(shortcut + gate * BN(z)) in one read of z and the shortcut, and its gradient in two passes (ops.h). What varies
 * by image or channel alone is folded into a few rows of coefficients first, so each pass is a few multiply-adds an element.
 */
#include "cpu.h"
#include "stream.h"

enum { Z, MEAN, INVSTD, GAMMA, BETA, GATE, SHORTCUT, MEAN_S, INVSTD_S, GAMMA_S, BETA_S };

/* One image's rows [C]: out = relu(S + (z - mean) slope + constant), S = shortcut or (shortcut - mean_s) slope_s. */
struct tail_rows {
    const float *mean, *mean_s; /* NULL: z or the shortcut is taken as it is */
    float *slope, *constant, *slope_s;
};

enum { TAIL_ROWS = 3 };

static struct tail_rows tail_rows_of(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_map_shape *map, int64_t image)
{
    const float *mean = run->in[MEAN], *mean_s = run->in[MEAN_S];
    const int groups = mean || mean_s ? kernel->node->attr.bn.groups : 1;
    const int64_t group = image / (map->images / groups) * map->channels;
    float *rows = (float *)run->work + image * TAIL_ROWS * map->channels;
    return (struct tail_rows){mean ? mean + group : NULL, mean_s ? mean_s + group : NULL, rows, rows + map->channels, rows + 2 * map->channels};
}

static void tail_rows_fill(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_map_shape *map, int64_t image)
{
    const struct tail_rows rows = tail_rows_of(kernel, run, map, image);
    const float *gamma = run->in[GAMMA], *beta = run->in[BETA], *gate = run->in[GATE], *gamma_s = run->in[GAMMA_S], *beta_s = run->in[BETA_S];
    const float *invstd = run->in[INVSTD], *invstd_s = run->in[INVSTD_S];
    const int64_t group = rows.mean || rows.mean_s ? image / (map->images / kernel->node->attr.bn.groups) * map->channels : 0;
    for (int64_t c = 0; c < map->channels; c++) {
        const float weight = gate ? gate[image * map->channels + c] : 1;
        rows.slope[c] = rows.mean ? weight * gamma[c] * invstd[group + c] : weight;
        rows.constant[c] = rows.mean ? weight * beta[c] : 0;
        rows.slope_s[c] = 1;
        if (!rows.mean_s) continue;
        rows.slope_s[c] = gamma_s[c] * invstd_s[group + c];
        rows.constant[c] += beta_s[c];
    }
}

static inline void tail_row(const float *restrict z, const float *restrict shortcut, float *restrict out, int64_t channels, const struct tail_rows *rows)
{
    const float *restrict mean = rows->mean, *restrict mean_s = rows->mean_s, *restrict slope = rows->slope, *restrict constant = rows->constant,
                          *restrict slope_s = rows->slope_s;
    if (mean && mean_s) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) out[c] = sky_relu((shortcut[c] - mean_s[c]) * slope_s[c] + ((z[c] - mean[c]) * slope[c] + constant[c]));
    } else if (mean) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) out[c] = sky_relu(shortcut[c] + ((z[c] - mean[c]) * slope[c] + constant[c]));
    } else if (mean_s) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) out[c] = sky_relu((shortcut[c] - mean_s[c]) * slope_s[c] + (z[c] * slope[c] + constant[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) out[c] = sky_relu(shortcut[c] + z[c] * slope[c]);
    }
}

static void tail_unit(const float *z, const float *shortcut, float *out, int64_t count, int64_t channels, const struct tail_rows *rows, bool stream)
{
    float row[SKY_STREAM_ROW];
    for (int64_t r = 0; r < count; r++, z += channels, shortcut += channels, out += channels) {
        tail_row(z, shortcut, stream ? row : out, channels, rows);
        if (stream) sky_stream_row(out, row, channels);
    }
    if (stream) sky_stream_end();
}

static sky_status tail_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, Z));
    kernel->work_bytes = (size_t)(map.images * TAIL_ROWS * map.channels) * sizeof(float);
    return SKY_OK;
}

static sky_status tail_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, Z));
    const struct sky_units units = sky_units_of(&map);
    const bool stream = sky_streams(sky_cpu_out(kernel, 0)->bytes, map.channels);
    const float *z = run->in[Z], *shortcut = run->in[SHORTCUT];
    float *out = run->out[0];
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t n = 0; n < map.images; n++) tail_rows_fill(kernel, run, &map, n);
#pragma omp for schedule(static)
        for (int64_t u = 0; u < units.count; u++) {
            const struct sky_unit unit = sky_unit_at(&units, u);
            const int64_t offset = (unit.image * map.positions + unit.first) * map.channels;
            const struct tail_rows rows = tail_rows_of(kernel, run, &map, unit.image);
            tail_unit(z + offset, shortcut + offset, out + offset, unit.length, map.channels, &rows, stream);
        }
    }
    return SKY_OK;
}

static sky_status reduce_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 3));
    kernel->work_bytes = (size_t)(sky_units_of(&map).count * 2 * map.channels) * sizeof(float); /* sums [units,2,C] */
    return SKY_OK;
}

/* g = (dout + dout2) [out > 0], and the sums of g and g (z - mean) over one unit; g may be dout. dout2 may be NULL. */
static inline void reduce_unit(const float *dout, const float *dout2, const float *restrict out, const float *restrict z, float *g, int64_t rows,
                               int64_t channels, const float *restrict mean, float *restrict sum_g, float *restrict sum_gz)
{
    for (int64_t c = 0; c < channels; c++) sum_g[c] = sum_gz[c] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t row = r * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
            const float whole = dout2 ? dout[row + c] + dout2[row + c] : dout[row + c], a = out[row + c] > 0 ? whole : 0;
            g[row + c] = a;
            sum_g[c] += a;
            sum_gz[c] += a * (z[row + c] - mean[c]);
        }
    }
}

static sky_status reduce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 3));
    const struct sky_units units = sky_units_of(&map);
    const int64_t group_images = map.images / kernel->node->attr.bn.groups, blocks = (map.channels + SKY_CHANNEL_BLOCK - 1) / SKY_CHANNEL_BLOCK;
    const float *dout = run->in[0], *dout2 = run->in[1], *out = run->in[2], *z = run->in[3], *mean = run->in[4], *invstd = run->in[5];
    float *g = run->out[0], *sum_g = run->out[1], *sum_gz = run->out[2], *sums = run->work;
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t u = 0; u < units.count; u++) {
            const struct sky_unit unit = sky_unit_at(&units, u);
            const int64_t offset = (unit.image * map.positions + unit.first) * map.channels;
            const float *group_mean = mean + unit.image / group_images * map.channels;
            float *sum = sums + u * 2 * map.channels;
            if (dout2)
                reduce_unit(dout + offset, dout2 + offset, out + offset, z + offset, g + offset, unit.length, map.channels, group_mean, sum,
                            sum + map.channels);
            else reduce_unit(dout + offset, NULL, out + offset, z + offset, g + offset, unit.length, map.channels, group_mean, sum, sum + map.channels);
        }
#pragma omp for schedule(static) collapse(2)
        for (int64_t n = 0; n < map.images; n++)
            for (int64_t b = 0; b < blocks; b++) {
                const int64_t first = b * SKY_CHANNEL_BLOCK, channels = sky_min(SKY_CHANNEL_BLOCK, map.channels - first);
                const float *parts = sums + n * units.per_image * 2 * map.channels, *scale = invstd + n / group_images * map.channels + first;
                double total[SKY_CHANNEL_BLOCK];
                sky_sum_units(parts, units.per_image, 2 * map.channels, first, channels, total);
                for (int64_t c = 0; c < channels; c++) sum_g[n * map.channels + first + c] = (float)total[c];
                sky_sum_units(parts, units.per_image, 2 * map.channels, map.channels + first, channels, total);
                for (int64_t c = 0; c < channels; c++) sum_gz[n * map.channels + first + c] = (float)(total[c] * scale[c]);
            }
    }
    return SKY_OK;
}

/* One image's rows [C]: dz = slope g + constant - (z - mean) tilt. */
enum { GRAD_ROWS = 3 };

static sky_status grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 1));
    kernel->work_bytes = (size_t)(map.images * GRAD_ROWS * map.channels) * sizeof(float);
    return SKY_OK;
}

/* Everything that is left of the gradient but the pass over the map, for one channel. */
static void grad_channel(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_map_shape *map, int64_t c)
{
    const float *mean = run->in[2], *invstd = run->in[3], *gamma = run->in[4], *image_mean = run->in[5], *sum_g = run->in[6], *sum_gz = run->in[7],
                *gate = run->in[8], *dsqueeze = run->in[9];
    const int groups = kernel->node->attr.bn.groups;
    const int64_t all = map->channels, group_images = map->images / groups;
    const double area = (double)map->positions, count = area * (double)group_images * (run->all ? run->ranks : 1);
    double total_1 = 0, total_2 = 0;
    for (int g = 0; g < groups; g++) {
        const double std = invstd[g * all + c], scale = gamma[c] * std;
        double s1 = 0, s2 = 0;
        for (int64_t n = g * group_images; n < (g + 1) * group_images; n++) {
            const int64_t at = n * all + c;
            const double weight = gate ? gate[at] : 1, squeezed = dsqueeze ? dsqueeze[at] : 0;
            s1 += weight * sum_g[at] + squeezed;
            s2 += weight * sum_gz[at] + squeezed * ((image_mean[at] - mean[g * all + c]) * std);
        }
        total_1 += s1, total_2 += s2;
        if (run->mine) {
            run->mine[(int64_t)g * 2 * all + c] = s1, run->mine[((int64_t)g * 2 + 1) * all + c] = s2;
            continue;
        }
        for (int r = 0; run->all && r < run->ranks; r++) {
            const double *from = run->all + ((int64_t)r * groups + g) * 2 * all + c;
            s1 = (r ? s1 : 0) + from[0], s2 = (r ? s2 : 0) + from[all];
        }
        for (int64_t n = g * group_images; n < (g + 1) * group_images; n++) {
            float *rows = (float *)run->work + n * GRAD_ROWS * all + c;
            const double squeezed = dsqueeze ? dsqueeze[n * all + c] : 0;
            rows[0] = (float)(gate ? scale * gate[n * all + c] : scale);
            rows[all] = (float)(scale * (squeezed / area - s1 / count));
            rows[2 * all] = (float)(scale * std * s2 / count);
        }
    }
    if (run->mine) return;
    sky_give(run->out[1], c, total_2, run->accumulate);
    sky_give(run->out[2], c, total_1, run->accumulate);
}

static inline void grad_row(const float *restrict g, const float *restrict z, float *restrict dz, int64_t channels, const float *restrict mean,
                            const float *restrict slope, const float *restrict constant, const float *restrict tilt)
{
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) dz[c] = slope[c] * g[c] + constant[c] - (z[c] - mean[c]) * tilt[c];
}

static void grad_unit(const float *g, const float *z, float *dz, int64_t count, int64_t channels, const float *mean, const float *rows, bool stream)
{
    float row[SKY_STREAM_ROW];
    for (int64_t r = 0; r < count; r++, g += channels, z += channels, dz += channels) {
        grad_row(g, z, stream ? row : dz, channels, mean, rows, rows + channels, rows + 2 * channels);
        if (stream) sky_stream_row(dz, row, channels);
    }
    if (stream) sky_stream_end();
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 1));
    const struct sky_units units = sky_units_of(&map);
    const int64_t group_images = map.images / kernel->node->attr.bn.groups;
    const bool stream = sky_streams(sky_cpu_out(kernel, 0)->bytes, map.channels);
    const float *g = run->in[0], *z = run->in[1], *mean = run->in[2];
    float *dz = run->out[0];
    const int64_t passed = run->mine ? 0 : units.count; /* the first half only sums */
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t c = 0; c < map.channels; c++) grad_channel(kernel, run, &map, c);
#pragma omp for schedule(static)
        for (int64_t u = 0; u < passed; u++) {
            const struct sky_unit unit = sky_unit_at(&units, u);
            const int64_t offset = (unit.image * map.positions + unit.first) * map.channels;
            const float *rows = (const float *)run->work + unit.image * GRAD_ROWS * map.channels;
            grad_unit(g + offset, z + offset, dz + offset, unit.length, map.channels, mean + unit.image / group_images * map.channels, rows, stream);
        }
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_BLOCK_TAIL = {.prepare = tail_prepare, .run = tail_run};
const struct sky_operation sky_cpu_BLOCK_TAIL_REDUCE = {.prepare = reduce_prepare, .run = reduce_run};
const struct sky_operation sky_cpu_BLOCK_TAIL_GRAD = {.prepare = grad_prepare, .run = grad_run, .share = grad_run};
