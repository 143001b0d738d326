/*
 * Reference maximum pooling, over windows and over the whole map. Positions are saved, so that the gradient goes where the value came from.
 */
#include "ref.h"

#include <string.h>

sky_status ref_MAX_POOL(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    uint8_t *index = run->out[1]; /* [N, P, Q, C] */
    const int64_t height = x.dim[1], width = x.dim[2], channels = x.dim[3], out_height = y.dim[1], out_width = y.dim[2];
    const int64_t window = kernel->node->attr.pool.window, stride = kernel->node->attr.pool.stride, pad = kernel->node->attr.pool.pad;
    for (int64_t i = 0; i < y.count; i++) {
        const int64_t c = i % channels, q = i / channels % out_width, p = i / channels / out_width % out_height, n = i / channels / out_width / out_height;
        double best = 0;
        int64_t from = -1;
        for (int64_t tap = 0; tap < window * window; tap++) {
            const int64_t h = p * stride - pad + tap / window, w = q * stride - pad + tap % window;
            if (h < 0 || h >= height || w < 0 || w >= width) continue;
            const double value = ref_get(&x, ((n * height + h) * width + w) * channels + c);
            if (from < 0 || value > best) best = value, from = tap;
        }
        ref_set(&y, i, best);
        if (index) index[i] = (uint8_t)from;
    }
    return SKY_OK;
}

sky_status ref_MAX_POOL_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), dx = ref_out(kernel, run, 0);
    const uint8_t *index = run->in[1]; /* [N, P, Q, C] */
    const int64_t height = dx.dim[1], width = dx.dim[2], channels = dx.dim[3], out_height = dy.dim[1], out_width = dy.dim[2];
    const int64_t window = kernel->node->attr.pool.window, stride = kernel->node->attr.pool.stride, pad = kernel->node->attr.pool.pad;
    for (int64_t i = 0; i < dx.count; i++) {
        const int64_t c = i % channels, w = i / channels % width, h = i / channels / width % height, n = i / channels / width / height;
        double sum = 0;
        for (int64_t tap = 0; tap < window * window; tap++) {
            const int64_t down = h + pad - tap / window, across = w + pad - tap % window; /* start of the window that has this pixel at `tap` */
            if (down < 0 || across < 0 || down % stride || across % stride || down / stride >= out_height || across / stride >= out_width) continue;
            const int64_t from = ((n * out_height + down / stride) * out_width + across / stride) * channels + c;
            if (index[from] == tap) sum += ref_get(&dy, from);
        }
        ref_set(&dx, i, sum);
    }
    return SKY_OK;
}

sky_status ref_GLOBAL_MAX(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    int32_t *index = run->out[1]; /* [N, C] */
    const int64_t pixels = x.dim[1] * x.dim[2], channels = x.dim[3];
    for (int64_t i = 0; i < y.count; i++) {
        const int64_t start = i / channels * pixels * channels + i % channels;
        int64_t from = 0;
        for (int64_t k = 1; k < pixels; k++)
            if (ref_get(&x, start + k * channels) > ref_get(&x, start + from * channels)) from = k;
        ref_set(&y, i, ref_get(&x, start + from * channels));
        if (index) index[i] = (int32_t)from;
    }
    return SKY_OK;
}

sky_status ref_GLOBAL_MAX_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), dx = ref_out(kernel, run, 0);
    const int32_t *index = run->in[1]; /* [N, C] */
    const int64_t pixels = dx.dim[1] * dx.dim[2], channels = dx.dim[3];
    memset(dx.data, 0, (size_t)dx.count * sky_dtype_bytes(dx.dtype));
    for (int64_t i = 0; i < dy.count; i++) ref_set(&dx, (i / channels * pixels + index[i]) * channels + i % channels, ref_get(&dy, i));
    return SKY_OK;
}
