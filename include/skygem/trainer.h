/*
 * Training from C: open an experiment, step, save, close. The command line's `skygem train` is a loop around these calls.
 */
#ifndef SKYGEM_TRAINER_H
#define SKYGEM_TRAINER_H

#include "skygem/config.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sky_trainer;

/* What one step did. Loss terms are before their weights, reduced over heads; loss is their weighted sum. */
struct sky_step_report {
    int64_t step, epoch; /* both from 0 */
    double loss, loss_ce, loss_kl, loss_pairs[SKY_PAIR_LOSS_COUNT];
    bool has_pairs[SKY_PAIR_LOSS_COUNT]; /* which of these the model has */
    double lr_backbone, lr_head, lr_gem; /* learning rates of this step */
    double gradient_norm; /* over all parameters, before clipping */
    double step_seconds, data_seconds; /* whole step; of which waiting for images */
    double exchange_seconds;           /* of which waiting for other ranks' gradients */
    int64_t images;                    /* all views, of all ranks */
    bool update_skipped;               /* gradients were not finite and on_nonfinite = skip */
    int64_t skipped_updates, skipped_images, clamped; /* totals so far; clamped: GeM exponents held in [1,16], and the temperature of InfoNCE */
    bool stop_asked; /* SIGINT or SIGTERM has reached this process, or that of another rank */
};

/*
 * One process alone; with several ranks the program uses src/train/trainer_state.h. Reads the data tree, builds and plans the graph, allocates, and gives the
 * parameters their initial, imported (model.weights) or resumed values. run_folder may be NULL: nothing is written. resume: takes the newest valid checkpoint
 * under run_folder. The config is borrowed until sky_trainer_close. SKY_DATA: the data tree is not there or lacks what the config asks of it. SKY_USAGE: resume
 * without a run folder or a checkpoint. SKY_CONFIG, SKY_FORMAT: keys or weights that do not fit together. SKY_NOMEM, SKY_DEVICE, SKY_UNSUPPORTED: not on this
 * machine.
 */
sky_status sky_trainer_open(struct sky_trainer **out, const struct sky_config *config, const char *run_folder, bool resume);
void sky_trainer_close(struct sky_trainer *trainer); /* NULL is fine */

int64_t sky_trainer_step_count(const struct sky_trainer *trainer); /* of the whole experiment */
int64_t sky_trainer_steps_per_epoch(const struct sky_trainer *trainer);
int64_t sky_trainer_next_step(const struct sky_trainer *trainer); /* from 0; == step_count: finished */

/* One optimiser step. SKY_NUMERIC under on_nonfinite = stop (parameters are left as they were), naming the first tensor that is not finite. */
sky_status sky_trainer_step(struct sky_trainer *trainer, struct sky_step_report *report);

/*
 * Whether the next step may be under way on the device when a step's report comes, so that the device need not wait for the host. Off at first. A step that was
 * left out takes back the one behind it, so reports, bits and errors are the same; but parameters are those after the reported step only where no step is under
 * way. None is at an epoch's end; after turning this off, the next sky_trainer_step reports the one under way and starts no other. Changes nothing where steps
 * are computed within the call.
 */
void sky_trainer_look_ahead(struct sky_trainer *trainer, bool on);
bool sky_trainer_is_ahead(const struct sky_trainer *trainer); /* a step is under way */

/* Not while a step is under way. Writes run_folder/checkpoints/step-NNNNNNNNN.safetensors (N: steps done), keeps the last train.keep_checkpoints. SKY_USAGE: there
 * is no run folder. SKY_NOSPACE, SKY_IO: it cannot be written; earlier ones stay. */
sky_status sky_trainer_save(struct sky_trainer *trainer);

#ifdef __cplusplus
}
#endif
#endif
