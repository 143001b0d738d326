/*
 * Joining two tensors along a dimension, and splitting the gradient. Used on head tensors, which are small, and on the maps of two unshared trunks.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *a = sky_in(graph, node, 0), *b = sky_in(graph, node, 1);
    const int axis = node->attr.concat.axis;
    if (a->rank != b->rank || axis < 0 || axis >= a->rank) return "both tensors must have the same rank, above the axis";
    for (int i = 0; i < a->rank; i++)
        if (i != axis && a->dim[i] != b->dim[i]) return "both tensors must agree in every other dimension";
    out[0] = sky_shape_like(a);
    out[0].dim[axis] += b->dim[axis];
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const union sky_attributes attr = {.concat = {node.attr.concat.axis, sky_in(graph, &node, 0)->dim[node.attr.concat.axis]}};
    const sky_value dy = sky_backward_take(backward, node.out[0]);
    const int64_t made = sky_backward_node(backward, index, SKY_OP_CONCAT_GRAD, &attr, &dy, 1, NULL);
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, made, 0));
    sky_backward_give(backward, node.in[1], sky_graph_out(graph, made, 1));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    const int axis = node->attr.concat.axis;
    const int64_t first = node->attr.concat.first;
    if (axis < 0 || axis >= dy->rank || first < 1 || first >= dy->dim[axis]) return "the split must fall inside the axis";
    out[0] = out[1] = sky_shape_like(dy);
    out[0].dim[axis] = first;
    out[1].dim[axis] = dy->dim[axis] - first;
    return NULL;
}

const struct sky_op_rule sky_rule_CONCAT = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_CONCAT_GRAD = {.shape = grad_shape};
