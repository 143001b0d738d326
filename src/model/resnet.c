/*
 * ResNet and SE-ResNet trunks, in training form (batch statistics, fused block tails) and in inference form (BN folded). Both SE layouts: `legacy` strides in the
 * bottleneck's first convolution and pools the stem without padding, `timm` strides in the 3x3 and pools as torchvision does (domain.md 4.3).
 */
#include "build.h"

#include <math.h>
#include <stdio.h>

/* A convolution followed by batch norm: in training the raw output and its statistics, in inference the folded result. */
struct normed {
    sky_value z, image_mean, mean, invstd, gamma, beta; /* inference: z alone */
};

static int64_t scaled(const struct sky_builder *b, int64_t channels)
{
    const int64_t rounded = 8 * (int64_t)floor((double)channels * b->config->model.width / 8 + 0.5);
    return rounded < 8 ? 8 : rounded;
}

static sky_value trunk_parameter(struct sky_builder *b, const char *name, const char *suffix, struct sky_parameter parameter, int rank, const int64_t *dim)
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
    return trunk_parameter(b, name, suffix, parameter, 1, &channels);
}

static union sky_attributes batch_norm(const struct sky_builder *b)
{
    return (union sky_attributes){.bn = {.groups = b->groups, .epsilon = 1e-5, .momentum = 0.1, .across = b->config->distributed.bn_sync}};
}

/* Inference takes relu and residual into the convolution itself. */
static struct normed conv_bn(struct sky_builder *b, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride, bool relu, sky_value residual)
{
    struct sky_graph *graph = b->graph;
    struct normed out = {SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    if (x < 0) return out;
    const int64_t filter[4] = {channels, window, window, graph->tensors[x].dim[3]};
    const sky_value w = trunk_parameter(b, conv_name, "weight", (struct sky_parameter){.init = SKY_INIT_KAIMING_FAN_OUT, .is_filter = true}, 4, filter);
    out.gamma = channel_parameter(b, bn_name, "weight", channels, 1, false);
    out.beta = channel_parameter(b, bn_name, "bias", channels, 0, false);
    const sky_value running_mean = channel_parameter(b, bn_name, "running_mean", channels, 0, true);
    const sky_value running_var = channel_parameter(b, bn_name, "running_var", channels, 1, true);
    union sky_attributes conv = {.conv = {.stride = stride, .pad = window / 2}}, bn = batch_norm(b);
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

static sky_value conv_bn_relu(struct sky_builder *b, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride)
{
    const struct normed n = conv_bn(b, x, conv_name, bn_name, channels, window, stride, true, SKY_NONE);
    if (b->infer) return n.z;
    union sky_attributes bn = batch_norm(b);
    bn.bn.relu = true;
    const sky_value in[5] = {n.z, n.mean, n.invstd, n.gamma, n.beta};
    return sky_graph_out(b->graph, sky_graph_node(b->graph, SKY_OP_BN_APPLY, SKY_PHASE_FORWARD, bn_name, &bn, in, 5), 0);
}

/* The SE gate of a block, from BN's statistics (training) or from the map (inference). */
static sky_value gate(struct sky_builder *b, const char *block, const struct normed *n, int64_t channels)
{
    struct sky_graph *graph = b->graph;
    const int64_t hidden = channels / 16 < 4 ? 4 : channels / 16;
    const struct sky_parameter first = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)channels, .file_rank_2_as_4 = true};
    const struct sky_parameter second = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)hidden, .file_rank_2_as_4 = true};
    const struct sky_parameter first_bias = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)channels};
    const struct sky_parameter second_bias = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)hidden};
    char name[128];
    snprintf(name, sizeof name, "%s.se", block);
    const sky_value w1 = trunk_parameter(b, name, "fc1.weight", first, 2, (const int64_t[]){hidden, channels});
    const sky_value b1 = trunk_parameter(b, name, "fc1.bias", first_bias, 1, &hidden);
    const sky_value w2 = trunk_parameter(b, name, "fc2.weight", second, 2, (const int64_t[]){channels, hidden});
    const sky_value b2 = trunk_parameter(b, name, "fc2.bias", second_bias, 1, &channels);
    const union sky_attributes bn = batch_norm(b);
    const sky_value in[5] = {n->image_mean, n->mean, n->invstd, n->gamma, n->beta};
    const int64_t squeeze = b->infer ? sky_graph_node(graph, SKY_OP_CHANNEL_MEAN, SKY_PHASE_FORWARD, name, NULL, &n->z, 1)
                                     : sky_graph_node(graph, SKY_OP_BN_SQUEEZE, SKY_PHASE_FORWARD, name, &bn, in, 5);
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_SE_GATE, SKY_PHASE_FORWARD, name, NULL, (const sky_value[]){sky_graph_out(graph, squeeze, 0), w1, b1, w2, b2}, 5), 1);
}

/* The block's last convolution, SE, shortcut and ReLU. */
static sky_value tail(struct sky_builder *b, const char *block, const char *last, sky_value x, sky_value shortcut_in, int64_t channels, int window, int stride, bool squeeze)
{
    struct sky_graph *graph = b->graph;
    char conv_name[128], bn_name[128];
    struct normed shortcut = {shortcut_in, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    if (shortcut_in >= 0 && (stride != 1 || graph->tensors[shortcut_in].dim[3] != channels)) {
        snprintf(conv_name, sizeof conv_name, "%s.downsample.0", block);
        snprintf(bn_name, sizeof bn_name, "%s.downsample.1", block);
        shortcut = conv_bn(b, shortcut_in, conv_name, bn_name, channels, 1, stride, false, SKY_NONE);
    }
    snprintf(conv_name, sizeof conv_name, "%s.conv%s", block, last);
    snprintf(bn_name, sizeof bn_name, "%s.bn%s", block, last);
    const bool fuse = b->infer && !squeeze;
    const struct normed n = conv_bn(b, x, conv_name, bn_name, channels, window, 1, fuse, fuse ? shortcut.z : SKY_NONE);
    if (fuse) return n.z;
    const sky_value s = squeeze ? gate(b, block, &n, channels) : SKY_NONE;
    const bool raw = b->infer;
    const sky_value in[11] = {n.z,        raw ? SKY_NONE : n.mean, raw ? SKY_NONE : n.invstd, raw ? SKY_NONE : n.gamma, raw ? SKY_NONE : n.beta, s,
                              shortcut.z, shortcut.mean,           shortcut.invstd,           raw ? SKY_NONE : shortcut.gamma, raw ? SKY_NONE : shortcut.beta};
    union sky_attributes bn = batch_norm(b);
    bn.bn.relu = true;
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_BLOCK_TAIL, SKY_PHASE_FORWARD, block, &bn, in, 11), 0);
}

static sky_value block(struct sky_builder *b, const struct sky_backbone *backbone, const char *name, sky_value x, int64_t middle, int stride)
{
    const bool legacy = backbone->squeeze && b->config->model.se_layout == SKY_SE_LEGACY;
    char conv[2][128], bn[2][128];
    for (int i = 0; i < 2; i++) {
        snprintf(conv[i], sizeof conv[i], "%s.conv%d", name, i + 1);
        snprintf(bn[i], sizeof bn[i], "%s.bn%d", name, i + 1);
    }
    if (!backbone->bottleneck) {
        const sky_value y = conv_bn_relu(b, x, conv[0], bn[0], scaled(b, middle), 3, stride);
        return tail(b, name, "2", y, x, scaled(b, middle), 3, stride, backbone->squeeze);
    }
    sky_value y = conv_bn_relu(b, x, conv[0], bn[0], scaled(b, middle), 1, legacy ? stride : 1);
    y = conv_bn_relu(b, y, conv[1], bn[1], scaled(b, middle), 3, legacy ? 1 : stride);
    return tail(b, name, "3", y, x, scaled(b, 4 * middle), 1, stride, backbone->squeeze);
}

struct sky_maps sky_build_resnet(struct sky_builder *b, const struct sky_backbone *backbone, sky_value x)
{
    const bool legacy = backbone->squeeze && b->config->model.se_layout == SKY_SE_LEGACY;
    const union sky_attributes pool = {.pool = {.window = 3, .stride = 2, .pad = legacy ? 0 : 1, .ceil = legacy}};
    struct sky_maps maps = {SKY_NONE, SKY_NONE};
    sky_value y = conv_bn_relu(b, x, "conv1", "bn1", scaled(b, 64), 7, 2);
    y = sky_graph_out(b->graph, sky_graph_node(b->graph, SKY_OP_MAX_POOL, SKY_PHASE_FORWARD, "maxpool", &pool, &y, 1), 0);
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < backbone->blocks[stage]; i++) {
            char name[64];
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            const int stride = i > 0 || stage == 0 ? 1 : stage == 3 ? (int)b->config->model.last_stride : 2;
            y = block(b, backbone, name, y, (int64_t)64 << stage, stride);
        }
        if (stage == 2) maps.layer3 = y;
    }
    maps.layer4 = y;
    return maps;
}
