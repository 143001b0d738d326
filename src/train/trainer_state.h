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
#include "skygem/trainer.h"

struct sky_trainer {
    const struct sky_config *config; /* borrowed */
    char *run_folder;                /* NULL: write nothing */
    struct sky_train_set set;
    struct sky_sampler *sampler;
    struct sky_pack *pack;
    struct sky_loader *loader; /* created at the first step */
    struct sky_feed feed;
    struct sky_model model;
    struct sky_executor executor;
    void *buffers; /* on the device: the running statistics before the step, put back when its update is left out */
    struct sky_loss_scale scale;
    int64_t steps_per_epoch, step_count, step;
    int64_t skipped_updates, skipped_images, clamped;
    int64_t skipped_before; /* images, until the loader began to count */
};

/* trainer.c */
sky_status sky_trainer_copy_in(struct sky_trainer *trainer, int64_t part); /* micro-batch `part` of the current batch, and its scalars, to the device's inputs */
sky_status sky_trainer_restore_buffers(struct sky_trainer *trainer);
/* checkpoint.c */
sky_status sky_trainer_write_checkpoint(struct sky_trainer *trainer);
sky_status sky_trainer_resume(struct sky_trainer *trainer);
/* guard.c */
sky_status sky_trainer_blame(struct sky_trainer *trainer, const struct sky_batch *batch); /* names the first tensor that is not finite */
/* record.c */
sky_status sky_trainer_record(struct sky_trainer *trainer, const struct sky_batch *batch, const struct sky_step_report *report);
sky_status sky_trainer_record_start(struct sky_trainer *trainer);

/* For the command line: reports and evaluation share the trainer's parameters. */
const struct sky_model *sky_trainer_model(const struct sky_trainer *trainer);
const struct sky_executor *sky_trainer_executor(const struct sky_trainer *trainer);

#endif
