/*
 * The training loop's body: one function shows one step, top to bottom. Owns the data set, the loader, the model and the executor; the configuration is borrowed.
 * Everything random is keyed by seed, epoch, item or step, so what a step does depends on its number alone.
 */
#include "trainer_state.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "bind.h"
#include "parameters.h"
#include "schedule.h"
#include "skygem/log.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Running statistics before an even and an odd step, and whether the last step was left out. */
static size_t buffers_bytes(const struct sky_trainer *trainer) { return 2 * trainer->model.graph.arena_bytes[SKY_ARENA_BUFFERS] + sizeof(double); }

static sky_status open_data(struct sky_trainer *trainer)
{
    const struct sky_config *config = trainer->config;
    const int64_t places = config->train.batch_size * config->train.accumulate;
    SKY_TRY(sky_train_set_open_for(&trainer->set, config));
    SKY_TRY(sky_sampler_create(&trainer->sampler, &trainer->set, (enum sky_sampler_kind)config->data.sampler, config->data.samples_per_class, places,
                               (uint64_t)config->experiment.seed));
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
    struct sky_loader_options options = {.set = &trainer->set, .sampler = trainer->sampler, .pack = trainer->pack, .exif = (enum sky_exif)config->data.exif,
                                         .on_bad_image = (enum sky_bad_image_policy)config->data.on_bad_image,
                                         .batch_size = config->train.batch_size * config->train.accumulate, .seed = (uint64_t)config->experiment.seed,
                                         .workers = (int)trainer->here.data.workers,
                                         .first_step = trainer->step, .last_step = trainer->step_count};
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        options.augment[view] = common;
        options.augment[view].erasing = view == SKY_VIEW_SATELLITE ? 0 : config->augment.erasing;
    }
    options.augment[SKY_VIEW_SATELLITE].rotation = config->augment.satellite_rotation;
    options.augment[SKY_VIEW_DRONE].rotation = config->augment.drone_rotation;
    SKY_TRY(sky_results_open(&trainer->results, &trainer->executor, &trainer->model, config->train.accumulate, trainer->ranks.times));
    SKY_TRY(sky_loader_create(&trainer->loader, &options));
    return sky_feed_open(&trainer->feed, &trainer->executor.device, trainer->loader, trainer->model.views.count * options.batch_size,
                         (size_t)config->data.image_size * (size_t)config->data.image_size * 3);
}

/* Initial, imported or resumed values, and what else a checkpoint holds: rank 0's, sent to the others. */
static sky_status start_values(struct sky_trainer *trainer, bool resume)
{
    const struct sky_config *config = trainer->config;
    struct sky_executor *executor = &trainer->executor;
    sky_status status = sky_parameters_initialise(&trainer->model, executor, (uint64_t)config->experiment.seed);
    const bool given = config->model.weights && !resume && trainer->ranks.rank == 0;
    if (status == SKY_OK && given) status = sky_parameters_load(&trainer->model, executor, config, config->model.weights);
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
    SKY_TRY(sky_train_bind(&trainer->model, &trainer->executor, &trainer->here, backend, &options, trainer->set.class_count));
    return sky_executor_reserve(&trainer->executor, buffers_bytes(trainer), "running statistics", &trainer->buffers);
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
    sky_ranks_abort(&trainer->ranks);
    sky_trainer_close(trainer);
    return status;
}

void sky_trainer_close(struct sky_trainer *trainer)
{
    if (!trainer) return;
    sky_feed_close(&trainer->feed); /* waits for the device */
    sky_results_close(&trainer->results);
    sky_loader_destroy(trainer->loader);
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
    struct sky_scalars scalars = {.seed = (uint64_t)config->experiment.seed, .rank = (uint32_t)trainer->ranks.rank, .other_ranks = (uint32_t)(trainer->ranks.size - 1),
                                  .step = (uint64_t)(sky_trainer_next_step(trainer) * parts + part), .ema_decay = (float)config->train.ema,
                                  .gradient_scale = (float)(1 / ((double)parts * trainer->scale.value)), .loss_scale = (float)trainer->scale.value,
                                  .update = (uint64_t)(sky_trainer_next_step(trainer) - trainer->skipped_updates + 1)};
    sky_schedule_rates(config, trainer->step, trainer->steps_per_epoch, scalars.lr);
    return scalars;
}

/* The part's places are rows of each view's share of the batch. */
sky_status sky_trainer_copy_in(struct sky_trainer *trainer, int64_t part)
{
    struct sky_executor *executor = &trainer->executor;
    const struct sky_model *model = &trainer->model;
    const struct sky_scalars scalars = scalars_of(trainer, part);
    const int64_t places = model->places, all = places * trainer->config->train.accumulate;
    for (int v = 0; v < model->views.count; v++) {
        const int trunk = sky_model_trunk_of(model, v);
        const int64_t from = v * all + part * places, to = sky_model_trunk_row(model, v);
        const struct sky_tensor *input = &model->graph.tensors[model->images[trunk]];
        const size_t image_bytes = input->bytes / (size_t)input->dim[0];
        char *images = sky_executor_pointer(executor, model->images[trunk]);
        char *erased = sky_executor_pointer(executor, model->erased[trunk]);
        char *labels = sky_executor_pointer(executor, model->labels);
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_IMAGES, from, places, images + (size_t)to * image_bytes));
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_ERASED, from, places, erased + (size_t)to * sizeof(struct sky_rectangle)));
        SKY_TRY(sky_feed_copy(&trainer->feed, SKY_FEED_LABELS, from, places, labels + (size_t)(v * places) * sizeof(int32_t)));
    }
    return sky_executor_write(executor, model->graph.scalars, &scalars);
}

static char *kept_buffers(const struct sky_trainer *trainer)
{
    return (char *)trainer->buffers + (size_t)(trainer->step % 2) * trainer->model.graph.arena_bytes[SKY_ARENA_BUFFERS];
}

/* The forward pass moves the running statistics before anyone knows that the step's update will be left out. */
static sky_status keep_buffers(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    return executor->device.backend->copy_within(&executor->device, kept_buffers(trainer), executor->arena[SKY_ARENA_BUFFERS], executor->graph->arena_bytes[SKY_ARENA_BUFFERS]);
}

sky_status sky_trainer_restore_buffers(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    return executor->device.backend->copy_within(&executor->device, executor->arena[SKY_ARENA_BUFFERS], kept_buffers(trainer), executor->graph->arena_bytes[SKY_ARENA_BUFFERS]);
}

static double *left_out(const struct sky_trainer *trainer) { return (double *)(void *)((char *)trainer->buffers + 2 * trainer->model.graph.arena_bytes[SKY_ARENA_BUFFERS]); }

/* On the device, which alone knows by now: whether the last step's update was left out, before maps take the report's place. */
static sky_status keep_left_out(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    const double *report = sky_executor_pointer(executor, trainer->model.report);
    return executor->device.backend->copy_within(&executor->device, left_out(trainer), report + 1, sizeof *report);
}

/* If it was, so is this one's. */
static sky_status void_after_left_out(struct sky_trainer *trainer)
{
    struct sky_executor *executor = &trainer->executor;
    char *scalars = sky_executor_pointer(executor, trainer->model.graph.scalars);
    return executor->device.backend->copy_within(&executor->device, scalars + offsetof(struct sky_scalars, void_update), left_out(trainer), sizeof(double));
}

/* Enqueues the whole step; its batch is the feed's current one. */
static sky_status start_step(struct sky_trainer *trainer, bool ahead)
{
    struct sky_executor *executor = &trainer->executor;
    const int64_t parts = trainer->config->train.accumulate;
    const int slot = (int)(trainer->step % 2);
    SKY_TRY(keep_buffers(trainer));
    if (ahead) SKY_TRY(keep_left_out(trainer));
    for (int64_t part = 0; part < parts; part++) {
        SKY_TRY(sky_trainer_copy_in(trainer, part));
        if (ahead && part + 1 == parts) SKY_TRY(void_after_left_out(trainer));
        executor->hold = part + 1 < parts;
        const enum sky_phase last = executor->hold ? SKY_PHASE_BACKWARD : SKY_PHASE_UPDATE; /* sums and what waits for them in one recording */
        SKY_TRY(sky_executor_run_through(executor, SKY_PHASE_FORWARD, last, part > 0));
        SKY_TRY(sky_results_read_losses(&trainer->results, slot, part)); /* the next part overwrites them */
    }
    SKY_TRY(sky_results_read_update(&trainer->results, slot));
    return sky_feed_used(&trainer->feed);
}

sky_status sky_trainer_run_again(struct sky_trainer *trainer)
{
    for (int64_t part = 0; part < trainer->config->train.accumulate; part++) {
        SKY_TRY(sky_trainer_copy_in(trainer, part));
        SKY_TRY(sky_executor_run_through(&trainer->executor, SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, part > 0));
    }
    return sky_trainer_restore_buffers(trainer);
}

static bool is_comparison_due(const struct sky_trainer *trainer, int64_t next_step)
{
    const int64_t every = trainer->config->distributed.check_every;
    return every > 0 && next_step % every == 0;
}

/*
 * Not across an epoch's end, where checkpoints and evaluations look at the parameters, or ranks compare them; nor where records look at the maps. Ranks start a
 * step together or not at all: what one of them fails to fetch is told when it is wanted.
 */
static sky_status may_look_ahead(struct sky_trainer *trainer, bool *may)
{
    const int64_t next = trainer->step + 1;
    *may = trainer->look_ahead && trainer->executor.device.backend->staging && !trainer->config->debug.record && next < trainer->step_count &&
           next % trainer->steps_per_epoch != 0 && !(trainer->ranks.size > 1 && is_comparison_due(trainer, sky_trainer_next_step(trainer) + 1));
    return *may ? sky_ranks_all(&trainer->ranks, sky_feed_is_ahead(&trainer->feed), may) : SKY_OK;
}

static sky_status start_next_step(struct sky_trainer *trainer)
{
    const struct sky_batch *batch;
    trainer->step++;
    sky_feed_turn(&trainer->feed);
    sky_status status = sky_feed_next(&trainer->feed, &batch);
    if (status == SKY_OK) status = start_step(trainer, true);
    sky_feed_turn(&trainer->feed);
    trainer->step--;
    trainer->started = status == SKY_OK;
    return status;
}

/* The next batch is fetched while the device works. Waiting for it counts as waiting for data when the device had nothing left to do by then. */
static sky_status fetch_ahead(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const int slot = (int)(trainer->step % 2);
    const double start = sky_now();
    bool may = false;
    if (trainer->step + 1 < trainer->step_count) sky_feed_ahead(&trainer->feed);
    const double fetched = sky_now();
    SKY_TRY(may_look_ahead(trainer, &may));
    if (may) SKY_TRY(start_next_step(trainer));
    const double before = sky_now();
    if (trainer->ranks.device_comm) SKY_TRY(sky_ranks_await_results(&trainer->ranks, slot)); /* a plain wait would not end when a rank is gone */
    SKY_TRY(sky_results_wait(&trainer->results, slot));
    if (sky_now() - before < 0.05 * (fetched - start)) report->data_seconds += fetched - start;
    return SKY_OK;
}

static void fill_report(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const struct sky_results_slot *results = &trainer->results.slot[trainer->step % 2];
    const int64_t parts = trainer->config->train.accumulate;
    const struct sky_scalars scalars = scalars_of(trainer, 0);
    report->lr_backbone = (double)scalars.lr[SKY_GROUP_BACKBONE], report->lr_head = (double)scalars.lr[SKY_GROUP_HEAD], report->lr_gem = (double)scalars.lr[SKY_GROUP_GEM];
    for (int64_t part = 0; part < parts; part++) {
        const float *losses = results->losses + SKY_RESULTS_LOSSES * part;
        report->loss_ce += 1 / (double)parts * (double)losses[0];
        report->loss_kl += 1 / (double)parts * (double)losses[1];
        for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) report->loss_pairs[i] += 1 / (double)parts * (double)losses[2 + i];
    }
    report->gradient_norm = results->update[0];
    report->update_skipped = results->update[1] != 0;
    trainer->clamped += (int64_t)results->update[2];
}

static sky_status run_step(struct sky_trainer *trainer, struct sky_step_report *report)
{
    const bool started = trainer->started;
    trainer->started = trainer->overwritten = false;
    if (!started) SKY_TRY(start_step(trainer, false));
    SKY_TRY(fetch_ahead(trainer, report));
    report->exchange_seconds = sky_ranks_exposed_seconds(&trainer->ranks, trainer->results.slot[trainer->step % 2].times);
    fill_report(trainer, report);
    if (!report->update_skipped) return SKY_OK;
    trainer->overwritten = trainer->started; /* the next step did nothing: it is started again, when it is wanted, with what this one leaves behind */
    trainer->started = false;
    return sky_trainer_restore_buffers(trainer);
}

static sky_status next_batch(struct sky_trainer *trainer, const struct sky_batch **batch)
{
    if (!trainer->loader) SKY_TRY(open_loader(trainer));
    return sky_feed_next(&trainer->feed, batch);
}

/* Losses are means over the ranks; images are counted over all; a signal to one is a signal to all. */
static sky_status sum_up(struct sky_trainer *trainer, const struct sky_batch *batch, struct sky_step_report *report)
{
    enum { OTHERS = 4 };
    const struct sky_config *config = trainer->config;
    double sums[OTHERS + SKY_PAIR_LOSS_COUNT] = {report->loss_ce, report->loss_kl, (double)batch->skipped, sky_signal_received() != 0};
    memcpy(sums + OTHERS, report->loss_pairs, sizeof report->loss_pairs);
    if (trainer->ranks.size > 1) SKY_TRY(sky_comm_reduce(trainer->ranks.comm, sums, OTHERS + SKY_PAIR_LOSS_COUNT, SKY_F64, SKY_COMM_SUM, "losses"));
    report->loss_ce = sums[0] / trainer->ranks.size, report->loss_kl = sums[1] / trainer->ranks.size;
    report->loss = config->loss.ce * report->loss_ce + config->loss.kl * report->loss_kl;
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
        report->has_pairs[i] = trainer->model.loss_pairs[i] != SKY_NONE;
        report->loss_pairs[i] = sums[OTHERS + i] / trainer->ranks.size;
        report->loss += sky_pair_loss_weight(config, i) * report->loss_pairs[i];
    }
    report->skipped_images = trainer->skipped_images = trainer->skipped_before + (int64_t)sums[2];
    report->stop_asked = sums[3] > 0;
    return SKY_OK;
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
    if (status == SKY_OK && is_comparison_due(trainer, sky_trainer_next_step(trainer))) status = sky_ranks_compare(&trainer->ranks);
    report->step_seconds = sky_now() - start;
    return status;
}

void sky_trainer_look_ahead(struct sky_trainer *trainer, bool on) { trainer->look_ahead = on; }

bool sky_trainer_is_ahead(const struct sky_trainer *trainer) { return trainer->started; }

sky_status sky_trainer_save(struct sky_trainer *trainer)
{
    if (trainer->started) return sky_fail(SKY_USAGE, "checkpoint", "step %lld is under way: its parameters would be saved as those before it", (long long)trainer->step);
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
