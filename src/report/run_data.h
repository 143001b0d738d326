/*
 * What a run folder holds, read for reports: the curves of metrics.jsonl, the scores of eval/, run.ini and env.json as text. Files that are not there yet leave their part empty.
 */
#ifndef SKY_REPORT_RUN_DATA_H
#define SKY_REPORT_RUN_DATA_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

enum sky_curve { SKY_CURVE_LOSS, SKY_CURVE_CE, SKY_CURVE_KL, SKY_CURVE_LR, SKY_CURVE_GRADIENT, SKY_CURVE_SPEED, SKY_CURVE_COUNT };

/* One line of an evaluation. */
struct sky_run_score {
    int64_t step; /* steps done */
    char direction[24], protocol[24], condition[24]; /* condition: "plain", or what was altered */
    bool flip;
    int64_t queries, gallery;
    double r1, r5, r10, r1_percent, ap;
};

/* Owns everything. Zero-initialise; free with sky_run_data_free. */
struct sky_run_data {
    char *path, *name;   /* name: the folder's */
    double *steps;       /* [step_count] */
    double *curves[SKY_CURVE_COUNT]; /* [step_count] each; NaN where a line lacks it */
    int64_t step_count, last_epoch, damaged_lines;
    int64_t skipped_updates, skipped_images;
    double seconds;      /* of all steps together */
    struct sky_run_score *scores; /* by step, then in the order of the file */
    int64_t score_count;
    char *ini, *environment; /* NULL when not there */
};

/* SKY_USAGE when `path` is no run folder. */
sky_status sky_run_data_read(struct sky_run_data *run, const char *path);
void sky_run_data_free(struct sky_run_data *run);

/* The plain line of the newest evaluation with this direction and protocol; the one with the mirrored pass where there are both. NULL: none. */
const struct sky_run_score *sky_run_data_score(const struct sky_run_data *run, int64_t step /* -1: the newest */, const char *direction, const char *protocol);

#endif
