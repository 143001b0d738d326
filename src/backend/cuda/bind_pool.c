/*
 * MAX_POOL, GLOBAL_MAX, UPSAMPLE and their gradients.
 */
#include "cuda.h"

/* x: the map before the operation, or its gradient; y: the one after it. */
static struct sky_cuda_window window_of(const struct sky_tensor *x, const struct sky_tensor *y)
{
    return (struct sky_cuda_window){
        .images = x->dim[0], .height = x->dim[1], .width = x->dim[2], .channels = x->dim[3], .out_height = y->dim[1], .out_width = y->dim[2]};
}

static struct sky_cuda_window pool_window_of(const struct sky_kernel *kernel, const struct sky_tensor *x, const struct sky_tensor *y)
{
    struct sky_cuda_window window = window_of(x, y);
    window.window = kernel->node->attr.pool.window, window.stride = kernel->node->attr.pool.stride, window.pad = kernel->node->attr.pool.pad;
    return window;
}

/* Places in a window are kept as bytes. */
static const char *pool_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    (void)graph;
    return node->attr.pool.window <= 16 ? NULL : "pooling windows are at most 16 x 16";
}

static sky_status max_pool_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0);
    const struct sky_cuda_window window = pool_window_of(kernel, x, sky_cuda_out(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_max_pool(sky_cuda_of(kernel)->stream, x->dtype, &window, run->in[0], run->out[0], run->out[1]));
}

static sky_status max_pool_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *dx = sky_cuda_out(kernel, 0);
    const struct sky_cuda_window window = pool_window_of(kernel, dx, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_max_pool_grad(sky_cuda_of(kernel)->stream, dx->dtype, &window, run->in[0], run->in[1], run->out[0]));
}

static sky_status global_max_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0);
    return sky_cuda_launched(
        kernel, sky_cuda_global_max(sky_cuda_of(kernel)->stream, x->dtype, run->in[0], run->out[0], run->out[1], x->dim[0], x->dim[1] * x->dim[2], x->dim[3]));
}

static sky_status global_max_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *dx = sky_cuda_out(kernel, 0);
    return sky_cuda_launched(kernel, sky_cuda_global_max_grad(sky_cuda_of(kernel)->stream, dx->dtype, run->in[0], run->in[1], run->out[0], dx->dim[0],
                                                              dx->dim[1] * dx->dim[2], dx->dim[3]));
}

static sky_status upsample_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0);
    const struct sky_cuda_window window = window_of(x, sky_cuda_out(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_upsample(sky_cuda_of(kernel)->stream, x->dtype, &window, run->in[0], run->out[0]));
}

static sky_status upsample_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *dx = sky_cuda_out(kernel, 0);
    const struct sky_cuda_window window = window_of(dx, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_upsample_grad(sky_cuda_of(kernel)->stream, dx->dtype, &window, run->in[0], run->out[0]));
}

const struct sky_operation sky_cuda_MAX_POOL = {.supports = pool_supports, .run = max_pool_run};
const struct sky_operation sky_cuda_MAX_POOL_GRAD = {.supports = pool_supports, .run = max_pool_grad_run};
const struct sky_operation sky_cuda_GLOBAL_MAX = {.run = global_max_run};
const struct sky_operation sky_cuda_GLOBAL_MAX_GRAD = {.run = global_max_grad_run};
const struct sky_operation sky_cuda_UPSAMPLE = {.run = upsample_run};
const struct sky_operation sky_cuda_UPSAMPLE_GRAD = {.run = upsample_grad_run};
