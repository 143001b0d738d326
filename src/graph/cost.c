/*
 * What a node must do at least: multiply-adds, and bytes read and written once. Reports and benchmarks compare with it.
 */
#include "ops/rules.h"

struct sky_cost sky_node_cost(const struct sky_graph *graph, const struct sky_node *node)
{
    if (sky_op_rules[node->op]->cost) return sky_op_rules[node->op]->cost(graph, node);
    struct sky_cost cost = {0, 0};
    for (int i = 0; i < node->in_count; i++)
        if (node->in[i] >= 0) cost.bytes += (double)graph->tensors[node->in[i]].bytes;
    for (int i = 0; i < node->out_count; i++)
        if (node->out[i] >= 0) cost.bytes += (double)graph->tensors[node->out[i]].bytes;
    return cost;
}
