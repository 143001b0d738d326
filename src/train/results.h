/*
 * What the host reads of a step: the losses of its parts and the update's report. Where the device computes behind the host's back (backend staging), they come to
 * pinned memory behind the step's work and are waited for later, for two steps at a time; elsewhere they are read at once. Owns that memory.
 */
#ifndef SKY_TRAIN_RESULTS_H
#define SKY_TRAIN_RESULTS_H

#include "backend/executor.h"
#include "model/model.h"

enum { SKY_RESULTS_LOSSES = 2 + SKY_PAIR_LOSS_COUNT };

struct sky_results_slot {
    double *update;  /* [4] the update's report: gradient norm, left out, clamped, 0 */
    uint64_t *times; /* [2] nanoseconds: when the update came to wait for other ranks' gradients, and when it went on; 0 without times */
    float *losses;  /* [parts][SKY_RESULTS_LOSSES] cross entropy, divergence and the losses on pairs of each part; 0 for one that the model has not */
};

struct sky_results {
    struct sky_executor *executor;
    const struct sky_model *model;
    int64_t parts;
    const uint64_t *times; /* in the device's memory (ranks.h); NULL: there are none */
    void *block;
    size_t bytes;
    bool pinned;
    struct sky_results_slot slot[2];
};

sky_status sky_results_open(struct sky_results *results, struct sky_executor *executor, const struct sky_model *model, int64_t parts, const uint64_t *times);
void sky_results_close(struct sky_results *results); /* when the device is through; zero is fine */

/* Behind the work enqueued so far: the losses of part `part`; the rest, after which the slot is complete. */
sky_status sky_results_read_losses(struct sky_results *results, int slot, int64_t part);
sky_status sky_results_read_update(struct sky_results *results, int slot);
/* Waits until the slot is complete; it stays as it is until read again. */
sky_status sky_results_wait(struct sky_results *results, int slot);

#endif
