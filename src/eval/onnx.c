/*
 * Walks the inference graph and writes each operation as ONNX operators. Maps are NCHW there; numbers are read from the caller's executor. Owns the ONNX
 * model being put together and room for one constant.
 */
#include "onnx.h"

#include "base/memory.h"
#include "io/onnx_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEM_EPSILON 1e-6f

struct writer {
    struct sky_onnx onnx;
    const struct sky_model *model;
    struct sky_executor *executor;
    int constants; /* numbers their names */
    float *values, *turned; /* room for the largest constant */
};

/* Names of values and constants: short texts that live as long as the expression. */
struct name {
    char text[24];
};

static struct name value_name(sky_value value)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "v%d", value);
    return name;
}

static struct name constant(struct writer *w, int rank, const int64_t *dim, const float *data)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "c%d", w->constants++);
    sky_onnx_floats(&w->onnx, name.text, rank, dim, data);
    return name;
}

static struct name scalar(struct writer *w, float value)
{
    return constant(w, 0, NULL, &value);
}

static struct name integers(struct writer *w, int64_t count, const int64_t *data)
{
    struct name name;
    snprintf(name.text, sizeof name.text, "c%d", w->constants++);
    sky_onnx_integers(&w->onnx, name.text, count, data);
    return name;
}

/* An operation of one, two or three inputs on an intermediate result, whose name comes back. */
static struct name apply(struct writer *w, const char *operation, const char *a, const char *b, const char *c)
{
    struct name out;
    const char *const in[3] = {a, b, c};
    snprintf(out.text, sizeof out.text, "t%d", w->constants++);
    sky_onnx_node(&w->onnx, operation, out.text, c ? 3 : b ? 2 : 1, in);
    return out;
}

static void finish(struct writer *w, const char *operation, sky_value out, const char *a, const char *b, const char *c)
{
    const struct name name = value_name(out);
    const char *const in[3] = {a, b, c};
    sky_onnx_node(&w->onnx, operation, name.text, c ? 3 : b ? 2 : 1, in);
}

static const struct sky_tensor *tensor_of(const struct writer *w, sky_value value)
{
    return &w->model->graph.tensors[value];
}

/* A tensor's values into w->values. */
static sky_status read_values(struct writer *w, sky_value value)
{
    return sky_executor_read(w->executor, value, w->values);
}

/* ---- operations: maps ---- */

static sky_status write_conv(struct writer *w, const struct sky_node *node)
{
    const struct sky_tensor *filter = tensor_of(w, node->in[1]); /* [K,R,S,C] */
    const int64_t k = filter->dim[0], rows = filter->dim[1], columns = filter->dim[2], channels = filter->dim[3];
    const int64_t stride = node->attr.conv.stride, pad = node->attr.conv.pad;
    const bool biased = node->in_count > 2 && node->in[2] >= 0, residual = node->in_count > 3 && node->in[3] >= 0, relu = node->attr.conv.relu;
    struct name bias = {""}, result;
    SKY_TRY(read_values(w, node->in[1]));
    for (int64_t i = 0; i < filter->count; i++) {
        const int64_t s = i % columns, r = i / columns % rows, c = i / (columns * rows) % channels, out = i / (columns * rows * channels);
        w->turned[i] = w->values[((out * rows + r) * columns + s) * channels + c];
    }
    const struct name weight = constant(w, 4, (const int64_t[]){k, channels, rows, columns}, w->turned);
    if (biased) {
        SKY_TRY(read_values(w, node->in[2]));
        bias = constant(w, 1, &k, w->values);
    }
    const struct name x = value_name(node->in[0]);
    sky_onnx_attribute_list(&w->onnx, "kernel_shape", 2, (const int64_t[]){rows, columns});
    sky_onnx_attribute_list(&w->onnx, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
    sky_onnx_attribute_list(&w->onnx, "strides", 2, (const int64_t[]){stride, stride});
    if (!residual && !relu) return finish(w, "Conv", node->out[0], x.text, weight.text, biased ? bias.text : NULL), SKY_OK;
    result = apply(w, "Conv", x.text, weight.text, biased ? bias.text : NULL);
    if (residual) {
        const struct name other = value_name(node->in[3]);
        if (!relu) return finish(w, "Add", node->out[0], result.text, other.text, NULL), SKY_OK;
        result = apply(w, "Add", result.text, other.text, NULL);
    }
    finish(w, "Relu", node->out[0], result.text, NULL, NULL);
    return SKY_OK;
}

static sky_status write_max_pool(struct writer *w, const struct sky_node *node)
{
    const int64_t window = node->attr.pool.window, stride = node->attr.pool.stride, pad = node->attr.pool.pad;
    sky_onnx_attribute(&w->onnx, "ceil_mode", node->attr.pool.ceil);
    sky_onnx_attribute_list(&w->onnx, "kernel_shape", 2, (const int64_t[]){window, window});
    sky_onnx_attribute_list(&w->onnx, "pads", 4, (const int64_t[]){pad, pad, pad, pad});
    sky_onnx_attribute_list(&w->onnx, "strides", 2, (const int64_t[]){stride, stride});
    finish(w, "MaxPool", node->out[0], value_name(node->in[0]).text, NULL, NULL);
    return SKY_OK;
}

/* [N,C,1,1], as its consumer, the gate, wants it. */
static sky_status write_channel_mean(struct writer *w, const struct sky_node *node)
{
    sky_onnx_attribute_list(&w->onnx, "axes", 2, (const int64_t[]){2, 3});
    sky_onnx_attribute(&w->onnx, "keepdims", 1);
    finish(w, "ReduceMean", node->out[0], value_name(node->in[0]).text, NULL, NULL);
    return SKY_OK;
}

/* One of the gate's two layers, as a 1x1 convolution. */
static sky_status gate_layer(struct writer *w, const char *x, sky_value weight, sky_value bias, struct name *out)
{
    const struct sky_tensor *matrix = tensor_of(w, weight);
    SKY_TRY(read_values(w, weight));
    const struct name filter = constant(w, 4, (const int64_t[]){matrix->dim[0], matrix->dim[1], 1, 1}, w->values);
    SKY_TRY(read_values(w, bias));
    const struct name offset = constant(w, 1, &matrix->dim[0], w->values);
    *out = apply(w, "Conv", x, filter.text, offset.text);
    return SKY_OK;
}

static sky_status write_gate(struct writer *w, const struct sky_node *node)
{
    struct name hidden, gate;
    SKY_TRY(gate_layer(w, value_name(node->in[0]).text, node->in[1], node->in[2], &hidden));
    hidden = apply(w, "Relu", hidden.text, NULL, NULL);
    SKY_TRY(gate_layer(w, hidden.text, node->in[3], node->in[4], &gate));
    finish(w, "Sigmoid", node->out[1], gate.text, NULL, NULL);
    return SKY_OK;
}

static sky_status write_tail(struct writer *w, const struct sky_node *node)
{
    struct name branch = value_name(node->in[0]);
    for (int i = 1; i < node->in_count; i++)
        if (i != 5 && i != 6 && node->in[i] >= 0) return sky_fail(SKY_UNSUPPORTED, node->name, "a block tail with batch norm in it cannot be written as ONNX");
    if (node->in[5] >= 0) branch = apply(w, "Mul", branch.text, value_name(node->in[5]).text, NULL);
    finish(w, "Relu", node->out[0], apply(w, "Add", value_name(node->in[6]).text, branch.text, NULL).text, NULL, NULL);
    return SKY_OK;
}

static sky_status write_global_max(struct writer *w, const struct sky_node *node)
{
    sky_onnx_attribute_list(&w->onnx, "axes", 2, (const int64_t[]){2, 3});
    sky_onnx_attribute(&w->onnx, "keepdims", 0);
    const struct name rows = apply(w, "ReduceMax", value_name(node->in[0]).text, NULL, NULL);
    const struct name axis = integers(w, 1, (const int64_t[]){0});
    finish(w, "Unsqueeze", node->out[0], rows.text, axis.text, NULL);
    return SKY_OK;
}

/* Bilinear with align_corners, one dimension: out [to, from] (or turned, [from, to]). */
static struct name blend(struct writer *w, int64_t from, int64_t to, bool turned)
{
    memset(w->turned, 0, (size_t)(from * to) * sizeof *w->turned);
    for (int64_t i = 0; i < to; i++) {
        const double source = to > 1 ? (double)(i * (from - 1)) / (double)(to - 1) : 0;
        const int64_t first = (int64_t)source, second = first + 1 < from ? first + 1 : first;
        w->turned[turned ? first * to + i : i * from + first] += (float)(1 - (source - (double)first));
        w->turned[turned ? second * to + i : i * from + second] += (float)(source - (double)first);
    }
    return constant(w, 2, turned ? (const int64_t[]){from, to} : (const int64_t[]){to, from}, w->turned);
}

static sky_status write_upsample(struct writer *w, const struct sky_node *node)
{
    const struct sky_tensor *x = tensor_of(w, node->in[0]);
    const struct name down = blend(w, x->dim[1], node->attr.map.height, false), across = blend(w, x->dim[2], node->attr.map.width, true);
    const struct name tall = apply(w, "MatMul", down.text, value_name(node->in[0]).text, NULL);
    finish(w, "MatMul", node->out[0], tall.text, across.text, NULL);
    return SKY_OK;
}

/* ---- operations: parts ---- */

static bool inside(const int16_t box[4], int64_t h, int64_t w)
{
    return h >= box[0] && w >= box[1] && h < box[2] && w < box[3];
}

static bool holds(const struct sky_part_table *table, int k, int64_t h, int64_t w)
{
    const int first = table->part[k].first, last = table->part[k].last;
    return inside(table->box[last], h, w) && !(first > 0 && inside(table->box[first - 1], h, w));
}

/* Columns first .. first + count - 1 of the matrix that sums positions to parts: [HW, count], 1/denominator where part k holds the position. */
static struct name part_matrix(struct writer *w, const struct sky_node *node, int first, int count)
{
    const struct sky_tensor *x = tensor_of(w, node->in[0]); /* [N,H,W,C] */
    const struct sky_part_table *table = node->attr.part.table;
    const int64_t positions = x->dim[1] * x->dim[2];
    for (int64_t i = 0; i < positions * count; i++) {
        const int k = first + (int)(i % count);
        const int64_t position = i / count;
        w->turned[i] = holds(table, k, position / x->dim[2], position % x->dim[2]) ? (float)(1.0 / table->part[k].denominator) : 0;
    }
    return constant(w, 2, (const int64_t[]){positions, count}, w->turned);
}

/* GeM of parts first .. first + count - 1, all with the exponents p [p_count] (1, or one a channel): [N,C,count]. */
static struct name write_gem(struct writer *w, const struct sky_node *node, const char *x, int first, int count, const float *p, int64_t p_count)
{
    const struct sky_part_table *table = node->attr.part.table;
    const struct name exponent = constant(w, 3, (const int64_t[]){1, p_count, 1}, p);
    for (int64_t c = 0; c < p_count; c++) {
        for (int k = 0; k < count; k++)
            w->turned[c * count + k] = (float)(table->part[first + k].holes * pow((double)GEM_EPSILON, (double)p[c]) / table->part[first + k].denominator);
    }
    const struct name holes = constant(w, 3, (const int64_t[]){1, p_count, count}, w->turned);
    for (int64_t c = 0; c < p_count; c++) w->turned[c] = 1 / p[c];
    const struct name root = constant(w, 3, (const int64_t[]){1, p_count, 1}, w->turned);
    const struct name matrix = part_matrix(w, node, first, count);
    const struct name powers = apply(w, "Pow", x, exponent.text, NULL);
    const struct name sums = apply(w, "MatMul", powers.text, matrix.text, NULL);
    return apply(w, "Pow", apply(w, "Add", sums.text, holes.text, NULL).text, root.text, NULL);
}

/* Maps are behind a ReLU, so zeros in place of what a part does not hold leave its maximum as it is. */
static struct name write_max(struct writer *w, const struct sky_node *node, const char *x, int k)
{
    const struct sky_tensor *map = tensor_of(w, node->in[0]);
    const int64_t positions = map->dim[1] * map->dim[2];
    for (int64_t i = 0; i < positions; i++) w->turned[i] = holds(node->attr.part.table, k, i / map->dim[2], i % map->dim[2]);
    const struct name mask = constant(w, 3, (const int64_t[]){1, 1, positions}, w->turned);
    const struct name held = apply(w, "Mul", x, mask.text, NULL);
    sky_onnx_attribute_list(&w->onnx, "axes", 1, (const int64_t[]){2});
    sky_onnx_attribute(&w->onnx, "keepdims", 1);
    return apply(w, "ReduceMax", held.text, NULL, NULL);
}

static struct name join(struct writer *w, const struct name *parts, int count)
{
    const char *in[SKY_MAX_PARTS];
    struct name out;
    for (int k = 0; k < count; k++) in[k] = parts[k].text;
    snprintf(out.text, sizeof out.text, "t%d", w->constants++);
    sky_onnx_attribute(&w->onnx, "axis", 2);
    sky_onnx_node(&w->onnx, "Concat", out.text, count, in);
    return out;
}

static sky_status pool_gem(struct writer *w, const struct sky_node *node, const char *x, struct name *out)
{
    const int parts = node->attr.part.table->part_count;
    const bool learned = node->in_count > 1 && node->in[1] >= 0;
    const int64_t channels = tensor_of(w, node->in[0])->dim[3], count = learned ? tensor_of(w, node->in[1])->count : 1;
    const struct name clamped = apply(w, "Clip", x, scalar(w, GEM_EPSILON).text, NULL);
    struct name each[SKY_MAX_PARTS];
    w->values[0] = (float)node->attr.part.p;
    if (learned) SKY_TRY(read_values(w, node->in[1]));
    if (count == 1 || count == channels) return *out = write_gem(w, node, clamped.text, 0, parts, w->values, count), SKY_OK;
    for (int k = 0; k < parts; k++) each[k] = write_gem(w, node, clamped.text, k, 1, w->values + k, 1);
    *out = join(w, each, parts);
    return SKY_OK;
}

static sky_status write_parts(struct writer *w, const struct sky_node *node)
{
    const int parts = node->attr.part.table->part_count;
    const struct name shape = integers(w, 3, (const int64_t[]){0, 0, -1});
    const struct name flat = apply(w, "Reshape", value_name(node->in[0]).text, shape.text, NULL); /* [N,C,HW] */
    struct name pooled, each[SKY_MAX_PARTS];
    if (node->attr.part.pooling == SKY_POOL_GEM) SKY_TRY(pool_gem(w, node, flat.text, &pooled));
    else if (node->attr.part.pooling == SKY_POOL_AVG) pooled = apply(w, "MatMul", flat.text, part_matrix(w, node, 0, parts).text, NULL);
    else {
        for (int k = 0; k < parts; k++) each[k] = write_max(w, node, flat.text, k);
        pooled = join(w, each, parts);
    }
    sky_onnx_attribute_list(&w->onnx, "perm", 3, (const int64_t[]){2, 0, 1});
    finish(w, "Transpose", node->out[0], pooled.text, NULL, NULL); /* [P,N,C] */
    return SKY_OK;
}

static sky_status write_attention(struct writer *w, const struct sky_node *node)
{
    const struct name x = value_name(node->in[0]);
    sky_onnx_attribute(&w->onnx, "axis", 0);
    finish(w, "Mul", node->out[0], x.text, apply(w, "Softmax", x.text, NULL, NULL).text, NULL);
    return SKY_OK;
}

/* ---- operations: heads [P,N,D] ---- */

static sky_status write_concat(struct writer *w, const struct sky_node *node)
{
    if (tensor_of(w, node->out[0])->rank != 3) return sky_fail(SKY_UNSUPPORTED, node->name, "joined maps cannot be written as ONNX");
    sky_onnx_attribute(&w->onnx, "axis", node->attr.concat.axis);
    finish(w, "Concat", node->out[0], value_name(node->in[0]).text, value_name(node->in[1]).text, NULL);
    return SKY_OK;
}

static sky_status write_linear(struct writer *w, const struct sky_node *node)
{
    const struct sky_tensor *weight = tensor_of(w, node->in[1]); /* [P,K,D] */
    const int64_t heads = weight->dim[0], rows = weight->dim[1], columns = weight->dim[2];
    const bool biased = node->in_count > 2 && node->in[2] >= 0;
    SKY_TRY(read_values(w, node->in[1]));
    for (int64_t i = 0; i < weight->count; i++) {
        const int64_t k = i % rows, d = i / rows % columns, p = i / rows / columns;
        w->turned[i] = w->values[(p * rows + k) * columns + d];
    }
    const struct name matrix = constant(w, 3, (const int64_t[]){heads, columns, rows}, w->turned), x = value_name(node->in[0]);
    if (!biased) return finish(w, "MatMul", node->out[0], x.text, matrix.text, NULL), SKY_OK;
    SKY_TRY(read_values(w, node->in[2]));
    const struct name bias = constant(w, 3, (const int64_t[]){heads, 1, rows}, w->values);
    finish(w, "Add", node->out[0], apply(w, "MatMul", x.text, matrix.text, NULL).text, bias.text, NULL);
    return SKY_OK;
}

/* gamma (x - mean) / sqrt(var + epsilon) + beta as x * slope + offset. */
static sky_status write_head_norm(struct writer *w, const struct sky_node *node)
{
    const struct sky_tensor *gamma = tensor_of(w, node->in[1]); /* [P,D], likewise the others */
    const int64_t count = gamma->count, dim[3] = {gamma->dim[0], 1, gamma->dim[1]};
    float *slope = w->turned, *offset = w->turned + count;
    SKY_TRY(read_values(w, node->in[4]));
    for (int64_t i = 0; i < count; i++) slope[i] = (float)(1 / sqrt((double)w->values[i] + node->attr.bn.epsilon));
    SKY_TRY(read_values(w, node->in[1]));
    for (int64_t i = 0; i < count; i++) slope[i] *= w->values[i];
    SKY_TRY(read_values(w, node->in[3]));
    for (int64_t i = 0; i < count; i++) offset[i] = -w->values[i] * slope[i];
    SKY_TRY(read_values(w, node->in[2]));
    for (int64_t i = 0; i < count; i++) offset[i] += w->values[i];
    const struct name by = constant(w, 3, dim, slope), plus = constant(w, 3, dim, offset);
    finish(w, "Add", node->out[0], apply(w, "Mul", value_name(node->in[0]).text, by.text, NULL).text, plus.text, NULL);
    return SKY_OK;
}

/* Each part over its length and over sqrt(P); then [N, E*P]. A part of zeros stays zeros. */
static void write_features(struct writer *w)
{
    const int64_t parts = w->model->heads, width = w->model->embedding;
    const struct name x = value_name(w->model->features);
    sky_onnx_attribute_list(&w->onnx, "axes", 1, (const int64_t[]){2});
    sky_onnx_attribute(&w->onnx, "keepdims", 1);
    const struct name length = apply(w, "ReduceL2", x.text, NULL, NULL), least = scalar(w, 1e-30f), root = scalar(w, (float)sqrt((double)parts));
    const struct name safe = apply(w, "Clip", length.text, least.text, NULL);
    const struct name unit = apply(w, "Div", x.text, apply(w, "Mul", safe.text, root.text, NULL).text, NULL);
    sky_onnx_attribute_list(&w->onnx, "perm", 3, (const int64_t[]){1, 2, 0});
    const struct name turned = apply(w, "Transpose", unit.text, NULL, NULL), shape = integers(w, 2, (const int64_t[]){0, parts * width});
    const char *const in[2] = {turned.text, shape.text};
    sky_onnx_node(&w->onnx, "Reshape", "features", 2, in);
    sky_onnx_output(&w->onnx, "features", 2, (const int64_t[]){-1, parts * width});
}

static sky_status write_node(struct writer *w, const struct sky_node *node)
{
    switch (node->op) {
    case SKY_OP_IMAGE_PREP: return finish(w, "Identity", node->out[0], "images", NULL, NULL), SKY_OK;
    case SKY_OP_CONV: return write_conv(w, node);
    case SKY_OP_MAX_POOL: return write_max_pool(w, node);
    case SKY_OP_CHANNEL_MEAN: return write_channel_mean(w, node);
    case SKY_OP_SE_GATE: return write_gate(w, node);
    case SKY_OP_BLOCK_TAIL: return write_tail(w, node);
    case SKY_OP_GLOBAL_MAX: return write_global_max(w, node);
    case SKY_OP_UPSAMPLE: return write_upsample(w, node);
    case SKY_OP_PART_POOL: return write_parts(w, node);
    case SKY_OP_PART_ATTENTION: return write_attention(w, node);
    case SKY_OP_CONCAT: return write_concat(w, node);
    case SKY_OP_LINEAR: return write_linear(w, node);
    case SKY_OP_HEAD_BN_INFER: return write_head_norm(w, node);
    default: return sky_fail(SKY_UNSUPPORTED, node->name, "operation %s has no form in ONNX here", sky_op_name(node->op));
    }
}

/* Room for every constant: parameters, folded filters, matrices of parts and of up-sampling. */
static sky_status make_room(struct writer *w)
{
    const struct sky_graph *graph = &w->model->graph;
    int64_t room = 4096;
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        const struct sky_tensor *tensor = &graph->tensors[i];
        const int64_t map = tensor->rank == 4 ? tensor->dim[1] * tensor->dim[2] * SKY_MAX_PARTS : 0, channels = tensor->dim[tensor->rank - 1] * SKY_MAX_PARTS;
        if (!tensor->whole && tensor->count > room) room = tensor->count;
        if (tensor->arena == SKY_ARENA_ACT && map > room) room = map;
        if (tensor->arena == SKY_ARENA_ACT && channels > room) room = channels;
    }
    SKY_TRY(sky_alloc(&w->values, (size_t)room, sizeof *w->values, "an ONNX constant"));
    return sky_alloc(&w->turned, 2 * (size_t)room, sizeof *w->turned, "an ONNX constant");
}

sky_status sky_onnx_export(const char *path, const char *name, const struct sky_model *model, struct sky_executor *executor)
{
    static const char doc[] = "images: float32 RGB, (pixel / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225). "
                              "features: unit length, index = channel * parts + part.";
    struct writer w = {.model = model, .executor = executor};
    const struct sky_tensor *images = &model->graph.tensors[model->images[0]]; /* [N,S,S,3] */
    sky_status status = SKY_OK;
    SKY_TRY_DONE(make_room(&w));
    sky_onnx_input(&w.onnx, "images", 4, (const int64_t[]){-1, 3, images->dim[1], images->dim[2]});
    for (int64_t n = 0; n < model->graph.node_count; n++)
        if (model->graph.nodes[n].phase == SKY_PHASE_FORWARD) SKY_TRY_DONE(write_node(&w, &model->graph.nodes[n]));
    write_features(&w);
    status = sky_onnx_write(&w.onnx, path, name, doc);
done:
    sky_onnx_free(&w.onnx);
    free(w.values);
    free(w.turned);
    return status;
}
