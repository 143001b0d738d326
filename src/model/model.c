/*
 * Puts a model's graph together from its parts and plans it. See model.h for what a model offers and who owns what.
 */
#include "model.h"

#include "build.h"

#include <stdio.h>
#include <string.h>

static sky_value prepared_images(struct sky_model *model, int trunk, const char *view, int64_t rows, int64_t size, bool keep)
{
    static const union sky_attributes imagenet = {.prep = {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}};
    struct sky_graph *graph = &model->graph;
    char name[64];
    snprintf(name, sizeof name, "%s.images", view);
    model->images[trunk] = sky_graph_input(graph, name, SKY_U8, 4, (const int64_t[]){rows, size, size, 3});
    model->erased[trunk] = SKY_NONE;
    snprintf(name, sizeof name, "%s.erased", view);
    if (model->mode == SKY_MODEL_TRAIN) model->erased[trunk] = sky_graph_input(graph, name, SKY_I32, 2, (const int64_t[]){rows, 4});
    const sky_value in[3] = {model->images[trunk], model->erased[trunk], graph->scalars};
    model->prepared[trunk] = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_IMAGE_PREP, SKY_PHASE_FORWARD, "input", &imagenet, in, 3), 0);
    if (keep) sky_graph_keep(graph, model->prepared[trunk]);
    return model->prepared[trunk];
}

static sky_value concat_rows(struct sky_graph *graph, const char *name, sky_value a, sky_value b)
{
    const union sky_attributes attr = {.concat = {.axis = 0}};
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONCAT, SKY_PHASE_FORWARD, name, &attr, (const sky_value[]){a, b}, 2), 0);
}

/* One trunk for all rows, or one a view; the maps of two trunks are joined, so the heads see both views either way. */
static struct sky_maps build_trunks(struct sky_model *model, struct sky_builder *builder, int view)
{
    const struct sky_config *config = builder->config;
    const struct sky_backbone *backbone = sky_backbone_find(config->model.backbone);
    static const char *const prefixes[SKY_VIEW_COUNT] = {"backbone_satellite", "backbone_drone"};
    const bool shared = config->model.share_views;
    model->trunks = shared || model->mode == SKY_MODEL_INFER ? 1 : SKY_VIEW_COUNT;
    builder->groups = model->mode == SKY_MODEL_INFER ? 1 : SKY_VIEW_COUNT / model->trunks;
    struct sky_maps maps[SKY_MAX_TRUNKS];
    for (int t = 0; t < model->trunks; t++) {
        const int trunk_view = model->mode == SKY_MODEL_INFER ? view : t;
        builder->prefix = shared ? "backbone" : prefixes[trunk_view];
        const char *input = shared ? "input" : sky_view_name(trunk_view);
        maps[t] = backbone->build(builder, backbone, prepared_images(model, t, input, model->rows / model->trunks, config->data.image_size, config->debug.record != NULL));
    }
    if (model->trunks == 1) return maps[0];
    const bool has_layer3 = maps[0].layer3 != SKY_NONE;
    return (struct sky_maps){has_layer3 ? concat_rows(&model->graph, "layer3", maps[0].layer3, maps[1].layer3) : SKY_NONE,
                             concat_rows(&model->graph, "layer4", maps[0].layer4, maps[1].layer4)};
}

/* Single precision's two kinds differ in how matrices are multiplied, not in what is stored. */
static enum sky_dtype map_type_of(enum sky_precision precision)
{
    return precision == SKY_PRECISION_BF16 ? SKY_BF16 : precision == SKY_PRECISION_FP16 ? SKY_F16 : SKY_F32;
}

/* Libraries fuse batch norm into convolutions of f16 maps alone. */
static bool wants_fusion(const struct sky_config *config, const struct sky_graph *graph)
{
    return config->device.fusion == SKY_FUSION_YES || (config->device.fusion == SKY_FUSION_AUTO && graph->map_dtype == SKY_F16);
}

sky_status sky_model_build(struct sky_model *model, const struct sky_config *config, enum sky_model_mode mode, int64_t places, int64_t classes, int view, enum sky_dtype dtype,
                           const struct sky_model *layout_of)
{
    memset(model, 0, sizeof *model);
    SKY_TRY(sky_model_check_backbone(config->model.backbone));
    sky_status status = sky_graph_init(&model->graph, dtype);
    if (status != SKY_OK) goto done;
    if (dtype == SKY_F32) model->graph.map_dtype = map_type_of((enum sky_precision)(mode == SKY_MODEL_TRAIN ? config->train.precision : config->eval.precision));
    model->mode = mode, model->rows = mode == SKY_MODEL_TRAIN ? SKY_VIEW_COUNT * places : places, model->classes = classes, model->embedding = config->model.embedding;
    struct sky_builder builder = {.graph = &model->graph, .config = config, .infer = mode == SKY_MODEL_INFER};
    const struct sky_heads heads = sky_build_heads(&builder, build_trunks(model, &builder, view), classes);
    model->features = heads.features, model->logits = heads.logits, model->heads = heads.count;
    model->labels = model->loss_ce = model->loss_kl = model->report = SKY_NONE;
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) model->loss_pairs[i] = SKY_NONE;
    sky_graph_keep(&model->graph, model->features);
    if (mode == SKY_MODEL_TRAIN) {
        model->labels = sky_graph_input(&model->graph, "labels", SKY_I32, 1, &model->rows);
        SKY_TRY_DONE(sky_build_training(model, config));
    }
    if (mode == SKY_MODEL_TRAIN && wants_fusion(config, &model->graph)) SKY_TRY_DONE(sky_graph_fuse(&model->graph, config->device.fusion == SKY_FUSION_YES, NULL));
    SKY_TRY_DONE(sky_graph_plan(&model->graph, layout_of ? &layout_of->graph : NULL));
    if (mode == SKY_MODEL_TRAIN) sky_build_segments(model);
done:
    if (status != SKY_OK) sky_model_free(model);
    return status;
}

void sky_model_free(struct sky_model *model)
{
    sky_graph_free(&model->graph);
    memset(model, 0, sizeof *model);
}

int64_t sky_model_parameter_count(const struct sky_model *model, const char *prefix)
{
    int64_t count = 0;
    for (int64_t p = 0; p < model->graph.parameter_count; p++) {
        const struct sky_parameter *parameter = &model->graph.parameters[p];
        if (parameter->is_buffer) continue;
        for (int k = 0; k < parameter->slice_count; k++)
            if (strncmp(parameter->slice_names[k], prefix, strlen(prefix)) == 0) count += model->graph.tensors[parameter->value].count / parameter->slice_count;
    }
    return count;
}
