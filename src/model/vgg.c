/*
 * VGG16 with batch norm: thirteen 3x3 convolutions and five pools, named as torchvision's vgg16_bn. Its convolutions have no bias here: batch norm takes
 * it out again, so a file's biases belong into the running means (mean - bias). The last map stands where a ResNet's layer4 does; there is no layer3.
 */
#include "build.h"

#include <stdio.h>

struct sky_maps sky_build_vgg(struct sky_builder *b, const struct sky_backbone *backbone, sky_value x)
{
    const union sky_attributes pool = {.pool = {.window = 2, .stride = 2}};
    int index = 0; /* of torchvision's list: convolution, norm, ReLU, ..., pool */
    for (int stage = 0; stage < 5; stage++) {
        const int64_t channels = sky_trunk_channels(b, stage < 4 ? (int64_t)64 << stage : 512);
        char conv[64], norm[64];
        for (int i = 0; i < backbone->blocks[stage]; i++, index += 3) {
            snprintf(conv, sizeof conv, "features.%d", index);
            snprintf(norm, sizeof norm, "features.%d", index + 1);
            x = sky_conv_norm_relu(b, x, conv, norm, channels, 3, 1);
        }
        snprintf(conv, sizeof conv, "features.%d", index++);
        x = sky_graph_out(b->graph, sky_graph_node(b->graph, SKY_OP_MAX_POOL, SKY_PHASE_FORWARD, conv, &pool, &x, 1), 0);
    }
    return (struct sky_maps){SKY_NONE, x};
}
