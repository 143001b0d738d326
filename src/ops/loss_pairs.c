/*
 * The losses on cosines between two views. Like those on logits, each gives its value and its gradient in one node: a builder hands these to
 * sky_graph_backward as seeds.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *similarity = sky_in(graph, node, 0), *labels = sky_in(graph, node, 1);
    const int groups = node->attr.pairs.groups, first = node->attr.pairs.first, second = node->attr.pairs.second;
    if (similarity->rank != 3 || similarity->dim[1] != similarity->dim[2]) return "the cosines must be [P,M,M]";
    if (groups < 2 || first < 0 || second < 0 || first >= groups || second >= groups || first == second) return "the two views must differ and be among the groups";
    if (!labels || labels->dtype != SKY_I32 || labels->count != groups * similarity->dim[1]) return "labels must be i32 [N], N rows of all views";
    if (node->in[2] != SKY_NONE && node->in[2] != graph->scalars) return "the last input must be the graph's scalars";
    out[0] = sky_shape_make(1, 1, 1, 1, 1);
    out[1] = sky_shape_like(similarity);
    return NULL;
}

const struct sky_op_rule sky_rule_LOSS_CONTRASTIVE = {.shape = shape};
const struct sky_op_rule sky_rule_LOSS_TRIPLET = {.shape = shape};
const struct sky_op_rule sky_rule_LOSS_INFO_NCE = {.shape = shape};
