/*
 * Reference convolutions: direct sums. The operand read most is copied to doubles in the run's scratch (x; or the filters), and the innermost loop runs over neighbouring
 * channels, so that a test of a whole network stays bearable.
 */
#include "ref.h"

#include <string.h>

struct geometry {
    int64_t images, height, width, channels;     /* x [N, H, W, C] */
    int64_t filters, rows, columns;              /* w [K, R, S, C] */
    int64_t out_height, out_width;               /* y [N, P, Q, K] */
    int64_t stride, pad;
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
    if (node->op == SKY_OP_CONV) doubles = first->count + second->count + second->dim[0];       /* x, w, sums [K] */
    if (node->op == SKY_OP_CONV_DGRAD) doubles = second->count + second->dim[3];                /* w, sums [C] */
    if (node->op == SKY_OP_CONV_WGRAD) doubles = first->count + first->dim[3];                  /* x, sums [C] */
    return (size_t)doubles * sizeof(double);
}

/* sum[i] += factor * row[i] */
static void add_scaled(double *restrict sum, double factor, const double *restrict row, int64_t count)
{
    for (int64_t i = 0; i < count; i++) sum[i] += factor * row[i];
}

sky_status ref_CONV(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), w = ref_in(kernel, run, 1), bias = ref_in(kernel, run, 2), residual = ref_in(kernel, run, 3), y = ref_out(kernel, run, 0);
    const struct geometry g = geometry_of(kernel, x.dim, w.dim, y.dim);
    const int64_t taps = g.rows * g.columns * g.channels;
    double *values = run->work, *filters = values + x.count, *sum = filters + w.count; /* filters [R, S, C, K] */
    ref_load(values, &x);
    for (int64_t k = 0; k < g.filters; k++)
        for (int64_t i = 0; i < taps; i++) filters[i * g.filters + k] = ref_get(&w, k * taps + i);
    for (int64_t pixel = 0; pixel < g.images * g.out_height * g.out_width; pixel++) {
        const int64_t n = pixel / (g.out_height * g.out_width), p = pixel / g.out_width % g.out_height, q = pixel % g.out_width;
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
        }
    }
    return SKY_OK;
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

sky_status ref_CONV_WGRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), dy = ref_in(kernel, run, 1), dw = ref_out(kernel, run, 0);
    const struct geometry g = geometry_of(kernel, x.dim, dw.dim, dy.dim);
    double *values = run->work, *sum = values + x.count;
    ref_load(values, &x);
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
