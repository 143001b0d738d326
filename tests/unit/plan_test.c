/*
 * The memory plan of whole models, checked against lifetimes found here anew: two tensors that are alive at the same node never share a byte, unless the
 * operation writes over its first input and says so; parameters, gradients and momentum have the same offsets; the optimiser's segments cover every parameter
 * once; shared layouts agree.
 */
#include "check.h"
#include "model/model.h"
#include "ops/rules.h"

/* From the node that first writes a tensor to the last that reads or writes it; what the host reads lives to the end. */
struct life {
    int64_t first, last;
};

static void find_lives(const struct sky_graph *graph, struct life *lives)
{
    for (int64_t i = 0; i < graph->tensor_count; i++) lives[i] = (struct life){-1, -1};
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        for (int i = 0; i < node->out_count; i++) {
            if (node->out[i] < 0) continue;
            if (lives[node->out[i]].first < 0) lives[node->out[i]].first = n;
            lives[node->out[i]].last = n;
        }
        for (int i = 0; i < node->in_count; i++)
            if (node->in[i] >= 0) lives[node->in[i]].last = n;
    }
    for (int64_t i = 0; i < graph->tensor_count; i++)
        if (graph->tensors[i].keep) lives[i].last = graph->node_count;
}

static bool share_bytes(const struct sky_tensor *a, const struct sky_tensor *b)
{
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

/* `after` takes over the memory of `before`: an in-place operation's first output and first input, which nothing else reads there or later. */
static bool taken_over(const struct sky_graph *graph, const struct life *lives, sky_value before, sky_value after)
{
    const struct sky_node *node = &graph->nodes[lives[after].first];
    int uses = 0;
    for (int i = 0; i < node->in_count; i++) uses += node->in[i] == before;
    return sky_op_rules[node->op]->in_place && node->out[0] == after && node->in[0] == before && uses == 1 && lives[before].last == lives[after].first &&
           graph->tensors[before].offset == graph->tensors[after].offset && graph->tensors[before].bytes == graph->tensors[after].bytes;
}

/* Returns how many bytes the activations would need without a plan. */
static size_t check_activations(const struct sky_graph *graph)
{
    struct life *lives = malloc((size_t)graph->tensor_count * sizeof *lives);
    size_t sum = 0;
    int64_t overlaps = 0, takeovers = 0, bad_order = 0, outside = 0;
    find_lives(graph, lives);
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        const struct sky_tensor *a = &graph->tensors[i];
        if (a->arena != SKY_ARENA_ACT || (lives[i].first < 0 && lives[i].last < 0)) continue; /* fusion leaves rows that no node names */
        sum += a->bytes;
        outside += a->offset % 64 != 0 || a->offset + a->bytes > graph->arena_bytes[SKY_ARENA_ACT];
        bad_order += lives[i].first < 0 || graph->nodes[lives[i].first].phase == SKY_PHASE_ONCE;
        for (int64_t j = 0; j < i; j++) {
            const struct sky_tensor *b = &graph->tensors[j];
            if (b->arena != SKY_ARENA_ACT || lives[j].last < 0 || lives[i].last < lives[j].first || lives[j].last < lives[i].first || !share_bytes(a, b)) continue;
            if (taken_over(graph, lives, (sky_value)i, (sky_value)j) || taken_over(graph, lives, (sky_value)j, (sky_value)i)) takeovers++;
            else if (overlaps++ == 0) check_that(0, a->name, __FILE__, __LINE__, b->name);
        }
    }
    CHECK(overlaps == 0 && bad_order == 0 && outside == 0);
    CHECK(graph->parameter_count == 0 || graph->nodes[graph->node_count - 1].phase == SKY_PHASE_FORWARD || takeovers > 0);
    free(lives);
    return sum;
}

/* Every node reads only what was written before it, by the host or by an earlier node. */
static void check_order(const struct sky_graph *graph)
{
    struct life *lives = malloc((size_t)graph->tensor_count * sizeof *lives);
    int64_t wrong = 0;
    int phase = 0;
    find_lives(graph, lives);
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        if (node->phase != SKY_PHASE_ONCE) wrong += (int)node->phase < phase, phase = (int)node->phase;
        for (int i = 0; i < node->in_count; i++) {
            if (node->in[i] < 0) continue;
            const struct sky_tensor *tensor = &graph->tensors[node->in[i]];
            const bool written = tensor->arena == SKY_ARENA_ACT || tensor->arena == SKY_ARENA_DERIVED;
            wrong += written && (lives[node->in[i]].first < 0 || lives[node->in[i]].first >= n);
        }
    }
    CHECK(wrong == 0);
    free(lives);
}

/* Tensors of arenas that are not planned by lifetime never overlap at all. */
static void check_fixed_arenas(const struct sky_graph *graph)
{
    int64_t overlaps = 0, outside = 0;
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        const struct sky_tensor *a = &graph->tensors[i];
        if (a->arena == SKY_ARENA_ACT || a->whole) continue;
        outside += a->offset % 64 != 0 || a->offset + a->bytes > graph->arena_bytes[a->arena];
        for (int64_t j = 0; j < i; j++) {
            const struct sky_tensor *b = &graph->tensors[j];
            overlaps += b->arena == a->arena && !b->whole && share_bytes(a, b);
        }
    }
    CHECK(overlaps == 0 && outside == 0);
}

static const struct sky_node *find_update(const struct sky_graph *graph)
{
    for (int64_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == SKY_OP_SGD || graph->nodes[n].op == SKY_OP_ADAMW) return &graph->nodes[n];
    return NULL;
}

static void check_parameters(const struct sky_model *model, const struct sky_config *config)
{
    const struct sky_graph *graph = &model->graph;
    const struct sky_node *update = find_update(graph);
    if (!CHECK(update != NULL)) return;
    const size_t params = graph->arena_bytes[SKY_ARENA_PARAMS];
    CHECK(params == graph->arena_bytes[SKY_ARENA_GRADS] && params == graph->arena_bytes[SKY_ARENA_MOMENTUM]);
    CHECK(graph->param_elements == (int64_t)(params / 4));
    CHECK((graph->arena_bytes[SKY_ARENA_EMA] == params) == (config->train.ema > 0));
    CHECK(graph->arena_bytes[SKY_ARENA_SQUARES] == (config->optimizer.kind == SKY_OPTIMIZER_ADAMW ? params : 0));
    int64_t learned = 0, wrong = 0;
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        const struct sky_parameter *parameter = &graph->parameters[p];
        const struct sky_tensor *tensor = &graph->tensors[parameter->value];
        wrong += tensor->parameter != p || tensor->arena != (parameter->is_buffer ? SKY_ARENA_BUFFERS : SKY_ARENA_PARAMS);
        if (parameter->is_buffer) {
            wrong += tensor->gradient >= 0;
            continue;
        }
        learned++;
        if (!check_that(tensor->gradient >= 0, tensor->name, __FILE__, __LINE__, "has no gradient")) continue;
        const struct sky_tensor *gradient = &graph->tensors[tensor->gradient];
        wrong += gradient->arena != SKY_ARENA_GRADS || gradient->offset != tensor->offset || gradient->bytes != tensor->bytes;
        int segments = 0;
        for (int64_t s = 0; s < update->attr.update.segment_count; s++) {
            const struct sky_segment *segment = &update->attr.update.segments[s];
            if (segment->offset * 4 != (int64_t)tensor->offset) continue;
            segments++;
            const bool gem = strcmp(tensor->name, "gem.p") == 0, trunk = strncmp(tensor->name, "backbone", 8) == 0;
            wrong += segment->count != tensor->count || segment->group != (gem ? SKY_GROUP_GEM : trunk ? SKY_GROUP_BACKBONE : SKY_GROUP_HEAD);
            wrong += segment->weight_decay != (float)(gem ? config->optimizer.gem_weight_decay : config->optimizer.weight_decay);
            wrong += gem ? segment->low != 1 || segment->high != 16 : segment->low < segment->high;
        }
        wrong += segments != 1;
    }
    CHECK(wrong == 0 && learned > 0 && learned == update->attr.update.segment_count);
}

/* Gradients lie in the order in which the backward pass finishes them, so that a range of the arena is ready early. */
static void check_gradient_order(const struct sky_graph *graph)
{
    size_t reached = 0;
    int64_t backwards = 0;
    for (int64_t n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].out_count; i++) {
            const sky_value out = graph->nodes[n].out[i];
            if (out < 0 || graph->tensors[out].arena != SKY_ARENA_GRADS) continue;
            backwards += graph->tensors[out].offset < reached;
            reached = graph->tensors[out].offset;
        }
    CHECK(backwards == 0 && reached > 0);
}

/* An inference model on a training model's parameters: the same offsets for the same names, and far less memory for activations. */
static void check_shared_layout(const struct sky_model *trained, const struct sky_config *config, int view)
{
    struct sky_model model;
    if (!CHECK_OK(sky_model_build(&model, config, SKY_MODEL_INFER, trained->rows, 0, view, SKY_F32, trained))) return;
    for (int64_t p = 0; p < model.graph.parameter_count; p++) {
        const struct sky_tensor *tensor = &model.graph.tensors[model.graph.parameters[p].value];
        int64_t same = 0;
        for (int64_t q = 0; q < trained->graph.parameter_count; q++) {
            const struct sky_tensor *other = &trained->graph.tensors[trained->graph.parameters[q].value];
            same += strcmp(other->name, tensor->name) == 0 && other->offset == tensor->offset && other->bytes == tensor->bytes && other->arena == tensor->arena;
        }
        check_that(same == 1, tensor->name, __FILE__, __LINE__, "is not where the training model has it");
    }
    CHECK(model.graph.arena_bytes[SKY_ARENA_PARAMS] == trained->graph.arena_bytes[SKY_ARENA_PARAMS]);
    CHECK(model.graph.arena_bytes[SKY_ARENA_BUFFERS] == trained->graph.arena_bytes[SKY_ARENA_BUFFERS]);
    CHECK(model.graph.arena_bytes[SKY_ARENA_GRADS] == 0 && model.graph.arena_bytes[SKY_ARENA_MOMENTUM] == 0);
    CHECK(model.graph.arena_bytes[SKY_ARENA_ACT] * 3 < trained->graph.arena_bytes[SKY_ARENA_ACT]);
    check_activations(&model.graph);
    check_order(&model.graph);
    sky_model_free(&model);
}

static void check_model(const char *const *overrides, int count)
{
    struct sky_config config = {0};
    struct sky_model model, again;
    if (!CHECK_OK(sky_config_read(&config, NULL, overrides, count)) || !CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_TRAIN, 4, 701, 0, SKY_F32, NULL)))
        return;
    const size_t unplanned = check_activations(&model.graph);
    CHECK(model.graph.arena_bytes[SKY_ARENA_ACT] < unplanned * 3 / 4);
    printf("%-22s activations %.1f MiB, %.1f MiB without a plan\n", count ? overrides[0] : "the paper's",
           (double)model.graph.arena_bytes[SKY_ARENA_ACT] / 1048576, (double)unplanned / 1048576);
    check_order(&model.graph);
    check_fixed_arenas(&model.graph);
    check_parameters(&model, &config);
    check_gradient_order(&model.graph);
    for (int view = 0; view < (config.model.share_views ? 1 : 2); view++) check_shared_layout(&model, &config, view);

    CHECK_OK(sky_model_build(&again, &config, SKY_MODEL_TRAIN, 4, 701, 0, SKY_F32, NULL)); /* the plan is a function of the configuration */
    int64_t moved = again.graph.tensor_count != model.graph.tensor_count;
    for (int64_t i = 0; i < model.graph.tensor_count && !moved; i++) moved = again.graph.tensors[i].offset != model.graph.tensors[i].offset;
    CHECK(moved == 0);
    sky_model_free(&again);
    sky_model_free(&model);
    sky_config_free(&config);
}

/* Another model's layout is refused. */
static void test_foreign_layout(void)
{
    struct sky_config config = {0};
    struct sky_model model, other;
    const char *overrides[2] = {"model.backbone=resnet18", "data.image_size=64"};
    if (!CHECK_OK(sky_config_read(&config, NULL, overrides, 2)) || !CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_TRAIN, 2, 10, 0, SKY_F32, NULL)))
        return;
    free(config.model.backbone);
    config.model.backbone = strdup("resnet34");
    CHECK_FAILS(sky_model_build(&other, &config, SKY_MODEL_INFER, 2, 0, 0, SKY_F32, &model), SKY_INTERNAL, "shared");
    sky_model_free(&model);
    sky_config_free(&config);
}

int main(void)
{
    check_model(NULL, 0);
    check_model((const char *[]){"model.backbone=resnet18", "model.partition=lpn", "model.pooling=avg", "model.global_branch=none", "data.image_size=64"}, 5);
    check_model((const char *[]){"model.backbone=resnet50", "model.partition=none", "model.pooling=max", "model.global_branch=layer4", "train.ema=0.99"}, 5);
    check_model((const char *[]){"model.backbone=se_resnet18", "model.share_views=no", "model.part_attention=yes", "loss.kl=0", "data.image_size=112",
                                 "model.dropout=0"},
                6);
    check_model((const char *[]){"model.backbone=se_resnet50", "model.se_layout=timm", "model.width=0.125", "data.image_size=80"}, 4);
    check_model((const char *[]){"device.fusion=yes"}, 1);
    check_model((const char *[]){"device.fusion=yes", "model.backbone=resnet34", "data.image_size=64"}, 3);
    test_foreign_layout();
    return check_done();
}
