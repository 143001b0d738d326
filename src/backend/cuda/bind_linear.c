/*
 * LINEAR and LINEAR_GRAD: one batched product for all heads; the bias and its gradient by own kernels.
 */
#include "product.h"

static sky_status linear_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda *cuda = sky_cuda_of(kernel);
    const struct sky_tensor *x = sky_cuda_in(kernel, 0), *w = sky_cuda_in(kernel, 1); /* [P,N,D], [P,K,D] */
    const int64_t heads = x->dim[0], rows = x->dim[1], features = w->dim[1];
    if (run->in[2]) SKY_TRY(sky_cuda_launched(kernel, sky_cuda_repeat_rows(cuda->stream, run->in[2], run->out[0], heads, rows, features)));
    const struct sky_product product = {.batch = heads,
                                        .rows = rows,
                                        .columns = features,
                                        .inner = x->dim[2],
                                        .a = run->in[0],
                                        .b = run->in[1],
                                        .b_transposed = true,
                                        .c = run->out[0],
                                        .accumulate = run->in[2] != NULL};
    return sky_cuda_product(cuda, kernel->node->name, &product);
}

static sky_status linear_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda *cuda = sky_cuda_of(kernel);
    const struct sky_tensor *dy = sky_cuda_in(kernel, 0), *x = sky_cuda_in(kernel, 1); /* [P,N,K], [P,N,D] */
    const int64_t heads = dy->dim[0], rows = dy->dim[1], features = dy->dim[2], inputs = x->dim[2];
    const struct sky_product dx = {.batch = heads, .rows = rows, .columns = inputs, .inner = features, .a = run->in[0], .b = run->in[2], .c = run->out[0]};
    const struct sky_product dw = {.batch = heads,
                                   .rows = features,
                                   .columns = inputs,
                                   .inner = rows,
                                   .a = run->in[0],
                                   .a_transposed = true,
                                   .b = run->in[1],
                                   .c = run->out[1],
                                   .accumulate = run->accumulate};
    if (run->out[0]) SKY_TRY(sky_cuda_product(cuda, kernel->node->name, &dx));
    if (run->out[1]) SKY_TRY(sky_cuda_product(cuda, kernel->node->name, &dw));
    return run->out[2] ? sky_cuda_launched(kernel, sky_cuda_sum_rows(cuda->stream, run->in[0], run->out[2], heads, rows, features, run->accumulate)) : SKY_OK;
}

const struct sky_operation sky_cuda_LINEAR = {.run = linear_run};
const struct sky_operation sky_cuda_LINEAR_GRAD = {.run = linear_grad_run};
