/*
 * Gives every tensor its arena offset before anything is allocated. Parameters, gradients and momentum share offsets, in the order in which the backward pass finishes the
 * gradients; activations are packed by the span of nodes in which they live (largest first, lowest gap that fits). An operation marked in_place may
 * write over its first input when nothing reads that input later. Owns only its own tables while it runs.
 */
#include "base/memory.h"
#include "ops/rules.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, GAP = 64 }; /* a gap behind every tensor, so that an overrun can be seen */

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void place(struct sky_graph *graph, struct sky_tensor *tensor)
{
    tensor->offset = graph->arena_bytes[tensor->arena];
    graph->arena_bytes[tensor->arena] += round_up(tensor->bytes) + (tensor->arena == SKY_ARENA_PARAMS ? 0 : GAP);
}

/* PARAMS by the order of their gradients' nodes (backward finishes the last layers first), those without a gradient behind, as declared. */
static void place_parameters(struct sky_graph *graph)
{
    for (int64_t n = 0; n < graph->node_count; n++)
        for (int k = 0; k < graph->nodes[n].out_count; k++) {
            const sky_value out = graph->nodes[n].out[k];
            if (out < 0 || graph->tensors[out].arena != SKY_ARENA_GRADS) continue;
            for (int64_t p = 0; p < graph->parameter_count; p++) {
                struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
                if (tensor->gradient == out) place(graph, tensor), graph->tensors[out].offset = tensor->offset;
            }
        }
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
        if (tensor->arena == SKY_ARENA_BUFFERS || tensor->gradient < 0) place(graph, tensor);
    }
}

static sky_status copy_layout(struct sky_graph *graph, const struct sky_graph *from)
{
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
        const struct sky_tensor *same = NULL;
        for (int64_t q = 0; q < from->parameter_count && !same; q++) {
            const struct sky_tensor *candidate = &from->tensors[from->parameters[q].value];
            if (strcmp(candidate->name, tensor->name) == 0) same = candidate;
        }
        if (!same || same->bytes != tensor->bytes || same->arena != tensor->arena)
            return sky_fail(SKY_INTERNAL, tensor->name, "the graph whose parameters are shared has no such tensor of this size");
        tensor->offset = same->offset;
    }
    graph->arena_bytes[SKY_ARENA_PARAMS] = from->arena_bytes[SKY_ARENA_PARAMS];
    graph->arena_bytes[SKY_ARENA_BUFFERS] = from->arena_bytes[SKY_ARENA_BUFFERS];
    return SKY_OK;
}

static void size_whole_arenas(struct sky_graph *graph)
{
    const size_t bytes = graph->arena_bytes[SKY_ARENA_PARAMS];
    bool any_gradient = false;
    for (int64_t i = 0; i < graph->tensor_count; i++) any_gradient = any_gradient || graph->tensors[i].arena == SKY_ARENA_GRADS;
    graph->param_elements = (int64_t)(bytes / sky_dtype_bytes(graph->dtype));
    if (any_gradient) graph->arena_bytes[SKY_ARENA_GRADS] = bytes;
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        struct sky_tensor *tensor = &graph->tensors[i];
        const size_t element_bytes = sky_dtype_bytes(tensor->dtype);
        if (tensor->shadow_of >= 0) tensor->offset = graph->tensors[tensor->shadow_of].offset / sky_dtype_bytes(graph->dtype) * element_bytes;
        if (tensor->whole) tensor->offset = 0, tensor->count = tensor->dim[0] = graph->param_elements, tensor->bytes = (size_t)tensor->count * element_bytes;
        if (tensor->whole || tensor->shadow_of >= 0) graph->arena_bytes[tensor->arena] = (size_t)graph->param_elements * element_bytes;
    }
}

/* A block of activation memory: one tensor, or a chain of tensors that take over each other's memory in place. */
struct block {
    size_t bytes, offset;
    int64_t first, last; /* nodes between which it is alive */
};

struct liveness {
    int64_t *block_of; /* [tensor_count] index of the tensor's block, -1: not an activation */
    int64_t *last_use; /* [tensor_count] */
    struct block *blocks;
    int64_t block_count, *order;
};

static bool takes_over(const struct sky_graph *graph, const struct liveness *live, int64_t index)
{
    const struct sky_node *node = &graph->nodes[index];
    if (!sky_op_rules[node->op]->in_place || node->in[0] < 0 || node->out[0] < 0) return false;
    const struct sky_tensor *from = &graph->tensors[node->in[0]], *to = &graph->tensors[node->out[0]];
    if (from->arena != SKY_ARENA_ACT || to->arena != SKY_ARENA_ACT || from->keep || from->bytes != to->bytes) return false;
    for (int i = 1; i < node->in_count; i++)
        if (node->in[i] == node->in[0]) return false;
    return live->last_use[node->in[0]] == index;
}

static void find_blocks(struct sky_graph *graph, struct liveness *live)
{
    for (int64_t i = 0; i < graph->tensor_count; i++) live->block_of[i] = live->last_use[i] = -1;
    for (int64_t n = 0; n < graph->node_count; n++) {
        for (int i = 0; i < graph->nodes[n].in_count; i++)
            if (graph->nodes[n].in[i] >= 0) live->last_use[graph->nodes[n].in[i]] = n;
        for (int i = 0; i < graph->nodes[n].out_count; i++)
            if (graph->nodes[n].out[i] >= 0) live->last_use[graph->nodes[n].out[i]] = n;
    }
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        for (int k = 0; k < node->out_count; k++) {
            const sky_value out = node->out[k];
            if (out < 0 || graph->tensors[out].arena != SKY_ARENA_ACT || live->block_of[out] >= 0) continue;
            const int64_t last = graph->tensors[out].keep ? graph->node_count : live->last_use[out];
            if (k == 0 && takes_over(graph, live, n)) {
                struct block *block = &live->blocks[live->block_of[node->in[0]]];
                live->block_of[out] = live->block_of[node->in[0]];
                if (last > block->last) block->last = last;
                continue;
            }
            live->block_of[out] = live->block_count;
            live->blocks[live->block_count++] = (struct block){round_up(graph->tensors[out].bytes) + GAP, 0, n, last};
        }
    }
}

/* Sorts block numbers by size, largest first; equal sizes by age, so that the plan is the same everywhere. */
static void sort_blocks(struct liveness *live)
{
    for (int64_t i = 0; i < live->block_count; i++) {
        int64_t at = i;
        while (at > 0 && live->blocks[live->order[at - 1]].bytes < live->blocks[i].bytes) live->order[at] = live->order[at - 1], at--;
        live->order[at] = i;
    }
}

/* The lowest offset at which the block fits beside the placed blocks that are alive with it. */
static void place_blocks(struct sky_graph *graph, struct liveness *live)
{
    for (int64_t i = 0; i < live->block_count; i++) {
        struct block *block = &live->blocks[live->order[i]];
        bool moved = true;
        while (moved) {
            moved = false;
            for (int64_t j = 0; j < i; j++) {
                const struct block *other = &live->blocks[live->order[j]];
                const bool together = other->first <= block->last && block->first <= other->last;
                if (!together || block->offset + block->bytes <= other->offset || other->offset + other->bytes <= block->offset) continue;
                block->offset = other->offset + other->bytes;
                moved = true;
            }
        }
        if (block->offset + block->bytes > graph->arena_bytes[SKY_ARENA_ACT]) graph->arena_bytes[SKY_ARENA_ACT] = block->offset + block->bytes;
    }
}

static sky_status place_activations(struct sky_graph *graph)
{
    struct liveness live = {0};
    const size_t count = (size_t)graph->tensor_count;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&live.block_of, count, sizeof *live.block_of, "the memory plan"));
    SKY_TRY_DONE(sky_alloc(&live.last_use, count, sizeof *live.last_use, "the memory plan"));
    SKY_TRY_DONE(sky_alloc(&live.blocks, count, sizeof *live.blocks, "the memory plan"));
    SKY_TRY_DONE(sky_alloc(&live.order, count, sizeof *live.order, "the memory plan"));
    find_blocks(graph, &live);
    sort_blocks(&live);
    place_blocks(graph, &live);
    for (int64_t i = 0; i < graph->tensor_count; i++)
        if (live.block_of[i] >= 0) graph->tensors[i].offset = live.blocks[live.block_of[i]].offset;
done:
    free(live.block_of);
    free(live.last_use);
    free(live.blocks);
    free(live.order);
    return status;
}

sky_status sky_graph_plan(struct sky_graph *graph, const struct sky_graph *layout_of)
{
    SKY_TRY(sky_graph_check(graph));
    memset(graph->arena_bytes, 0, sizeof graph->arena_bytes);
    if (layout_of) SKY_TRY(copy_layout(graph, layout_of));
    else place_parameters(graph);
    size_whole_arenas(graph);
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        struct sky_tensor *tensor = &graph->tensors[i];
        if (tensor->arena == SKY_ARENA_INPUT || tensor->arena == SKY_ARENA_DERIVED) place(graph, tensor);
    }
    return place_activations(graph);
}
