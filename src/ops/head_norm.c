/*
 * Batch norm of the heads' features, over the rows of each view. Statistics and application are one node: the tensors are small.
 */
#include "rules.h"

static const char *check(const struct sky_graph *graph, const struct sky_node *node, int first, int last)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    if (x->rank != 3) return "x must be [P,N,D]";
    for (int i = first; i <= last; i++)
        if (sky_in(graph, node, i)->count != x->dim[0] * x->dim[2]) return "gamma, beta and running statistics must be [P,D]";
    return NULL;
}

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    const int groups = node->attr.bn.groups;
    if (groups < 1 || x->dim[1] % groups) return "the rows must divide into the groups";
    if (x->dim[1] / groups < 2) return "batch norm of the heads needs at least two rows a view: set [train] batch_size to 2 or more";
    out[0] = sky_shape_like(x);
    out[1] = out[2] = sky_shape_make(3, x->dim[0], groups, x->dim[2], 1);
    return check(graph, node, 1, 4);
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[5] = {sky_backward_take(backward, node.out[0]), node.in[0], node.out[1], node.out[2], node.in[1]};
    const sky_value out[3] = {SKY_NONE, sky_backward_parameter(backward, node.in[1]), sky_backward_parameter(backward, node.in[2])};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_HEAD_BN_GRAD, &node.attr, in, 5, out), 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 1);
    out[0] = sky_shape_like(x);
    out[1] = out[2] = sky_shape_make(2, x->dim[0], x->dim[2], 1, 1);
    return x->rank == 3 ? NULL : "x must be [P,N,D]";
}

static const char *infer_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    out[0] = sky_shape_like(sky_in(graph, node, 0));
    return check(graph, node, 1, 4);
}

const struct sky_op_rule sky_rule_HEAD_BN = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_HEAD_BN_GRAD = {.shape = grad_shape};
const struct sky_op_rule sky_rule_HEAD_BN_INFER = {.shape = infer_shape};
