/*
 * Max pooling over windows and over the whole map. Positions of the maxima are saved, so the gradients gather or scatter without comparing again.
 */
#include "rules.h"

/* Windows along one axis. `ceil` adds a last, clipped window when pixels are left over, as long as it starts inside the map. */
static int64_t window_count(int64_t length, const struct sky_node *node)
{
    const int64_t window = node->attr.pool.window, stride = node->attr.pool.stride, pad = node->attr.pool.pad;
    const int64_t room = length + 2 * pad - window;
    if (room < 0) return 0;
    int64_t count = room / stride + 1;
    if (node->attr.pool.ceil && room % stride && count * stride < length + pad) count++;
    return count;
}

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    if (x->rank != 4) return "x must be [N,H,W,C]";
    const int64_t p = window_count(x->dim[1], node), q = window_count(x->dim[2], node);
    if (p < 1 || q < 1) return "the map is smaller than the pooling window";
    out[0] = sky_shape_make(4, x->dim[0], p, q, x->dim[3]);
    out[1] = sky_shape_exact(SKY_U8, 4, x->dim[0], p, q, x->dim[3]);
    return NULL;
}

static void gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const struct sky_tensor *x = sky_in(graph, &node, 0);
    union sky_attributes attr = node.attr;
    attr.pool.height = x->dim[1], attr.pool.width = x->dim[2];
    const sky_value in[2] = {sky_backward_take(backward, node.out[0]), node.out[1]};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_MAX_POOL_GRAD, &attr, in, 2, NULL), 0));
}

static const char *grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    if (sky_in(graph, node, 1)->count != dy->count) return "the saved positions must have dy's shape";
    out[0] = sky_shape_make(4, dy->dim[0], node->attr.pool.height, node->attr.pool.width, dy->dim[3]);
    return NULL;
}

static const char *global_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *x = sky_in(graph, node, 0);
    if (x->rank != 4) return "x must be [N,H,W,C]";
    out[0] = sky_shape_make(3, 1, x->dim[0], x->dim[3], 1);
    out[1] = sky_shape_exact(SKY_I32, 2, x->dim[0], x->dim[3], 1, 1);
    return NULL;
}

static void global_gradient(struct sky_backward *backward, int64_t index)
{
    struct sky_graph *graph = sky_backward_graph(backward);
    const struct sky_node node = graph->nodes[index];
    const struct sky_tensor *x = sky_in(graph, &node, 0);
    const union sky_attributes attr = {.map = {x->dim[1], x->dim[2]}};
    const sky_value in[2] = {sky_backward_take(backward, node.out[0]), node.out[1]};
    sky_backward_give(backward, node.in[0], sky_graph_out(graph, sky_backward_node(backward, index, SKY_OP_GLOBAL_MAX_GRAD, &attr, in, 2, NULL), 0));
}

static const char *global_grad_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *dy = sky_in(graph, node, 0);
    if (dy->rank != 3 || dy->dim[0] != 1) return "dy must be [1,N,C]";
    out[0] = sky_shape_make(4, dy->dim[1], node->attr.map.height, node->attr.map.width, dy->dim[2]);
    return NULL;
}

const struct sky_op_rule sky_rule_MAX_POOL = {.shape = shape, .gradient = gradient};
const struct sky_op_rule sky_rule_MAX_POOL_GRAD = {.shape = grad_shape};
const struct sky_op_rule sky_rule_GLOBAL_MAX = {.shape = global_shape, .gradient = global_gradient};
const struct sky_op_rule sky_rule_GLOBAL_MAX_GRAD = {.shape = global_grad_shape};
