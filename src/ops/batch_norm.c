/*
 * Batch norm over maps, with statistics a group (view) of images. Statistics and application are two nodes, so that the SE squeeze and the block tail can share
 * one pass over the convolution's output; BN_APPLY's gradient rule covers both.
 */
#include "rules.h"

static const char *stats_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *z = sky_in(graph, node, 0);
    const int groups = node->attr.bn.groups;
    if (z->rank != 4) return "z must be [N,H,W,C]";
    if (groups < 1 || z->dim[0] % groups) return "the images must divide into the groups";
    if (z->dim[0] / groups * z->dim[1] * z->dim[2] < 2) return "batch norm needs at least two positions a group: its variance is undefined for one (larger batch or image)";
    if (!sky_is_vector(sky_in(graph, node, 1), z->dim[3]) || !sky_is_vector(sky_in(graph, node, 2), z->dim[3])) return "running statistics must be [C]";
    out[0] = sky_shape_make(2, z->dim[0], z->dim[3], 1, 1);
    out[1] = out[2] = sky_shape_make(2, groups, z->dim[3], 1, 1);
    return NULL;
}

static const char *per_channel(const struct sky_graph *graph, const struct sky_node *node, int map)
{
    const struct sky_tensor *z = sky_in(graph, node, map), *mean = sky_in(graph, node, map + 1), *invstd = sky_in(graph, node, map + 2);
    if (z->rank != 4) return "z must be [N,H,W,C]";
    if (node->attr.bn.groups < 1 || z->dim[0] % node->attr.bn.groups) return "the images must divide into the groups";
    if (mean->count != node->attr.bn.groups * z->dim[3] || invstd->count != mean->count) return "mean and invstd must be [G,C]";
    if (!sky_is_vector(sky_in(graph, node, map + 3), z->dim[3]) || !sky_is_vector(sky_in(graph, node, map + 4), z->dim[3])) return "gamma and beta must be [C]";
    return NULL;
}

static const char *apply_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    out[0] = sky_shape_like(sky_in(graph, node, 0));
    return per_channel(graph, node, 0);
}

static void apply_gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[6] = {sky_backward_take(backward, node.out[0]), node.in[0], node.in[1], node.in[2], node.in[3], node.in[4]};
    const sky_value out[3] = {SKY_NONE, sky_backward_parameter(backward, node.in[3]), sky_backward_parameter(backward, node.in[4])};
    const int64_t made = sky_backward_node(backward, index, SKY_OP_BN_GRAD, &node.attr, in, 6, out);
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, made, 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0), *z = sky_in(graph, node, 1);
    if (dy->count != z->count) return "dy must have z's shape";
    out[0] = sky_shape_like(z);
    out[1] = out[2] = sky_shape_make(1, z->dim[3], 1, 1, 1);
    return per_channel(graph, node, 1);
}

/* Two passes: the sums need all of dy and z before the first element can be written. */
static struct sky_cost grad_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    return (struct sky_cost){.bytes = 5 * (double)sky_in(graph, node, 1)->bytes};
}

static const char *fold_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *w = sky_in(graph, node, 0);
    for (int i = 1; i < 5; i++)
        if (!sky_is_vector(sky_in(graph, node, i), w->dim[0])) return "gamma, beta and running statistics must be [K]";
    out[0] = sky_shape_like(w);
    out[1] = sky_shape_make(1, w->dim[0], 1, 1, 1);
    return NULL;
}

const struct sky_op_rule sky_rule_BN_STATS = {.shape = stats_shape};
const struct sky_op_rule sky_rule_BN_APPLY = {.shape = apply_shape, .gradient = apply_gradient};
const struct sky_op_rule sky_rule_BN_GRAD = {.shape = grad_shape, .cost = grad_cost, .in_place = true};
const struct sky_op_rule sky_rule_BN_FOLD = {.shape = fold_shape};
