/*
 * Reverse-mode gradients by hand-written rules: walks the forward nodes backwards and lets each operation's rule append its gradient nodes. Keeps, for every
 * value, the gradient terms found so far; they are summed by ADD where a consumer wants one tensor. Owns only its own tables while it runs.
 */
#include "base/memory.h"
#include "ops/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TERMS 6

struct terms {
    sky_value term[MAX_TERMS];
    int count;
};

struct sky_backward {
    struct sky_graph *graph;
    struct terms *terms; /* [value_count] gradients of forward values */
    bool *needs;         /* [value_count] */
    int64_t value_count; /* forward values: those that existed before the first gradient node */
};

struct sky_graph *sky_backward_graph(struct sky_backward *backward)
{
    return backward->graph;
}

bool sky_backward_needs(const struct sky_backward *backward, sky_value value)
{
    return value >= 0 && value < backward->value_count && backward->needs[value];
}

static int64_t sum_terms(struct sky_backward *backward, sky_value value, int leave)
{
    struct terms *terms = &backward->terms[value];
    struct sky_graph *graph = backward->graph;
    while (terms->count > leave) {
        char name[300];
        const sky_value pair[2] = {terms->term[terms->count - 2], terms->term[terms->count - 1]};
        snprintf(name, sizeof name, "grad/%.280s", graph->tensors[value].name);
        const int64_t node = sky_graph_node(graph, SKY_OP_ADD, SKY_PHASE_BACKWARD, name, NULL, pair, 2);
        terms->term[--terms->count - 1] = sky_graph_out(graph, node, 0);
    }
    return terms->count;
}

sky_value sky_backward_take(struct sky_backward *backward, sky_value value)
{
    if (!sky_backward_needs(backward, value)) return SKY_NONE;
    return sum_terms(backward, value, 1) ? backward->terms[value].term[0] : SKY_NONE;
}

void sky_backward_take_two(struct sky_backward *backward, sky_value value, sky_value out[2])
{
    out[0] = out[1] = SKY_NONE;
    if (!sky_backward_needs(backward, value)) return;
    const int64_t count = sum_terms(backward, value, 2);
    for (int64_t i = 0; i < count; i++) out[i] = backward->terms[value].term[i];
}

void sky_backward_give(struct sky_backward *backward, sky_value value, sky_value gradient)
{
    if (gradient < 0 || !sky_backward_needs(backward, value)) return;
    struct terms *terms = &backward->terms[value];
    if (terms->count == MAX_TERMS) sum_terms(backward, value, MAX_TERMS - 1);
    terms->term[terms->count++] = gradient;
}

sky_value sky_backward_parameter(struct sky_backward *backward, sky_value parameter)
{
    struct sky_graph *graph = backward->graph;
    if (parameter < 0 || graph->failed != SKY_OK) return SKY_NONE;
    if (graph->tensors[parameter].shadow_of >= 0) parameter = graph->tensors[parameter].shadow_of;
    if (graph->tensors[parameter].arena != SKY_ARENA_PARAMS) return SKY_NONE;
    const struct sky_tensor tensor = graph->tensors[parameter]; /* a copy: the table may move */
    if (tensor.gradient >= 0) return sky_graph_fail(graph, SKY_INTERNAL, tensor.name, "a parameter is used by two nodes: its gradient has one writer only");
    char name[300];
    snprintf(name, sizeof name, "grad/%.280s", tensor.name);
    const sky_value gradient = sky_graph_tensor(graph, name, tensor.dtype, SKY_ARENA_GRADS, tensor.rank, tensor.dim);
    if (gradient >= 0) graph->tensors[parameter].gradient = gradient;
    return gradient;
}

int64_t sky_backward_node(struct sky_backward *backward, int64_t forward, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int in_count, const sky_value *out)
{
    char name[300];
    snprintf(name, sizeof name, "%.280s.grad", backward->graph->nodes[forward].name);
    return sky_graph_node_into(backward->graph, op, SKY_PHASE_BACKWARD, name, attr, in, in_count, out);
}

/* A value needs a gradient when it is a parameter, is wanted, or comes from such a value. */
static void find_needs(struct sky_backward *backward, const sky_value *wanted, int wanted_count)
{
    const struct sky_graph *graph = backward->graph;
    for (int64_t i = 0; i < backward->value_count; i++)
        backward->needs[i] = (graph->tensors[i].arena == SKY_ARENA_PARAMS || graph->tensors[i].arena == SKY_ARENA_SHADOW) && !graph->tensors[i].whole;
    for (int i = 0; i < wanted_count; i++) backward->needs[wanted[i]] = true;
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        bool needs = false;
        for (int i = 0; i < node->in_count; i++) needs = needs || (node->in[i] >= 0 && backward->needs[node->in[i]]);
        for (int i = 0; i < node->out_count; i++)
            if (needs && node->out[i] >= 0) backward->needs[node->out[i]] = true;
    }
}

sky_status sky_graph_backward(struct sky_graph *graph, const struct sky_seed *seeds, int seed_count, const sky_value *wanted_inputs, int wanted_count, sky_value *wanted_gradients)
{
    if (graph->failed != SKY_OK) return graph->failed;
    struct sky_backward backward = {.graph = graph, .value_count = graph->tensor_count};
    const int64_t forward_count = graph->node_count;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&backward.terms, (size_t)backward.value_count, sizeof *backward.terms, "gradient terms"));
    SKY_TRY_DONE(sky_alloc(&backward.needs, (size_t)backward.value_count, sizeof *backward.needs, "gradient flags"));
    find_needs(&backward, wanted_inputs, wanted_count);
    for (int i = 0; i < seed_count; i++) sky_backward_give(&backward, seeds[i].value, seeds[i].gradient);
    for (int64_t n = forward_count - 1; n >= 0 && graph->failed == SKY_OK; n--) {
        if (graph->nodes[n].phase != SKY_PHASE_FORWARD) continue;
        const struct sky_op_rule *rule = sky_op_rules[graph->nodes[n].op];
        bool reached = false;
        for (int i = 0; i < graph->nodes[n].out_count; i++) {
            const sky_value out = graph->nodes[n].out[i];
            reached = reached || (out >= 0 && out < backward.value_count && backward.needs[out] && backward.terms[out].count > 0);
        }
        if (reached && rule->gradient) rule->gradient(&backward, n);
    }
    for (int i = 0; i < wanted_count; i++) wanted_gradients[i] = sky_backward_take(&backward, wanted_inputs[i]);
    status = graph->failed;
done:
    free(backward.terms);
    free(backward.needs);
    return status;
}
