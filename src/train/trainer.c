/*
 * The training loop's body: one function shows one step, top to bottom. Owns the data set, the loader, the model and the executor; the configuration is borrowed.
 * Everything random is keyed by seed, epoch, item or step, so what a step does depends on its number alone.
 */
#include "trainer_state.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "parameters.h"
#include "schedule.h"
#include "skygem/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static sky_status open_data(struct sky_trainer *trainer)
{
    const struct sky_config *config = trainer->config;
    const int64_t places = config->train.batch_size * config->train.accumulate;
    SKY_TRY(sky_train_set_open(&trainer->set, config->data.root));
    SKY_TRY(sky_sampler_create(&trainer->sampler, &trainer->set, (enum sky_sampler_kind)config->data.sampler, config->data.samples_per_class, places, (uint64_t)config->experiment.seed));
    SKY_TRY(sky_sampler_share(trainer->sampler, trainer->ranks.rank, trainer->ranks.size));
    if (config->data.pack) SKY_TRY(sky_pack_open(&trainer->pack, config->data.pack));
    trainer->steps_per_epoch = sky_sampler_steps_per_epoch(trainer->sampler);
    trainer->step_count = trainer->steps_per_epoch * config->train.epochs;
    return SKY_OK;
}

static sky_status open_loader(struct sky_trainer *trainer)
{
    const struct sky_config *config = trainer->config;
    const struct sky_augment common = {.size = (int)config->data.image_size, .pad = (int)config->augment.pad, .crop = config->augment.crop, .flip = config->augment.flip,
                                       .brightness = config->augment.brightness, .contrast = config->augment.contrast, .saturation = config->augment.saturation};
    struct sky_loader_options options = {.set = &trainer->set, .sampler = trainer->sampler, .pack = trainer->pack, .augment = {common, common},
                                         .exif = (enum sky_exif)config->data.exif, .on_bad_image = (enum sky_bad_image_policy)config->data.on_bad_image,
                                         .batch_size = config->train.batch_size * config->train.accumulate, .seed = (uint64_t)config->experiment.seed,
                                         .workers = (int)trainer->here.data.workers,
                                         .first_step = trainer->step, .last_step = trainer->step_count};
    options.augment[SKY_VIEW_SATELLITE].rotation = config->augment.satellite_rotation;
    options.augment[SKY_VIEW_DRONE].rotation = config->augment.drone_rotation;
    options.augment[SKY_VIEW_DRONE].erasing = config->augment.erasing;
    SKY_TRY(sky_loader_create(&trainer->loader, &options));
    return sky_feed_open(&trainer->feed, &trainer->executor.device, trainer->loader, SKY_VIEW_COUNT * options.batch_size, (size_t)config->data.image_size * (size_t)config->data.image_size * 3);
}

/* Initial, imported or resumed values, and what else a checkpoint holds: rank 0's, sent to the others. */
static sky_status start_values(struct sky_trainer *trainer, bool resume)
{
    const struct sky_config *config = trainer->config;
    struct sky_executor *executor = &trainer->executor;
    sky_status status = sky_parameters_initialise(&trainer->model, executor, (uint64_t)config->experiment.seed);
    if (status == SKY_OK && config->model.weights && !resume && trainer->ranks.rank == 0) status = sky_parameters_load(&trainer->model, executor, config->model.weights);
    if (status == SKY_OK) status = sky_parameters_start_average(executor);
    trainer->scale = sky_loss_scale_start(trainer->model.graph.map_dtype);
    if (status == SKY_OK && resume) status = sky_trainer_resume(trainer);
    SKY_TRY(sky_comm_settle(trainer->ranks.comm, status, "the start"));
    SKY_TRY(sky_trainer_share_state(trainer));
    return sky_executor_run(executor, SKY_PHASE_ONCE, false);
}

static sky_status open_parts(struct sky_trainer *trainer)
{
    const struct sky_config *config = trainer->config;
    const struct sky_backend *backend = NULL;
    struct sky_device_options options;
    SKY_TRY(sky_backend_choose(&trainer->here, config->train.precision, &backend, &options));
    SKY_TRY(open_data(trainer));
    SKY_TRY(sky_model_build(&trainer->model, config, SKY_MODEL_TRAIN, config->train.batch_size, trainer->set.class_count, 0, SKY_F32, NULL));
    SKY_TRY(sky_executor_create(&trainer->executor, backend, &options, &trainer->model.graph, NULL));
    return backend->arena_alloc(&trainer->executor.device, trainer->model.graph.arena_bytes[SKY_ARENA_BUFFERS], "running statistics", &trainer->buffers);
}

sky_status sky_trainer_open(struct sky_trainer **out, const struct sky_config *config, const char *run_folder, bool resume)
{
    return sky_trainer_open_ranks(out, config, run_folder, resume, NULL);
}

sky_status sky_trainer_open_ranks(struct sky_trainer **out, const struct sky_config *config, const char *run_folder, bool resume, struct sky_comm *comm)
{
    struct sky_trainer *trainer = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&trainer, 1, sizeof *trainer, "a trainer"));
    trainer->config = config;
    trainer->ranks = (struct sky_ranks){.comm = comm, .rank = sky_comm_rank(comm), .size = sky_comm_size(comm)};
    trainer->here = sky_ranks_config(config, comm);
    if (run_folder) SKY_TRY_DONE(sky_strdup(&trainer->run_folder, run_folder, "the run folder"));
    SKY_TRY_DONE(sky_comm_settle(comm, open_parts(trainer), "opening the data and the model"));
    SKY_TRY_DONE(sky_ranks_attach(&trainer->ranks, comm, config, &trainer->executor));
    SKY_TRY_DONE(sky_trainer_compare_plans(trainer));
    SKY_TRY_DONE(start_values(trainer, resume));
    if (config->debug.record) SKY_TRY_DONE(sky_trainer_record_start(trainer));
    *out = trainer;
    return SKY_OK;
done:
    sky_trainer_close(trainer);
    return status;
}

void sky_trainer_close(struct sky_trainer *trainer)
{
    if (!trainer) return;
    sky_feed_close(&trainer->feed);
    sky_loader_destroy(trainer->loader);
    if (trainer->buffers) trainer->executor.device.backend->arena_free(&trainer->executor.device, trainer->buffers, trainer->model.graph.arena_bytes[SKY_ARENA_BUFFERS]);
    sky_executor_destroy(&trainer->executor);
    sky_ranks_detach(&trainer->ranks);
    sky_model_free(&trainer->model);
    sky_pack_close(trainer->pack);
    sky_sampler_destroy(trainer->sampler);
    sky_train_set_close(&trainer->set);
    free(trainer->run_folder);
    free(trainer);
}

int64_t sky_trainer_step_count(const struct sky_trainer *trainer)
{
    return trainer->step_count + trainer->shift;
}

int64_t sky_trainer_steps_per_epoch(const struct sky_trainer *trainer)
{
    return trainer->steps_per_epoch;
}

int64_t sky_trainer_next_step(const struct sky_trainer *trainer)
{
    return trainer->step + trainer->shift;
}

int64_t sky_trainer_epochs_done(const struct sky_trainer *trainer)
{
    return trainer->step % trainer->steps_per_epoch == 0 ? trainer->step / trainer->steps_per_epoch : -1;
}

static struct sky_scalars scalars_of(const struct sky_trainer *trainer, int64_t part)
{
    const struct sky_config *config = trainer->config;
    const int64_t parts = config->train.accumulate;
    struct sky_scalars scalars = {.seed = sky_ranks_dropout_seed((uint64_t)config->experiment.seed, trainer->ranks.rank),
                                  .step = (uint64_t)(sky_trainer_next_step(trainer) * parts + part), .ema_decay = (float)config->train.ema,
                                  .gradient_scale = (float)(1 / ((double)parts * trainer->scale.value)), .loss_scale = (float)trainer->scale.value};
    sky_schedule_rates(config, trainer->step, trainer->steps_per_epoch, scalars.lr);
    return scalars;
}

/* The part's places are rows of the batch's satellite half, then of its drone half. */
sky_status sky_trainer_copy_in(struct sky_trainer *trainer, int64_t part)
{
    struct sky_executor *executor = &trainer->executor;
    const struct sky_model *model = &trainer->model;
    const struct sky_scalars scalars = scalars_of(trainer, part);
    const int64_t places = trainer->config->train.batch_size, all = places * trainer->config->train.accumulate;
    const size_t image_bytes = model->graph.tensors[model->images[0]].bytes / (size_t)(model->rows / model->trunks);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        const int64_t from = view * all + part * places;
        const int trunk = model->trunks == 1 ? 0 : view;
        const int64_t to = model->trunks == 1 ? view * places : 0;
        char *images = sky_executor_pointer(executor, model->images[trunk]);
        char *erased = sky_executor_pointer(executor, model->erased[trunk]);
        char *labels = sky_executor_pointer(executor, model->labels);
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_IMAGES, from, places, images + (size_t)to * image_bytes));
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_ERASED, from, places, erased + (size_t)to * sizeof(struct sky_rectangle)));
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_LABELS, from, places, labels + (size_t)(view * places) * sizeof(int32_t)));
    }
    return sky_executor_write(executor, model->graph.scalars, &scalars);
}

/* The forward pass moves the running statistics before anyone knows that the step's update will be left out. */
static sky_status keep_buffers(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    return executor->device.backend->copy_within(&executor->device, trainer->buffers, executor->arena[SKY_ARENA_BUFFERS], executor->graph->arena_bytes[SKY_ARENA_BUFFERS]);
}

sky_status sky_trainer_restore_buffers(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    return executor->device.backend->copy_within(&executor->device, executor->arena[SKY_ARENA_BUFFERS], trainer->buffers, executor->graph->arena_bytes[SKY_ARENA_BUFFERS]);
}

/* Reads one loss value, SKY_NONE as 0, and adds its share. */
static sky_status add_loss(struct sky_trainer *trainer, sky_value value, double share, double *sum)
{
    float loss = 0;
    if (value != SKY_NONE) SKY_TRY(sky_executor_read(&trainer->executor, value, &loss));
    *sum += share * (double)loss;
    return SKY_OK;
}

static sky_status add_losses(struct sky_trainer *trainer, double share, struct sky_step_report *report)
{
    SKY_TRY(add_loss(trainer, trainer->model.loss_ce, share, &report->loss_ce));
    return add_loss(trainer, trainer->model.loss_kl, share, &report->loss_kl);
}

/* The next batch is fetched while the device works. Waiting for it counts as waiting for data when the device had nothing left to do by then. */
static sky_status fetch_ahead(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const double start = sky_now();
    if (trainer->step + 1 < trainer->step_count) sky_feed_ahead(&trainer->feed);
    const double fetched = sky_now();
    SKY_TRY(trainer->executor.device.backend->synchronize(&trainer->executor.device));
    if (sky_now() - fetched < 0.05 * (fetched - start)) report->data_seconds += fetched - start;
    return SKY_OK;
}

static sky_status run_step(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const struct sky_config *config = trainer->config;
    struct sky_executor *executor = &trainer->executor;
    const int64_t parts = config->train.accumulate;
    const struct sky_scalars scalars = scalars_of(trainer, 0);
    report->lr_backbone = (double)scalars.lr[SKY_GROUP_BACKBONE], report->lr_head = (double)scalars.lr[SKY_GROUP_HEAD], report->lr_gem = (double)scalars.lr[SKY_GROUP_GEM];
    SKY_TRY(keep_buffers(trainer));
    for (int64_t part = 0; part < parts; part++) {
        SKY_TRY(sky_trainer_copy_in(trainer, part));
        executor->hold = part + 1 < parts;
        SKY_TRY(sky_executor_run_through(executor, SKY_PHASE_FORWARD, parts == 1 ? SKY_PHASE_UPDATE : SKY_PHASE_BACKWARD, part > 0));
        if (parts > 1) SKY_TRY(add_losses(trainer, 1 / (double)parts, report)); /* the next part overwrites them */
    }
    if (parts > 1) SKY_TRY(sky_executor_run(executor, SKY_PHASE_UPDATE, false));
    SKY_TRY(fetch_ahead(trainer, report));
    if (parts == 1) SKY_TRY(add_losses(trainer, 1, report));
    report->exchange_seconds = sky_comm_exposed_seconds(trainer->ranks.comm);
    double update[4]; /* gradient norm, left out, clamped, 0 */
    SKY_TRY(sky_executor_read(executor, trainer->model.report, update));
    report->gradient_norm = update[0];
    report->update_skipped = update[1] != 0;
    trainer->clamped += (int64_t)update[2];
    return report->update_skipped ? sky_trainer_restore_buffers(trainer) : SKY_OK;
}

static sky_status next_batch(struct sky_trainer *trainer, const struct sky_batch **batch)
{
    if (!trainer->loader) SKY_TRY(open_loader(trainer));
    return sky_feed_next(&trainer->feed, batch);
}

/* Losses are means over the ranks; images are counted over all; a signal to one is a signal to all. */
static sky_status sum_up(struct sky_trainer *trainer, const struct sky_batch *batch, struct sky_step_report *report)
{
    double sums[4] = {report->loss_ce, report->loss_kl, (double)batch->skipped, sky_signal_received() != 0};
    if (trainer->ranks.size > 1) SKY_TRY(sky_comm_reduce(trainer->ranks.comm, sums, 4, SKY_F64, SKY_COMM_SUM, "losses"));
    report->loss_ce = sums[0] / trainer->ranks.size, report->loss_kl = sums[1] / trainer->ranks.size;
    report->loss = trainer->config->loss.ce * report->loss_ce + trainer->config->loss.kl * report->loss_kl;
    report->skipped_images = trainer->skipped_images = trainer->skipped_before + (int64_t)sums[2];
    report->stop_asked = sums[3] > 0;
    return SKY_OK;
}

static bool is_comparison_due(const struct sky_trainer *trainer)
{
    const int64_t every = trainer->config->distributed.check_every;
    return every > 0 && sky_trainer_next_step(trainer) % every == 0;
}

sky_status sky_trainer_step(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const struct sky_batch *batch = NULL;
    memset(report, 0, sizeof *report);
    report->step = sky_trainer_next_step(trainer), report->epoch = trainer->step / trainer->steps_per_epoch;
    const double start = sky_now();
    sky_comm_at(trainer->ranks.comm, "train", report->step);
    SKY_TRY(sky_comm_settle(trainer->ranks.comm, next_batch(trainer, &batch), "the next batch"));
    report->data_seconds = sky_now() - start;
    sky_status status = run_step(trainer, report);
    if (status == SKY_OK) status = sum_up(trainer, batch, report);
    if (status == SKY_OK) {
        const bool explained = sky_loss_scale_step(&trainer->scale, report->update_skipped);
        trainer->skipped_updates += report->update_skipped;
        if (report->update_skipped && !explained && trainer->config->train.on_nonfinite == SKY_NONFINITE_STOP) status = sky_trainer_blame(trainer, batch);
    }
    report->images = trainer->model.rows * trainer->config->train.accumulate * trainer->ranks.size;
    report->skipped_updates = trainer->skipped_updates, report->clamped = trainer->clamped;
    if (status == SKY_OK && trainer->config->debug.record) status = sky_trainer_record(trainer, batch, report);
    const sky_status released = sky_feed_release(&trainer->feed);
    if (status == SKY_OK) status = released;
    if (status == SKY_OK) trainer->step++;
    if (status == SKY_OK && is_comparison_due(trainer)) status = sky_ranks_compare(&trainer->ranks);
    report->step_seconds = sky_now() - start;
    return status;
}

sky_status sky_trainer_save(struct sky_trainer *trainer)
{
    sky_comm_at(trainer->ranks.comm, "checkpoint", sky_trainer_next_step(trainer));
    return sky_comm_settle(trainer->ranks.comm, trainer->ranks.rank == 0 ? sky_trainer_write_checkpoint(trainer) : SKY_OK, "writing a checkpoint");
}

const struct sky_model *sky_trainer_model(const struct sky_trainer *trainer)
{
    return &trainer->model;
}

const struct sky_executor *sky_trainer_executor(const struct sky_trainer *trainer)
{
    return &trainer->executor;
}
