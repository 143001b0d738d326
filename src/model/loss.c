/*
 * The training half of a model's graph: cross entropy and divergence on the logits, losses on the features of pairs, and the gradient nodes.
 */
#include "build.h"

#include <math.h>
#include <stdio.h>

/* A loss node that reports its value and gives its gradient by `value`, its first input, as a seed. */
struct seeds {
    struct sky_seed list[2 + SKY_PAIR_LOSS_COUNT];
    int count;
};

static sky_value add_loss(struct sky_graph *graph, enum sky_op op, const char *name, const union sky_attributes *attr, sky_value value, sky_value labels, struct seeds *seeds)
{
    const sky_value scalars = graph->map_dtype == SKY_F16 ? graph->scalars : SKY_NONE, labelled[3] = {value, labels, scalars}, kl[2] = {value, scalars};
    const bool unlabelled = op == SKY_OP_LOSS_KL;
    const int64_t node = sky_graph_node(graph, op, SKY_PHASE_FORWARD, name, attr, unlabelled ? kl : labelled, unlabelled ? 2 : 3);
    seeds->list[seeds->count++] = (struct sky_seed){value, sky_graph_out(graph, node, 1)};
    sky_graph_keep(graph, sky_graph_out(graph, node, 0));
    return sky_graph_out(graph, node, 0);
}

static void add_losses_on_logits(struct sky_model *model, const struct sky_config *config, struct seeds *seeds)
{
    union sky_attributes attr = {.loss = {.groups = model->views.count, .mean = config->loss.reduction == SKY_REDUCE_MEAN, .weight = config->loss.ce,
                                          .smoothing = config->loss.label_smoothing}};
    model->loss_ce = add_loss(&model->graph, SKY_OP_LOSS_CE, "loss.ce", &attr, model->logits, model->labels, seeds);
    if (config->loss.kl == 0) return;
    attr.loss.weight = config->loss.kl, attr.loss.direction = config->loss.kl_direction;
    attr.loss.detach = config->loss.kl_detach, attr.loss.temperature = config->loss.kl_temperature;
    attr.loss.satellite = sky_views_index(&model->views, SKY_VIEW_SATELLITE), attr.loss.drone = sky_views_index(&model->views, SKY_VIEW_DRONE);
    model->loss_kl = add_loss(&model->graph, SKY_OP_LOSS_KL, "loss.kl", &attr, model->logits, SKY_NONE, seeds);
}

/* ln of what cosines are multiplied by, learned with the heads' rate and without decay, which would pull the temperature to 1. */
static sky_value learned_scale(struct sky_graph *graph, const struct sky_config *config)
{
    char name[] = "logit_scale", *names[1] = {name};
    const struct sky_parameter parameter = {.group = SKY_GROUP_HEAD, .low = 0, .high = log(100), .init = SKY_INIT_CONSTANT,
                                            .value_init = log(1 / config->loss.info_nce_temperature), .slice_count = 1, .slice_names = names};
    return sky_graph_parameter(graph, &parameter, 1, (const int64_t[]){1});
}

/* Where several ranks train, negatives are looked for among all their places. */
static void gather_rows(struct sky_model *model, const struct sky_config *config, sky_value *rows, sky_value *labels)
{
    const union sky_attributes attr = {.gather = {.groups = model->views.count, .ranks = config->ranks}};
    *rows = model->features, *labels = model->labels;
    if (config->ranks < 2) return;
    const int64_t node = sky_graph_node(&model->graph, SKY_OP_GATHER_ROWS, SKY_PHASE_FORWARD, "rows.of_all_ranks", &attr, (const sky_value[]){*rows, *labels}, 2);
    *rows = sky_graph_out(&model->graph, node, 0), *labels = sky_graph_out(&model->graph, node, 1);
}

static sky_value cosines(struct sky_model *model, const char *name, const union sky_attributes *attr, sky_value rows, sky_value scale)
{
    const sky_value in[2] = {rows, scale};
    return sky_graph_out(&model->graph, sky_graph_node(&model->graph, SKY_OP_SIMILARITY, SKY_PHASE_FORWARD, name, attr, in, 2), 0);
}

/* Losses on the cosines between satellite and drone, of features as they are in the test: before dropout. */
static void add_losses_on_pairs(struct sky_model *model, const struct sky_config *config, struct seeds *seeds)
{
    static const enum sky_op ops[SKY_PAIR_LOSS_COUNT] = {SKY_OP_LOSS_CONTRASTIVE, SKY_OP_LOSS_TRIPLET, SKY_OP_LOSS_TRIPLET, SKY_OP_LOSS_INFO_NCE};
    const double margins[SKY_PAIR_LOSS_COUNT] = {config->loss.contrastive_margin, config->loss.triplet_margin, 0, 0};
    sky_value plain = SKY_NONE, rows = SKY_NONE, labels = SKY_NONE;
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
        if (sky_pair_loss_weight(config, i) == 0) continue;
        const bool scaled = i == SKY_PAIR_INFO_NCE && config->loss.info_nce_learn;
        const union sky_attributes attr = {.pairs = {.groups = model->views.count, .first = sky_views_index(&model->views, SKY_VIEW_SATELLITE),
                                                     .second = sky_views_index(&model->views, SKY_VIEW_DRONE),
                                                     .joint = config->loss.pair_features == SKY_PAIR_JOINT, .mean = config->loss.reduction == SKY_REDUCE_MEAN,
                                                     .soft = i == SKY_PAIR_SOFT_MARGIN, .weight = sky_pair_loss_weight(config, i), .margin = margins[i],
                                                     .alpha = config->loss.soft_margin_alpha, .smoothing = config->loss.info_nce_smoothing,
                                                     .temperature = scaled ? 1 : config->loss.info_nce_temperature}};
        char name[48];
        if (rows == SKY_NONE) gather_rows(model, config, &rows, &labels);
        if (!scaled && plain == SKY_NONE) plain = cosines(model, "cosines", &attr, rows, SKY_NONE);
        const sky_value value = scaled ? cosines(model, "cosines.scaled", &attr, rows, learned_scale(&model->graph, config)) : plain;
        snprintf(name, sizeof name, "loss.%s", sky_pair_loss_name(i));
        model->loss_pairs[i] = add_loss(&model->graph, ops[i], name, &attr, value, labels, seeds);
    }
}

sky_status sky_build_training(struct sky_model *model, const struct sky_config *config)
{
    struct sky_graph *graph = &model->graph;
    struct seeds seeds = {0};
    add_losses_on_pairs(model, config, &seeds);
    if (model->logits != SKY_NONE) add_losses_on_logits(model, config, &seeds); /* last: until the backward pass the host may read the logits */
    SKY_TRY(sky_graph_backward(graph, seeds.list, seeds.count, NULL, 0, NULL));
    sky_build_update(model, config);
    return sky_graph_check(graph);
}
