/*
 * Building a graph: tables of tensors, nodes and parameters, with checked shapes. Owns names, tables and attribute memory; no tensor data.
 * The first failure sticks: later builder calls do nothing, and sky_graph_check reports it.
 */
#include "graph.h"

#include "base/memory.h"
#include "base/str.h"
#include "ops/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sky_arena_name(enum sky_arena arena)
{
    static const char *const names[SKY_ARENA_COUNT] = {"parameters", "gradients", "momentum", "squares", "ema", "shadow", "buffers", "derived", "input", "activations"};
    return names[arena];
}

const char *sky_group_name(enum sky_group group)
{
    static const char *const names[SKY_GROUP_COUNT] = {"backbone", "head", "gem"};
    return names[group];
}

sky_status sky_graph_init(struct sky_graph *graph, enum sky_dtype dtype)
{
    memset(graph, 0, sizeof *graph);
    graph->dtype = graph->map_dtype = dtype;
    const int64_t bytes = sizeof(struct sky_scalars);
    graph->scalars = sky_graph_input(graph, "scalars", SKY_U8, 1, &bytes);
    return graph->failed;
}

void sky_graph_free(struct sky_graph *graph)
{
    for (int64_t i = 0; i < graph->tensor_count; i++) free(graph->tensors[i].name);
    for (int64_t i = 0; i < graph->node_count; i++) free(graph->nodes[i].name);
    for (int64_t i = 0; i < graph->parameter_count; i++) {
        for (int k = 0; k < graph->parameters[i].slice_count; k++) free(graph->parameters[i].slice_names[k]);
        free(graph->parameters[i].slice_names);
    }
    for (int64_t i = 0; i < graph->owned_count; i++) free(graph->owned[i]);
    free(graph->owned);
    free(graph->tensors);
    free(graph->nodes);
    free(graph->parameters);
    memset(graph, 0, sizeof *graph);
}

sky_status sky_graph_check(const struct sky_graph *graph)
{
    return graph->failed;
}

sky_value sky_graph_fail(struct sky_graph *graph, sky_status status, const char *where, const char *what)
{
    if (graph->failed == SKY_OK) graph->failed = sky_fail(status, where, "%s", what);
    return SKY_NONE;
}

void *sky_graph_memory(struct sky_graph *graph, size_t bytes)
{
    void *memory = NULL;
    if (graph->failed == SKY_OK) graph->failed = sky_grow(&graph->owned, graph->owned_count, &graph->owned_capacity, sizeof *graph->owned, "graph tables");
    if (graph->failed == SKY_OK) graph->failed = sky_alloc(&memory, 1, bytes, "a table of the graph");
    if (graph->failed == SKY_OK) graph->owned[graph->owned_count++] = memory;
    return memory;
}

sky_value sky_graph_tensor(struct sky_graph *graph, const char *name, enum sky_dtype dtype, enum sky_arena arena, int rank, const int64_t *dim)
{
    if (graph->failed != SKY_OK) return SKY_NONE;
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        if (dim[i] < 1 || __builtin_mul_overflow(count, dim[i], &count) || count > INT64_MAX / 64) {
            char what[160];
            snprintf(what, sizeof what, "dimension %d of a tensor is %lld: empty or too large", i, (long long)dim[i]);
            return sky_graph_fail(graph, SKY_CONFIG, name, what);
        }
    graph->failed = sky_grow(&graph->tensors, graph->tensor_count, &graph->tensor_capacity, sizeof *graph->tensors, "tensors of the graph");
    if (graph->failed != SKY_OK) return SKY_NONE;
    struct sky_tensor *tensor = &graph->tensors[graph->tensor_count];
    memset(tensor, 0, sizeof *tensor);
    graph->failed = sky_strdup(&tensor->name, name, "a tensor's name");
    if (graph->failed != SKY_OK) return SKY_NONE;
    tensor->dtype = dtype, tensor->arena = arena, tensor->rank = rank, tensor->count = count;
    for (int i = 0; i < SKY_MAX_RANK; i++) tensor->dim[i] = i < rank ? dim[i] : 1;
    tensor->bytes = (size_t)count * sky_dtype_bytes(dtype);
    tensor->gradient = tensor->shadow_of = SKY_NONE, tensor->parameter = -1, tensor->producer = -1;
    return (sky_value)graph->tensor_count++;
}

sky_value sky_graph_input(struct sky_graph *graph, const char *name, enum sky_dtype dtype, int rank, const int64_t *dim)
{
    return sky_graph_tensor(graph, name, dtype, SKY_ARENA_INPUT, rank, dim);
}

sky_value sky_graph_whole_arena(struct sky_graph *graph, enum sky_arena arena)
{
    const int64_t one = 1;
    const sky_value value = sky_graph_tensor(graph, sky_arena_name(arena), arena == SKY_ARENA_SHADOW ? graph->map_dtype : graph->dtype, arena, 1, &one);
    if (value >= 0) graph->tensors[value].whole = true;
    return value;
}

sky_value sky_graph_parameter(struct sky_graph *graph, const struct sky_parameter *parameter, int rank, const int64_t *dim)
{
    const sky_value value =
        sky_graph_tensor(graph, parameter->slice_names[0], graph->dtype, parameter->is_buffer ? SKY_ARENA_BUFFERS : SKY_ARENA_PARAMS, rank, dim);
    if (value < 0) return SKY_NONE;
    if (parameter->slice_count < 1 || dim[0] % parameter->slice_count)
        return sky_graph_fail(graph, SKY_INTERNAL, parameter->slice_names[0], "a parameter's first dimension is no multiple of its slices");
    graph->failed = sky_grow(&graph->parameters, graph->parameter_count, &graph->parameter_capacity, sizeof *graph->parameters, "parameters of the graph");
    if (graph->failed != SKY_OK) return SKY_NONE;
    struct sky_parameter *copy = &graph->parameters[graph->parameter_count];
    *copy = *parameter;
    copy->value = value;
    graph->failed = sky_alloc(&copy->slice_names, (size_t)parameter->slice_count, sizeof *copy->slice_names, "a parameter's names");
    if (graph->failed != SKY_OK) return SKY_NONE;
    graph->tensors[value].parameter = (int)graph->parameter_count++;
    for (int i = 0; i < parameter->slice_count && graph->failed == SKY_OK; i++)
        graph->failed = sky_strdup(&copy->slice_names[i], parameter->slice_names[i], "a parameter's name");
    return graph->failed == SKY_OK ? value : SKY_NONE;
}

sky_value sky_graph_shadow(struct sky_graph *graph, sky_value parameter)
{
    if (parameter < 0 || graph->map_dtype == graph->dtype) return parameter;
    const struct sky_tensor master = graph->tensors[parameter]; /* a copy: the table may move */
    const sky_value value = sky_graph_tensor(graph, master.name, graph->map_dtype, SKY_ARENA_SHADOW, master.rank, master.dim);
    if (value >= 0) graph->tensors[value].shadow_of = parameter;
    return value;
}

void sky_graph_keep(struct sky_graph *graph, sky_value value)
{
    if (value >= 0) graph->tensors[value].keep = true;
}

/* Creates the outputs that were not chosen, in the arena that the phase implies. */
static void create_outputs(struct sky_graph *graph, struct sky_node *node, const struct sky_shape *shapes, const sky_value *chosen)
{
    for (int i = 0; i < node->out_count && graph->failed == SKY_OK; i++) {
        const struct sky_shape *shape = &shapes[i];
        node->out[i] = SKY_NONE;
        if (shape->rank == 0) continue; /* an output that this node does not have */
        if (chosen && chosen[i] != SKY_NONE) {
            const struct sky_tensor *tensor = &graph->tensors[chosen[i]];
            int64_t count = 1;
            for (int d = 0; d < shape->rank; d++) count *= shape->dim[d];
            if (count != tensor->count) sky_graph_fail(graph, SKY_INTERNAL, tensor->name, "an output tensor has another size than its operation gives");
            node->out[i] = chosen[i];
            continue;
        }
        char name[512];
        snprintf(name, sizeof name, i ? "%s:%d" : "%s", node->name, i);
        const enum sky_dtype own = shape->rank == 4 ? graph->map_dtype : graph->dtype, dtype = shape->dtype == SKY_F32 && !shape->exact ? own : shape->dtype;
        node->out[i] = sky_graph_tensor(graph, name, dtype, node->phase == SKY_PHASE_ONCE ? SKY_ARENA_DERIVED : SKY_ARENA_ACT, shape->rank, shape->dim);
    }
}

int64_t sky_graph_node_into(struct sky_graph *graph, enum sky_op op, enum sky_phase phase, const char *name, const union sky_attributes *attr, const sky_value *in, int in_count,
                            const sky_value *out)
{
    if (graph->failed != SKY_OK) return -1;
    struct sky_node node;
    memset(&node, 0, sizeof node);
    node.op = op, node.phase = phase, node.in_count = sky_op_inputs(op), node.out_count = sky_op_outputs(op);
    if (attr) node.attr = *attr;
    for (int i = 0; i < SKY_MAX_IN; i++) node.in[i] = i < in_count ? in[i] : SKY_NONE;
    for (int i = 0; i < SKY_MAX_OUT; i++) node.out[i] = SKY_NONE;
    if (in_count > node.in_count) return sky_graph_fail(graph, SKY_INTERNAL, name, "too many inputs");
    struct sky_shape shapes[SKY_MAX_OUT];
    memset(shapes, 0, sizeof shapes);
    const char *wrong = sky_op_rules[op]->shape(graph, &node, shapes);
    if (wrong) {
        char where[300];
        snprintf(where, sizeof where, "%s (%s)", name, sky_op_name(op));
        return sky_graph_fail(graph, SKY_CONFIG, where, wrong);
    }
    graph->failed = sky_strdup(&node.name, name, "a node's name");
    if (graph->failed != SKY_OK) return -1;
    create_outputs(graph, &node, shapes, out);
    if (graph->failed == SKY_OK) graph->failed = sky_grow(&graph->nodes, graph->node_count, &graph->node_capacity, sizeof *graph->nodes, "nodes of the graph");
    if (graph->failed != SKY_OK) {
        free(node.name);
        return -1;
    }
    for (int i = 0; i < node.out_count; i++)
        if (node.out[i] != SKY_NONE && graph->tensors[node.out[i]].producer < 0) graph->tensors[node.out[i]].producer = graph->node_count;
    graph->nodes[graph->node_count] = node;
    return graph->node_count++;
}

int64_t sky_graph_node(struct sky_graph *graph, enum sky_op op, enum sky_phase phase, const char *name, const union sky_attributes *attr, const sky_value *in, int in_count)
{
    return sky_graph_node_into(graph, op, phase, name, attr, in, in_count, NULL);
}
