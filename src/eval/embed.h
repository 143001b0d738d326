/*
 * Images to feature vectors: the inference graph, the mirrored second pass, per-part normalisation. A feature is a unit vector of P*E floats, index = channel*P + part.
 */
#ifndef SKY_EVAL_EMBED_H
#define SKY_EVAL_EMBED_H

#include "backend/executor.h"
#include "data/loader.h"
#include "model/model.h"

struct sky_embedder {
    struct sky_model model;
    struct sky_executor executor;
    bool flip;
    const struct sky_alteration *alteration; /* done to every picture of sky_embedder_run_set; NULL: none; borrowed */
    float *raw; /* [2][P, rows, E]: heads' outputs for the images and for their mirror images */
};

/*
 * Shares the parameters of a training model (`trained` and its executor, both or neither; ema: the averaged ones); without one the caller fills the parameters through
 * embedder->executor and then calls sky_embedder_refresh. view (enum sky_view): whose trunk, when views are not shared. Zero-initialise.
 */
sky_status sky_embedder_open(struct sky_embedder *embedder, const struct sky_config *config, const struct sky_model *trained,
                             const struct sky_executor *executor, bool ema, int view);
void sky_embedder_close(struct sky_embedder *embedder);

/* After the parameters changed: folds BN into the filters anew. */
sky_status sky_embedder_refresh(struct sky_embedder *embedder);

int64_t sky_embedder_dimensions(const struct sky_embedder *embedder); /* P*E */

/* count (<= model.rows) images u8 [count][S][S][3] to plain [count][P*E] and, when flip is on, flipped [count][P*E] (image + mirror image). Either may be NULL. */
sky_status sky_embedder_run(struct sky_embedder *embedder, const uint8_t *images, int64_t count, float *plain, float *flipped);

/* A whole set of image files, in order. progress may be NULL; when it returns false the rest is left out: SKY_INTERRUPTED. */
sky_status sky_embedder_run_set(struct sky_embedder *embedder, const struct sky_config *config, const struct sky_image_set *set, const char *root,
                                const struct sky_pack *pack, float *plain, float *flipped, bool (*progress)(void *context, int64_t done), void *context);

#endif
