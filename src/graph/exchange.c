/*
 * What ranks exchange, as the plan has it: the ranges of gradients that are summed while the backward pass goes on, and the statistics and rows that are taken
 * from all ranks. Reads the plan only; the table of buckets belongs to the caller.
 */
#include "graph.h"

#include "base/memory.h"

#include <stdlib.h>

static bool is_gradient(const struct sky_graph *graph, sky_value value)
{
    return value >= 0 && graph->tensors[value].arena == SKY_ARENA_GRADS && !graph->tensors[value].whole;
}

/* Where the gradient behind this one begins: the plan leaves no more than padding between them. */
static int64_t end_of(const struct sky_graph *graph, const struct sky_tensor *tensor)
{
    const size_t bytes = (tensor->offset + tensor->bytes + 63) / 64 * 64;
    return (int64_t)(bytes / sky_dtype_bytes(graph->dtype));
}

sky_status sky_graph_buckets(const struct sky_graph *graph, size_t first_bytes, size_t bytes, struct sky_bucket **out, int64_t *count)
{
    const size_t element = sky_dtype_bytes(graph->dtype);
    struct sky_bucket *buckets = NULL;
    int64_t made = 0, room = 0, end = 0; /* end: of the gradients seen so far */
    bool open = false;
    for (int64_t n = 0; n < graph->node_count; n++)
        for (int k = 0; k < graph->nodes[n].out_count; k++) {
            const sky_value value = graph->nodes[n].out[k];
            if (!is_gradient(graph, value)) continue;
            const struct sky_tensor *tensor = &graph->tensors[value];
            sky_status status = SKY_OK;
            if ((int64_t)(tensor->offset / element) != end) status = sky_fail(SKY_INTERNAL, tensor->name, "gradients do not lie in the order in which they are finished");
            if (status == SKY_OK && !open) status = sky_grow(&buckets, made, &room, sizeof *buckets, "gradient buckets");
            if (status != SKY_OK) {
                free(buckets);
                return status;
            }
            if (!open) buckets[made++] = (struct sky_bucket){n, end, 0};
            struct sky_bucket *bucket = &buckets[made - 1];
            end = end_of(graph, tensor);
            bucket->after = n, bucket->count = end - bucket->first;
            open = (size_t)bucket->count * element < (made == 1 ? first_bytes : bytes);
        }
    *out = buckets, *count = made;
    return SKY_OK;
}

int64_t sky_node_shared_count(const struct sky_graph *graph, const struct sky_node *node)
{
    switch (node->op) {
    case SKY_OP_BN_STATS:
    case SKY_OP_HEAD_BN: return node->attr.bn.across ? 2 * graph->tensors[node->out[1]].count : 0;
    case SKY_OP_BN_GRAD:
    case SKY_OP_HEAD_BN_GRAD:
    case SKY_OP_BLOCK_TAIL_GRAD: return node->attr.bn.across ? 2 * graph->tensors[node->in[2]].count : 0;
    case SKY_OP_GATHER_ROWS: return node->attr.gather.ranks > 1 ? (graph->tensors[node->in[0]].count + graph->tensors[node->in[1]].count + 1) / 2 : 0;
    default: return 0;
    }
}
