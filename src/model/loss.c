/*
 * The training half of a model's graph: cross entropy and divergence on the logits, the gradient nodes, the sum of squares and the SGD update.
 */
#include "build.h"

static sky_value add_loss(struct sky_graph *graph, enum sky_op op, const char *name, const union sky_attributes *attr, sky_value logits, sky_value labels, struct sky_seed *seed)
{
    const sky_value scalars = graph->map_dtype == SKY_F16 ? graph->scalars : SKY_NONE, ce[3] = {logits, labels, scalars}, kl[2] = {logits, scalars};
    const int64_t node = sky_graph_node(graph, op, SKY_PHASE_FORWARD, name, attr, op == SKY_OP_LOSS_CE ? ce : kl, op == SKY_OP_LOSS_CE ? 3 : 2);
    *seed = (struct sky_seed){logits, sky_graph_out(graph, node, 1)};
    sky_graph_keep(graph, sky_graph_out(graph, node, 0));
    return sky_graph_out(graph, node, 0);
}

sky_status sky_build_training(struct sky_model *model, const struct sky_config *config)
{
    struct sky_graph *graph = &model->graph;
    struct sky_seed seeds[2];
    int seed_count = 0;
    union sky_attributes attr = {.loss = {.groups = 2, .mean = config->loss.reduction == SKY_REDUCE_MEAN, .weight = config->loss.ce, .smoothing = config->loss.label_smoothing}};
    model->loss_ce = add_loss(graph, SKY_OP_LOSS_CE, "loss.ce", &attr, model->logits, model->labels, &seeds[seed_count++]);
    model->loss_kl = SKY_NONE;
    if (config->loss.kl > 0) {
        attr.loss.weight = config->loss.kl, attr.loss.direction = config->loss.kl_direction;
        attr.loss.detach = config->loss.kl_detach, attr.loss.temperature = config->loss.kl_temperature;
        model->loss_kl = add_loss(graph, SKY_OP_LOSS_KL, "loss.kl", &attr, model->logits, SKY_NONE, &seeds[seed_count++]);
    }
    SKY_TRY(sky_graph_backward(graph, seeds, seed_count, NULL, 0, NULL));
    const sky_value params = sky_graph_whole_arena(graph, SKY_ARENA_PARAMS), grads = sky_graph_whole_arena(graph, SKY_ARENA_GRADS);
    const sky_value momentum = sky_graph_whole_arena(graph, SKY_ARENA_MOMENTUM);
    const int64_t squares = sky_graph_node(graph, SKY_OP_SUM_SQUARES, SKY_PHASE_UPDATE, "gradient.norm", NULL, &grads, 1);
    struct sky_segment *segments = sky_graph_memory(graph, sizeof *segments * (size_t)graph->parameter_count);
    const union sky_attributes sgd = {.sgd = {.momentum = config->optimizer.momentum, .clip_norm = config->optimizer.clip_norm, .nesterov = config->optimizer.nesterov, .segments = segments}};
    const sky_value in[5] = {params, grads, momentum, sky_graph_out(graph, squares, 0), graph->scalars};
    sky_value out[2] = {SKY_NONE, SKY_NONE};
    if (graph->map_dtype != graph->dtype) {
        out[1] = sky_graph_whole_arena(graph, SKY_ARENA_SHADOW);
        sky_graph_node_into(graph, SKY_OP_CAST, SKY_PHASE_ONCE, "shadow", NULL, &params, 1, &out[1]);
    }
    const int64_t update = sky_graph_node_into(graph, SKY_OP_SGD, SKY_PHASE_UPDATE, "sgd", &sgd, in, 5, out);
    model->report = sky_graph_out(graph, update, 0);
    sky_graph_keep(graph, model->report);
    if (config->train.ema > 0) {
        const sky_value ema = sky_graph_whole_arena(graph, SKY_ARENA_EMA);
        sky_graph_node(graph, SKY_OP_EMA, SKY_PHASE_UPDATE, "ema", NULL, (const sky_value[]){params, ema, graph->scalars}, 3);
    }
    return sky_graph_check(graph);
}

void sky_build_segments(struct sky_model *model)
{
    struct sky_graph *graph = &model->graph;
    for (int64_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].op != SKY_OP_SGD) continue;
        struct sky_segment *segments = (struct sky_segment *)graph->nodes[n].attr.sgd.segments; /* ours, from sky_build_training */
        int64_t count = 0;
        for (int64_t p = 0; p < graph->parameter_count; p++) {
            const struct sky_parameter *parameter = &graph->parameters[p];
            const struct sky_tensor *tensor = &graph->tensors[parameter->value];
            if (parameter->is_buffer || tensor->gradient < 0) continue;
            segments[count++] = (struct sky_segment){(int64_t)(tensor->offset / sky_dtype_bytes(tensor->dtype)), tensor->count, (int)parameter->group,
                                                     (float)parameter->weight_decay, (float)parameter->low, (float)parameter->high};
        }
        graph->nodes[n].attr.sgd.segment_count = count;
    }
}
