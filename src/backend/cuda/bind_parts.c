/*
 * PART_ATTENTION, CONCAT and their gradients.
 */
#include "cuda.h"

static sky_status attention_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0); /* [P,N,C] */
    return sky_cuda_launched(kernel, sky_cuda_part_attention(sky_cuda_of(kernel)->stream, run->in[0], run->out[0], x->dim[0], x->dim[1] * x->dim[2]));
}

static sky_status attention_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 1); /* [P,N,C] */
    return sky_cuda_launched(kernel, sky_cuda_part_attention_grad(sky_cuda_of(kernel)->stream, run->in[0], run->in[1], run->out[0], x->dim[0], x->dim[1] * x->dim[2]));
}

/* What lies behind each other in memory for one combination of the dimensions before the axis. */
static int64_t row_bytes(const struct sky_tensor *tensor, int axis)
{
    int64_t bytes = (int64_t)sky_dtype_bytes(tensor->dtype);
    for (int i = axis; i < tensor->rank; i++) bytes *= tensor->dim[i];
    return bytes;
}

static sky_status concat_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *a = sky_cuda_in(kernel, 0), *b = sky_cuda_in(kernel, 1), *y = sky_cuda_out(kernel, 0);
    const int axis = kernel->node->attr.concat.axis;
    return sky_cuda_launched(kernel, sky_cuda_concat(sky_cuda_of(kernel)->stream, run->in[0], run->in[1], run->out[0], (int64_t)y->bytes / row_bytes(y, axis), row_bytes(a, axis),
                                                     row_bytes(b, axis)));
}

static sky_status concat_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *dy = sky_cuda_in(kernel, 0), *da = sky_cuda_out(kernel, 0), *db = sky_cuda_out(kernel, 1);
    const int axis = kernel->node->attr.concat.axis;
    return sky_cuda_launched(kernel, sky_cuda_split(sky_cuda_of(kernel)->stream, run->in[0], run->out[0], run->out[1], (int64_t)dy->bytes / row_bytes(dy, axis), row_bytes(da, axis),
                                                    row_bytes(db, axis)));
}

const struct sky_operation sky_cuda_PART_ATTENTION = {.run = attention_run};
const struct sky_operation sky_cuda_PART_ATTENTION_GRAD = {.run = attention_grad_run};
const struct sky_operation sky_cuda_CONCAT = {.run = concat_run};
const struct sky_operation sky_cuda_CONCAT_GRAD = {.run = concat_grad_run};
