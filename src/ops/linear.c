/*
 * One matrix product a head: heads of equal shape are one node, so that a back end can run them as one batched product.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *w = sky_in(graph, node, 1), *bias = sky_in(graph, node, 2);
    if (x->rank != 3 || w->rank != 3 || x->dim[0] != w->dim[0] || x->dim[2] != w->dim[2]) return "x [P,N,D] and w [P,K,D] must agree in P and D";
    if (bias && bias->count != w->dim[0] * w->dim[1]) return "bias must be [P,K]";
    out[0] = sky_shape_make(3, x->dim[0], x->dim[1], w->dim[1], 1);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[3] = {sky_backward_take(backward, node.out[0]), node.in[0], node.in[1]};
    const sky_value out[3] = {SKY_NONE, sky_backward_parameter(backward, node.in[1]), sky_backward_parameter(backward, node.in[2])};
    const int64_t made = sky_backward_node(backward, index, SKY_OP_LINEAR_GRAD, &node.attr, in, 3, out);
    if (made < 0) return;
    if (!sky_backward_needs(backward, node.in[0])) graph->nodes[made].out[0] = SKY_NONE;
    if (node.in[2] == SKY_NONE) graph->nodes[made].out[2] = SKY_NONE;
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, made, 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0), *x = sky_in(graph, node, 1), *w = sky_in(graph, node, 2);
    if (dy->rank != 3 || dy->dim[0] != x->dim[0] || dy->dim[1] != x->dim[1] || dy->dim[2] != w->dim[1]) return "dy must be [P,N,K]";
    out[0] = sky_shape_like(x);
    out[1] = sky_shape_like(w);
    out[2] = sky_shape_make(2, w->dim[0], w->dim[1], 1, 1);
    return NULL;
}

static struct sky_cost cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const bool backward = node->op == SKY_OP_LINEAR_GRAD;
    const struct sky_tensor *x = sky_in(graph, node, backward ? 1 : 0), *w = sky_in(graph, node, backward ? 2 : 1);
    return (struct sky_cost){.multiply_adds = (double)x->dim[1] * (double)w->count * (backward ? 2 : 1), .bytes = (double)(w->bytes + x->bytes) * (backward ? 2 : 1)};
}

const struct sky_op_rule sky_rule_LINEAR = {.shape = shape, .gradient = gradient, .cost = cost};
const struct sky_op_rule sky_rule_LINEAR_GRAD = {.shape = grad_shape, .cost = cost};
