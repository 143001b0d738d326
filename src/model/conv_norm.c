/*
 * The trunks' common bricks: a convolution followed by batch norm (and ReLU), in training form (raw output and batch statistics) and in inference form (folded into
 * one convolution), and the trunk's parameters by name.
 */
#include "build.h"

#include <math.h>
#include <stdio.h>

int64_t sky_trunk_channels(const struct sky_builder *b, int64_t channels)
{
    const int64_t rounded = 8 * (int64_t)floor((double)channels * b->config->model.width / 8 + 0.5);
    return rounded < 8 ? 8 : rounded;
}

sky_value sky_trunk_parameter(struct sky_builder *b, const char *name, const char *suffix, struct sky_parameter parameter, int rank, const int64_t *dim)
{
    char text[256], *names[1] = {text};
    snprintf(text, sizeof text, "%s.%s.%s", b->prefix, name, suffix);
    parameter.group = SKY_GROUP_BACKBONE, parameter.weight_decay = b->config->optimizer.weight_decay;
    parameter.slice_count = 1, parameter.slice_names = names;
    return sky_graph_parameter(b->graph, &parameter, rank, dim);
}

static sky_value channel_parameter(struct sky_builder *b, const char *name, const char *suffix, int64_t channels, double value, bool is_buffer)
{
    const struct sky_parameter parameter = {.init = SKY_INIT_CONSTANT, .value_init = value, .is_buffer = is_buffer};
    return sky_trunk_parameter(b, name, suffix, parameter, 1, &channels);
}

union sky_attributes sky_trunk_norm(const struct sky_builder *b)
{
    return (union sky_attributes){.bn = {.groups = b->groups, .epsilon = 1e-5, .momentum = 0.1, .across = b->config->distributed.bn_sync}};
}

struct sky_normed sky_conv_norm(struct sky_builder *b, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride,
                                bool relu, sky_value residual)
{
    struct sky_graph *graph = b->graph;
    struct sky_normed out = {SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    if (x < 0) return out;
    const int64_t filter[4] = {channels, window, window, graph->tensors[x].dim[3]};
    const sky_value w = sky_trunk_parameter(b, conv_name, "weight", (struct sky_parameter){.init = SKY_INIT_KAIMING_FAN_OUT, .is_filter = true}, 4, filter);
    out.gamma = channel_parameter(b, bn_name, "weight", channels, 1, false);
    out.beta = channel_parameter(b, bn_name, "bias", channels, 0, false);
    const sky_value running_mean = channel_parameter(b, bn_name, "running_mean", channels, 0, true);
    const sky_value running_var = channel_parameter(b, bn_name, "running_var", channels, 1, true);
    union sky_attributes conv = {.conv = {.stride = stride, .pad = window / 2}}, bn = sky_trunk_norm(b);
    bn.bn.update = true;
    if (b->infer) {
        const int64_t fold = sky_graph_node(graph, SKY_OP_BN_FOLD, SKY_PHASE_ONCE, bn_name, &bn, (const sky_value[]){w, out.gamma, out.beta, running_mean, running_var}, 5);
        conv.conv.relu = relu;
        const sky_value in[4] = {x, sky_graph_out(graph, fold, 0), sky_graph_out(graph, fold, 1), residual};
        out.z = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONV, SKY_PHASE_FORWARD, conv_name, &conv, in, 4), 0);
        return out;
    }
    out.z = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONV, SKY_PHASE_FORWARD, conv_name, &conv, (const sky_value[]){x, sky_graph_shadow(graph, w)}, 2), 0);
    const int64_t stats = sky_graph_node(graph, SKY_OP_BN_STATS, SKY_PHASE_FORWARD, bn_name, &bn, (const sky_value[]){out.z, running_mean, running_var}, 3);
    out.image_mean = sky_graph_out(graph, stats, 0), out.mean = sky_graph_out(graph, stats, 1), out.invstd = sky_graph_out(graph, stats, 2);
    return out;
}

sky_value sky_conv_norm_relu(struct sky_builder *b, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride)
{
    const struct sky_normed n = sky_conv_norm(b, x, conv_name, bn_name, channels, window, stride, true, SKY_NONE);
    if (b->infer) return n.z;
    union sky_attributes bn = sky_trunk_norm(b);
    bn.bn.relu = true;
    const sky_value in[5] = {n.z, n.mean, n.invstd, n.gamma, n.beta};
    return sky_graph_out(b->graph, sky_graph_node(b->graph, SKY_OP_BN_APPLY, SKY_PHASE_FORWARD, bn_name, &bn, in, 5), 0);
}
