/*
 * The end of a residual block: relu(shortcut + gate * BN(z)) in one pass, and its gradient in two. The rule of BLOCK_TAIL appends everything between the block's
 * output and the outputs of its last convolution(s): the masked gradient, the SE gate, BN and the shortcut's BN.
 */
#include "rules.h"

enum { Z, MEAN, INVSTD, GAMMA, BETA, GATE, SHORTCUT, MEAN_S, INVSTD_S, GAMMA_S, BETA_S };

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *z = sky_in(graph, node, Z), *shortcut = sky_in(graph, node, SHORTCUT), *gate = sky_in(graph, node, GATE);
    if (z->rank != 4 || !shortcut || shortcut->count != z->count) return "z and the shortcut must be [N,H,W,C]";
    if (gate && (gate->dim[0] != z->dim[0] || gate->dim[1] != z->dim[3])) return "the gate must be [N,C]";
    for (int first = MEAN; first <= MEAN_S; first += MEAN_S - MEAN) {
        if (node->in[first] == SKY_NONE) continue;
        if (node->attr.bn.groups < 1 || z->dim[0] % node->attr.bn.groups) return "the images must divide into the groups";
        if (sky_in(graph, node, first)->count != node->attr.bn.groups * z->dim[3] || !sky_is_vector(sky_in(graph, node, first + 2), z->dim[3]))
            return "mean must be [G,C], gamma [C]";
    }
    out[0] = sky_shape_like(z);
    return NULL;
}

/* The SE part: dsqueeze, and the gradients of the two small layers. Returns dsqueeze. */
static sky_value gate_gradient(struct sky_backward *backward, int64_t index, const struct sky_node *tail, sky_value sum_g, sky_value sum_gz)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node gate = graph->nodes[graph->tensors[tail->in[GATE]].producer];
    if (gate.op != SKY_OP_SE_GATE) return sky_graph_fail(graph, SKY_INTERNAL, tail->name, "the tail's gate must come from SE_GATE");
    const sky_value in[9] = {sum_g, sum_gz, gate.in[0], gate.out[0], gate.out[1], gate.in[1], gate.in[3], tail->in[GAMMA], tail->in[BETA]};
    sky_value out[5] = {SKY_NONE};
    for (int i = 1; i < 5; i++) out[i] = sky_backward_parameter(backward, gate.in[i]);
    return sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_SE_GATE_GRAD, NULL, in, 9, out), 0);
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    if (node.in[MEAN] == SKY_NONE) {
        sky_graph_fail(graph, SKY_INTERNAL, node.name, "a block tail without batch norm is for inference: it has no gradient");
        return;
    }
    sky_value dout[2];
    sky_backward_take_two(backward, node.out[0], dout);
    const sky_value reduce_in[6] = {dout[0], dout[1], node.out[0], node.in[Z], node.in[MEAN], node.in[INVSTD]};
    const int64_t reduce = sky_backward_node(backward, index, SKY_OP_BLOCK_TAIL_REDUCE, &node.attr, reduce_in, 6, NULL);
    const sky_value g = sky_graph_out(graph, reduce, 0), sum_g = sky_graph_out(graph, reduce, 1), sum_gz = sky_graph_out(graph, reduce, 2);
    const sky_value dsqueeze = node.in[GATE] == SKY_NONE ? SKY_NONE : gate_gradient(backward, index, &node, sum_g, sum_gz);
    if (graph->failed != SKY_OK) return;
    const sky_value image_mean = graph->nodes[graph->tensors[node.in[MEAN]].producer].out[0];
    const sky_value in[10] = {g, node.in[Z], node.in[MEAN], node.in[INVSTD], node.in[GAMMA], image_mean, sum_g, sum_gz, node.in[GATE], dsqueeze};
    const sky_value out[3] = {SKY_NONE, sky_backward_parameter(backward, node.in[GAMMA]), sky_backward_parameter(backward, node.in[BETA])};
    sky_backward_give(backward, node.in[Z], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_BLOCK_TAIL_GRAD, &node.attr, in, 10, out), 0));
    if (node.in[MEAN_S] == SKY_NONE) {
        sky_backward_give(backward, node.in[SHORTCUT], g);
        return;
    }
    union sky_attributes attr = node.attr;
    attr.bn.relu = false;
    const sky_value in_s[6] = {g, node.in[SHORTCUT], node.in[MEAN_S], node.in[INVSTD_S], node.in[GAMMA_S], node.in[BETA_S]};
    const sky_value out_s[3] = {SKY_NONE, sky_backward_parameter(backward, node.in[GAMMA_S]), sky_backward_parameter(backward, node.in[BETA_S])};
    sky_backward_give(backward, node.in[SHORTCUT], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_BN_GRAD, &attr, in_s, 6, out_s), 0));
}

static const char *reduce_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dout = sky_in(graph, node, 0), *z = sky_in(graph, node, 3);
    if (dout->count != z->count || sky_in(graph, node, 2)->count != z->count) return "dout, out and z must have one shape";
    out[0] = sky_shape_like(z);
    out[1] = out[2] = sky_shape_make(2, z->dim[0], z->dim[3], 1, 1);
    return NULL;
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *g = sky_in(graph, node, 0), *z = sky_in(graph, node, 1);
    if (g->count != z->count) return "g must have z's shape";
    out[0] = sky_shape_like(z);
    out[1] = out[2] = sky_shape_make(1, z->dim[3], 1, 1, 1);
    return NULL;
}

const struct sky_op_rule sky_rule_BLOCK_TAIL = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_BLOCK_TAIL_REDUCE = {.shape = reduce_shape, .in_place = true};
const struct sky_op_rule sky_rule_BLOCK_TAIL_GRAD = {.shape = grad_shape};
