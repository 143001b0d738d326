/*
 * A model's scores on a test tree: embeds the image sets that the directions need (each once), then ranks.
 */
#ifndef SKY_EVAL_EVALUATE_H
#define SKY_EVAL_EVALUATE_H

#include "comm/comm.h"
#include "conditions.h"
#include "embed.h"
#include "geo_scores.h"
#include "metrics.h"

enum { SKY_MAX_RESULTS = SKY_SINGLE_DIRECTIONS * 2 * 2 * SKY_MAX_CONDITIONS }; /* directions x protocols x flip x conditions */

struct sky_result {
    const char *direction; /* sky_direction_name */
    bool flip;             /* the mirror image's features added */
    struct sky_scores scores;
    double chance; /* percent: R@1 of a ranking by dice */
    enum sky_condition_kind condition;
    char detail[64]; /* struct sky_condition's */
    int64_t height;  /* SUES-200: of the flight; else 0 */
    bool geo_tagged; /* geo is set: DenseUAV, the whole gallery, not re-ranked */
    struct sky_geo_scores geo;
};

struct sky_evaluation {
    struct sky_result results[SKY_MAX_RESULTS];
    int count;
    int64_t images; /* embedded */
    double embed_seconds, score_seconds;
};

/*
 * Several ranks each embed a share of the images; rank 0 gets all features, scores them and saves, so its digits are those of a run alone. Collective. The
 * others get no results. embedders[view]: those of the views that eval.direction names; entries may be the same. save_folder (may be NULL): features go there
 * as .npy, .labels.npy and .paths.txt. mat_folder (may be NULL): as MAT_FOLDER/DIRECTION/pytorch_result.mat, what the references' evaluate_gpu.py reads. Both
 * are the plain condition's, the mirror image's added where eval.flip has it.
 */
struct sky_evaluate_options {
    const struct sky_config *config;
    struct sky_embedder *embedders[SKY_VIEW_COUNT];
    struct sky_comm *comm; /* NULL: alone */
    const struct sky_test_set *set;
    const char *save_folder, *mat_folder;
    int64_t height;                  /* for the rows; 0: none */
    const struct sky_geo_tags *tags; /* NULL: no geo-tags */
    struct sky_json_writer *retrievals; /* may be NULL: what some queries of each direction found is added to the array begun there (eval/retrievals.h) */
    bool (*progress)(void *context, const char *what, int64_t done, int64_t total); /* may be NULL; false: stop with SKY_INTERRUPTED */
    void *context;
};
sky_status sky_evaluate(const struct sky_evaluate_options *options, struct sky_evaluation *out); /* appends to *out, which starts as zeros */

/* The list that `eval --json` prints and the files in eval/ hold. */
void sky_evaluation_json(struct sky_json_writer *w, const struct sky_evaluation *evaluation);

#endif
