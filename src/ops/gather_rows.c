/*
 * Rows of all ranks' batches, so that a loss on pairs sees the places of a whole step. Every rank then computes the same loss of the same rows; on the way back it keeps what
 * the loss gives to its own, times the ranks, since gradients of parameters are means over them.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *labels = sky_in(graph, node, 1);
    const int groups = node->attr.gather.groups, ranks = node->attr.gather.ranks;
    if (x->rank != 3) return "x must be [P,N,D]";
    if (groups < 1 || x->dim[1] % groups) return "the rows must divide into the groups";
    if (ranks < 1) return "there must be a rank";
    if (!labels || labels->dtype != SKY_I32 || labels->count != x->dim[1]) return "labels must be i32 [N]";
    out[0] = sky_shape_like(x);
    out[0].dim[1] *= ranks;
    out[1] = sky_shape_exact(SKY_I32, 1, ranks * labels->count, 1, 1, 1);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const sky_value in[2] = {sky_backward_take(backward, node.out[0]), graph->scalars};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_GATHER_ROWS_GRAD, &node.attr, in, 2, NULL), 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    const int groups = node->attr.gather.groups, ranks = node->attr.gather.ranks;
    if (node->in[1] != graph->scalars) return "the second input must be the graph's scalars";
    if (dy->rank != 3 || groups < 1 || ranks < 1 || dy->dim[1] % (groups * ranks)) return "the rows must divide into the groups and ranks";
    out[0] = sky_shape_like(dy);
    out[0].dim[1] /= ranks;
    return NULL;
}

const struct sky_op_rule sky_rule_GATHER_ROWS = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_GATHER_ROWS_GRAD = {.shape = grad_shape};
