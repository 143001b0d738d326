/*
 * Batch norm over maps: statistics in one read of z, application in one read and one write, the gradient in two passes. A unit's sums are taken in single
 * precision about the mean of its first rows (so that a large mean costs no digits) and merged in double in a fixed order.
 */
#include "cpu.h"
#include "stream.h"

#include <math.h>

/* Rows whose mean a unit's sums are centred on. */
enum { SHIFT_ROWS = 8 };

/* Channel sums of d = z - shift and d^2 over the rows of one unit; shift is made here from the first rows. */
static void unit_moments(const float *restrict z, int64_t rows, int64_t channels, float *restrict shift, float *restrict sum, float *restrict square)
{
    const int64_t sample = sky_min(rows, SHIFT_ROWS);
    const float share = 1.0f / (float)sample;
    for (int64_t c = 0; c < channels; c++) shift[c] = sum[c] = square[c] = 0;
    for (int64_t r = 0; r < sample; r++) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) shift[c] += z[r * channels + c] * share;
    }
    /* Four rows at a time, from four quarters: the hardware reads ahead in each of them. */
    const int64_t quarter = rows / 4, apart = quarter * channels;
    for (int64_t r = 0; r < quarter; r++) {
        const float *row = z + r * channels;
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
            const float a = row[c] - shift[c], b = row[apart + c] - shift[c], d = row[2 * apart + c] - shift[c], e = row[3 * apart + c] - shift[c];
            sum[c] += (a + b) + (d + e);
            square[c] += (a * a + b * b) + (d * d + e * e);
        }
    }
    for (int64_t r = 4 * quarter; r < rows; r++) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
            const float a = z[r * channels + c] - shift[c];
            sum[c] += a;
            square[c] += a * a;
        }
    }
}

/* Mean and centred sum of squares of `count` positions, a block of channels at a time. */
struct moments {
    double count, mean[SKY_CHANNEL_BLOCK], square[SKY_CHANNEL_BLOCK];
};

/* Chan, Golub and LeVeque's formula. */
static void moments_merge(struct moments *into, const struct moments *from, int64_t channels)
{
    const double total = into->count + from->count, share = from->count / total, weight = into->count * share;
    for (int64_t c = 0; c < channels; c++) {
        const double difference = from->mean[c] - into->mean[c];
        into->mean[c] += difference * share;
        into->square[c] += from->square[c] + difference * difference * weight;
    }
    into->count = total;
}

/* From a unit's sums: parts is [3,C] shift, sum, square. */
static void moments_of_unit(struct moments *out, const float *parts, int64_t all_channels, int64_t first, int64_t channels, int64_t rows)
{
    out->count = (double)rows;
    for (int64_t c = 0; c < channels; c++) {
        const double sum = parts[all_channels + first + c], square = parts[2 * all_channels + first + c];
        out->mean[c] = parts[first + c] + sum / (double)rows;
        out->square[c] = fmax(square - sum * sum / (double)rows, 0);
    }
}

static sky_status stats_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    kernel->work_bytes = (size_t)(sky_units_of(&map).count * 3 * map.channels) * sizeof(float); /* [units,3,C] */
    return SKY_OK;
}

/* A group's results, for one block of channels. */
static void stats_write(const struct sky_kernel *kernel, const struct sky_run *run, const struct moments *group, int g, int64_t all, int64_t first)
{
    const int64_t channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const double epsilon = kernel->node->attr.bn.epsilon, momentum = kernel->node->attr.bn.momentum;
    float *running_mean = run->in[1], *running_var = run->in[2]; /* [C] */
    float *mean = run->out[1], *invstd = run->out[2];            /* [G,C] */
    for (int64_t c = 0; c < channels; c++) {
        mean[g * all + first + c] = (float)group->mean[c];
        invstd[g * all + first + c] = (float)(1 / sqrt(group->square[c] / group->count + epsilon));
        if (!kernel->node->attr.bn.update) continue;
        running_mean[first + c] = (float)((1 - momentum) * running_mean[first + c] + momentum * group->mean[c]);
        running_var[first + c] = (float)((1 - momentum) * running_var[first + c] + momentum * (group->square[c] / (group->count - 1)));
    }
}

/* Merges the ranks' moments [ranks,G,2,C], for one block of channels. */
static void stats_merge_ranks(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_map_shape *map, int64_t first)
{
    const int64_t all = map->channels, channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const int groups = kernel->node->attr.bn.groups;
    for (int g = 0; g < groups; g++) {
        struct moments group = {0}, one = {.count = (double)(map->images / groups * map->positions)};
        for (int r = 0; r < run->ranks; r++) {
            const double *from = run->all + ((int64_t)r * groups + g) * 2 * all + first;
            for (int64_t c = 0; c < channels; c++) one.mean[c] = from[c], one.square[c] = from[all + c];
            moments_merge(&group, &one, channels);
        }
        stats_write(kernel, run, &group, g, all, first);
    }
}

/* Merges units to images and images to groups, for one block of channels. */
static void stats_merge(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_map_shape *map, const struct sky_units *units,
                        int64_t first)
{
    const int64_t all = map->channels, channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const int groups = kernel->node->attr.bn.groups;
    const float *parts = run->work;  /* [units,3,C] */
    float *image_mean = run->out[0]; /* [N,C] */
    for (int g = 0; g < groups; g++) {
        struct moments group = {0};
        for (int64_t n = map->images / groups * g; n < map->images / groups * (g + 1); n++) {
            struct moments image = {0}, unit;
            for (int64_t u = n * units->per_image; u < (n + 1) * units->per_image; u++) {
                moments_of_unit(&unit, parts + u * 3 * all, all, first, channels, sky_unit_at(units, u).length);
                moments_merge(&image, &unit, channels);
            }
            for (int64_t c = 0; c < channels; c++) image_mean[n * all + first + c] = (float)image.mean[c];
            moments_merge(&group, &image, channels);
        }
        if (!run->mine) {
            stats_write(kernel, run, &group, g, all, first);
            continue;
        }
        double *to = run->mine + (int64_t)g * 2 * all + first;
        for (int64_t c = 0; c < channels; c++) to[c] = group.mean[c], to[all + c] = group.square[c];
    }
}

static sky_status stats_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    const struct sky_units units = sky_units_of(&map);
    const float *z = run->in[0]; /* [N,H,W,C] */
    float *parts = run->work;    /* [units,3,C] */
    for (int64_t first = 0; run->all && first < map.channels; first += SKY_CHANNEL_BLOCK) stats_merge_ranks(kernel, run, &map, first);
    if (run->all) return SKY_OK;
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t u = 0; u < units.count; u++) {
            const struct sky_unit unit = sky_unit_at(&units, u);
            float *part = parts + u * 3 * map.channels;
            unit_moments(z + (unit.image * map.positions + unit.first) * map.channels, unit.length, map.channels, part, part + map.channels,
                         part + 2 * map.channels);
        }
#pragma omp for schedule(static)
        for (int64_t first = 0; first < map.channels; first += SKY_CHANNEL_BLOCK) stats_merge(kernel, run, &map, &units, first);
    }
    return SKY_OK;
}

/* y = (z - mean) scale + beta with scale = gamma invstd: one expression, used forward and for the mask of the gradient. */
static inline float normalise(float z, float mean, float scale, float beta)
{
    return (z - mean) * scale + beta;
}

/* scale [G,C] */
static void fill_scale(const float *gamma, const float *invstd, int groups, int64_t channels, float *restrict scale)
{
    for (int g = 0; g < groups; g++)
        for (int64_t c = 0; c < channels; c++) scale[g * channels + c] = gamma[c] * invstd[g * channels + c];
}

static sky_status apply_prepare(struct sky_kernel *kernel)
{
    kernel->work_bytes = sky_cpu_in(kernel, 1)->bytes; /* scale [G,C] */
    return SKY_OK;
}

static inline void apply_row(const float *restrict z, float *restrict y, int64_t channels, const float *restrict mean, const float *restrict scale,
                             const float *restrict beta, bool relu)
{
    if (relu) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) y[c] = sky_relu(normalise(z[c], mean[c], scale[c], beta[c]));
    } else {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) y[c] = normalise(z[c], mean[c], scale[c], beta[c]);
    }
}

static void apply_rows(const float *z, float *y, int64_t rows, int64_t channels, const float *mean, const float *scale, const float *beta, bool relu,
                       bool stream)
{
    float row[SKY_STREAM_ROW];
    for (int64_t r = 0; r < rows; r++, z += channels, y += channels) {
        apply_row(z, stream ? row : y, channels, mean, scale, beta, relu);
        if (stream) sky_stream_row(y, row, channels);
    }
    if (stream) sky_stream_end();
}

static sky_status apply_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    const struct sky_units units = sky_units_of(&map);
    const int groups = kernel->node->attr.bn.groups;
    const bool stream = sky_streams(sky_cpu_out(kernel, 0)->bytes, map.channels);
    const float *z = run->in[0], *mean = run->in[1], *invstd = run->in[2], *gamma = run->in[3], *beta = run->in[4];
    float *y = run->out[0], *scale = run->work;
    fill_scale(gamma, invstd, groups, map.channels, scale);
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t u = 0; u < units.count; u++) {
        const struct sky_unit unit = sky_unit_at(&units, u);
        const int64_t offset = (unit.image * map.positions + unit.first) * map.channels, group = unit.image / (map.images / groups) * map.channels;
        apply_rows(z + offset, y + offset, unit.length, map.channels, mean + group, scale + group, beta, kernel->node->attr.bn.relu, stream);
    }
    return SKY_OK;
}

static sky_status grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 1));
    const int64_t rows = sky_units_of(&map).count * 2 + 3 * kernel->node->attr.bn.groups; /* sums [units,2,C]; scale, constant and slope [G,C] */
    kernel->work_bytes = (size_t)(rows * map.channels) * sizeof(float);
    return SKY_OK;
}

/* The gradient behind the ReLU. */
static inline float masked(float dy, float z, float mean, float scale, float beta, bool relu)
{
    return !relu || normalise(z, mean, scale, beta) > 0 ? dy : 0;
}

/* Sums of g and of g (z - mean) over the rows of one unit. */
static inline void grad_sums(const float *restrict dy, const float *restrict z, int64_t rows, int64_t channels, const float *restrict mean,
                             const float *restrict scale, const float *restrict beta, bool relu, float *restrict sum_g, float *restrict sum_gz)
{
    for (int64_t c = 0; c < channels; c++) sum_g[c] = sum_gz[c] = 0;
    int64_t r = 0;
    for (; r + 2 <= rows; r += 2, dy += 2 * channels, z += 2 * channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++) {
            const float a = masked(dy[c], z[c], mean[c], scale[c], beta[c], relu),
                        b = masked(dy[channels + c], z[channels + c], mean[c], scale[c], beta[c], relu);
            sum_g[c] += a + b;
            sum_gz[c] += a * (z[c] - mean[c]) + b * (z[channels + c] - mean[c]);
        }
    }
    if (r == rows) return;
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        const float a = masked(dy[c], z[c], mean[c], scale[c], beta[c], relu);
        sum_g[c] += a;
        sum_gz[c] += a * (z[c] - mean[c]);
    }
}

/* dz = scale g - constant - (z - mean) slope; dz may be dy. */
static inline void grad_rows(const float *dy, const float *restrict z, float *dz, int64_t rows, int64_t channels, const float *restrict mean,
                             const float *restrict scale, const float *restrict beta, bool relu, const float *restrict constant, const float *restrict slope)
{
    for (int64_t r = 0; r < rows; r++, dy += channels, z += channels, dz += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++)
            dz[c] = scale[c] * masked(dy[c], z[c], mean[c], scale[c], beta[c], relu) - constant[c] - (z[c] - mean[c]) * slope[c];
    }
}

/* What one run of the gradient works on; coefficients are rows [G,C]. */
struct grad_pass {
    const float *dy, *z, *mean, *invstd, *beta;
    float *dz, *dgamma, *dbeta, *scale, *constant, *slope, *sums; /* sums [units,2,C] */
    struct sky_map_shape map;
    struct sky_units units;
    int64_t group_units; /* units of one group */
    bool relu, accumulate;
    const struct sky_run *run; /* mine, all */
    int groups;
};

/* One block of channels of one group: its share of the gradients of gamma and beta, its constant and slope. */
static void grad_finish(const struct grad_pass *pass, int64_t group, int64_t first, const double *sum_g, const double *sum_gz, const double *whole_g, const double *whole_gz)
{
    const int64_t all = pass->map.channels, channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const double count = (double)(pass->group_units / pass->units.per_image * pass->map.positions) * (pass->run->all ? pass->run->ranks : 1);
    for (int64_t c = 0; c < channels; c++) {
        const int64_t at = group * all + first + c;
        pass->constant[at] = (float)(pass->scale[at] * whole_g[c] / count);
        pass->slope[at] = (float)(pass->scale[at] * (double)pass->invstd[at] * (whole_gz[c] * pass->invstd[at]) / count);
        sky_give(pass->dgamma, first + c, sum_gz[c] * pass->invstd[at], pass->accumulate || group > 0);
        sky_give(pass->dbeta, first + c, sum_g[c], pass->accumulate || group > 0);
    }
}

/* Sums of g and g (z - mean) of one block of channels of one group; of this rank alone they are handed on or used. */
static void grad_merge(const struct grad_pass *pass, int64_t group, int64_t first)
{
    const int64_t all = pass->map.channels, channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const float *sums = pass->sums + group * pass->group_units * 2 * all;
    double sum_g[SKY_CHANNEL_BLOCK], sum_gz[SKY_CHANNEL_BLOCK];
    sky_sum_units(sums, pass->group_units, 2 * all, first, channels, sum_g);
    sky_sum_units(sums, pass->group_units, 2 * all, all + first, channels, sum_gz);
    if (!pass->run->mine) {
        grad_finish(pass, group, first, sum_g, sum_gz, sum_g, sum_gz);
        return;
    }
    double *to = pass->run->mine + group * 2 * all + first;
    for (int64_t c = 0; c < channels; c++) to[c] = sum_g[c], to[all + c] = sum_gz[c];
}

/* The same from all ranks' sums [ranks,G,2,C], in their order. */
static void grad_merge_ranks(const struct grad_pass *pass, int64_t group, int64_t first)
{
    const int64_t all = pass->map.channels, channels = sky_min(SKY_CHANNEL_BLOCK, all - first);
    const double *own = pass->run->all + ((int64_t)pass->run->rank * pass->groups + group) * 2 * all + first;
    double whole_g[SKY_CHANNEL_BLOCK] = {0}, whole_gz[SKY_CHANNEL_BLOCK] = {0};
    for (int r = 0; r < pass->run->ranks; r++) {
        const double *from = pass->run->all + ((int64_t)r * pass->groups + group) * 2 * all + first;
        for (int64_t c = 0; c < channels; c++) whole_g[c] += from[c], whole_gz[c] += from[all + c];
    }
    grad_finish(pass, group, first, own, own + all, whole_g, whole_gz);
}

static void grad_sum_unit(const struct grad_pass *pass, int64_t group, int64_t index)
{
    const struct sky_unit unit = sky_unit_at(&pass->units, index);
    const int64_t channels = pass->map.channels, at = (unit.image * pass->map.positions + unit.first) * channels, row = group * channels;
    float *sum = pass->sums + index * 2 * channels;
    if (pass->relu) grad_sums(pass->dy + at, pass->z + at, unit.length, channels, pass->mean + row, pass->scale + row, pass->beta, true, sum, sum + channels);
    else grad_sums(pass->dy + at, pass->z + at, unit.length, channels, pass->mean + row, pass->scale + row, pass->beta, false, sum, sum + channels);
}

static void grad_write_unit(const struct grad_pass *pass, int64_t group, int64_t index)
{
    const struct sky_unit unit = sky_unit_at(&pass->units, index);
    const int64_t channels = pass->map.channels, at = (unit.image * pass->map.positions + unit.first) * channels, row = group * channels;
    const float *mean = pass->mean + row, *scale = pass->scale + row, *constant = pass->constant + row, *slope = pass->slope + row;
    if (pass->relu) grad_rows(pass->dy + at, pass->z + at, pass->dz + at, unit.length, channels, mean, scale, pass->beta, true, constant, slope);
    else grad_rows(pass->dy + at, pass->z + at, pass->dz + at, unit.length, channels, mean, scale, pass->beta, false, constant, slope);
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int groups = kernel->node->attr.bn.groups;
    struct grad_pass pass = {.dy = run->in[0],
                             .z = run->in[1],
                             .mean = run->in[2],
                             .invstd = run->in[3],
                             .beta = run->in[5],
                             .dz = run->out[0],
                             .dgamma = run->out[1],
                             .dbeta = run->out[2],
                             .map = sky_map_shape_of(sky_cpu_in(kernel, 1)),
                             .relu = kernel->node->attr.bn.relu,
                             .accumulate = run->accumulate,
                             .run = run,
                             .groups = groups};
    const int64_t row = groups * pass.map.channels;
    pass.scale = run->work, pass.constant = pass.scale + row, pass.slope = pass.constant + row, pass.sums = pass.slope + row;
    pass.units = sky_units_of(&pass.map);
    pass.group_units = pass.units.count / groups;
    fill_scale(run->in[4], pass.invstd, groups, pass.map.channels, pass.scale);
    /* Group by group, so that the second pass finds more of the first one's data in the caches. */
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    for (int64_t group = 0; group < groups; group++) {
        int64_t begin, end;
        sky_my_share(pass.group_units, &begin, &end);
        begin += group * pass.group_units, end += group * pass.group_units;
        for (int64_t u = begin; u < end && !run->all; u++) grad_sum_unit(&pass, group, u);
#pragma omp barrier
#pragma omp for schedule(static)
        for (int64_t first = 0; first < pass.map.channels; first += SKY_CHANNEL_BLOCK) {
            if (run->all) grad_merge_ranks(&pass, group, first);
            else grad_merge(&pass, group, first);
        }
        for (int64_t u = end - 1; u >= begin && !run->mine; u--) grad_write_unit(&pass, group, u);
    }
    return SKY_OK;
}

/* w' = w gamma / sqrt(var + epsilon), bias = beta - gamma mean / sqrt(var + epsilon) */
static sky_status fold_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *filters = sky_cpu_in(kernel, 0);
    const int64_t count = filters->dim[0], size = filters->count / count;
    const float *w = run->in[0], *gamma = run->in[1], *beta = run->in[2], *mean = run->in[3], *var = run->in[4];
    float *folded = run->out[0], *bias = run->out[1];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t k = 0; k < count; k++) {
        const double scale = gamma[k] / sqrt(var[k] + kernel->node->attr.bn.epsilon);
        for (int64_t i = 0; i < size; i++) folded[k * size + i] = (float)(w[k * size + i] * scale);
        bias[k] = (float)(beta[k] - mean[k] * scale);
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_BN_STATS = {.prepare = stats_prepare, .run = stats_run, .share = stats_run};
const struct sky_operation sky_cpu_BN_APPLY = {.prepare = apply_prepare, .run = apply_run};
const struct sky_operation sky_cpu_BN_GRAD = {.prepare = grad_prepare, .run = grad_run, .share = grad_run};
const struct sky_operation sky_cpu_BN_FOLD = {.run = fold_run};
