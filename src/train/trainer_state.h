/*
 * What the files of this folder share about a trainer. Not for other layers, except through the accessors at the end.
 */
#ifndef SKY_TRAIN_TRAINER_STATE_H
#define SKY_TRAIN_TRAINER_STATE_H

#include "backend/executor.h"
#include "backend/select.h"
#include "data/loader.h"
#include "feed.h"
#include "loss_scale.h"
#include "model/model.h"
#include "ranks.h"
#include "results.h"
#include "skygem/trainer.h"

struct sky_trainer {
    const struct sky_config *config; /* borrowed */
    struct sky_config here;          /* the same (texts borrowed) with this rank's device and share of the processors */
    struct sky_ranks ranks;
    char *run_folder;                /* NULL: write nothing; rank 0 alone writes */
    struct sky_train_set set;
    struct sky_sampler *sampler;
    struct sky_pack *pack;
    struct sky_loader *loader; /* created at the first step */
    struct sky_feed feed;
    struct sky_model model;
    struct sky_executor executor;
    void *buffers; /* on the device, [2]: the running statistics before an even and an odd step, put back when its update is left out; then one double: was the last step's? */
    struct sky_results results;
    bool look_ahead; /* the next step may be started before this one's results are read */
    bool started;    /* step `step` has been */
    bool overwritten; /* the step just left out: by the gradients of one that was started ahead */
    struct sky_loss_scale scale;
    /*
     * step counts batches from the start of the first epoch, as if the run had always had this many ranks; shift is what is added to get the number of updates
     * so far, which names steps and checkpoints. It is 0 until a run goes on with another number of ranks.
     */
    int64_t steps_per_epoch, step_count, step, shift;
    int64_t skipped_updates, skipped_images, clamped;
    int64_t skipped_before; /* images, until the loader began to count */
};

/* As sky_trainer_open, by all ranks of comm (NULL: alone). run_folder and resume are rank 0's to know: the others give NULL and false, and get its state. */
sky_status sky_trainer_open_ranks(struct sky_trainer **out, const struct sky_config *config, const char *run_folder, bool resume, struct sky_comm *comm);
/* How many epochs are done when the next step begins one; -1 within an epoch. */
int64_t sky_trainer_epochs_done(const struct sky_trainer *trainer);

/* trainer.c */
sky_status sky_trainer_copy_in(struct sky_trainer *trainer, int64_t part); /* micro-batch `part` of the current batch, and its scalars, to the device's inputs */
sky_status sky_trainer_restore_buffers(struct sky_trainer *trainer);
sky_status sky_trainer_run_again(struct sky_trainer *trainer); /* forward and backward pass of the current step, whose update was left out */
/* checkpoint.c */
sky_status sky_trainer_write_checkpoint(struct sky_trainer *trainer);
sky_status sky_trainer_resume(struct sky_trainer *trainer);
uint32_t sky_trainer_images_sum(const struct sky_train_set *set); /* of the training images' places and names: other images mean another course of the run */
/* together.c */
sky_status sky_trainer_compare_plans(struct sky_trainer *trainer); /* every rank has the same experiment, data and plan, or SKY_PEER says what differs and where */
sky_status sky_trainer_share_state(struct sky_trainer *trainer);   /* rank 0's parameters, momentum, averages, statistics and counters to all */
/* guard.c */
sky_status sky_trainer_blame(struct sky_trainer *trainer, const struct sky_batch *batch); /* names the first tensor that is not finite */
/* record.c */
sky_status sky_trainer_record(struct sky_trainer *trainer, const struct sky_batch *batch, const struct sky_step_report *report);
sky_status sky_trainer_record_start(struct sky_trainer *trainer);

/* For the command line: reports and evaluation share the trainer's parameters. */
const struct sky_model *sky_trainer_model(const struct sky_trainer *trainer);
const struct sky_executor *sky_trainer_executor(const struct sky_trainer *trainer);

#endif
