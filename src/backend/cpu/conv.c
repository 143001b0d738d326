/*
 * Convolutions and their gradients on oneDNN, and in int8 (conv_int8.c) or on our own Winograd code where that is asked for and possible. Our maps stay NHWC and our
 * filters KRSC; what the library wants otherwise is packed into scratch memory around its primitive, filters once a ONCE phase when the parameters are constant. The
 * library's reference code is never used: it is a hundred times slower, and nobody would notice.
 */
#include "base/memory.h"
#include "conv_int8.h"
#include "cpu.h"
#include "winograd.h"

#include <stdio.h>
#include <stdlib.h>

struct conv_state {
    struct sky_conv_int8 *int8; /* NULL: in f32 */
    struct sky_dnnl_conv *conv; /* NULL: by Winograd, or in int8 */
    struct sky_winograd winograd;
    enum sky_dnnl_tensor result;
    int tensor_in[SKY_DNNL_TENSORS];    /* which input of the node is x, filters, y; the result's: -1 */
    size_t packed_at[SKY_DNNL_TENSORS]; /* offsets in the scratch memory */
    size_t scratch_at, plain_at;        /* the library's own scratch; a gradient about to be accumulated [K,R,S,C] */
    bool add_residual, relu;            /* left to us after the library */
    void *kept;                         /* filters packed for constant parameters */
    size_t kept_bytes;
    uint64_t kept_generation;
};

static void conv_destroy(struct sky_kernel *kernel)
{
    struct conv_state *state = kernel->state;
    if (!state) return;
    sky_conv_int8_destroy(state->int8);
    sky_dnnl_conv_destroy(state->conv);
    if (state->kept) sky_block_free(state->kept, state->kept_bytes);
    free(state);
    kernel->state = NULL;
}

static sky_status nothing_found(const struct sky_dnnl_problem *p)
{
    static const char *const names[] = {"convolution", "data gradient", "filter gradient"};
    char where[160];
    snprintf(where, sizeof where, "%s of x [%lld,%lld,%lld,%lld], filters [%lld,%lld,%lld,%lld], stride %d, pad %d", names[p->direction], (long long)p->images,
             (long long)p->height, (long long)p->width, (long long)p->channels, (long long)p->filters, (long long)p->rows, (long long)p->columns,
             (long long)p->channels, p->stride, p->pad);
    sky_fail(SKY_UNSUPPORTED, where, "oneDNN has only its slow reference code for this shape");
    return sky_hint("choose channel counts that are multiples of 8, or another oneDNN version");
}

/* Sets *conv to the first of the ways to do it that the library really has, best first: our layouts, or its own; everything fused, or what follows left to us.
 */
static sky_status find(const struct sky_kernel *kernel, struct sky_dnnl_problem *problem, struct conv_state *state)
{
    const struct sky_dnnl_problem asked = *problem;
    for (int free_layout = 0; free_layout < 2; free_layout++)
        for (int fused = 1; fused >= (asked.residual ? 0 : 1); fused--) {
            *problem = asked;
            problem->free_layout = free_layout;
            if (!fused) problem->residual = problem->relu = false;
            SKY_TRY(sky_dnnl_conv_create(sky_cpu_dnnl(kernel), problem, &state->conv));
            if (state->conv) return SKY_OK;
        }
    return nothing_found(&asked);
}

static sky_status conv_prepare(struct sky_kernel *kernel, struct sky_dnnl_problem *problem, struct conv_state **out)
{
    struct conv_state *state = NULL;
    SKY_TRY(sky_alloc(&state, 1, sizeof *state, "a convolution"));
    kernel->state = state;
    const bool residual = problem->residual, relu = problem->relu;
    SKY_TRY(find(kernel, problem, state));
    state->add_residual = residual && !problem->residual;
    state->relu = relu && !problem->relu;
    snprintf(kernel->implementation, sizeof kernel->implementation, "%s", sky_dnnl_conv_name(state->conv));

    size_t used = 0;
    for (int t = 0; t < SKY_DNNL_TENSORS; t++) {
        state->packed_at[t] = used;
        used += sky_cpu_align(sky_dnnl_conv_packed_bytes(state->conv, (enum sky_dnnl_tensor)t));
    }
    state->scratch_at = used;
    kernel->work_bytes = used + sky_cpu_align(sky_dnnl_conv_scratch_bytes(state->conv));
    *out = state;
    return SKY_OK;
}

/* Winograd when it is allowed, possible and worth it: then *out is complete but for its scratch memory. */
static sky_status winograd_prepare(struct sky_kernel *kernel, const struct sky_tensor *x, const struct sky_tensor *filters, const struct sky_tensor *y, int pad,
                                   struct conv_state **out)
{
    *out = NULL;
    if (!kernel->device->options.winograd || !sky_winograd_is_fast()) return SKY_OK;
    if (filters->dim[1] != 3 || filters->dim[2] != 3 || kernel->node->attr.conv.stride != 1 || pad < 0) return SKY_OK;
    SKY_TRY(sky_alloc(out, 1, sizeof **out, "a convolution"));
    kernel->state = *out;
    (*out)->winograd = (struct sky_winograd){x->dim[0], x->dim[1], x->dim[2], x->dim[3], y->dim[1], y->dim[2], y->dim[3], pad, sky_cpu_threads(kernel)};
    snprintf(kernel->implementation, sizeof kernel->implementation, "winograd 4x4");
    return SKY_OK;
}

/* In int8 when that is allowed and possible: then *out is complete. */
static sky_status int8_prepare(struct sky_kernel *kernel, const struct sky_dnnl_problem *problem, struct conv_state **out)
{
    struct sky_conv_int8 *int8 = NULL;
    *out = NULL;
    SKY_TRY(sky_conv_int8_create(kernel, problem, &int8));
    if (!int8) return SKY_OK;
    const sky_status status = sky_alloc(out, 1, sizeof **out, "a convolution");
    if (status == SKY_OK) kernel->state = *out, (*out)->int8 = int8;
    else sky_conv_int8_destroy(int8);
    return status;
}

/* Transformed filters, and what the convolution itself needs. */
static sky_status winograd_forward_prepare(struct sky_kernel *kernel, struct conv_state *state, bool keep_filters)
{
    const size_t filter_bytes = sky_cpu_align(sky_winograd_filter_bytes(&state->winograd));
    kernel->work_bytes = sky_cpu_align(sky_winograd_forward_bytes(&state->winograd)) + (keep_filters ? 0 : filter_bytes);
    state->kept_generation = UINT64_MAX;
    if (!keep_filters) return SKY_OK;
    state->kept_bytes = filter_bytes;
    return sky_block_alloc(&state->kept, filter_bytes, "transformed filters");
}

static sky_status forward_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *x = sky_cpu_in(kernel, 0), *w = sky_cpu_in(kernel, 1), *y = sky_cpu_out(kernel, 0);
    struct sky_dnnl_problem problem = {
        .direction = SKY_DNNL_FORWARD,
        .images = x->dim[0],
        .height = x->dim[1],
        .width = x->dim[2],
        .channels = x->dim[3],
        .filters = w->dim[0],
        .rows = w->dim[1],
        .columns = w->dim[2],
        .out_height = y->dim[1],
        .out_width = y->dim[2],
        .stride = kernel->node->attr.conv.stride,
        .pad = kernel->node->attr.conv.pad,
        .inference = kernel->device->options.constant_parameters,
        .bias = sky_cpu_in(kernel, 2) != NULL,
        .residual = sky_cpu_in(kernel, 3) != NULL,
        .relu = kernel->node->attr.conv.relu,
    };
    struct conv_state *state;
    SKY_TRY(int8_prepare(kernel, &problem, &state));
    if (state) return SKY_OK;
    SKY_TRY(winograd_prepare(kernel, x, w, y, problem.pad, &state));
    if (state) return winograd_forward_prepare(kernel, state, problem.inference);
    SKY_TRY(conv_prepare(kernel, &problem, &state));
    state->result = SKY_DNNL_Y;
    state->tensor_in[SKY_DNNL_X] = 0, state->tensor_in[SKY_DNNL_FILTERS] = 1, state->tensor_in[SKY_DNNL_Y] = -1;
    state->kept_bytes = kernel->device->options.constant_parameters ? sky_dnnl_conv_packed_bytes(state->conv, SKY_DNNL_FILTERS) : 0;
    state->kept_generation = UINT64_MAX;
    return state->kept_bytes ? sky_block_alloc(&state->kept, state->kept_bytes, "packed filters") : SKY_OK;
}

static sky_status dgrad_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *dy = sky_cpu_in(kernel, 0), *w = sky_cpu_in(kernel, 1), *dx = sky_cpu_out(kernel, 0);
    const int stride = kernel->node->attr.conv.stride, pad = kernel->node->attr.conv.pad;
    struct sky_dnnl_problem problem = {
        .direction = SKY_DNNL_DGRAD,
        .images = dx->dim[0],
        .height = dx->dim[1],
        .width = dx->dim[2],
        .channels = dx->dim[3],
        .filters = w->dim[0],
        .rows = w->dim[1],
        .columns = w->dim[2],
        .out_height = dy->dim[1],
        .out_width = dy->dim[2],
        .stride = stride,
        .pad = pad,
    };
    /* The gradient of a 1x1 convolution is one too, with the filters transposed; the library's forward code is the better one for NHWC. */
    const bool pointwise = w->dim[1] == 1 && w->dim[2] == 1 && stride == 1 && pad == 0;
    if (pointwise) {
        problem.direction = SKY_DNNL_FORWARD;
        problem.channels = w->dim[0], problem.filters = dx->dim[3];
        problem.filters_by_channel = true;
    }
    struct conv_state *state;
    SKY_TRY(winograd_prepare(kernel, dy, w, dx, 2 - pad, &state));
    if (state) return winograd_forward_prepare(kernel, state, false);
    SKY_TRY(conv_prepare(kernel, &problem, &state));
    state->result = pointwise ? SKY_DNNL_Y : SKY_DNNL_X;
    state->tensor_in[SKY_DNNL_X] = pointwise ? 0 : -1, state->tensor_in[SKY_DNNL_FILTERS] = 1, state->tensor_in[SKY_DNNL_Y] = pointwise ? -1 : 0;
    return SKY_OK;
}

static sky_status wgrad_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *x = sky_cpu_in(kernel, 0), *dy = sky_cpu_in(kernel, 1), *dw = sky_cpu_out(kernel, 0);
    struct sky_dnnl_problem problem = {
        .direction = SKY_DNNL_WGRAD,
        .images = x->dim[0],
        .height = x->dim[1],
        .width = x->dim[2],
        .channels = x->dim[3],
        .filters = dw->dim[0],
        .rows = dw->dim[1],
        .columns = dw->dim[2],
        .out_height = dy->dim[1],
        .out_width = dy->dim[2],
        .stride = kernel->node->attr.conv.stride,
        .pad = kernel->node->attr.conv.pad,
    };
    struct conv_state *state;
    SKY_TRY(winograd_prepare(kernel, x, dw, dy, problem.pad, &state));
    if (state) {
        kernel->work_bytes = sky_winograd_wgrad_bytes(&state->winograd);
        return SKY_OK;
    }
    SKY_TRY(conv_prepare(kernel, &problem, &state));
    state->result = SKY_DNNL_FILTERS;
    state->tensor_in[SKY_DNNL_X] = 0, state->tensor_in[SKY_DNNL_FILTERS] = -1, state->tensor_in[SKY_DNNL_Y] = 1;
    state->plain_at = kernel->work_bytes;
    kernel->work_bytes += sky_cpu_align(dw->bytes);
    return SKY_OK;
}

/* Where the library finds an operand: our tensor, or its packed copy made now. */
static sky_status operand(const struct sky_kernel *kernel, const struct sky_run *run, enum sky_dnnl_tensor tensor, const void **out)
{
    struct conv_state *state = kernel->state;
    const void *ours = run->in[state->tensor_in[tensor]];
    void *packed = (char *)run->work + state->packed_at[tensor], *scratch = (char *)run->work + state->scratch_at;
    *out = ours;
    if (!sky_dnnl_conv_packed_bytes(state->conv, tensor)) return SKY_OK;
    *out = packed;
    if (tensor != SKY_DNNL_FILTERS || !state->kept) return sky_dnnl_conv_pack(state->conv, tensor, ours, packed, scratch);
    *out = state->kept;
    if (state->kept_generation == kernel->device->generation) return SKY_OK;
    state->kept_generation = kernel->device->generation;
    return sky_dnnl_conv_pack(state->conv, tensor, ours, state->kept, scratch);
}

static void finish_rows(float *restrict y, const float *restrict residual, int64_t count, bool relu, int threads)
{
    enum { PIECE = 1 << 14 };
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t piece = 0; piece < count; piece += PIECE) {
        const int64_t end = sky_min(piece + PIECE, count);
#pragma omp simd
        for (int64_t i = piece; i < end; i++) {
            const float sum = residual ? y[i] + residual[i] : y[i];
            y[i] = relu ? sky_relu(sum) : sum;
        }
    }
}

static void add_rows(float *restrict to, const float *restrict from, int64_t count, int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

static sky_status conv_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct conv_state *state = kernel->state;
    const bool packed = sky_dnnl_conv_packed_bytes(state->conv, state->result) != 0, adds = run->accumulate && state->result == SKY_DNNL_FILTERS;
    char *work = run->work;
    void *plain = adds ? work + state->plain_at : run->out[0];
    const void *tensors[SKY_DNNL_TENSORS] = {NULL};
    for (int t = 0; t < SKY_DNNL_TENSORS; t++)
        if (t != (int)state->result) SKY_TRY(operand(kernel, run, (enum sky_dnnl_tensor)t, &tensors[t]));
    tensors[state->result] = packed ? work + state->packed_at[state->result] : plain;

    struct sky_dnnl_arguments arguments = {
        .x = tensors[SKY_DNNL_X], .filters = tensors[SKY_DNNL_FILTERS], .y = tensors[SKY_DNNL_Y], .scratch = work + state->scratch_at};
    if (kernel->node->op == SKY_OP_CONV) arguments.bias = run->in[2], arguments.residual = run->in[3];
    SKY_TRY(sky_dnnl_conv_execute(state->conv, &arguments));
    if (packed) SKY_TRY(sky_dnnl_conv_unpack(state->conv, state->result, tensors[state->result], plain, work + state->scratch_at));

    const int64_t count = sky_cpu_out(kernel, 0)->count;
    if (adds) add_rows(run->out[0], plain, count, sky_cpu_threads(kernel));
    if (state->add_residual || state->relu) finish_rows(run->out[0], state->add_residual ? run->in[3] : NULL, count, state->relu, sky_cpu_threads(kernel));
    return SKY_OK;
}

static sky_status forward_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct conv_state *state = kernel->state;
    if (state->int8) return sky_conv_int8_run(state->int8, kernel, run);
    if (state->conv) return conv_run(kernel, run);
    const bool gradient = kernel->node->op == SKY_OP_CONV_DGRAD;
    float *filters = state->kept ? state->kept : (float *)((char *)run->work + sky_cpu_align(sky_winograd_forward_bytes(&state->winograd)));
    struct sky_winograd_output output = {.y = run->out[0]};
    if (!gradient) output.bias = run->in[2], output.residual = run->in[3], output.relu = kernel->node->attr.conv.relu;
    if (!state->kept || state->kept_generation != kernel->device->generation) sky_winograd_filters(&state->winograd, run->in[1], gradient, filters);
    state->kept_generation = kernel->device->generation;
    sky_winograd_forward(&state->winograd, run->in[0], filters, &output, run->work);
    return SKY_OK;
}

static sky_status wgrad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct conv_state *state = kernel->state;
    if (state->conv) return conv_run(kernel, run);
    sky_winograd_wgrad(&state->winograd, run->in[0], run->in[1], run->accumulate, run->out[0], run->work);
    return SKY_OK;
}

const struct sky_operation sky_cpu_CONV = {.prepare = forward_prepare, .run = forward_run, .destroy = conv_destroy};
const struct sky_operation sky_cpu_CONV_DGRAD = {.prepare = dgrad_prepare, .run = forward_run, .destroy = conv_destroy};
const struct sky_operation sky_cpu_CONV_WGRAD = {.prepare = wgrad_prepare, .run = wgrad_run, .destroy = conv_destroy};

/* Fused forms: oneDNN has none for training. */
const struct sky_operation sky_cpu_BN_CONV = {0}, sky_cpu_BN_CONV_WGRAD = {0}, sky_cpu_BN_CONV_DGRAD = {0}, sky_cpu_BN_FROM_SUMS = {0}, sky_cpu_BN_GRAD_FROM_SUMS = {0};
