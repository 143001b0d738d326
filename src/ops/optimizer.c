/*
 * Whole-arena operations of the update phase. Sizes are those of the arenas, known after planning.
 */
#include "rules.h"

static const char *sum_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    (void)graph, (void)node;
    out[0] = sky_shape_exact(SKY_F64, 1, 1, 1, 1, 1);
    return NULL;
}

static const char *update_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    if (node->in[node->in_count - 1] != graph->scalars) return "the last input must be the graph's scalars";
    out[0] = sky_shape_exact(SKY_F64, 1, 4, 1, 1, 1);
    if (graph->map_dtype != graph->dtype) out[1] = sky_shape_exact(graph->map_dtype, 1, sky_in(graph, node, 0)->count, 1, 1, 1);
    return NULL;
}

/* Reads and writes parameters, momentum and squares, reads gradients, writes the copy in lower precision. */
static struct sky_cost update_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    const double arenas = node->op == SKY_OP_ADAMW ? 7 : 5;
    return (struct sky_cost){.bytes = arenas * (double)sky_in(graph, node, 0)->bytes + (node->out[1] == SKY_NONE ? 0 : (double)sky_out(graph, node, 1)->bytes)};
}

static struct sky_cost ema_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    return (struct sky_cost){.bytes = 3 * (double)sky_in(graph, node, 0)->bytes};
}

const struct sky_op_rule sky_rule_SUM_SQUARES = {.shape = sum_shape};
const struct sky_op_rule sky_rule_SGD = {.shape = update_shape, .cost = update_cost};
const struct sky_op_rule sky_rule_ADAMW = {.shape = update_shape, .cost = update_cost};
const struct sky_op_rule sky_rule_EMA = {.shape = sum_shape, .cost = ema_cost};
