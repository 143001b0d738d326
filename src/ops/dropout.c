/*
 * Dropout by counter: the mask is a function of (seed, step, layer, element of the whole batch), so nothing is stored, the operation is its own gradient, and
 * ranks draw for their rows what one rank draws for all.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    if (node->in[1] != graph->scalars) return "the second input must be the graph's scalars";
    if (!(node->attr.dropout.rate >= 0 && node->attr.dropout.rate < 1)) return "the rate must be in [0, 1)";
    if (sky_in(graph, node, 0)->rank != 3) return "x must be [P,N,D]";
    if (node->attr.dropout.groups < 1 || sky_in(graph, node, 0)->dim[1] % node->attr.dropout.groups) return "the rows must divide into the groups";
    out[0] = sky_shape_like(sky_in(graph, node, 0));
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[2] = {sky_backward_take(backward, node.out[0]), graph->scalars};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_DROPOUT, &node.attr, in, 2, NULL), 0));
}

const struct sky_op_rule sky_rule_DROPOUT = {.shape = shape, .gradient = gradient};
