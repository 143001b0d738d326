/*
 * One experiment: every key of the .ini files, resolved (defaults < files < overrides), checked and typed.
 *
 * The schema table (src/config/schema.c) has one row a key: section, name, type, range, default, unit, one-line doc; reading, help, validation and
 * run.ini come from it. All errors of a file are collected and reported together, each with file:line, key and what is allowed.
 */
#ifndef SKYGEM_CONFIG_H
#define SKYGEM_CONFIG_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKY_MAX_LIST 16

/* From where a picture was taken; google: found on the web under the place's name, taken from the street for the most part. */
enum sky_view { SKY_VIEW_SATELLITE, SKY_VIEW_DRONE, SKY_VIEW_STREET, SKY_VIEW_GOOGLE, SKY_VIEW_COUNT };
const char *sky_view_name(int view); /* "satellite", "drone", "street", "google" */

/* The views that something has, each once, in the order of enum sky_view: that of a batch's rows, of batch norm's groups and of the updates of running statistics. */
struct sky_views {
    int list[SKY_VIEW_COUNT]; /* [count] enum sky_view */
    int count;
};
int sky_views_index(const struct sky_views *views, int view); /* where `view` stands in the list, -1: it does not */
bool sky_has_pair(const struct sky_views *views);             /* satellite and drone are among them */

enum sky_data_format { SKY_FORMAT_UNIVERSITY1652, SKY_FORMAT_SUES200, SKY_FORMAT_DENSEUAV };
enum sky_sampler_kind { SKY_SAMPLER_PAIRED, SKY_SAMPLER_UNPAIRED };
enum sky_bad_image_policy { SKY_BAD_IMAGE_FAIL, SKY_BAD_IMAGE_SKIP };
enum sky_exif_policy { SKY_CONFIG_EXIF_IGNORE, SKY_CONFIG_EXIF_APPLY };
enum sky_se_layout { SKY_SE_LEGACY, SKY_SE_TIMM };
enum sky_pooling { SKY_POOL_GEM, SKY_POOL_AVG, SKY_POOL_MAX };
enum sky_gem_learn { SKY_GEM_FIXED, SKY_GEM_SCALAR, SKY_GEM_CHANNEL, SKY_GEM_PART };
enum sky_partition { SKY_PARTITION_NONE, SKY_PARTITION_LPN, SKY_PARTITION_MSBA, SKY_PARTITION_LIST };
enum sky_ring_norm { SKY_RING_SQUARE, SKY_RING_RING };
enum sky_global_branch { SKY_GLOBAL_NONE, SKY_GLOBAL_LAYER4, SKY_GLOBAL_LAYER3_LAYER4 };
enum sky_kl_direction { SKY_KL_DRONE_SATELLITE, SKY_KL_SATELLITE_DRONE, SKY_KL_SYMMETRIC }; /* first named = target p */
/* Losses on cosines between satellite's and drone's features. */
enum sky_pair_loss { SKY_PAIR_CONTRASTIVE, SKY_PAIR_TRIPLET, SKY_PAIR_SOFT_MARGIN, SKY_PAIR_INFO_NCE, SKY_PAIR_LOSS_COUNT };
const char *sky_pair_loss_name(int loss); /* "contrastive", "triplet", "soft_margin", "info_nce" */
enum sky_pair_features { SKY_PAIR_BY_PART, SKY_PAIR_JOINT };
enum sky_reduction { SKY_REDUCE_SUM, SKY_REDUCE_MEAN };
enum sky_optimizer_kind { SKY_OPTIMIZER_SGD, SKY_OPTIMIZER_ADAMW };
enum sky_schedule_kind { SKY_SCHEDULE_STEP, SKY_SCHEDULE_MULTISTEP, SKY_SCHEDULE_COSINE, SKY_SCHEDULE_CONSTANT };
enum sky_nonfinite_policy { SKY_NONFINITE_STOP, SKY_NONFINITE_SKIP };
enum sky_precision { SKY_PRECISION_FP32, SKY_PRECISION_TF32, SKY_PRECISION_BF16, SKY_PRECISION_FP16, SKY_PRECISION_INT8 };
/* Which view asks which. The first ones are single directions; both: the first two; all: the four. */
enum sky_direction {
    SKY_DIRECTION_DRONE_TO_SATELLITE,
    SKY_DIRECTION_SATELLITE_TO_DRONE,
    SKY_DIRECTION_STREET_TO_SATELLITE,
    SKY_DIRECTION_SATELLITE_TO_STREET,
    SKY_DIRECTION_BOTH,
    SKY_DIRECTION_ALL,
    SKY_DIRECTION_COUNT
};
enum { SKY_SINGLE_DIRECTIONS = SKY_DIRECTION_BOTH };
const char *sky_direction_name(int direction); /* "drone2satellite" ... "both", "all" */
/* Whether `single` (0 .. SKY_SINGLE_DIRECTIONS - 1) is `direction` or a part of it. */
bool sky_direction_has(int direction, int single);
/* The view that asks in a single direction, and the one that is asked. */
int sky_direction_query(int single);
int sky_direction_gallery(int single);
enum sky_protocol { SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS };
enum sky_gradient_precision { SKY_GRADIENTS_FP32, SKY_GRADIENTS_BF16 };
enum sky_fusion_choice { SKY_FUSION_AUTO, SKY_FUSION_YES, SKY_FUSION_NO };
enum sky_backend_choice { SKY_BACKEND_AUTO, SKY_BACKEND_CPU, SKY_BACKEND_CUDA, SKY_BACKEND_REF };

/* Text fields are owned by the config and live until sky_config_free; an empty path or list is NULL or count 0. Paths are resolved against the file that names them. */
struct sky_config {
    struct {
        char *name;
        int64_t seed;
        char *note;
    } experiment;
    struct {
        char *root;
        int format;     /* enum sky_data_format */
        int64_t height; /* SUES-200: metres; 0 = every one (evaluation only) */
        int64_t image_size;
        struct sky_views views; /* of a training */
        int sampler; /* enum sky_sampler_kind; likewise below: every enum is stored as int */
        int64_t samples_per_class;
        int64_t workers; /* 0 = cores */
        char *pack;
        int exif;
        int on_bad_image;
    } data;
    struct {
        int64_t pad;
        bool crop;
        double flip;
        double satellite_rotation, drone_rotation; /* degrees */
        double erasing;                            /* of every view but the satellite's, as in the references */
        double brightness, contrast, saturation;
    } augment;
    struct {
        char *backbone;
        int se_layout;
        double width;
        int64_t last_stride;
        char *weights;
        int pooling;
        double gem_p;
        int gem_learn;
        int partition;
        char *parts; /* for partition = list: "ring1,ring2,square2" */
        int64_t blocks;
        int ring_norm;
        bool part_attention;
        int global_branch;
        int64_t embedding;
        double dropout;
        bool share_views;
    } model;
    struct {
        double ce, kl;
        int kl_direction;
        bool kl_detach;
        double kl_temperature;
        int reduction;
        double label_smoothing;
        double contrastive, contrastive_margin;
        double triplet, triplet_margin;
        double soft_margin, soft_margin_alpha;
        double info_nce, info_nce_temperature;
        bool info_nce_learn;
        double info_nce_smoothing;
        int pair_features;
    } loss;
    struct {
        int kind; /* enum sky_optimizer_kind */
        double lr, backbone_lr_scale, gem_lr_scale;
        double momentum; /* of SGD, as nesterov */
        bool nesterov;
        double beta1, beta2, epsilon; /* of AdamW */
        double weight_decay, gem_weight_decay, clip_norm; /* clip_norm 0 = off */
    } optimizer;
    struct {
        int kind;
        int64_t step; /* epochs */
        int64_t milestones[SKY_MAX_LIST];
        int milestone_count;
        double gamma;
        double warmup_epochs;
    } schedule;
    struct {
        int64_t epochs, batch_size /* places a step, an image of each view */, accumulate;
        int precision;
        double ema; /* 0 = off */
        int64_t checkpoint_every /* epochs */, keep_checkpoints, eval_every /* epochs, 0 = only at the end */;
        int on_nonfinite;
    } train;
    struct {
        int64_t batch_size;
        int precision; /* enum sky_precision, of the evaluation alone */
        bool flip;
        int direction;
        int protocols[2]; /* enum sky_protocol */
        int protocol_count;
        int64_t multi_query[SKY_MAX_LIST]; /* images of a place averaged into one query; a row of scores each */
        int multi_query_count;
        int64_t single_frame, height_groups, frames; /* 0 = off; frames: of a drone's descent */
        int64_t query_shift[SKY_MAX_LIST];           /* pixels */
        int query_shift_count;
        int shift_fill;            /* src/image/alter.h: enum sky_shift_fill */
        int weather[SKY_MAX_LIST]; /* src/image/weather.h: enum sky_weather */
        int weather_count;
        bool rerank;
        int64_t rerank_k1, rerank_k2;
        double rerank_lambda;
    } eval;
    struct {
        int backend;
        int64_t index, threads; /* threads 0 = cores */
        bool winograd;
        bool deterministic;
        bool cuda_graph;
        int fusion;
    } device;
    struct {
        bool bn_sync;
        double bucket_mib, timeout_s;
        int64_t check_every; /* steps; 0 = never */
        int gradients;       /* enum sky_gradient_precision: what ranks send each other */
    } distributed;
    struct {
        int64_t every; /* steps */
        bool tensorboard;
    } log;
    struct {
        char *record; /* folder; NULL = off */
        int64_t record_steps;
        bool sync;
        bool exchange; /* one rank alone takes the ways of several */
    } debug;
    int ranks;                         /* that train together: not a key, a trainer sets it in its own copy; 0 or 1: alone */
    struct sky_config_origin *origins; /* where each value came from (a schema row each); internal */
};

/*
 * Reads the experiment and applies the overrides ("section.key=value", the last one wins; relative paths start at the current folder). path NULL: defaults only.
 * SKY_CONFIG lists every error found. *config is overwritten on success (free an earlier one first) and untouched on failure.
 */
sky_status sky_config_read(struct sky_config *config, const char *path, const char *const *overrides, int override_count);
/* The same from a text, as checkpoints carry it; `name` stands in messages where a path would. */
sky_status sky_config_read_text(struct sky_config *config, const char *name, const char *text, const char *const *overrides, int override_count);
void sky_config_free(struct sky_config *config); /* leaves it zero; once more is fine */

/* The resolved experiment as an .ini text that reads back to the same values; paths absolute. Heap text in *out, caller frees. */
sky_status sky_config_text(const struct sky_config *config, char **out);

/* 32-bit hash of everything that changes the numbers of a run (not names, folders, threads, logging). */
sky_status sky_config_hash(const struct sky_config *config, uint32_t *out);

/*
 * What changes the numbers of a run and is not the same in both, "section.key = VALUE (FROM)" separated by commas; "" when nothing differs. The seed is left out:
 * runs of one experiment differ in it. Heap text in *out, caller frees.
 */
sky_status sky_config_differences(const struct sky_config *config, const struct sky_config *from, char **out);

/* 32-bit hash of what a feature depends on beside the parameters: [model] without weights and dropout, data.image_size, eval.flip. */
sky_status sky_config_feature_hash(const struct sky_config *config, uint32_t *out);

/*
 * The name of the trunk that sees a view, as parameters start with it; NULL when a training on [data] views has none. With model.share_views satellite and drone
 * share `backbone`, otherwise each has its own; street and google, which look from the ground, share `backbone_ground` either way.
 */
const char *sky_trunk_name(const struct sky_config *config, int view);

/* All names that a trunk can have. */
enum { SKY_TRUNK_COUNT = 4 };
extern const char *const sky_trunk_names[SKY_TRUNK_COUNT];

/* The weight of a loss on pairs (enum sky_pair_loss). */
double sky_pair_loss_weight(const struct sky_config *config, int loss);

/* Every section and key with type, allowed values, default, unit and doc, as text. Heap text in *out, caller frees. */
sky_status sky_config_help(char **out);

/* An experiment to start from, as an .ini text: the keys that most people set, and every other one with its default as a comment. Heap text in *out, caller frees. */
sky_status sky_config_template(const char *name, char **out);

/* Key number `index` (from 0) as "section.key", NULL behind the last: for completion. Valid until the next call on this thread. */
const char *sky_config_key_name(int index);

/* Where the value of "section.key" came from: "default", "FILE:LINE" or "--set". NULL for an unknown key. */
const char *sky_config_origin_of(const struct sky_config *config, const char *section_dot_key);

#ifdef __cplusplus
}
#endif
#endif
