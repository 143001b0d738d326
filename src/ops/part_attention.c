/*
 * MSBA's parameter-free re-weighting of parts: x * softmax over the parts of x.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    if (x->rank != 3) return "x must be [P,N,C]";
    out[0] = sky_shape_like(x);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[2] = {sky_backward_take(backward, node.out[0]), node.in[0]};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_PART_ATTENTION_GRAD, NULL, in, 2, NULL), 0));
}

const struct sky_op_rule sky_rule_PART_ATTENTION = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_PART_ATTENTION_GRAD = {.shape = shape};
