/*
 * ResNet and SE-ResNet trunks, in training form (batch statistics, fused block tails) and in inference form (BN folded). Both SE layouts: `legacy` strides in the
 * bottleneck's first convolution and pools the stem without padding, `timm` strides in the 3x3 and pools as torchvision does.
 */
#include "build.h"

#include <stdio.h>

/* The SE gate of a block, from BN's statistics (training) or from the map (inference). */
static sky_value gate(struct sky_builder *b, const char *block, const struct sky_normed *n, int64_t channels)
{
    struct sky_graph *graph = b->graph;
    const int64_t hidden = channels / 16 < 4 ? 4 : channels / 16;
    const struct sky_parameter first = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)channels, .file_rank_2_as_4 = true};
    const struct sky_parameter second = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)hidden, .file_rank_2_as_4 = true};
    const struct sky_parameter first_bias = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)channels};
    const struct sky_parameter second_bias = {.init = SKY_INIT_UNIFORM_FAN_IN, .deviation = (double)hidden};
    char name[128];
    snprintf(name, sizeof name, "%s.se", block);
    const sky_value w1 = sky_trunk_parameter(b, name, "fc1.weight", first, 2, (const int64_t[]){hidden, channels});
    const sky_value b1 = sky_trunk_parameter(b, name, "fc1.bias", first_bias, 1, &hidden);
    const sky_value w2 = sky_trunk_parameter(b, name, "fc2.weight", second, 2, (const int64_t[]){channels, hidden});
    const sky_value b2 = sky_trunk_parameter(b, name, "fc2.bias", second_bias, 1, &channels);
    const union sky_attributes bn = sky_trunk_norm(b);
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
    struct sky_normed shortcut = {shortcut_in, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    if (shortcut_in >= 0 && (stride != 1 || graph->tensors[shortcut_in].dim[3] != channels)) {
        snprintf(conv_name, sizeof conv_name, "%s.downsample.0", block);
        snprintf(bn_name, sizeof bn_name, "%s.downsample.1", block);
        shortcut = sky_conv_norm(b, shortcut_in, conv_name, bn_name, channels, 1, stride, false, SKY_NONE);
    }
    snprintf(conv_name, sizeof conv_name, "%s.conv%s", block, last);
    snprintf(bn_name, sizeof bn_name, "%s.bn%s", block, last);
    const bool fuse = b->infer && !squeeze;
    const struct sky_normed n = sky_conv_norm(b, x, conv_name, bn_name, channels, window, 1, fuse, fuse ? shortcut.z : SKY_NONE);
    if (fuse) return n.z;
    const sky_value s = squeeze ? gate(b, block, &n, channels) : SKY_NONE;
    const bool raw = b->infer;
    const sky_value in[11] = {n.z,        raw ? SKY_NONE : n.mean, raw ? SKY_NONE : n.invstd, raw ? SKY_NONE : n.gamma, raw ? SKY_NONE : n.beta, s,
                              shortcut.z, shortcut.mean,           shortcut.invstd,           raw ? SKY_NONE : shortcut.gamma, raw ? SKY_NONE : shortcut.beta};
    union sky_attributes bn = sky_trunk_norm(b);
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
        const sky_value y = sky_conv_norm_relu(b, x, conv[0], bn[0], sky_trunk_channels(b, middle), 3, stride);
        return tail(b, name, "2", y, x, sky_trunk_channels(b, middle), 3, stride, backbone->squeeze);
    }
    sky_value y = sky_conv_norm_relu(b, x, conv[0], bn[0], sky_trunk_channels(b, middle), 1, legacy ? stride : 1);
    y = sky_conv_norm_relu(b, y, conv[1], bn[1], sky_trunk_channels(b, middle), 3, legacy ? 1 : stride);
    return tail(b, name, "3", y, x, sky_trunk_channels(b, 4 * middle), 1, stride, backbone->squeeze);
}

struct sky_maps sky_build_resnet(struct sky_builder *b, const struct sky_backbone *backbone, sky_value x)
{
    const bool legacy = backbone->squeeze && b->config->model.se_layout == SKY_SE_LEGACY;
    const union sky_attributes pool = {.pool = {.window = 3, .stride = 2, .pad = legacy ? 0 : 1, .ceil = legacy}};
    struct sky_maps maps = {SKY_NONE, SKY_NONE};
    sky_value y = sky_conv_norm_relu(b, x, "conv1", "bn1", sky_trunk_channels(b, 64), 7, 2);
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
