/*
 * BN_CONV, BN_CONV_WGRAD and BN_CONV_DGRAD by cuDNN. Scale, shift and sums are those of one group (view) of images, so a run gives the same plan the pointers
 * of each group in turn. Scratch: the engine's own, and behind it what it writes that nobody wants (sums behind a convolution without statistics; the factors
 * of dz, which BN_GRAD_FROM_SUMS finds from the sums) or wants in another form (a filter gradient a group, in the maps' type).
 */
#include "cuda.h"

#include "base/memory.h"
#include "cudnn_plan.h"

#include <stdio.h>
#include <stdlib.h>

struct norm_state {
    const struct sky_plan *plan; /* the device's */
    struct sky_plan_pack *packs; /* [groups] */
    int groups;
    size_t rest_at; /* offset in the scratch memory, behind the engine's part */
};

static const char *norm_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    const struct sky_conv_problem problem = sky_conv_problem_of(graph, node);
    if (problem.dtype != SKY_F16) return "cuDNN fuses batch norm into convolutions of f16 maps alone (leave [device] fusion = auto)";
    if (problem.channels % 8 || problem.filters % 8) return "cuDNN fuses batch norm into convolutions of channels in eights alone";
    if (sky_graph_get(graph, node->in[1])->dtype != SKY_F16) return "maps and filters are of one type";
    return NULL;
}

static void norm_destroy(struct sky_kernel *kernel)
{
    struct norm_state *state = kernel->state;
    if (!state) return;
    for (int g = 0; state->packs && g < state->groups; g++) sky_plan_pack_free(&state->packs[g]);
    free(state->packs);
    free(state);
    kernel->state = NULL;
}

static size_t align(size_t bytes) { return (bytes + 255) & ~(size_t)255; }

/* Behind the engine's scratch. */
static size_t rest_bytes(const struct sky_conv_problem *p, int groups)
{
    const int64_t widest = p->filters > p->channels ? p->filters : p->channels;
    if (p->form == SKY_CONV_BN_WGRAD) return align((size_t)(groups * p->filters * p->rows * p->columns * p->channels) * sky_dtype_bytes(p->dtype));
    return 3 * align((size_t)widest * sizeof(float));
}

static sky_status norm_prepare(struct sky_kernel *kernel)
{
    const struct sky_conv_problem problem = sky_conv_problem_of(kernel->graph, kernel->node);
    const int groups = kernel->node->attr.conv.groups;
    struct norm_state *state = NULL;
    SKY_TRY(sky_alloc(&state, 1, sizeof *state, "a convolution"));
    kernel->state = state;
    SKY_TRY(sky_alloc(&state->packs, (size_t)groups, sizeof *state->packs, "a convolution"));
    state->groups = groups;
    const sky_status status = sky_plan_find(sky_cuda_of(kernel)->plans, &problem, &state->plan);
    if (status == SKY_UNSUPPORTED) return sky_hint("this GPU or this cuDNN does not fuse batch norm into this convolution: set [device] fusion = no");
    SKY_TRY(status);
    state->rest_at = align(state->plan->workspace_bytes);
    kernel->work_bytes = state->rest_at + rest_bytes(&problem, groups);
    snprintf(kernel->implementation, sizeof kernel->implementation, "%s", state->plan->name);
    return SKY_OK;
}

/* Row `group` of a tensor whose groups follow each other; NULL stays NULL. */
static void *part(const struct sky_kernel *kernel, sky_value value, void *data, int group)
{
    const struct sky_tensor *tensor = sky_graph_get(kernel->graph, value);
    return data ? (char *)data + (size_t)group * (tensor->bytes / (size_t)kernel->node->attr.conv.groups) : NULL;
}

static void *in_part(const struct sky_kernel *kernel, const struct sky_run *run, int index, int group)
{
    return part(kernel, kernel->node->in[index], run->in[index], group);
}

static void *out_part(const struct sky_kernel *kernel, const struct sky_run *run, int index, int group)
{
    return part(kernel, kernel->node->out[index], run->out[index], group);
}

/* What nobody wants: row `index` behind the engine's scratch. */
static void *unwanted(const struct norm_state *state, const struct sky_run *run, int index)
{
    return (char *)run->work + state->rest_at + (size_t)index * (rest_bytes(&state->plan->problem, state->groups) / 3);
}

static sky_status conv_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct norm_state *state = kernel->state;
    for (int g = 0; g < state->groups; g++) {
        void *sum = out_part(kernel, run, 1, g), *square_sum = out_part(kernel, run, 2, g);
        void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_X] = in_part(kernel, run, 0, g),
                                                 [SKY_CONV_W] = run->in[1],
                                                 [SKY_CONV_SCALE] = in_part(kernel, run, 2, g),
                                                 [SKY_CONV_SHIFT] = in_part(kernel, run, 3, g),
                                                 [SKY_CONV_Y] = out_part(kernel, run, 0, g),
                                                 [SKY_CONV_SUM] = sum ? sum : unwanted(state, run, 0),
                                                 [SKY_CONV_SQUARE_SUM] = square_sum ? square_sum : unwanted(state, run, 1)};
        SKY_TRY(sky_plan_run(state->plan, sky_cuda_of(kernel)->cudnn, &state->packs[g], pointers, run->work));
    }
    return SKY_OK;
}

static sky_status wgrad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct norm_state *state = kernel->state;
    const struct sky_cuda *cuda = sky_cuda_of(kernel);
    const enum sky_dtype dtype = state->plan->problem.dtype;
    const int64_t count = sky_cuda_out(kernel, 0)->count;
    char *gradients = (char *)run->work + state->rest_at; /* [G,K,R,S,C] */
    for (int g = 0; g < state->groups; g++) {
        void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_X] = in_part(kernel, run, 0, g),
                                                 [SKY_CONV_Y] = in_part(kernel, run, 1, g),
                                                 [SKY_CONV_SCALE] = in_part(kernel, run, 2, g),
                                                 [SKY_CONV_SHIFT] = in_part(kernel, run, 3, g),
                                                 [SKY_CONV_W] = gradients + (size_t)(g * count) * sky_dtype_bytes(dtype)};
        SKY_TRY(sky_plan_run(state->plan, cuda->cudnn, &state->packs[g], pointers, run->work));
    }
    return sky_cuda_launched(kernel, sky_cuda_cast_accumulate(cuda->stream, dtype, gradients, run->out[0], count, state->groups, run->accumulate));
}

static sky_status dgrad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct norm_state *state = kernel->state;
    for (int g = 0; g < state->groups; g++) {
        void *pointers[SKY_CONV_TENSOR_COUNT] = {[SKY_CONV_Y] = in_part(kernel, run, 0, g),
                                                 [SKY_CONV_W] = run->in[1],
                                                 [SKY_CONV_Z] = in_part(kernel, run, 2, g),
                                                 [SKY_CONV_MEAN] = in_part(kernel, run, 3, g),
                                                 [SKY_CONV_INVSTD] = in_part(kernel, run, 4, g),
                                                 [SKY_CONV_GAMMA] = run->in[5],
                                                 [SKY_CONV_BETA] = run->in[6],
                                                 [SKY_CONV_X] = out_part(kernel, run, 0, g),
                                                 [SKY_CONV_DBETA] = out_part(kernel, run, 1, g),
                                                 [SKY_CONV_DGAMMA] = out_part(kernel, run, 2, g),
                                                 [SKY_CONV_FACTOR_G] = unwanted(state, run, 0),
                                                 [SKY_CONV_FACTOR_Z] = unwanted(state, run, 1),
                                                 [SKY_CONV_OFFSET] = unwanted(state, run, 2)};
        SKY_TRY(sky_plan_run(state->plan, sky_cuda_of(kernel)->cudnn, &state->packs[g], pointers, run->work));
    }
    return SKY_OK;
}

const struct sky_operation sky_cuda_BN_CONV = {.supports = norm_supports, .prepare = norm_prepare, .run = conv_run, .destroy = norm_destroy};
const struct sky_operation sky_cuda_BN_CONV_WGRAD = {.supports = norm_supports, .prepare = norm_prepare, .run = wgrad_run, .destroy = norm_destroy};
const struct sky_operation sky_cuda_BN_CONV_DGRAD = {.supports = norm_supports, .prepare = norm_prepare, .run = dgrad_run, .destroy = norm_destroy};
