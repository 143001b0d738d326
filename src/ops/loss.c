/*
 * The two losses. Each gives its value and its gradient by the logits in one node: a builder hands these to sky_graph_backward as seeds.
 */
#include "rules.h"

static const char *check(const struct sky_graph *graph, const struct sky_node *node, int scalars, struct sky_shape *out)
{
    const struct sky_tensor *logits = sky_in(graph, node, 0);
    if (logits->rank != 3) return "logits must be [P,N,K]";
    if (node->attr.loss.groups < 1 || logits->dim[1] % node->attr.loss.groups) return "the rows must divide into the groups";
    if (node->in[scalars] != SKY_NONE && node->in[scalars] != graph->scalars) return "the last input must be the graph's scalars";
    out[0] = sky_shape_make(1, 1, 1, 1, 1);
    out[1] = sky_shape_like(logits);
    return NULL;
}

static const char *ce_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *labels = sky_in(graph, node, 1);
    if (!labels || labels->dtype != SKY_I32 || labels->count != sky_in(graph, node, 0)->dim[1]) return "labels must be i32 [N]";
    return check(graph, node, 2, out);
}

static const char *kl_shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const int groups = node->attr.loss.groups, satellite = node->attr.loss.satellite, drone = node->attr.loss.drone;
    if (satellite < 0 || drone < 0 || satellite >= groups || drone >= groups || satellite == drone) return "the two views must differ and be among the groups";
    return check(graph, node, 1, out);
}

const struct sky_op_rule sky_rule_LOSS_CE = {.shape = ce_shape};
const struct sky_op_rule sky_rule_LOSS_KL = {.shape = kl_shape};
