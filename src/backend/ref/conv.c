/*
 * Reference convolutions, plain and fused with batch norm: direct sums. The operand read most is copied to doubles in the run's scratch (x; or the filters),
 * and the innermost loop runs over neighbouring channels, so that a test of a whole network stays bearable.
 */
#include "ref.h"

#include <string.h>

struct geometry {
    int64_t images, height, width, channels;     /* x [N, H, W, C] */
    int64_t filters, rows, columns;              /* w [K, R, S, C] */
    int64_t out_height, out_width;               /* y [N, P, Q, K] */
    int64_t stride, pad;
};

/* What the fused forms add; absent tensors in the plain ones. */
struct norm {
    struct ref_tensor scale, shift; /* [G,C]: x is read as relu(scale x + shift) */
    struct ref_tensor sum, square_sum; /* [G,K] of y */
};

static struct geometry geometry_of(const struct sky_kernel *kernel, const int64_t *x, const int64_t *w, const int64_t *y)
{
    return (struct geometry){.images = x[0], .height = x[1], .width = x[2], .channels = x[3], .filters = w[0], .rows = w[1], .columns = w[2], .out_height = y[1], .out_width = y[2],
                             .stride = kernel->node->attr.conv.stride, .pad = kernel->node->attr.conv.pad};
}

size_t ref_conv_work_bytes(const struct sky_kernel *kernel)
{
    const struct sky_node *node = kernel->node;
    const struct sky_tensor *first = sky_graph_get(kernel->graph, node->in[0]), *second = sky_graph_get(kernel->graph, node->in[1]);
    int64_t doubles = 0;
    if (node->op == SKY_OP_CONV || node->op == SKY_OP_BN_CONV) doubles = first->count + second->count + 3 * second->dim[0]; /* x, w, sums [K]; a group's totals */
    if (node->op == SKY_OP_CONV_DGRAD || node->op == SKY_OP_BN_CONV_DGRAD) doubles = second->count + second->dim[3]; /* w, sums [C] */
    if (node->op == SKY_OP_CONV_WGRAD || node->op == SKY_OP_BN_CONV_WGRAD) doubles = first->count + first->dim[3];   /* x, sums [C] */
    return (size_t)doubles * sizeof(double);
}

/* sum[i] += factor * row[i] */
static void add_scaled(double *restrict sum, double factor, const double *restrict row, int64_t count)
{
    for (int64_t i = 0; i < count; i++) sum[i] += factor * row[i];
}

/* x as doubles, normed on the way where there is a norm. */
static void load_map(double *to, const struct ref_tensor *x, const struct norm *norm)
{
    ref_load(to, x);
    if (!norm->scale.data) return;
    const int64_t channels = x->dim[3], group_count = x->count / norm->scale.dim[0];
    for (int64_t i = 0; i < x->count; i++) {
        const int64_t row = i / group_count * channels + i % channels;
        to[i] = ref_relu(ref_get(&norm->scale, row) * to[i] + ref_get(&norm->shift, row));
    }
}

/* A group's totals behind its last pixel. */
static void write_sums(const struct norm *norm, const double *totals, int64_t filters, int64_t group)
{
    for (int64_t k = 0; k < filters; k++) {
        ref_set(&norm->sum, group * filters + k, totals[k]);
        ref_set(&norm->square_sum, group * filters + k, totals[filters + k]);
    }
}

static sky_status forward(const struct sky_kernel *kernel, const struct sky_run *run, struct ref_tensor bias, struct ref_tensor residual, const struct norm *norm)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), w = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0);
    const struct geometry g = geometry_of(kernel, x.dim, w.dim, y.dim);
    const int64_t taps = g.rows * g.columns * g.channels, pixels = g.images * g.out_height * g.out_width;
    const int64_t group_pixels = norm->sum.data ? pixels / norm->sum.dim[0] : 0;
    double *values = run->work, *filters = values + x.count, *sum = filters + w.count, *totals = sum + g.filters; /* filters [R, S, C, K], totals [2, K] */
    load_map(values, &x, norm);
    for (int64_t k = 0; k < g.filters; k++)
        for (int64_t i = 0; i < taps; i++) filters[i * g.filters + k] = ref_get(&w, k * taps + i);
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const int64_t n = pixel / (g.out_height * g.out_width), p = pixel / g.out_width % g.out_height, q = pixel % g.out_width;
        if (norm->sum.data && pixel % group_pixels == 0) memset(totals, 0, (size_t)g.filters * 2 * sizeof *totals);
        for (int64_t k = 0; k < g.filters; k++) sum[k] = bias.data ? ref_get(&bias, k) : 0;
        for (int64_t r = 0; r < g.rows; r++)
            for (int64_t s = 0; s < g.columns; s++) {
                const int64_t h = p * g.stride - g.pad + r, column = q * g.stride - g.pad + s;
                if (h < 0 || h >= g.height || column < 0 || column >= g.width) continue;
                const double *position = values + ((n * g.height + h) * g.width + column) * g.channels;
                for (int64_t c = 0; c < g.channels; c++) add_scaled(sum, position[c], filters + ((r * g.columns + s) * g.channels + c) * g.filters, g.filters);
            }
        for (int64_t k = 0; k < g.filters; k++) {
            const double value = sum[k] + (residual.data ? ref_get(&residual, pixel * g.filters + k) : 0);
            ref_set(&y, pixel * g.filters + k, kernel->node->attr.conv.relu ? ref_relu(value) : value);
            if (norm->sum.data) totals[k] += value, totals[g.filters + k] += value * value;
        }
        if (norm->sum.data && (pixel + 1) % group_pixels == 0) write_sums(norm, totals, g.filters, pixel / group_pixels);
    }
    return SKY_OK;
}

sky_status ref_CONV(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct norm none = {{0}, {0}, {0}, {0}};
    return forward(kernel, run, ref_in(kernel, run, 2), ref_in(kernel, run, 3), &none);
}

sky_status ref_BN_CONV(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct norm norm = {ref_in(kernel, run, 2), ref_in(kernel, run, 3), ref_out(kernel, run, 1), ref_out(kernel, run, 2)};
    return forward(kernel, run, (struct ref_tensor){0}, (struct ref_tensor){0}, &norm);
}

sky_status ref_CONV_DGRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), w = ref_in(kernel, run, 1), dx = ref_out(kernel, run, 0);
    const struct geometry g = geometry_of(kernel, dx.dim, w.dim, dy.dim);
    double *filters = run->work, *sum = filters + w.count; /* filters [K, R, S, C] */
    ref_load(filters, &w);
    for (int64_t pixel = 0; pixel < g.images * g.height * g.width; pixel++) {
        const int64_t n = pixel / (g.height * g.width), h = pixel / g.width % g.height, column = pixel % g.width;
        memset(sum, 0, (size_t)g.channels * sizeof *sum);
        for (int64_t r = 0; r < g.rows; r++)
            for (int64_t s = 0; s < g.columns; s++) {
                const int64_t down = h + g.pad - r, across = column + g.pad - s; /* p * stride, q * stride of the window that has this pixel at (r, s) */
                if (down < 0 || across < 0 || down % g.stride || across % g.stride || down / g.stride >= g.out_height || across / g.stride >= g.out_width) continue;
                const int64_t window = (n * g.out_height + down / g.stride) * g.out_width + across / g.stride;
                for (int64_t k = 0; k < g.filters; k++)
                    add_scaled(sum, ref_get(&dy, window * g.filters + k), filters + ((k * g.rows + r) * g.columns + s) * g.channels, g.channels);
            }
        for (int64_t c = 0; c < g.channels; c++) ref_set(&dx, pixel * g.channels + c, sum[c]);
    }
    return SKY_OK;
}

/* The plain gradient, then mask and sums a channel. */
sky_status ref_BN_CONV_DGRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor z = ref_in(kernel, run, 2), mean = ref_in(kernel, run, 3), invstd = ref_in(kernel, run, 4), gamma = ref_in(kernel, run, 5),
                            beta = ref_in(kernel, run, 6);
    const struct ref_tensor g = ref_out(kernel, run, 0), sum_g = ref_out(kernel, run, 1), sum_gz = ref_out(kernel, run, 2);
    const int64_t channels = z.dim[3], positions = z.count / channels / mean.dim[0];
    SKY_TRY(ref_CONV_DGRAD(kernel, run));
    for (int64_t row = 0; row < mean.count; row++) {
        const int64_t c = row % channels, first = row / channels * positions * channels + c;
        double sum = 0, sum_z = 0;
        for (int64_t i = 0; i < positions; i++) {
            const double zhat = (ref_get(&z, first + i * channels) - ref_get(&mean, row)) * ref_get(&invstd, row);
            const bool through = ref_get(&gamma, c) * zhat + ref_get(&beta, c) > 0;
            const double value = through ? ref_get(&g, first + i * channels) : 0;
            ref_set(&g, first + i * channels, value);
            sum += value, sum_z += value * zhat;
        }
        ref_set(&sum_g, row, sum);
        ref_set(&sum_gz, row, sum_z);
    }
    return SKY_OK;
}

static sky_status wgrad(const struct sky_kernel *kernel, const struct sky_run *run, const struct norm *norm)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), dy = ref_in(kernel, run, 1), dw = ref_out(kernel, run, 0);
    const struct geometry g = geometry_of(kernel, x.dim, dw.dim, dy.dim);
    double *values = run->work, *sum = values + x.count;
    load_map(values, &x, norm);
    for (int64_t tap = 0; tap < g.filters * g.rows * g.columns; tap++) {
        const int64_t k = tap / (g.rows * g.columns), r = tap / g.columns % g.rows, s = tap % g.columns;
        memset(sum, 0, (size_t)g.channels * sizeof *sum);
        for (int64_t n = 0; n < g.images; n++)
            for (int64_t p = 0; p < g.out_height; p++)
                for (int64_t q = 0; q < g.out_width; q++) {
                    const int64_t h = p * g.stride - g.pad + r, column = q * g.stride - g.pad + s;
                    if (h < 0 || h >= g.height || column < 0 || column >= g.width) continue;
                    add_scaled(sum, ref_get(&dy, ((n * g.out_height + p) * g.out_width + q) * g.filters + k), values + ((n * g.height + h) * g.width + column) * g.channels,
                               g.channels);
                }
        for (int64_t c = 0; c < g.channels; c++) ref_put(&dw, tap * g.channels + c, sum[c], run->accumulate);
    }
    return SKY_OK;
}

sky_status ref_CONV_WGRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct norm none = {{0}, {0}, {0}, {0}};
    return wgrad(kernel, run, &none);
}

sky_status ref_BN_CONV_WGRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct norm norm = {ref_in(kernel, run, 2), ref_in(kernel, run, 3), {0}, {0}};
    return wgrad(kernel, run, &norm);
}
