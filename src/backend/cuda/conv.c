/*
 * CONV, CONV_DGRAD and CONV_WGRAD by cuDNN: the engine is chosen when a node is prepared (cudnn_plan.h), a run gives it the pointers. Scratch: the engine's
 * own, and for WGRAD a filter gradient in the maps' type behind it, because no engine adds, or writes f32 from bf16 or f16 maps.
 */
#include "cuda.h"

#include "base/memory.h"
#include "cudnn_plan.h"

#include <stdio.h>
#include <stdlib.h>

struct conv_state {
    const struct sky_plan *plan;            /* the device's */
    struct sky_plan_pack straight, scratch; /* the pointers of a run that writes its result, and of one that writes WGRAD's into scratch */
    size_t gradient_at;                     /* offset in the scratch memory */
};

static const char *conv_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    const struct sky_conv_problem problem = sky_conv_problem_of(graph, node);
    const struct sky_tensor *first = sky_graph_get(graph, node->in[0]), *second = sky_graph_get(graph, node->in[1]),
                            *result = sky_graph_get(graph, node->out[0]);
    if (problem.dtype != SKY_F32 && problem.dtype != SKY_BF16 && problem.dtype != SKY_F16) return "cuDNN convolves f32, bf16 and f16";
    if (first->dtype != second->dtype || result->dtype != (node->op == SKY_OP_CONV_WGRAD ? SKY_F32 : problem.dtype))
        return "maps and filters are of one type, gradients of filters f32";
    if (problem.bias && sky_graph_get(graph, node->in[2])->dtype != SKY_F32) return "the bias is f32";
    if (problem.residual && sky_graph_get(graph, node->in[3])->dtype != problem.dtype) return "the residual is of the maps' type";
    return NULL;
}

static void conv_destroy(struct sky_kernel *kernel)
{
    struct conv_state *state = kernel->state;
    if (!state) return;
    sky_plan_pack_free(&state->straight);
    sky_plan_pack_free(&state->scratch);
    free(state);
    kernel->state = NULL;
}

static size_t align(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

static sky_status conv_prepare(struct sky_kernel *kernel)
{
    const struct sky_conv_problem problem = sky_conv_problem_of(kernel->graph, kernel->node);
    struct conv_state *state = NULL;
    SKY_TRY(sky_alloc(&state, 1, sizeof *state, "a convolution"));
    kernel->state = state;
    SKY_TRY(sky_plan_find(sky_cuda_of(kernel)->plans, &problem, &state->plan));
    state->gradient_at = align(state->plan->workspace_bytes);
    kernel->work_bytes = state->gradient_at;
    if (problem.form == SKY_CONV_WGRAD) kernel->work_bytes += align((size_t)sky_cuda_out(kernel, 0)->count * sky_dtype_bytes(problem.dtype));
    snprintf(kernel->implementation, sizeof kernel->implementation, "%s", state->plan->name);
    return SKY_OK;
}

static sky_status forward_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct conv_state *state = kernel->state;
    void *pointers[SKY_CONV_TENSOR_COUNT] = {
        [SKY_CONV_X] = run->in[0], [SKY_CONV_W] = run->in[1], [SKY_CONV_Y] = run->out[0], [SKY_CONV_BIAS] = run->in[2], [SKY_CONV_RESIDUAL] = run->in[3]};
    return sky_plan_run(state->plan, sky_cuda_of(kernel)->cudnn, &state->straight, pointers, run->work);
}

static sky_status dgrad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct conv_state *state = kernel->state;
    void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_Y] = run->in[0], [SKY_CONV_W] = run->in[1], [SKY_CONV_X] = run->out[0]};
    return sky_plan_run(state->plan, sky_cuda_of(kernel)->cudnn, &state->straight, pointers, run->work);
}

static sky_status wgrad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct conv_state *state = kernel->state;
    const struct sky_cuda *cuda = sky_cuda_of(kernel);
    const enum sky_dtype dtype = state->plan->problem.dtype;
    const bool straight = dtype == SKY_F32 && !run->accumulate;
    void *gradient = straight ? run->out[0] : (char *)run->work + state->gradient_at;
    void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_X] = run->in[0], [SKY_CONV_Y] = run->in[1], [SKY_CONV_W] = gradient};
    SKY_TRY(sky_plan_run(state->plan, cuda->cudnn, straight ? &state->straight : &state->scratch, pointers, run->work));
    if (straight) return SKY_OK;
    return sky_cuda_launched(kernel, sky_cuda_cast_accumulate(cuda->stream, dtype, gradient, run->out[0], sky_cuda_out(kernel, 0)->count, 1, run->accumulate));
}

const struct sky_operation sky_cuda_CONV = {.supports = conv_supports, .prepare = conv_prepare, .run = forward_run, .destroy = conv_destroy};
const struct sky_operation sky_cuda_CONV_DGRAD = {.supports = conv_supports, .prepare = conv_prepare, .run = dgrad_run, .destroy = conv_destroy};
const struct sky_operation sky_cuda_CONV_WGRAD = {.supports = conv_supports, .prepare = conv_prepare, .run = wgrad_run, .destroy = conv_destroy};
