/*
 * Evaluation as commands do it: from a trainer's parameters or from a weights file, with progress, the table and the JSON files.
 */
#ifndef SKY_CLI_EVALUATION_H
#define SKY_CLI_EVALUATION_H

#include "comm/comm.h"
#include "eval/evaluate.h"
#include "skygem/trainer.h"

/*
 * Evaluates the trainer's parameters (the averaged ones when there are any), prints the table, writes eval/step-N.json and eval/retrievals-N.json, and when
 * drone -> satellite R@1 beats *best writes best.safetensors. A tree without test folders is said and left out. A signal ends it: SKY_INTERRUPTED. All ranks of
 * the trainer call it, rank 0 with the run folder and *best, which only it prints and writes; all return the same status.
 */
sky_status sky_evaluate_trainer(const struct sky_config *config, struct sky_trainer *trainer, const char *run_folder, double *best);

/*
 * What an evaluation of the experiment needs, before anything is trained for it: test trees, geo-tags, the frames that conditions take. A line about each tree
 * to `out` (may be NULL). A data set without test folders passes.
 */
sky_status sky_evaluation_check(const struct sky_config *config, struct sky_text *out);

bool sky_evaluation_is_there(const char *run_folder, int64_t step); /* eval/step-N.json */
double sky_evaluation_best(const char *run_folder);                 /* R@1 of best.safetensors, -1 without one */

/* What an evaluation leaves beside its scores: features in folders (evaluate.h), and what some queries found, as JSON (eval/retrievals.h). NULL: not wanted. */
struct sky_evaluation_files {
    const char *save_folder, *mat_folder;
    struct sky_text *retrievals;
};

/* Evaluates a checkpoint or weights file, on all ranks of comm (NULL: alone); rank 0 gets the scores. files may be NULL. */
sky_status sky_evaluate_weights(const struct sky_config *config, struct sky_comm *comm, const char *weights, const struct sky_evaluation_files *files, struct sky_evaluation *out);

/* The table for people, on stdout; chance included. */
sky_status sky_evaluation_print(const struct sky_evaluation *evaluation);

#endif
