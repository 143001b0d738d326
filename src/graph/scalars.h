/*
 * What changes from step to step: one block in a graph's INPUT arena, read by the operations that need it. Clean C and C++, since device code reads it too.
 */
#ifndef SKY_GRAPH_SCALARS_H
#define SKY_GRAPH_SCALARS_H

#include <stdint.h>

/* The optimiser's parameter groups; their learning rates are struct sky_scalars.lr. */
enum sky_group { SKY_GROUP_BACKBONE, SKY_GROUP_HEAD, SKY_GROUP_GEM, SKY_GROUP_COUNT };

/* What changes from step to step without changing the graph: one block of INPUT, read by the nodes that need it. */
struct sky_scalars {
    uint64_t seed;
    uint64_t step;   /* keys dropout */
    uint32_t rank, other_ranks; /* likewise: whose rows of the whole batch these are; 0, 0 alone */
    uint32_t mirror; /* 1: IMAGE_PREP mirrors every image (the second pass of the flip test) */
    float lr[SKY_GROUP_COUNT];
    float ema_decay;
    float gradient_scale; /* gradients are multiplied by it in the update: 1 / (accumulated micro-batches * loss_scale) */
    float loss_scale;     /* the losses' gradients are multiplied by it where the graph has f16 maps, so that small ones are not lost */
    uint64_t update;      /* which of the updates that were not left out this is, from 1: AdamW's means start at zero, and are scaled up by how far they have come */
    double void_update;   /* not 0: this step's update is left out, because one was left out that this step was not to know of when it was started */
};

#endif
