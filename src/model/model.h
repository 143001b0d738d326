/*
 * Builds the graph of an experiment's model: trunk, parts, heads, losses, optimiser (training), or the folded trunk and the features (inference). Knows no device.
 * The model owns its graph; parameter names are the reference repositories' PyTorch names.
 */
#ifndef SKY_MODEL_MODEL_H
#define SKY_MODEL_MODEL_H

#include "graph/graph.h"
#include "skygem/config.h"

enum sky_model_mode {
    SKY_MODEL_TRAIN, /* all views in one batch, B images each: rows v*B .. v*B + B-1 are of view number v of [data] views; losses, gradients, update */
    SKY_MODEL_INFER  /* any images to features; BN folded into the convolutions */
};

#define SKY_MAX_TRUNKS 3

struct sky_model {
    struct sky_graph graph;
    enum sky_model_mode mode;
    struct sky_views views; /* V of them, of training; of inference the one whose trunk it has */
    int64_t places;  /* B: images of a view a run */
    int64_t rows;    /* N = V*B: images a run, all views together */
    int64_t classes; /* of training; 0 in inference */
    int64_t heads;   /* P: parts, and one more for the global branch (the last head) */
    int64_t embedding;
    int trunks;      /* 1, or in training as many as sky_trunk_name gives the views */
    int trunk_first[SKY_MAX_TRUNKS + 1]; /* trunk t sees views number trunk_first[t] .. trunk_first[t + 1] - 1, that is n views */
    sky_value images[SKY_MAX_TRUNKS]; /* u8 [n*B, S, S, 3] */
    sky_value erased[SKY_MAX_TRUNKS]; /* i32 [n*B, 4]; training only */
    sky_value prepared[SKY_MAX_TRUNKS]; /* T [n*B, S, S, 3]: what the trunk sees; kept for the host when [debug] record is on */
    sky_value labels;                 /* i32 [N]; training only */
    sky_value logits;                 /* T [P, N, classes]; training only, SKY_NONE without a loss on them (ce = kl = 0) */
    sky_value features;               /* T [P, N, embedding]: BN's output, before dropout */
    sky_value loss_ce, loss_kl;       /* T [1], before their weights; loss_kl SKY_NONE when its weight is 0, loss_ce when both are */
    sky_value loss_pairs[SKY_PAIR_LOSS_COUNT]; /* likewise: T [1], or SKY_NONE */
    sky_value report;                 /* f64 [4] of the optimiser */
};

/*
 * places: images of one view a step (training), or images a run (inference). view (enum sky_view) chooses the trunk in inference; SKY_CONFIG when a training on
 * [data] views has none for it. dtype f64 only for the reference back end; in f32, train.precision (eval.precision in inference) says what type the maps have.
 * layout_of: the training model whose parameter and buffer arenas an inference model will share, or NULL. The graph comes planned.
 */
sky_status sky_model_build(struct sky_model *model, const struct sky_config *config, enum sky_model_mode mode, int64_t places, int64_t classes, int view, enum sky_dtype dtype,
                           const struct sky_model *layout_of);
void sky_model_free(struct sky_model *model);

/* Where the images of view number v go in training: the trunk, and the first of their rows there. */
static inline int sky_model_trunk_of(const struct sky_model *model, int v)
{
    int trunk = 0;
    while (v >= model->trunk_first[trunk + 1]) trunk++;
    return trunk;
}
static inline int64_t sky_model_trunk_row(const struct sky_model *model, int v)
{
    return (v - model->trunk_first[sky_model_trunk_of(model, v)]) * model->places;
}

/* SKY_CONFIG with the nearest name when the backbone is unknown. */
sky_status sky_model_check_backbone(const char *name);

/* Elements of the parameters whose name starts with `prefix` ("" for all). */
int64_t sky_model_parameter_count(const struct sky_model *model, const char *prefix);

/*
 * One slice of a parameter or buffer as files hold it (OIHW filters, f32), and back. `arena` is the tensor's own data in host memory ([KRSC], T).
 */
struct sky_slice {
    const char *name;
    int parameter, index; /* graph->parameters[parameter], slice `index` */
    int rank;
    int64_t dim[SKY_MAX_RANK]; /* in the file's order */
    int64_t count;
};
int64_t sky_model_slice_count(const struct sky_model *model);
struct sky_slice sky_model_slice(const struct sky_model *model, int64_t number);
void sky_slice_export(const struct sky_model *model, const struct sky_slice *slice, const void *tensor, float *out);
void sky_slice_import(const struct sky_model *model, const struct sky_slice *slice, const float *in, void *tensor);

/* Initial values of one slice, in the file's order: a function of seed and name alone. */
void sky_slice_initial(const struct sky_model *model, const struct sky_slice *slice, uint64_t seed, float *out);

#endif
