/*
 * Pooling of every part of a map in one read (parts are unions of disjoint rings, and sums are additive), and its gradient.
 */
#include "rules.h"
#include "skygem/config.h"

static const char *check_table(const struct sky_tensor *x, const struct sky_part_table *table)
{
    if (x->rank != 4) return "x must be [N,H,W,C]";
    if (!table || table->ring_count < 1 || table->part_count < 1) return "no parts";
    const int16_t *whole = table->box[table->ring_count - 1];
    if (whole[0] != 0 || whole[1] != 0 || whole[2] != x->dim[1] || whole[3] != x->dim[2]) return "the last ring's box must be the whole map";
    return NULL;
}

static const char *check_exponent(const struct sky_tensor *p, int64_t channels, int64_t parts)
{
    return !p || sky_is_vector(p, 1) || sky_is_vector(p, channels) || sky_is_vector(p, parts) ? NULL : "p must be [1], [C] or [P]";
}

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *p = sky_in(graph, node, 1);
    const struct sky_part_table *table = node->attr.part.table;
    const char *wrong = check_table(x, table);
    if (wrong) return wrong;
    if (p && node->attr.part.pooling != SKY_POOL_GEM) return "only GeM has exponents";
    out[0] = sky_shape_make(3, table->part_count, x->dim[0], x->dim[3], 1);
    if (node->attr.part.pooling == SKY_POOL_MAX) out[1] = sky_shape_exact(SKY_I32, 3, table->part_count, x->dim[0], x->dim[3], 1);
    return check_exponent(p, x->dim[3], table->part_count);
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[5] = {sky_backward_take(backward, node.out[0]), node.in[0], node.out[0], node.in[1], node.out[1]};
    const sky_value out[2] = {SKY_NONE, sky_backward_parameter(backward, node.in[1])};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_PART_POOL_GRAD, &node.attr, in, 5, out), 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 1), *p = sky_in(graph, node, 3);
    out[0] = sky_shape_like(x);
    if (p) out[1] = sky_shape_like(p);
    return check_table(x, node->attr.part.table);
}

const struct sky_op_rule sky_rule_PART_POOL = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_PART_POOL_GRAD = {.shape = grad_shape};
