/*
 * Bilinear up-sampling with align_corners, for maps too small to cut into rings.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    if (x->rank != 4) return "x must be [N,H,W,C]";
    out[0] = sky_shape_make(4, x->dim[0], node->attr.map.height, node->attr.map.width, x->dim[3]);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const struct sky_tensor *x = sky_in(graph, &node, 0);
    const union sky_attributes attr = {.map = {x->dim[1], x->dim[2]}};
    const sky_value dy = sky_backward_take(backward, node.out[0]);
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_UPSAMPLE_GRAD, &attr, &dy, 1, NULL), 0));
}

const struct sky_op_rule sky_rule_UPSAMPLE = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_UPSAMPLE_GRAD = {.shape = shape};
