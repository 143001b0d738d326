/*
 * CONV and its two gradients. Zero padding is symmetric; there are no groups and no dilation, as no model here has them.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *w = sky_in(graph, node, 1), *bias = sky_in(graph, node, 2), *residual = sky_in(graph, node, 3);
    if (x->rank != 4 || w->rank != 4 || x->dim[3] != w->dim[3]) return "x [N,H,W,C] and w [K,R,S,C] must agree in C";
    const int64_t p = (x->dim[1] + 2 * node->attr.conv.pad - w->dim[1]) / node->attr.conv.stride + 1;
    const int64_t q = (x->dim[2] + 2 * node->attr.conv.pad - w->dim[2]) / node->attr.conv.stride + 1;
    if (x->dim[1] + 2 * node->attr.conv.pad < w->dim[1] || x->dim[2] + 2 * node->attr.conv.pad < w->dim[2]) return "the map is smaller than the filter";
    out[0] = sky_shape_make(4, x->dim[0], p, q, w->dim[0]);
    if (bias && !sky_is_vector(bias, w->dim[0])) return "bias must be [K]";
    if (residual && residual->count != x->dim[0] * p * q * w->dim[0]) return "the residual must have the output's shape";
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    if (node.in[2] != SKY_NONE || node.in[3] != SKY_NONE || node.attr.conv.relu) {
        sky_graph_fail(graph, SKY_INTERNAL, node.name, "a convolution with fused bias, residual or ReLU is for inference: it has no gradient");
        return;
    }
    const sky_value dy = sky_backward_take(backward, node.out[0]);
    const struct sky_tensor *x = sky_in(graph, &node, 0), *w = sky_in(graph, &node, 1);
    union sky_attributes attr = node.attr;
    attr.conv.height = x->dim[1], attr.conv.width = x->dim[2];
    attr.conv.rows = (int)w->dim[1], attr.conv.columns = (int)w->dim[2];
    const sky_value dw = sky_backward_parameter(backward, node.in[1]);
    if (dw != SKY_NONE) sky_backward_node(backward, index, SKY_OP_CONV_WGRAD, &attr, (const sky_value[]){node.in[0], dy}, 2, &dw);
    if (sky_backward_needs(backward, node.in[0])) {
        const int64_t dgrad = sky_backward_node(backward, index, SKY_OP_CONV_DGRAD, &attr, (const sky_value[]){dy, node.in[1]}, 2, NULL);
        sky_backward_give(backward, node.in[0], sky_graph_out(graph, dgrad, 0));
    }
}

static const char *dgrad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0), *w = sky_in(graph, node, 1);
    if (dy->rank != 4 || w->rank != 4 || dy->dim[3] != w->dim[0]) return "dy [N,P,Q,K] and w [K,R,S,C] must agree in K";
    out[0] = sky_shape_make(4, dy->dim[0], node->attr.conv.height, node->attr.conv.width, w->dim[3]);
    return NULL;
}

static const char *wgrad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0), *dy = sky_in(graph, node, 1);
    if (x->rank != 4 || dy->rank != 4 || x->dim[0] != dy->dim[0]) return "x and dy must agree in N";
    out[0] = sky_shape_make(4, dy->dim[3], node->attr.conv.rows, node->attr.conv.columns, x->dim[3]);
    return NULL;
}

/* Every tensor once; each output element of the forward pass costs R*S*C multiply-adds, and so does each direction of its gradient. */
static struct sky_cost cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const bool wgrad = node->op == SKY_OP_CONV_WGRAD;
    const struct sky_tensor *filter = wgrad ? sky_out(graph, node, 0) : sky_in(graph, node, 1);
    const struct sky_tensor *result = node->op == SKY_OP_CONV ? sky_out(graph, node, 0) : sky_in(graph, node, wgrad ? 1 : 0);
    struct sky_cost cost = {0, 0};
    for (int i = 0; i < node->in_count; i++)
        if (node->in[i] != SKY_NONE) cost.bytes += (double)sky_in(graph, node, i)->bytes;
    cost.bytes += (double)sky_out(graph, node, 0)->bytes;
    cost.multiply_adds = (double)result->count * (double)(filter->count / filter->dim[0]);
    return cost;
}

const struct sky_op_rule sky_rule_CONV = {.shape = shape, .gradient = gradient, .cost = cost};
const struct sky_op_rule sky_rule_CONV_DGRAD = {.shape = dgrad_shape, .cost = cost};
const struct sky_op_rule sky_rule_CONV_WGRAD = {.shape = wgrad_shape, .cost = cost};
