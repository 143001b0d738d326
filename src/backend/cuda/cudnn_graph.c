/*
 * Problems to operation graphs. Below are the library's descriptors (tensor, convolution, pointwise, statistics, batch norm's weights) as calls that return
 * one finalised descriptor each; above them, one function a form says which operations follow each other. Every descriptor belongs to its graph.
 */
#include "cudnn_graph.h"

#include <stdio.h>
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

sky_status sky_cudnn_check(cudnnStatus_t status, const char *where, const char *doing)
{
    char text[1024] = "";
    if (status == CUDNN_STATUS_SUCCESS) return SKY_OK;
    cudnnGetLastErrorString(text, sizeof text);
    return sky_fail(SKY_DEVICE, where, "cuDNN, %s: %s%s%s", doing, cudnnGetErrorString(status), *text ? ": " : "", text);
}

/* ---- descriptors ---- */

static void check(struct sky_cudnn_graph *graph, cudnnStatus_t status, const char *doing)
{
    if (graph->failed == SKY_OK) graph->failed = sky_cudnn_check(status, graph->where, doing);
}

static descriptor create(struct sky_cudnn_graph *graph, cudnnBackendDescriptorType_t type)
{
    descriptor created = NULL;
    if (graph->failed != SKY_OK) return NULL;
    if (graph->owned_count == sizeof graph->owned / sizeof *graph->owned) {
        graph->failed = sky_fail(SKY_INTERNAL, graph->where, "the graph has more descriptors than there is room for");
        return NULL;
    }
    check(graph, cudnnBackendCreateDescriptor(type, &created), "creating a descriptor");
    if (graph->failed == SKY_OK) graph->owned[graph->owned_count++] = created;
    return created;
}

static void set(struct sky_cudnn_graph *graph, descriptor to, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *values)
{
    if (graph->failed == SKY_OK) check(graph, cudnnBackendSetAttribute(to, name, type, count, values), "setting an attribute");
}

static void set_part(struct sky_cudnn_graph *graph, descriptor to, cudnnBackendAttributeName_t name, descriptor part)
{
    set(graph, to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
}

static descriptor finished(struct sky_cudnn_graph *graph, descriptor made, const char *what)
{
    if (graph->failed == SKY_OK) check(graph, cudnnBackendFinalize(made), what);
    return made;
}

static cudnnDataType_t library_type(enum sky_dtype dtype)
{
    return dtype == SKY_BF16 ? CUDNN_DATA_BFLOAT16 : dtype == SKY_F16 ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
}

/* dim in the library's order (N C H W, or K C R S), stored with channels last. Without a role the tensor is virtual: it lives inside the engine only. */
static descriptor tensor_of(struct sky_cudnn_graph *graph, int64_t uid, bool is_virtual, enum sky_dtype dtype, const int64_t dim[4])
{
    const int64_t strides[4] = {dim[1] * dim[2] * dim[3], 1, dim[3] * dim[1], dim[1]}, alignment = 16;
    const cudnnDataType_t type = library_type(dtype);
    const descriptor tensor = create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(graph, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(graph, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(graph, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(graph, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(graph, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(graph, tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return finished(graph, tensor, "describing a tensor");
}

static descriptor tensor(struct sky_cudnn_graph *graph, enum sky_conv_tensor role, enum sky_dtype dtype, const int64_t dim[4])
{
    graph->tensors |= 1u << role;
    return tensor_of(graph, (int64_t)role + 1, false, dtype, dim);
}

static descriptor inner(struct sky_cudnn_graph *graph, enum sky_dtype dtype, const int64_t dim[4])
{
    return tensor_of(graph, SKY_CONV_TENSOR_COUNT + 1 + graph->owned_count, true, dtype, dim);
}

static descriptor vector(struct sky_cudnn_graph *graph, enum sky_conv_tensor role, enum sky_dtype dtype, int64_t channels)
{
    return tensor(graph, role, dtype, (const int64_t[4]){1, channels, 1, 1});
}

static descriptor convolution_shape(struct sky_cudnn_graph *graph, int64_t stride, int64_t pad)
{
    const int64_t two = 2, pads[2] = {pad, pad}, strides[2] = {stride, stride}, dilations[2] = {1, 1};
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const descriptor shape = create(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    return finished(graph, shape, "describing a convolution");
}

/* The three directions differ only in the names of their attributes. */
static const struct direction {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, shape, x, w, y;
} directions[] = {
    [SKY_CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [SKY_CONV_DGRAD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
    [SKY_CONV_WGRAD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
};

static descriptor convolution(struct sky_cudnn_graph *graph, enum sky_conv_form form, const struct sky_conv_problem *p, descriptor x, descriptor w,
                              descriptor y)
{
    const struct direction *names = &directions[form];
    const float one = 1, zero = 0;
    const descriptor shape = convolution_shape(graph, p->stride, p->pad), operation = create(graph, names->type);
    set(graph, operation, names->alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(graph, operation, names->beta, CUDNN_TYPE_FLOAT, 1, &zero);
    set_part(graph, operation, names->shape, shape);
    set_part(graph, operation, names->x, x);
    set_part(graph, operation, names->w, w);
    set_part(graph, operation, names->y, y);
    return finished(graph, operation, "describing a convolution's operation");
}

static descriptor pointwise_mode(struct sky_cudnn_graph *graph, cudnnPointwiseMode_t mode)
{
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const descriptor made = create(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(graph, made, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(graph, made, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    return finished(graph, made, "describing a pointwise function");
}

/* y = mode(x, b), or mode(x) where b is NULL. */
static descriptor pointwise(struct sky_cudnn_graph *graph, cudnnPointwiseMode_t mode, descriptor x, descriptor b, descriptor y)
{
    const descriptor function = pointwise_mode(graph, mode), operation = create(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b) set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return finished(graph, operation, "describing a pointwise operation");
}

/* dx = dy where x > 0, else 0. */
static descriptor relu_gradient(struct sky_cudnn_graph *graph, descriptor x, descriptor dy, descriptor dx)
{
    const descriptor function = pointwise_mode(graph, CUDNN_POINTWISE_RELU_BWD), operation = create(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, dx);
    return finished(graph, operation, "describing ReLU's gradient");
}

/* Sum and square sum of each of x's channels. */
static descriptor statistics(struct sky_cudnn_graph *graph, descriptor x, int64_t channels)
{
    const cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const descriptor sum = vector(graph, SKY_CONV_SUM, SKY_F32, channels), square_sum = vector(graph, SKY_CONV_SQUARE_SUM, SKY_F32, channels);
    const descriptor operation = create(graph, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
    set(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
    set(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, x);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, square_sum);
    return finished(graph, operation, "describing channel statistics");
}

struct norm {
    descriptor z, mean, invstd, gamma, beta;
};

/* dgamma, dbeta and the factors of dz from g, the gradient by batch norm's output. */
static descriptor norm_weights_gradient(struct sky_cudnn_graph *graph, const struct norm *norm, descriptor g, int64_t channels)
{
    static const struct {
        cudnnBackendAttributeName_t name;
        enum sky_conv_tensor role;
    } outputs[] = {{CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, SKY_CONV_DGAMMA},
                   {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC, SKY_CONV_DBETA},
                   {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC, SKY_CONV_FACTOR_G},
                   {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, SKY_CONV_FACTOR_Z},
                   {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS, SKY_CONV_OFFSET}};
    const cudnnDataType_t math = CUDNN_DATA_FLOAT;
    const descriptor operation = create(graph, CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR);
    set(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &math);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, norm->mean);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC, norm->invstd);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC, norm->gamma);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC, norm->z);
    set_part(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC, g);
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++)
        set_part(graph, operation, outputs[i].name, vector(graph, outputs[i].role, SKY_F32, channels));
    return finished(graph, operation, "describing batch norm's weight gradients");
}

/* ---- forms ---- */

/* The problem's three tensors in the library's order of dimensions, and its operations as they come to be. */
struct form {
    const struct sky_conv_problem *problem;
    int64_t x[4], w[4], y[4];
    descriptor operations[8];
    int count;
};

static void add(struct form *form, descriptor operation) { form->operations[form->count++] = operation; }

static void forward(struct sky_cudnn_graph *graph, struct form *form)
{
    const struct sky_conv_problem *p = form->problem;
    const descriptor x = tensor(graph, SKY_CONV_X, p->dtype, form->x), w = tensor(graph, SKY_CONV_W, p->dtype, form->w);
    const descriptor y = tensor(graph, SKY_CONV_Y, p->dtype, form->y);
    int left = p->residual + p->bias + p->relu; /* operations that still follow: all but the last write a virtual tensor */
    descriptor last = left ? inner(graph, SKY_F32, form->y) : y;
    add(form, convolution(graph, SKY_CONV_FORWARD, p, x, w, last));
    if (p->residual) {
        const descriptor sum = --left ? inner(graph, SKY_F32, form->y) : y;
        add(form, pointwise(graph, CUDNN_POINTWISE_ADD, last, tensor(graph, SKY_CONV_RESIDUAL, p->dtype, form->y), sum));
        last = sum;
    }
    if (p->bias) {
        const descriptor sum = --left ? inner(graph, SKY_F32, form->y) : y;
        add(form, pointwise(graph, CUDNN_POINTWISE_ADD, last, vector(graph, SKY_CONV_BIAS, SKY_F32, p->filters), sum));
        last = sum;
    }
    if (p->relu) add(form, pointwise(graph, CUDNN_POINTWISE_RELU_FWD, last, NULL, y));
}

/* relu(x scale + shift), which never reaches memory. */
static descriptor normed_input(struct sky_cudnn_graph *graph, struct form *form)
{
    const struct sky_conv_problem *p = form->problem;
    const descriptor x = tensor(graph, SKY_CONV_X, p->dtype, form->x), scaled = inner(graph, SKY_F32, form->x), shifted = inner(graph, SKY_F32, form->x);
    const descriptor out = inner(graph, p->dtype, form->x);
    add(form, pointwise(graph, CUDNN_POINTWISE_MUL, x, vector(graph, SKY_CONV_SCALE, p->dtype, p->channels), scaled));
    add(form, pointwise(graph, CUDNN_POINTWISE_ADD, scaled, vector(graph, SKY_CONV_SHIFT, p->dtype, p->channels), shifted));
    add(form, pointwise(graph, CUDNN_POINTWISE_RELU_FWD, shifted, NULL, out));
    return out;
}

static void forward_statistics(struct sky_cudnn_graph *graph, struct form *form)
{
    const struct sky_conv_problem *p = form->problem;
    const descriptor x = p->form == SKY_CONV_BN_FORWARD_STATS ? normed_input(graph, form) : tensor(graph, SKY_CONV_X, p->dtype, form->x);
    const descriptor w = tensor(graph, SKY_CONV_W, p->dtype, form->w), y = tensor(graph, SKY_CONV_Y, p->dtype, form->y);
    add(form, convolution(graph, SKY_CONV_FORWARD, p, x, w, y));
    add(form, statistics(graph, y, p->filters));
}

static void dgrad(struct sky_cudnn_graph *graph, struct form *form)
{
    const enum sky_dtype dtype = form->problem->dtype;
    const descriptor dx = tensor(graph, SKY_CONV_X, dtype, form->x), w = tensor(graph, SKY_CONV_W, dtype, form->w),
                     dy = tensor(graph, SKY_CONV_Y, dtype, form->y);
    add(form, convolution(graph, SKY_CONV_DGRAD, form->problem, dx, w, dy));
}

static void wgrad(struct sky_cudnn_graph *graph, struct form *form)
{
    const struct sky_conv_problem *p = form->problem;
    const descriptor x = p->form == SKY_CONV_BN_WGRAD ? normed_input(graph, form) : tensor(graph, SKY_CONV_X, p->dtype, form->x);
    const descriptor dw = tensor(graph, SKY_CONV_W, p->dtype, form->w), dy = tensor(graph, SKY_CONV_Y, p->dtype, form->y);
    add(form, convolution(graph, SKY_CONV_WGRAD, p, x, dw, dy));
}

/* The mask comes from batch norm's output, computed again from z in the order that the library's engine knows. */
static void dgrad_norm(struct sky_cudnn_graph *graph, struct form *form)
{
    const struct sky_conv_problem *p = form->problem;
    const int64_t c = p->channels;
    const descriptor w = tensor(graph, SKY_CONV_W, p->dtype, form->w), dy = tensor(graph, SKY_CONV_Y, p->dtype, form->y);
    const descriptor g = tensor(graph, SKY_CONV_X, p->dtype, form->x);
    const struct norm norm = {tensor(graph, SKY_CONV_Z, p->dtype, form->x), vector(graph, SKY_CONV_MEAN, SKY_F32, c),
                              vector(graph, SKY_CONV_INVSTD, SKY_F32, c), vector(graph, SKY_CONV_GAMMA, SKY_F32, c), vector(graph, SKY_CONV_BETA, SKY_F32, c)};
    descriptor t[5];
    for (int i = 0; i < 5; i++) t[i] = inner(graph, SKY_F32, form->x);
    add(form, convolution(graph, SKY_CONV_DGRAD, p, t[0], w, dy));
    add(form, pointwise(graph, CUDNN_POINTWISE_SUB, norm.z, norm.mean, t[1]));
    add(form, pointwise(graph, CUDNN_POINTWISE_MUL, t[1], norm.invstd, t[2]));
    add(form, pointwise(graph, CUDNN_POINTWISE_MUL, t[2], norm.gamma, t[3]));
    add(form, pointwise(graph, CUDNN_POINTWISE_ADD, t[3], norm.beta, t[4]));
    add(form, relu_gradient(graph, t[4], t[0], g));
    add(form, norm_weights_gradient(graph, &norm, g, c));
}

static const struct {
    const char *name;
    void (*build)(struct sky_cudnn_graph *graph, struct form *form);
} forms[SKY_CONV_FORM_COUNT] = {
    [SKY_CONV_FORWARD] = {"fprop", forward},
    [SKY_CONV_DGRAD] = {"dgrad", dgrad},
    [SKY_CONV_WGRAD] = {"wgrad", wgrad},
    [SKY_CONV_FORWARD_STATS] = {"fprop+stats", forward_statistics},
    [SKY_CONV_BN_FORWARD_STATS] = {"bn+fprop+stats", forward_statistics},
    [SKY_CONV_BN_WGRAD] = {"bn+wgrad", wgrad},
    [SKY_CONV_DGRAD_BN] = {"dgrad+bn", dgrad_norm},
};

void sky_conv_shape_text(const struct sky_conv_problem *p, char out[SKY_CONV_TEXT])
{
    snprintf(out, SKY_CONV_TEXT, "%s %lldx%lldx%lldx%lld -> %lldx%lldx%lld, %lldx%lld stride %d pad %d%s%s%s%s", forms[p->form].name, (long long)p->images,
             (long long)p->height, (long long)p->width, (long long)p->channels, (long long)p->out_height, (long long)p->out_width, (long long)p->filters,
             (long long)p->rows, (long long)p->columns, p->stride, p->pad, p->bias || p->residual || p->relu ? "," : "", p->bias ? " bias" : "",
             p->residual ? " residual" : "", p->relu ? " relu" : "");
}

void sky_conv_problem_text(const struct sky_conv_problem *p, char out[SKY_CONV_TEXT])
{
    sky_conv_shape_text(p, out);
    const size_t length = strlen(out);
    snprintf(out + length, SKY_CONV_TEXT - length, " in %s", sky_dtype_name(p->dtype));
}

struct sky_conv_problem sky_conv_problem_of(const struct sky_graph *graph, const struct sky_node *node)
{
    const struct sky_tensor *x = sky_graph_get(graph, node->in[0]), *w = sky_graph_get(graph, node->in[1]), *y = sky_graph_get(graph, node->out[0]), *swap;
    struct sky_conv_problem problem = {.form = SKY_CONV_FORWARD, .stride = node->attr.conv.stride, .pad = node->attr.conv.pad};
    if (node->op == SKY_OP_BN_CONV) problem.form = node->in[2] == SKY_NONE ? SKY_CONV_FORWARD_STATS : SKY_CONV_BN_FORWARD_STATS;
    if (node->op == SKY_OP_CONV_DGRAD || node->op == SKY_OP_BN_CONV_DGRAD) problem.form = SKY_CONV_DGRAD, swap = x, x = y, y = swap;
    if (node->op == SKY_OP_CONV_WGRAD || node->op == SKY_OP_BN_CONV_WGRAD) problem.form = SKY_CONV_WGRAD, swap = w, w = y, y = swap;
    if (node->op == SKY_OP_BN_CONV_DGRAD) problem.form = SKY_CONV_DGRAD_BN;
    if (node->op == SKY_OP_BN_CONV_WGRAD) problem.form = SKY_CONV_BN_WGRAD;
    problem.dtype = x->dtype;
    problem.images = x->dim[0], problem.height = x->dim[1], problem.width = x->dim[2], problem.channels = x->dim[3];
    problem.filters = w->dim[0], problem.rows = w->dim[1], problem.columns = w->dim[2];
    problem.out_height = y->dim[1], problem.out_width = y->dim[2];
    if (problem.form > SKY_CONV_WGRAD) problem.images /= node->attr.conv.groups;
    if (node->op == SKY_OP_CONV) problem.bias = node->in[2] != SKY_NONE, problem.residual = node->in[3] != SKY_NONE, problem.relu = node->attr.conv.relu;
    return problem;
}

sky_status sky_cudnn_graph_build(struct sky_cudnn_graph *graph, const struct sky_conv_problem *p)
{
    struct form form = {.problem = p,
                        .x = {p->images, p->channels, p->height, p->width},
                        .w = {p->filters, p->channels, p->rows, p->columns},
                        .y = {p->images, p->filters, p->out_height, p->out_width}};
    memset(graph, 0, sizeof *graph);
    sky_conv_problem_text(p, graph->where);
    forms[p->form].build(graph, &form);
    const descriptor made = create(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(graph, made, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, form.count, form.operations);
    graph->graph = finished(graph, made, "making the operation graph");
    const sky_status status = graph->failed;
    if (status != SKY_OK) sky_cudnn_graph_free(graph);
    return status;
}

void sky_cudnn_graph_free(struct sky_cudnn_graph *graph)
{
    while (graph->owned_count) cudnnBackendDestroyDescriptor(graph->owned[--graph->owned_count]);
    memset(graph, 0, sizeof *graph);
}
