/*
 * Joining head tensors [P,N,D], along the features or along the heads. The tensors are small: copying them costs nothing that matters.
 */
#include "rules.h"

static const char *features_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *a = sky_in(graph, node, 0), *b = sky_in(graph, node, 1);
    if (a->rank != 3 || b->rank != 3 || a->dim[0] != b->dim[0] || a->dim[1] != b->dim[1]) return "[P,N,A] and [P,N,B] must agree in P and N";
    out[0] = sky_shape_make(3, a->dim[0], a->dim[1], a->dim[2] + b->dim[2], 1);
    return NULL;
}

static const char *features_grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    const int64_t first = node->attr.concat.first;
    if (dy->rank != 3 || first < 1 || first >= dy->dim[2]) return "the first tensor's features must be fewer than dy's";
    out[0] = sky_shape_make(3, dy->dim[0], dy->dim[1], first, 1);
    out[1] = sky_shape_make(3, dy->dim[0], dy->dim[1], dy->dim[2] - first, 1);
    return NULL;
}

static const char *heads_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *a = sky_in(graph, node, 0), *b = sky_in(graph, node, 1);
    if (a->rank != 3 || b->rank != 3 || a->dim[1] != b->dim[1] || a->dim[2] != b->dim[2]) return "[A,N,D] and [B,N,D] must agree in N and D";
    out[0] = sky_shape_make(3, a->dim[0] + b->dim[0], a->dim[1], a->dim[2], 1);
    return NULL;
}

static const char *heads_grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    const int64_t first = node->attr.concat.first;
    if (dy->rank != 3 || first < 1 || first >= dy->dim[0]) return "the first tensor's heads must be fewer than dy's";
    out[0] = sky_shape_make(3, first, dy->dim[1], dy->dim[2], 1);
    out[1] = sky_shape_make(3, dy->dim[0] - first, dy->dim[1], dy->dim[2], 1);
    return NULL;
}

static void split_gradient(struct sky_backward *backward, int64_t index, enum sky_op op, int axis)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const union sky_attributes attr = {.concat = {sky_in(graph, &node, 0)->dim[axis]}};
    const sky_value dy = sky_backward_take(backward, node.out[0]);
    const int64_t made = sky_backward_node(backward, index, op, &attr, &dy, 1, NULL);
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, made, 0));
    sky_backward_give(backward, node.in[1], sky_graph_out(graph, made, 1));
}

static void features_gradient(struct sky_backward *backward, int64_t index)
{
    split_gradient(backward, index, SKY_OP_CONCAT_FEATURES_GRAD, 2);
}

static void heads_gradient(struct sky_backward *backward, int64_t index)
{
    split_gradient(backward, index, SKY_OP_CONCAT_HEADS_GRAD, 0);
}

const struct sky_op_rule sky_rule_CONCAT_FEATURES = {.shape = features_shape, .gradient = features_gradient};
const struct sky_op_rule sky_rule_CONCAT_FEATURES_GRAD = {.shape = features_grad_shape};
const struct sky_op_rule sky_rule_CONCAT_HEADS = {.shape = heads_shape, .gradient = heads_gradient};
const struct sky_op_rule sky_rule_CONCAT_HEADS_GRAD = {.shape = heads_grad_shape};
