/*
 * What the files of this folder share while a graph is being built. Not for other layers.
 */
#ifndef SKY_MODEL_BUILD_H
#define SKY_MODEL_BUILD_H

#include "model.h"

struct sky_builder {
    struct sky_graph *graph;
    const struct sky_config *config;
    bool infer;
    int views;          /* in the batch that reaches the heads */
    const char *prefix; /* of trunk parameters: "backbone", "backbone_satellite", "backbone_drone", "backbone_ground" */
    int groups;         /* views in the batch that reaches the trunk */
};

/* The trunk's two last maps. */
struct sky_maps {
    sky_value layer3, layer4;
};

/* A row of the registry. blocks: residual blocks a stage, or convolutions between pools. */
struct sky_backbone {
    const char *name;
    struct sky_maps (*build)(struct sky_builder *builder, const struct sky_backbone *backbone, sky_value images);
    int blocks[5];
    bool bottleneck, squeeze;
};
const struct sky_backbone *sky_backbone_find(const char *name);

struct sky_maps sky_build_resnet(struct sky_builder *builder, const struct sky_backbone *backbone, sky_value images);
struct sky_maps sky_build_vgg(struct sky_builder *builder, const struct sky_backbone *backbone, sky_value images); /* no layer3 */

/* Channels after [model] width; a parameter named PREFIX.name.suffix of the trunk's group. */
int64_t sky_trunk_channels(const struct sky_builder *builder, int64_t channels);
sky_value sky_trunk_parameter(struct sky_builder *builder, const char *name, const char *suffix, struct sky_parameter parameter, int rank, const int64_t *dim);

/* Batch norm of a trunk: views, epsilon, momentum, statistics over ranks. */
union sky_attributes sky_trunk_norm(const struct sky_builder *builder);

/*
 * A convolution (no bias, padded by half its window) followed by batch norm: in training the raw output and its statistics; in inference z alone, the folded
 * result, into which relu and residual (or SKY_NONE) go as well.
 */
struct sky_normed {
    sky_value z, image_mean, mean, invstd, gamma, beta;
};
struct sky_normed sky_conv_norm(struct sky_builder *builder, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride, bool relu,
                                sky_value residual);
/* The same with the norm and a ReLU applied in either form. */
sky_value sky_conv_norm_relu(struct sky_builder *builder, sky_value x, const char *conv_name, const char *bn_name, int64_t channels, int window, int stride);

/* Rings and parts of an H x W map by the configuration. The table lives with the graph. */
const struct sky_part_table *sky_build_parts(struct sky_graph *graph, const struct sky_config *config, int64_t height, int64_t width);

/* Pooled parts and global branch to features [P,N,E] and, in training, logits [P,N,classes]. */
struct sky_heads {
    sky_value features, logits;
    int64_t count;
};
struct sky_heads sky_build_heads(struct sky_builder *builder, struct sky_maps maps, int64_t classes);

/* Losses, gradients and optimiser. Call sky_build_segments after planning. */
sky_status sky_build_training(struct sky_model *model, const struct sky_config *config);
void sky_build_update(struct sky_model *model, const struct sky_config *config); /* the optimiser alone, behind the gradients */
void sky_build_segments(struct sky_model *model);

#endif
