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

/* Which views each trunk sees: views that share one stand beside each other in the order of enum sky_view. */
static void assign_trunks(struct sky_model *model, const struct sky_config *config)
{
    const char *last = NULL;
    for (int v = 0; v < model->views.count; v++) {
        const char *name = sky_trunk_name(config, model->views.list[v]);
        if (!last || strcmp(name, last) != 0) model->trunk_first[model->trunks++] = v;
        last = name;
    }
    model->trunk_first[model->trunks] = model->views.count;
}

/* A trunk's input is called after the views that it alone sees. */
static const char *input_name(const char *trunk) { return trunk[strlen("backbone")] ? trunk + strlen("backbone_") : "input"; }

/* The maps of several trunks are joined, in the order of the views, so that the heads see all views either way. */
static struct sky_maps build_trunks(struct sky_model *model, struct sky_builder *builder)
{
    const struct sky_config *config = builder->config;
    const struct sky_backbone *backbone = sky_backbone_find(config->model.backbone);
    struct sky_maps all = {SKY_NONE, SKY_NONE};
    for (int t = 0; t < model->trunks; t++) {
        builder->prefix = sky_trunk_name(config, model->views.list[model->trunk_first[t]]);
        builder->groups = model->trunk_first[t + 1] - model->trunk_first[t];
        const sky_value images = prepared_images(model, t, input_name(builder->prefix), builder->groups * model->places, config->data.image_size, config->debug.record != NULL);
        const struct sky_maps maps = backbone->build(builder, backbone, images);
        const bool has_layer3 = maps.layer3 != SKY_NONE;
        all = t == 0 ? maps
                     : (struct sky_maps){has_layer3 ? concat_rows(&model->graph, "layer3", all.layer3, maps.layer3) : SKY_NONE,
                                         concat_rows(&model->graph, "layer4", all.layer4, maps.layer4)};
    }
    return all;
}

/* The views that the model is of. */
static sky_status choose_views(struct sky_model *model, const struct sky_config *config, int view)
{
    model->views = model->mode == SKY_MODEL_TRAIN ? config->data.views : (struct sky_views){{view}, 1};
    if (sky_trunk_name(config, model->views.list[0])) return SKY_OK;
    sky_fail(SKY_CONFIG, "data.views", "a model that is trained on these views has no trunk for %s images", sky_view_name(view));
    return sky_hint("such images want a model that was trained on them: [data] views");
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
    model->mode = mode, model->classes = classes, model->embedding = config->model.embedding;
    SKY_TRY_DONE(choose_views(model, config, view));
    assign_trunks(model, config);
    model->places = places, model->rows = model->views.count * places;
    struct sky_builder builder = {.graph = &model->graph, .config = config, .infer = mode == SKY_MODEL_INFER, .views = model->views.count};
    const struct sky_heads heads = sky_build_heads(&builder, build_trunks(model, &builder), classes);
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
