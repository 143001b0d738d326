/*
 * Names of weights in other people's files and in ours: torchvision, timm, timm's legacy SE networks (Cadene's), and the checkpoints of
 * the reference repositories (University-1652, LPN, MSBA). Works on names, and on values only to see whether two views share a trunk.
 */
#ifndef SKY_MODEL_KEY_MAP_H
#define SKY_MODEL_KEY_MAP_H

#include "io/tensor_file.h"

enum sky_layout {
    SKY_LAYOUT_SKYGEM,      /* backbone.layer1.0.conv1.weight, classifier0.add_block.0.weight */
    SKY_LAYOUT_TORCHVISION, /* layer1.0.conv1.weight, fc.weight; VGG: features.0.weight, classifier.0.weight */
    SKY_LAYOUT_TIMM,        /* the same, and layer1.0.se.fc1.weight */
    SKY_LAYOUT_LEGACY,      /* layer0.conv1.weight, layer1.0.se_module.fc1.weight, last_linear.weight */
    SKY_LAYOUT_REFERENCE,   /* model_1.model.layer1.0.conv1.weight, model_3 ..., classifier0.add_block.0.weight */
    SKY_LAYOUT_COUNT
};
extern const char *const sky_layout_names[SKY_LAYOUT_COUNT]; /* "skygem", "torchvision", "timm", "legacy", "reference" */

enum sky_key_fate {
    SKY_KEY_TAKEN,      /* has a name of ours */
    SKY_KEY_CLASSIFIER, /* the ImageNet classifier, which retrieval does not use */
    SKY_KEY_COUNTER,    /* num_batches_tracked */
    SKY_KEY_FOLDED,     /* the bias of a VGG's convolution, which the batch norm behind it takes out again: it goes into the running mean */
    SKY_KEY_ALIAS,      /* the same values under another view's name */
    SKY_KEY_STREET,     /* the street view's, which has no place in the model */
    SKY_KEY_OPTIMIZER,  /* momentum, squares, averages */
    SKY_KEY_UNKNOWN,
    SKY_KEY_FATE_COUNT
};
const char *sky_key_fate_text(enum sky_key_fate fate); /* "the ImageNet classifier" */

struct sky_key {
    const struct sky_file_tensor *tensor;
    enum sky_key_fate fate;
    char name[160]; /* ours, when taken */
};

struct sky_key_map {
    enum sky_layout layout;
    struct sky_key *keys; /* [count], in the file's order */
    int64_t count;
    bool module_prefix;   /* every key began with DataParallel's "module." */
    bool two_trunks;      /* satellite and drone have trunks of their own */
    bool ground;          /* the street view has: model_2 of a checkpoint of three views, unless it equals the satellite's */
    char backbone[32];    /* "resnet50", ... from the blocks that are there; "" when they are no known network's */
    bool squeeze, legacy; /* has SE; of the legacy kind (which our names alone do not tell: see se_layout) */
};

/* layout: SKY_LAYOUT_COUNT to find it out. SKY_FORMAT when the keys are of no known layout, or not of this one. Points into the file. */
sky_status sky_key_map_make(struct sky_key_map *map, const struct sky_tensor_file *file, enum sky_layout layout);
void sky_key_map_free(struct sky_key_map *map);

/* Whether a tensor of our checkpoints is the optimiser's: momentum/NAME, squares/NAME, ema/NAME. */
bool sky_key_is_state(const char *name);

/*
 * The way back: the name of our trunk tensor ("layer1.0.se.fc1.weight", without "backbone.") in the trunk of another layout.
 */
void sky_key_trunk_name(const char *name, bool legacy, char out[160]);

#endif
