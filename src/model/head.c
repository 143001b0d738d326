/*
 * From the trunk's maps to features and logits: parts with GeM, optional part attention, the global branch, and one ClassBlock a head. Heads are kept
 * together in [P,N,...] tensors; only their first layers differ in width (the global branch's is wider).
 */
#include "build.h"

#include <stdio.h>
#include <string.h>

enum { MAX_HEADS = SKY_MAX_PARTS + 1 };

struct names {
    char text[MAX_HEADS][96];
    char *list[MAX_HEADS];
};

/* Names of one layer of heads first .. first + count - 1; the global head is `classifier00`. */
static void name_heads(struct names *names, const char *suffix, int64_t first, int64_t count, int64_t global)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t head = first + i;
        if (head == global) snprintf(names->text[i], sizeof names->text[i], "classifier00.%s", suffix);
        else snprintf(names->text[i], sizeof names->text[i], "classifier%d.%s", (int)head, suffix);
        names->list[i] = names->text[i];
    }
}

struct head_layer {
    int64_t first, count, global; /* heads, and which of all heads is the global one (-1: none) */
};

static sky_value head_parameter(struct sky_builder *b, const struct head_layer *layer, const char *suffix, enum sky_init init, double value, double deviation,
                                bool is_buffer, int64_t rows, int64_t columns)
{
    struct names names;
    name_heads(&names, suffix, layer->first, layer->count, layer->global);
    const struct sky_parameter parameter = {.group = SKY_GROUP_HEAD, .is_buffer = is_buffer, .weight_decay = b->config->optimizer.weight_decay, .init = init, .value_init = value,
                                            .deviation = deviation, .slice_count = (int)layer->count, .slice_names = names.list};
    const int64_t dim[3] = {layer->count, rows, columns};
    return sky_graph_parameter(b->graph, &parameter, columns ? 3 : 2, dim);
}

static sky_value linear(struct sky_builder *b, const struct head_layer *layer, const char *name, sky_value x, int64_t rows, enum sky_init init, double deviation)
{
    if (x < 0) return SKY_NONE;
    char suffix[64];
    snprintf(suffix, sizeof suffix, "%s.weight", name);
    const sky_value w = head_parameter(b, layer, suffix, init, 0, deviation, false, rows, b->graph->tensors[x].dim[2]);
    snprintf(suffix, sizeof suffix, "%s.bias", name);
    const sky_value bias = head_parameter(b, layer, suffix, SKY_INIT_CONSTANT, 0, 0, false, rows, 0);
    return sky_graph_out(b->graph, sky_graph_node(b->graph, SKY_OP_LINEAR, SKY_PHASE_FORWARD, name, NULL, (const sky_value[]){x, w, bias}, 3), 0);
}

static sky_value concat(struct sky_graph *graph, const char *name, sky_value a, sky_value b, int axis)
{
    const union sky_attributes attr = {.concat = {.axis = axis}};
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONCAT, SKY_PHASE_FORWARD, name, &attr, (const sky_value[]){a, b}, 2), 0);
}

static sky_value gem_exponent(struct sky_builder *b, int64_t channels, int64_t parts)
{
    const struct sky_config *config = b->config;
    if (config->model.pooling != SKY_POOL_GEM || config->model.gem_learn == SKY_GEM_FIXED) return SKY_NONE;
    char name[] = "gem.p", *names[1] = {name};
    const struct sky_parameter parameter = {.group = SKY_GROUP_GEM, .weight_decay = config->optimizer.gem_weight_decay, .low = 1, .high = 16, .init = SKY_INIT_CONSTANT,
                                            .value_init = config->model.gem_p, .slice_count = 1, .slice_names = names};
    const int64_t count = config->model.gem_learn == SKY_GEM_SCALAR ? 1 : config->model.gem_learn == SKY_GEM_PART ? parts : channels;
    return sky_graph_parameter(b->graph, &parameter, 1, &count);
}

/* Parts of layer4 as [P,N,C]. Maps too small for the rings are enlarged first. */
static sky_value pool_parts(struct sky_builder *b, sky_value map)
{
    struct sky_graph *graph = b->graph;
    if (map < 0) return SKY_NONE;
    const struct sky_tensor x = graph->tensors[map];
    const int64_t blocks = b->config->model.partition == SKY_PARTITION_NONE ? 1 : b->config->model.blocks;
    int64_t height = x.dim[1], width = x.dim[2];
    if (height < 2 * blocks && width < 2 * blocks && b->config->model.partition != SKY_PARTITION_NONE) {
        const union sky_attributes attr = {.map = {height + 2 * (blocks - height / 2), width + 2 * (blocks - width / 2)}};
        height = attr.map.height, width = attr.map.width;
        map = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_UPSAMPLE, SKY_PHASE_FORWARD, "parts.upsample", &attr, &map, 1), 0);
    }
    const struct sky_part_table *table = sky_build_parts(graph, b->config, height, width);
    if (!table) return SKY_NONE;
    const union sky_attributes attr = {.part = {.pooling = b->config->model.pooling, .p = b->config->model.gem_p, .table = table}};
    const sky_value p = gem_exponent(b, x.dim[3], table->part_count);
    sky_value parts = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_PART_POOL, SKY_PHASE_FORWARD, "parts", &attr, (const sky_value[]){map, p}, 2), 0);
    if (b->config->model.part_attention) parts = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_PART_ATTENTION, SKY_PHASE_FORWARD, "part_attention", NULL, &parts, 1), 0);
    return parts;
}

static sky_value global_branch(struct sky_builder *b, struct sky_maps maps)
{
    struct sky_graph *graph = b->graph;
    const sky_value top = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_GLOBAL_MAX, SKY_PHASE_FORWARD, "global.layer4", NULL, &maps.layer4, 1), 0);
    if (b->config->model.global_branch == SKY_GLOBAL_LAYER4) return top;
    const sky_value lower = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_GLOBAL_MAX, SKY_PHASE_FORWARD, "global.layer3", NULL, &maps.layer3, 1), 0);
    return concat(graph, "global", top, lower, 2);
}

static sky_value normalise(struct sky_builder *b, const struct head_layer *all, sky_value x, int64_t width)
{
    const sky_value gamma = head_parameter(b, all, "add_block.1.weight", SKY_INIT_NORMAL, 1, 0.02, false, width, 0);
    const sky_value beta = head_parameter(b, all, "add_block.1.bias", SKY_INIT_CONSTANT, 0, 0, false, width, 0);
    const sky_value mean = head_parameter(b, all, "add_block.1.running_mean", SKY_INIT_CONSTANT, 0, 0, true, width, 0);
    const sky_value var = head_parameter(b, all, "add_block.1.running_var", SKY_INIT_CONSTANT, 1, 0, true, width, 0);
    const union sky_attributes bn = {.bn = {.groups = b->views, .epsilon = 1e-5, .momentum = 0.1, .update = true, .across = b->config->distributed.bn_sync}};
    return sky_graph_out(b->graph, sky_graph_node(b->graph, b->infer ? SKY_OP_HEAD_BN_INFER : SKY_OP_HEAD_BN, SKY_PHASE_FORWARD, "heads.norm", &bn,
                                                  (const sky_value[]){x, gamma, beta, mean, var}, 5), 0);
}

struct sky_heads sky_build_heads(struct sky_builder *b, struct sky_maps maps, int64_t classes)
{
    struct sky_graph *graph = b->graph;
    struct sky_heads heads = {SKY_NONE, SKY_NONE, 0};
    const int64_t width = b->config->model.embedding;
    const bool has_global = b->config->model.global_branch != SKY_GLOBAL_NONE;
    const sky_value parts = pool_parts(b, maps.layer4);
    if (parts < 0) return heads;
    const int64_t part_count = graph->tensors[parts].dim[0];
    const struct head_layer local = {0, part_count, -1}, global = {part_count, 1, part_count};
    const struct head_layer all = {0, part_count + has_global, has_global ? part_count : -1};
    sky_value x = linear(b, &local, "add_block.0", parts, width, SKY_INIT_KAIMING_FAN_OUT, 0);
    if (has_global) x = concat(graph, "heads", x, linear(b, &global, "add_block.0", global_branch(b, maps), width, SKY_INIT_KAIMING_FAN_OUT, 0), 0);
    heads.count = all.count;
    heads.features = normalise(b, &all, x, width);
    if (b->infer || (b->config->loss.ce == 0 && b->config->loss.kl == 0)) return heads; /* nothing asks for classes */
    x = heads.features;
    if (b->config->model.dropout > 0) {
        const union sky_attributes attr = {.dropout = {.rate = b->config->model.dropout, .layer = 0, .groups = b->views}};
        x = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_DROPOUT, SKY_PHASE_FORWARD, "heads.dropout", &attr, (const sky_value[]){x, graph->scalars}, 2), 0);
    }
    heads.logits = linear(b, &all, "classifier.0", x, classes, SKY_INIT_NORMAL, 0.001);
    return heads;
}
