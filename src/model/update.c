/*
 * The last part of a training graph: the gradients' sum of squares, the optimiser over whole arenas, and the moving average. The optimiser's segments are filled in
 * when the plan has given the parameters their places.
 */
#include "build.h"

/* Appends the optimiser's node. `out` [2]: its copy in lower precision as the second, or none. */
static int64_t add_optimizer(struct sky_graph *graph, const struct sky_config *config, sky_value params, sky_value grads, sky_value sum_squares, const sky_value *out)
{
    const struct sky_segment *segments = sky_graph_memory(graph, sizeof *segments * (size_t)graph->parameter_count);
    const sky_value momentum = sky_graph_whole_arena(graph, SKY_ARENA_MOMENTUM);
    if (config->optimizer.kind == SKY_OPTIMIZER_ADAMW) {
        const union sky_attributes adamw = {.update = {.momentum = config->optimizer.beta1, .squares = config->optimizer.beta2, .epsilon = config->optimizer.epsilon,
                                                       .clip_norm = config->optimizer.clip_norm, .segments = segments}};
        const sky_value in[6] = {params, grads, momentum, sky_graph_whole_arena(graph, SKY_ARENA_SQUARES), sum_squares, graph->scalars};
        return sky_graph_node_into(graph, SKY_OP_ADAMW, SKY_PHASE_UPDATE, "adamw", &adamw, in, 6, out);
    }
    const union sky_attributes sgd = {.update = {.momentum = config->optimizer.momentum, .clip_norm = config->optimizer.clip_norm, .nesterov = config->optimizer.nesterov,
                                                 .segments = segments}};
    const sky_value in[5] = {params, grads, momentum, sum_squares, graph->scalars};
    return sky_graph_node_into(graph, SKY_OP_SGD, SKY_PHASE_UPDATE, "sgd", &sgd, in, 5, out);
}

void sky_build_update(struct sky_model *model, const struct sky_config *config)
{
    struct sky_graph *graph = &model->graph;
    const sky_value params = sky_graph_whole_arena(graph, SKY_ARENA_PARAMS), grads = sky_graph_whole_arena(graph, SKY_ARENA_GRADS);
    const int64_t squares = sky_graph_node(graph, SKY_OP_SUM_SQUARES, SKY_PHASE_UPDATE, "gradient.norm", NULL, &grads, 1);
    sky_value out[2] = {SKY_NONE, SKY_NONE};
    if (graph->map_dtype != graph->dtype) {
        out[1] = sky_graph_whole_arena(graph, SKY_ARENA_SHADOW);
        sky_graph_node_into(graph, SKY_OP_CAST, SKY_PHASE_ONCE, "shadow", NULL, &params, 1, &out[1]);
    }
    model->report = sky_graph_out(graph, add_optimizer(graph, config, params, grads, sky_graph_out(graph, squares, 0), out), 0);
    sky_graph_keep(graph, model->report);
    if (config->train.ema == 0) return;
    const sky_value ema = sky_graph_whole_arena(graph, SKY_ARENA_EMA);
    sky_graph_node(graph, SKY_OP_EMA, SKY_PHASE_UPDATE, "ema", NULL, (const sky_value[]){params, ema, graph->scalars}, 3);
}

void sky_build_segments(struct sky_model *model)
{
    struct sky_graph *graph = &model->graph;
    for (int64_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].op != SKY_OP_SGD && graph->nodes[n].op != SKY_OP_ADAMW) continue;
        struct sky_segment *segments = (struct sky_segment *)graph->nodes[n].attr.update.segments; /* ours, from sky_build_update */
        int64_t count = 0;
        for (int64_t p = 0; p < graph->parameter_count; p++) {
            const struct sky_parameter *parameter = &graph->parameters[p];
            const struct sky_tensor *tensor = &graph->tensors[parameter->value];
            if (parameter->is_buffer || tensor->gradient < 0) continue;
            segments[count++] = (struct sky_segment){(int64_t)(tensor->offset / sky_dtype_bytes(tensor->dtype)), tensor->count, (int)parameter->group,
                                                     (float)parameter->weight_decay, (float)parameter->low, (float)parameter->high};
        }
        graph->nodes[n].attr.update.segment_count = count;
    }
}
