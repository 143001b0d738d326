/*
 * Cosines between the rows of two views, head by head or over the heads laid end to end. Normalising is part of the operation, so its gradient is too.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *scale = sky_in(graph, node, 1);
    const int groups = node->attr.pairs.groups, first = node->attr.pairs.first, second = node->attr.pairs.second;
    if (x->rank != 3) return "x must be [P,N,D]";
    if (groups < 2 || x->dim[1] % groups) return "the rows must divide into two views or more";
    if (first < 0 || second < 0 || first >= groups || second >= groups || first == second) return "the two views must differ and be among the groups";
    if (scale && !sky_is_vector(scale, 1)) return "the scale must be [1]";
    const int64_t members = x->dim[1] / groups;
    out[0] = sky_shape_make(3, node->attr.pairs.joint ? 1 : x->dim[0], members, members, 1);
    out[1] = sky_shape_make(2, x->dim[0], x->dim[1], 1, 1);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[5] = {sky_backward_take(backward, node.out[0]), node.in[0], node.out[1], node.out[0], node.in[1]};
    const sky_value out[2] = {SKY_NONE, sky_backward_parameter(backward, node.in[1])};
    const int64_t made = sky_backward_node(backward, index, SKY_OP_SIMILARITY_GRAD, &node.attr, in, 5, out);
    if (made < 0) return;
    if (node.in[1] == SKY_NONE) graph->nodes[made].out[1] = SKY_NONE;
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, made, 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0), *x = sky_in(graph, node, 1), *inverse_norm = sky_in(graph, node, 2), *y = sky_in(graph, node, 3);
    if (x->rank != 3 || dy->count != y->count || inverse_norm->count != x->dim[0] * x->dim[1]) return "dy must be like y, inverse_norm [P,N]";
    out[0] = sky_shape_like(x);
    out[1] = sky_shape_make(1, 1, 1, 1, 1);
    return NULL;
}

static struct sky_cost cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const bool backward = node->op == SKY_OP_SIMILARITY_GRAD;
    const struct sky_tensor *x = sky_in(graph, node, backward ? 1 : 0);
    const double members = (double)(x->dim[1] / node->attr.pairs.groups), products = (double)x->dim[0] * members * members * (double)x->dim[2];
    return (struct sky_cost){.multiply_adds = products * (backward ? 2 : 1), .bytes = (double)x->bytes * (backward ? 2 : 1)};
}

const struct sky_op_rule sky_rule_SIMILARITY = {.shape = shape, .gradient = gradient, .cost = cost};
const struct sky_op_rule sky_rule_SIMILARITY_GRAD = {.shape = grad_shape, .cost = cost};
