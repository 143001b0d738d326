/*
 * The squeeze and the gate of SE. The squeeze comes from BN's statistics pass in training (it is linear in BN's output) and from the map in inference.
 * Gradients of the whole chain are appended by BLOCK_TAIL's rule, which has the sums they need.
 */
#include "rules.h"

static const char *squeeze_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *image_mean = sky_in(graph, node, 0);
    const int64_t channels = image_mean->dim[1];
    if (image_mean->rank != 2 || node->attr.bn.groups < 1 || image_mean->dim[0] % node->attr.bn.groups) return "image_mean must be [N,C], N a multiple of the groups";
    if (sky_in(graph, node, 1)->count != node->attr.bn.groups * channels || !sky_is_vector(sky_in(graph, node, 3), channels)) return "mean must be [G,C], gamma [C]";
    out[0] = sky_shape_like(image_mean);
    return NULL;
}

static const char *mean_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *y = sky_in(graph, node, 0);
    if (y->rank != 4) return "y must be [N,H,W,C]";
    out[0] = sky_shape_make(2, y->dim[0], y->dim[3], 1, 1);
    return NULL;
}

static const char *gate_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *squeeze = sky_in(graph, node, 0), *w1 = sky_in(graph, node, 1), *w2 = sky_in(graph, node, 3);
    const int64_t n = squeeze->dim[0], channels = squeeze->dim[1], hidden = w1->dim[0];
    if (squeeze->rank != 2 || w1->rank != 2 || w2->rank != 2 || w1->dim[1] != channels || w2->dim[0] != channels || w2->dim[1] != hidden)
        return "squeeze [N,C], w1 [R,C] and w2 [C,R] must agree";
    if (!sky_is_vector(sky_in(graph, node, 2), hidden) || !sky_is_vector(sky_in(graph, node, 4), channels)) return "b1 must be [R], b2 [C]";
    out[0] = sky_shape_make(2, n, hidden, 1, 1);
    out[1] = sky_shape_make(2, n, channels, 1, 1);
    return NULL;
}

static const char *gate_grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *sum_g = sky_in(graph, node, 0), *w1 = sky_in(graph, node, 5), *w2 = sky_in(graph, node, 6);
    out[0] = sky_shape_like(sum_g);
    out[1] = sky_shape_like(w1);
    out[2] = sky_shape_make(1, w1->dim[0], 1, 1, 1);
    out[3] = sky_shape_like(w2);
    out[4] = sky_shape_make(1, w2->dim[0], 1, 1, 1);
    return sum_g->rank == 2 && sum_g->dim[1] == w2->dim[0] ? NULL : "sum_g must be [N,C]";
}

static struct sky_cost gate_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const bool backward = node->op == SKY_OP_SE_GATE_GRAD;
    const struct sky_tensor *w1 = sky_in(graph, node, backward ? 5 : 1);
    const double rows = (double)sky_in(graph, node, 0)->dim[0];
    return (struct sky_cost){.multiply_adds = rows * (double)w1->count * (backward ? 4 : 2), .bytes = (double)w1->bytes * (backward ? 4 : 2)};
}

const struct sky_op_rule sky_rule_BN_SQUEEZE = {.shape = squeeze_shape};
const struct sky_op_rule sky_rule_CHANNEL_MEAN = {.shape = mean_shape};
const struct sky_op_rule sky_rule_SE_GATE = {.shape = gate_shape, .cost = gate_cost};
const struct sky_op_rule sky_rule_SE_GATE_GRAD = {.shape = gate_grad_shape, .cost = gate_cost};
