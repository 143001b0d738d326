/*
 * The parameters' copy in the lower precision of the maps: made once after loading, kept up to date by the optimiser.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    if (graph->map_dtype == graph->dtype) return "the maps have the parameters' own type: there is nothing to convert";
    out[0] = sky_shape_exact(graph->map_dtype, 1, sky_in(graph, node, 0)->count, 1, 1, 1);
    return NULL;
}

const struct sky_op_rule sky_rule_CAST = {.shape = shape};
