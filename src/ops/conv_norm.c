/*
 * Convolutions with the batch norms around them, as sky_graph_fuse makes them out of CONV, BN_STATS, BN_APPLY and their gradients. There are no gradient rules: the
 * gradient nodes exist by then. What the three convolutions do runs a group (view) of images at a time, because scale, shift and sums are a group's: the
 * filters travel once a group, and that is counted.
 */
#include "rules.h"

static const char *check_groups(const struct sky_node *node, const struct sky_tensor *map)
{
    return node->attr.conv.groups < 1 || map->dim[0] % node->attr.conv.groups ? "the images must divide into the groups" : NULL;
}

/* [G,C] tensors number first .. first + count - 1. */
static const char *check_rows(const struct sky_graph *graph, const struct sky_node *node, int first, int count, int64_t channels)
{
    for (int i = first; i < first + count; i++)
        if (!sky_in(graph, node, i) || sky_in(graph, node, i)->count != node->attr.conv.groups * channels) return "what belongs to a group and channel must be [G,C]";
    return NULL;
}

static const char *conv_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *w = sky_in(graph, node, 1), *x = sky_in(graph, node, 0);
    struct sky_node plain = *node;
    plain.in[2] = plain.in[3] = SKY_NONE;
    const char *wrong = sky_rule_CONV.shape(graph, &plain, out);
    if (!wrong) wrong = check_groups(node, x);
    if (!wrong && node->in[2] != SKY_NONE) wrong = check_rows(graph, node, 2, 2, x->dim[3]);
    if (!wrong) out[1] = out[2] = sky_shape_make(2, node->attr.conv.groups, w->dim[0], 1, 1);
    return wrong;
}

static const char *wgrad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const char *wrong = sky_rule_CONV_WGRAD.shape(graph, node, out);
    if (!wrong) wrong = check_groups(node, sky_in(graph, node, 0));
    return wrong ? wrong : check_rows(graph, node, 2, 2, sky_in(graph, node, 0)->dim[3]);
}

static const char *dgrad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *z = sky_in(graph, node, 2);
    const char *wrong = sky_rule_CONV_DGRAD.shape(graph, node, out);
    if (wrong) return wrong;
    for (int i = 0; i < 4; i++)
        if (z->rank != 4 || z->dim[i] != out[0].dim[i]) return "z must have the shape of the convolution's input";
    if (!sky_is_vector(sky_in(graph, node, 5), z->dim[3]) || !sky_is_vector(sky_in(graph, node, 6), z->dim[3])) return "gamma and beta must be [C]";
    out[1] = out[2] = sky_shape_make(2, node->attr.conv.groups, z->dim[3], 1, 1);
    wrong = check_groups(node, z);
    return wrong ? wrong : check_rows(graph, node, 3, 2, z->dim[3]);
}

/* As the plain convolution, and the filters once more for every further group; a filter gradient is written a group in the maps' type, and read to be added up. */
static struct sky_cost conv_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const bool wgrad = node->op == SKY_OP_BN_CONV_WGRAD;
    const struct sky_tensor *filter = wgrad ? sky_out(graph, node, 0) : sky_in(graph, node, 1), *x = sky_in(graph, node, 0);
    const struct sky_tensor *result = node->op == SKY_OP_BN_CONV ? sky_out(graph, node, 0) : sky_in(graph, node, wgrad ? 1 : 0);
    const double again = (double)(node->attr.conv.groups - 1) * (double)filter->count * (double)sky_dtype_bytes(x->dtype) * (wgrad ? 2 : 1);
    struct sky_cost cost = {.multiply_adds = (double)result->count * (double)(filter->count / filter->dim[0]), .bytes = again};
    for (int i = 0; i < node->in_count; i++)
        if (node->in[i] != SKY_NONE) cost.bytes += (double)sky_in(graph, node, i)->bytes;
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i] != SKY_NONE) cost.bytes += (double)sky_out(graph, node, i)->bytes;
    return cost;
}

static const char *from_sums_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *sum = sky_in(graph, node, 0), *squares = sky_in(graph, node, 1);
    const int groups = node->attr.bn.groups;
    if (sum->rank != 2 || sum->dim[0] != groups || squares->count != sum->count) return "sum and square_sum must be [G,C]";
    if (node->attr.bn.positions < 2) return "batch norm needs at least two positions a group: its variance is undefined for one";
    for (int i = 2; i < 6; i++)
        if ((i < 4 || node->in[i] != SKY_NONE) && !sky_is_vector(sky_in(graph, node, i), sum->dim[1])) return "running statistics, gamma and beta must be [C]";
    out[0] = out[1] = sky_shape_make(2, groups, sum->dim[1], 1, 1);
    if (node->in[4] != SKY_NONE) out[2] = out[3] = sky_shape_exact(graph->map_dtype, 2, groups, sum->dim[1], 1, 1);
    return NULL;
}

static const char *grad_from_sums_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *g = sky_in(graph, node, 0), *z = sky_in(graph, node, 1);
    const int groups = node->attr.bn.groups;
    if (z->rank != 4 || g->count != z->count) return "g must have z's shape";
    if (groups < 1 || z->dim[0] % groups) return "the images must divide into the groups";
    for (int i = 2; i < 7; i++)
        if (sky_in(graph, node, i)->count != (i == 4 ? 1 : groups) * z->dim[3]) return "mean, invstd and the sums must be [G,C], gamma [C]";
    out[0] = sky_shape_like(z);
    out[1] = out[2] = sky_shape_make(1, z->dim[3], 1, 1, 1);
    return NULL;
}

const struct sky_op_rule sky_rule_BN_CONV = {.shape = conv_shape, .cost = conv_cost};
const struct sky_op_rule sky_rule_BN_CONV_WGRAD = {.shape = wgrad_shape, .cost = conv_cost};
const struct sky_op_rule sky_rule_BN_CONV_DGRAD = {.shape = dgrad_shape, .cost = conv_cost};
const struct sky_op_rule sky_rule_BN_FROM_SUMS = {.shape = from_sums_shape};
const struct sky_op_rule sky_rule_BN_GRAD_FROM_SUMS = {.shape = grad_from_sums_shape, .in_place = true};
