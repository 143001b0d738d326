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
    const char *prefix; /* of trunk parameters: "backbone", "backbone_satellite", "backbone_drone" */
    int groups;         /* views in the batch that reaches the trunk */
};

/* The trunk's two last maps. */
struct sky_maps {
    sky_value layer3, layer4;
};

struct sky_backbone {
    const char *name;
    int blocks[4];
    bool bottleneck, squeeze;
};
const struct sky_backbone *sky_backbone_find(const char *name);

struct sky_maps sky_build_resnet(struct sky_builder *builder, const struct sky_backbone *backbone, sky_value images);

/* Rings and parts of an H x W map by the configuration (domain.md 4.5, 4.6). The table lives with the graph. */
const struct sky_part_table *sky_build_parts(struct sky_graph *graph, const struct sky_config *config, int64_t height, int64_t width);

/* Pooled parts and global branch to features [P,N,E] and, in training, logits [P,N,classes]. */
struct sky_heads {
    sky_value features, logits;
    int64_t count;
};
struct sky_heads sky_build_heads(struct sky_builder *builder, struct sky_maps maps, int64_t classes);

/* Losses, gradients and optimiser. Call sky_build_segments after planning. */
sky_status sky_build_training(struct sky_model *model, const struct sky_config *config);
void sky_build_segments(struct sky_model *model);

#endif
