/*
 * Element-wise sum: gradients that meet.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *a = sky_in(graph, node, 0), *b = sky_in(graph, node, 1);
    out[0] = sky_shape_like(a);
    return a->count == b->count ? NULL : "both tensors must have one shape";
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value dy = sky_backward_take(backward, node.out[0]);
    sky_backward_give(backward, node.in[0], dy);
    sky_backward_give(backward, node.in[1], dy);
}

const struct sky_op_rule sky_rule_ADD = {.shape = shape, .gradient = gradient, .in_place = true};
