/*
 * PART_POOL, PART_ATTENTION, CONCAT and their gradients.
 */
#include "cuda.h"

#include "skygem/config.h"

static struct sky_cuda_parts parts_of(const struct sky_kernel *kernel, const struct sky_tensor *x)
{
    return (struct sky_cuda_parts){.table = kernel->node->attr.part.table, .images = x->dim[0], .height = x->dim[1], .width = x->dim[2], .channels = x->dim[3]};
}

static struct sky_cuda_exponents exponents_of(const struct sky_kernel *kernel, const struct sky_tensor *tensor, const void *p)
{
    return (struct sky_cuda_exponents){.p = p, .count = tensor ? tensor->count : 0, .fixed = (float)kernel->node->attr.part.p};
}

static const char *positions_fit(const struct sky_tensor *x)
{
    return x->dim[1] * x->dim[2] <= SKY_CUDA_PART_POSITIONS ? NULL : "a map that is cut into parts has at most 4096 positions";
}

static const char *part_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    return positions_fit(sky_graph_get(graph, node->in[0]));
}

static const char *part_grad_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    return positions_fit(sky_graph_get(graph, node->in[1]));
}

static sky_status part_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0);
    const struct sky_cuda_parts parts = parts_of(kernel, x);
    const struct sky_cuda_exponents exponents = exponents_of(kernel, sky_cuda_in(kernel, 1), run->in[1]);
    const sky_stream stream = sky_cuda_of(kernel)->stream;
    switch (kernel->node->attr.part.pooling) {
    case SKY_POOL_GEM: return sky_cuda_launched(kernel, sky_cuda_part_gem(stream, x->dtype, &parts, &exponents, run->in[0], run->out[0]));
    case SKY_POOL_AVG: return sky_cuda_launched(kernel, sky_cuda_part_mean(stream, x->dtype, &parts, run->in[0], run->out[0]));
    default: return sky_cuda_launched(kernel, sky_cuda_part_max(stream, x->dtype, &parts, run->in[0], run->out[0], run->out[1]));
    }
}

static sky_status part_grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_parts parts = parts_of(kernel, sky_cuda_in(kernel, 1));
    const struct sky_tensor *p = sky_cuda_in(kernel, 3);
    const struct sky_cuda_exponents exponents = exponents_of(kernel, p, p); /* sizes alone: that there is a p counts, not where */
    if (sky_cuda_out(kernel, 1)) kernel->work_bytes = (size_t)sky_cuda_part_gem_grad_floats(&parts, &exponents) * sizeof(float);
    return SKY_OK;
}

static sky_status part_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 1);
    const struct sky_cuda_parts parts = parts_of(kernel, x);
    const struct sky_cuda_exponents exponents = exponents_of(kernel, sky_cuda_in(kernel, 3), run->in[3]);
    const sky_stream stream = sky_cuda_of(kernel)->stream;
    switch (kernel->node->attr.part.pooling) {
    case SKY_POOL_GEM:
        return sky_cuda_launched(kernel, sky_cuda_part_gem_grad(stream, x->dtype, &parts, &exponents, run->in[0], run->in[1], run->in[2], run->out[0],
                                                                run->out[1], run->accumulate, run->work));
    case SKY_POOL_AVG: return sky_cuda_launched(kernel, sky_cuda_part_mean_grad(stream, x->dtype, &parts, run->in[0], run->out[0]));
    default: return sky_cuda_launched(kernel, sky_cuda_part_max_grad(stream, x->dtype, &parts, run->in[0], run->in[4], run->out[0]));
    }
}

static sky_status attention_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 0); /* [P,N,C] */
    return sky_cuda_launched(kernel, sky_cuda_part_attention(sky_cuda_of(kernel)->stream, run->in[0], run->out[0], x->dim[0], x->dim[1] * x->dim[2]));
}

static sky_status attention_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_in(kernel, 1); /* [P,N,C] */
    return sky_cuda_launched(kernel,
                             sky_cuda_part_attention_grad(sky_cuda_of(kernel)->stream, run->in[0], run->in[1], run->out[0], x->dim[0], x->dim[1] * x->dim[2]));
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
    return sky_cuda_launched(kernel, sky_cuda_concat(sky_cuda_of(kernel)->stream, run->in[0], run->in[1], run->out[0], (int64_t)y->bytes / row_bytes(y, axis),
                                                     row_bytes(a, axis), row_bytes(b, axis)));
}

static sky_status concat_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *dy = sky_cuda_in(kernel, 0), *da = sky_cuda_out(kernel, 0), *db = sky_cuda_out(kernel, 1);
    const int axis = kernel->node->attr.concat.axis;
    return sky_cuda_launched(kernel, sky_cuda_split(sky_cuda_of(kernel)->stream, run->in[0], run->out[0], run->out[1], (int64_t)dy->bytes / row_bytes(dy, axis),
                                                    row_bytes(da, axis), row_bytes(db, axis)));
}

const struct sky_operation sky_cuda_PART_POOL = {.supports = part_supports, .run = part_run};
const struct sky_operation sky_cuda_PART_POOL_GRAD = {.supports = part_grad_supports, .prepare = part_grad_prepare, .run = part_grad_run};
const struct sky_operation sky_cuda_PART_ATTENTION = {.run = attention_run};
const struct sky_operation sky_cuda_PART_ATTENTION_GRAD = {.run = attention_grad_run};
const struct sky_operation sky_cuda_CONCAT = {.run = concat_run};
const struct sky_operation sky_cuda_CONCAT_GRAD = {.run = concat_grad_run};
