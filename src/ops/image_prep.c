/*
 * IMAGE_PREP: where pixels become numbers. No gradient: images are data.
 */
#include "rules.h"

static const char *shape(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out)
{
    const struct sky_tensor *images = sky_in(graph, node, 0), *erased = sky_in(graph, node, 1);
    if (images->dtype != SKY_U8 || images->rank != 4 || images->dim[3] != 3) return "images must be u8 [N,H,W,3]";
    if (erased && (erased->dtype != SKY_I32 || erased->count != images->dim[0] * 4)) return "erased rectangles must be i32 [N,4]";
    if (node->in[2] != graph->scalars) return "the third input must be the graph's scalars";
    out[0] = sky_shape_like(images);
    return NULL;
}

const struct sky_op_rule sky_rule_IMAGE_PREP = {.shape = shape};
