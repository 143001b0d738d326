/*
 * Max pooling over windows and over the whole map, and the gradients of both. A window's maximum is kept with its place, so gradients gather without comparing
 * again.
 */
#include "cpu.h"
#include "stream.h"
#include "vector.h"

/* Channels gone through together: their maxima and places stay in the nearest cache over the window. */
enum { LANES = 128 };

struct window_range {
    int64_t first, last; /* inside the map, last exclusive */
};

static inline struct window_range window_range_of(int64_t index, int64_t length, const struct sky_node *node)
{
    const int64_t start = index * node->attr.pool.stride - node->attr.pool.pad, end = start + node->attr.pool.window;
    return (struct window_range){start < 0 ? 0 : start, end > length ? length : end};
}

/* One output row of channels [C] at (p, q) of one image x [H,W,C]. */
static void max_pool_at(const struct sky_node *node, const float *restrict x, int64_t height, int64_t width, int64_t channels, int64_t p, int64_t q,
                        float *restrict y, uint8_t *restrict index)
{
    const struct window_range rows = window_range_of(p, height, node), columns = window_range_of(q, width, node);
    const int64_t top = p * node->attr.pool.stride - node->attr.pool.pad, left = q * node->attr.pool.stride - node->attr.pool.pad;
    for (int64_t first = 0; first < channels; first += LANES) {
        const int64_t lanes = sky_min(LANES, channels - first);
        float best[LANES];
        int32_t at[LANES];
        const float *corner = x + (rows.first * width + columns.first) * channels + first;
        const int32_t place = (int32_t)((rows.first - top) * node->attr.pool.window + (columns.first - left));
        for (int64_t c = 0; c < lanes; c++) best[c] = corner[c], at[c] = place;
        for (int64_t h = rows.first; h < rows.last; h++)
            for (int64_t w = columns.first; w < columns.last; w++)
                sky_take_larger(x + (h * width + w) * channels + first, (int32_t)((h - top) * node->attr.pool.window + (w - left)), lanes, best, at);
        for (int64_t c = 0; c < lanes; c++) y[first + c] = best[c], index[first + c] = (uint8_t)at[c];
    }
}

/* Room for the places when nobody wants them. */
static sky_status place_prepare(struct sky_kernel *kernel)
{
    const size_t place_bytes = kernel->node->op == SKY_OP_MAX_POOL ? sizeof(uint8_t) : sizeof(int32_t);
    kernel->work_bytes = sky_cpu_out(kernel, 1) ? 0 : (size_t)sky_cpu_out(kernel, 0)->count * place_bytes;
    return SKY_OK;
}

static sky_status max_pool_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *out = sky_cpu_out(kernel, 0);
    const int64_t height = in->dim[1], width = in->dim[2], channels = in->dim[3], out_rows = out->dim[1], out_columns = out->dim[2];
    const float *x = run->in[0];                            /* [N,H,W,C] */
    float *y = run->out[0];                                 /* [N,P,Q,C] */
    uint8_t *index = run->out[1] ? run->out[1] : run->work; /* [N,P,Q,C] */
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < in->dim[0] * out_rows; row++)
        for (int64_t q = 0; q < out_columns; q++) {
            const int64_t to = (row * out_columns + q) * channels;
            max_pool_at(kernel->node, x + row / out_rows * height * width * channels, height, width, channels, row % out_rows, q, y + to, index + to);
        }
    return SKY_OK;
}

/* One row of dx [C] at (h, w): the sum over the windows whose maximum was here. */
static void max_pool_gather(const struct sky_node *node, const float *restrict dy, const uint8_t *restrict index, int64_t out_rows, int64_t out_columns,
                            int64_t channels, int64_t h, int64_t w, float *restrict dx)
{
    const int64_t window = node->attr.pool.window, stride = node->attr.pool.stride, pad = node->attr.pool.pad;
    const int64_t last_p = sky_min((h + pad) / stride, out_rows - 1), last_q = sky_min((w + pad) / stride, out_columns - 1);
    const int64_t first_p = h + pad < window ? 0 : (h + pad - window) / stride + 1, first_q = w + pad < window ? 0 : (w + pad - window) / stride + 1;
    for (int64_t c = 0; c < channels; c++) dx[c] = 0;
    for (int64_t p = first_p; p <= last_p; p++)
        for (int64_t q = first_q; q <= last_q; q++) {
            const int64_t from = (p * out_columns + q) * channels;
            const int32_t place = (int32_t)((h - p * stride + pad) * window + (w - q * stride + pad));
            const float *restrict gradient = dy + from;
            const uint8_t *restrict at = index + from;
#pragma omp simd
            for (int64_t c = 0; c < channels; c++) dx[c] += (int32_t)at[c] == place ? gradient[c] : 0;
        }
}

static sky_status max_pool_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *out = sky_cpu_out(kernel, 0);
    const int64_t out_rows = in->dim[1], out_columns = in->dim[2], height = out->dim[1], width = out->dim[2], channels = out->dim[3];
    const bool stream = sky_streams(out->bytes, channels);
    const float *dy = run->in[0];
    const uint8_t *index = run->in[1];
    float *dx = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < out->dim[0] * height; row++) {
        const int64_t image = row / height * out_rows * out_columns * channels;
        float made[SKY_STREAM_ROW];
        for (int64_t w = 0; w < width; w++) {
            float *to = dx + (row * width + w) * channels;
            max_pool_gather(kernel->node, dy + image, index + image, out_rows, out_columns, channels, row % height, w, stream ? made : to);
            if (stream) sky_stream_row(to, made, channels);
        }
        if (stream) sky_stream_end();
    }
    return SKY_OK;
}

/* One image and block of channels: the maximum over all positions. */
static void global_max_block(const float *restrict x, int64_t positions, int64_t channels, int64_t lanes, float *restrict y, int32_t *restrict index)
{
    for (int64_t c = 0; c < lanes; c++) y[c] = x[c], index[c] = 0;
    for (int64_t i = 1; i < positions; i++) sky_take_larger(x + i * channels, (int32_t)i, lanes, y, index);
}

static sky_status global_max_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    enum { BLOCK = 256 };
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_in(kernel, 0));
    const int64_t blocks = (map.channels + BLOCK - 1) / BLOCK;
    const float *x = run->in[0];
    float *y = run->out[0];
    int32_t *index = run->out[1] ? run->out[1] : run->work;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < map.images * blocks; i++) {
        const int64_t image = i / blocks, first = i % blocks * BLOCK, at = image * map.channels + first;
        global_max_block(x + image * map.positions * map.channels + first, map.positions, map.channels, sky_min(BLOCK, map.channels - first), y + at,
                         index + at);
    }
    return SKY_OK;
}

static sky_status global_max_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_map_shape map = sky_map_shape_of(sky_cpu_out(kernel, 0));
    const float *dy = run->in[0];
    const int32_t *index = run->in[1];
    float *dx = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < map.images * map.positions; i++) {
        const int32_t position = (int32_t)(i % map.positions);
        const float *restrict gradient = dy + i / map.positions * map.channels;
        const int32_t *restrict at = index + i / map.positions * map.channels;
        float *restrict to = dx + i * map.channels;
#pragma omp simd
        for (int64_t c = 0; c < map.channels; c++) to[c] = at[c] == position ? gradient[c] : 0;
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_MAX_POOL = {.prepare = place_prepare, .run = max_pool_run};
const struct sky_operation sky_cpu_MAX_POOL_GRAD = {.run = max_pool_grad_run};
const struct sky_operation sky_cpu_GLOBAL_MAX = {.prepare = place_prepare, .run = global_max_run};
const struct sky_operation sky_cpu_GLOBAL_MAX_GRAD = {.run = global_max_grad_run};
