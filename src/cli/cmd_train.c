/*
 * skygem train: opens the run folder and the trainer, loops over steps (log, metrics, checkpoints, evaluation), answers signals with a checkpoint, and ends with the scores.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/signals.h"
#include "console.h"
#include "evaluation.h"
#include "evaluation_events.h"
#include "progress.h"
#include "report/metrics_log.h"
#include "report/training_events.h"
#include "run_folder.h"
#include "run_ranks.h"
#include "run_report.h"
#include "skygem/log.h"
#include "summary.h"
#include "train/trainer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sky_option options[] = {
    {"output", 'o', "DIR", NULL, "run folder (default: RUN_DIR, or runs/NAME of the experiment)", false},
    {"set", 's', "KEY=VALUE", NULL, "override a key: --set train.epochs=3", true},
    {"resume", 'r', NULL, NULL, "go on from the newest valid checkpoint of the run folder", false},
    {"dry-run", 0, NULL, NULL, "check everything, print the plan, train nothing", false},
    {"no-eval", 0, NULL, NULL, "do not evaluate at the end", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

struct run {
    const struct sky_config *config;
    struct sky_comm *comm;
    bool first;                   /* rank 0, or alone: it alone has the folder and writes */
    struct sky_run_folder folder; /* path NULL on other ranks */
    struct sky_trainer *trainer;
    struct sky_metrics_log metrics;
    struct sky_event_file events; /* TensorBoard's; closed when there is none, or no room for it */
    struct sky_progress progress;
    double best;        /* recall of the best evaluation so far, -1: none */
    int64_t saved;      /* step of the newest checkpoint; 0: none is needed yet */
    int64_t lost_lines; /* of metrics.jsonl */
};

static void log_step(struct run *run, const struct sky_step_report *report)
{
    char extra[300], pairs[120] = "";
    if (!run->first) return;
    for (int i = 0, used = 0; i < SKY_PAIR_LOSS_COUNT; i++)
        if (report->has_pairs[i]) used += snprintf(pairs + used, sizeof pairs - (size_t)used, " %s %.4f", sky_pair_loss_name(i), report->loss_pairs[i]);
    snprintf(extra, sizeof extra, "epoch %lld  loss %.4f (ce %.4f kl %.5f%s)  grad %.3g  lr %.2e  data %.0f %%", (long long)report->epoch, report->loss,
             report->loss_ce, report->loss_kl, pairs, report->gradient_norm, report->lr_head, 100 * report->data_seconds / report->step_seconds);
    if (run->progress.terminal || (report->step + 1) % run->config->log.every == 0)
        sky_progress_show(&run->progress, report->step + 1, (double)report->images, extra);
    if (report->update_skipped)
        sky_log(SKY_LOG_WARNING, "step %lld: gradients were not finite, update left out (%lld so far)", (long long)report->step,
                (long long)report->skipped_updates);
}

static sky_status save(struct run *run)
{
    SKY_TRY(sky_trainer_save(run->trainer));
    run->saved = sky_trainer_next_step(run->trainer);
    return SKY_OK;
}

/* A full or failing disk may have room again later: what training has reached is worth more than its files. The last checkpoint alone must be written. */
static sky_status go_on(const struct run *run, sky_status status, const char *without)
{
    if (status != SKY_NOSPACE && status != SKY_IO) return status;
    if (!run->first) return SKY_OK;
    const struct sky_error *error = sky_error_last();
    sky_log(SKY_LOG_WARNING, "training goes on without %s: %s: %s", without, error->where, error->what);
    if (*error->hint) sky_log(SKY_LOG_WARNING, "hint: %s", error->hint);
    return SKY_OK;
}

/* Signals are answered between steps: what is saved is always a whole step. */
static sky_status stop_for_signal(struct run *run)
{
    const int64_t steps = sky_trainer_next_step(run->trainer);
    if (run->saved != steps) SKY_TRY(save(run));
    if (!run->first) return sky_fail(SKY_INTERRUPTED, "train", "stopped by a signal after step %lld", (long long)steps - 1);
    sky_fail(SKY_INTERRUPTED, run->folder.path, "stopped by a signal after step %lld; a checkpoint is written", (long long)steps - 1);
    return sky_hint("go on with: skygem train %s --resume", run->folder.path);
}

/* A bad image ends the run, but not what it has reached. */
static sky_status stop_for_data(struct run *run)
{
    const struct sky_error error = *sky_error_last();
    if (run->saved != sky_trainer_next_step(run->trainer)) go_on(run, save(run), "a checkpoint"); /* said, if it fails; the image is the reason to stop */
    return sky_error_set(&error);
}

static sky_status write_metrics(struct run *run, const struct sky_step_report *report)
{
    const sky_status status = run->first ? sky_metrics_write(&run->metrics, report) : SKY_OK;
    if (status == SKY_OK) return SKY_OK;
    return run->lost_lines++ ? SKY_OK : go_on(run, status, "this line of metrics.jsonl, and others until there is room");
}

/* Closed events are written no more. */
static sky_status keep_events(struct run *run, sky_status status)
{
    if (status != SKY_OK) sky_event_file_close(&run->events);
    return status == SKY_OK ? SKY_OK : go_on(run, status, "TensorBoard's event file from here on");
}

static sky_status write_events(struct run *run, const struct sky_step_report *report)
{
    return keep_events(run, run->first ? sky_training_events_step(&run->events, report) : SKY_OK);
}

static sky_status evaluate(struct run *run)
{
    const sky_status status = sky_evaluate_trainer(run->config, run->trainer, run->folder.path, &run->best);
    if (status != SKY_OK) return status == SKY_INTERRUPTED ? stop_for_signal(run) : status == SKY_DATA ? stop_for_data(run) : status;
    return keep_events(run, run->first ? sky_evaluation_events(&run->events, run->config, run->trainer, run->folder.path) : SKY_OK);
}

static bool is_evaluation_due(const struct run *run, int64_t epochs_done)
{
    const int64_t every = run->config->train.eval_every;
    return every > 0 && epochs_done > 0 && epochs_done % every == 0 && epochs_done < run->config->train.epochs;
}

static sky_status after_epoch(struct run *run, int64_t epochs_done)
{
    const bool last = epochs_done == run->config->train.epochs;
    if (last) SKY_TRY(save(run));
    else if (epochs_done % run->config->train.checkpoint_every == 0) SKY_TRY(go_on(run, save(run), "a checkpoint"));
    return is_evaluation_due(run, epochs_done) ? go_on(run, evaluate(run), "keeping these scores") : SKY_OK;
}

static sky_status train(struct run *run)
{
    const int64_t step_count = sky_trainer_step_count(run->trainer), first = sky_trainer_next_step(run->trainer);
    int64_t cut_off = run->first && is_evaluation_due(run, sky_trainer_epochs_done(run->trainer)) && !sky_evaluation_is_there(run->folder.path, first);
    SKY_TRY(sky_comm_reduce(run->comm, &cut_off, 1, SKY_I64, SKY_COMM_MAX, "an evaluation to make up for"));
    if (cut_off) SKY_TRY(go_on(run, evaluate(run), "keeping these scores"));
    sky_trainer_look_ahead(run->trainer, true);
    if (run->first) sky_progress_begin(&run->progress, "step", "img", step_count, first);
    while (sky_trainer_next_step(run->trainer) < step_count) {
        struct sky_step_report report;
        const sky_status status = sky_trainer_step(run->trainer, &report);
        if (status != SKY_OK) return status == SKY_DATA ? stop_for_data(run) : status;
        SKY_TRY(write_metrics(run, &report));
        SKY_TRY(write_events(run, &report));
        log_step(run, &report);
        if (report.stop_asked) sky_trainer_look_ahead(run->trainer, false); /* a step that is under way is one more to report */
        if (report.stop_asked && !sky_trainer_is_ahead(run->trainer)) return stop_for_signal(run);
        const int64_t epochs_done = sky_trainer_epochs_done(run->trainer);
        if (epochs_done > 0) SKY_TRY(after_epoch(run, epochs_done));
    }
    if (run->first) sky_progress_end(&run->progress);
    if (run->lost_lines) sky_log(SKY_LOG_WARNING, "%lld lines of metrics.jsonl could not be written", (long long)run->lost_lines);
    return SKY_OK;
}

/* Whether a resumed run was over before, its scores included: they are not made again. */
static sky_status find_finished(struct run *run, bool *finished)
{
    const int64_t next = sky_trainer_next_step(run->trainer);
    int64_t open = run->first && !(next >= sky_trainer_step_count(run->trainer) && sky_evaluation_is_there(run->folder.path, next) && sky_run_folder_is_finished(&run->folder));
    SKY_TRY(sky_comm_reduce(run->comm, &open, 1, SKY_I64, SKY_COMM_MAX, "whether the run is over"));
    *finished = !open;
    if (*finished && run->first)
        sky_log(SKY_LOG_INFO, "%s: trained and scored already; 'skygem eval' scores it again, a larger train.epochs trains it further", run->folder.path);
    return SKY_OK;
}

static sky_status write_report(struct run *run)
{
    const char *const folder = run->folder.path;
    char *path = NULL;
    if (!run->first) return SKY_OK;
    SKY_TRY(sky_path_join(&path, folder, "report.html"));
    const sky_status status = sky_run_report_write(&folder, 1, path);
    free(path);
    return status == SKY_OK ? SKY_OK : go_on(run, status, "report.html");
}

/* Rank 0's: the folder, locked, and its log. */
static sky_status open_folder(struct run *run, const struct sky_args *args, bool own)
{
    const bool resume = sky_args_given(args, "resume");
    char *log_path = NULL;
    SKY_TRY(sky_run_folder_open(&run->folder, run->config, own ? args->operands[0] : sky_args_text(args, "output"), resume));
    SKY_TRY(sky_path_join(&log_path, run->folder.path, "log.txt"));
    const sky_status status = sky_console_log_file(log_path);
    free(log_path);
    return status;
}

static bool evaluates(const struct sky_config *config, const struct sky_args *args) { return config->train.eval_every > 0 || !sky_args_given(args, "no-eval"); }

/* Rank 0's: what is written before the first step. */
static sky_status open_files(struct run *run, const struct sky_args *args, bool own)
{
    if (evaluates(run->config, args)) SKY_TRY(sky_evaluation_check(run->config, NULL)); /* rather than after days */
    SKY_TRY(sky_run_folder_describe(&run->folder, run->config, own && !sky_args_given(args, "set")));
    SKY_TRY(sky_summary_log(run->config, run->trainer, run->folder.path));
    if (sky_args_given(args, "resume")) run->best = sky_evaluation_best(run->folder.path);
    if (run->config->log.tensorboard) SKY_TRY(sky_event_file_open(&run->events, run->folder.path, sky_trainer_next_step(run->trainer)));
    return sky_metrics_open(&run->metrics, run->folder.path, sky_trainer_next_step(run->trainer));
}

static sky_status open_run(struct run *run, const struct sky_args *args)
{
    const bool own = !sky_args_text(args, "output") && sky_path_is_folder(args->operands[0]), resume = sky_args_given(args, "resume");
    run->first = sky_comm_rank(run->comm) == 0;
    sky_comm_at(run->comm, "start", -1);
    SKY_TRY(sky_comm_settle(run->comm, run->first ? open_folder(run, args, own) : SKY_OK, "opening the run folder"));
    SKY_TRY(sky_trainer_open_ranks(&run->trainer, run->config, run->folder.path, run->first && resume, run->comm));
    run->saved = sky_trainer_next_step(run->trainer);
    return sky_comm_settle(run->comm, run->first ? open_files(run, args, own) : SKY_OK, "opening the run's files");
}

/* Before the ranks part: in order the devices' part first, after a failure they are stopped. */
static void close_trainer(struct run *run, sky_status status)
{
    const struct sky_error error = *sky_error_last();
    if (run->trainer && status != SKY_OK && status != SKY_INTERRUPTED) sky_ranks_abort(&run->trainer->ranks);
    sky_trainer_close(run->trainer);
    if (status != SKY_OK) sky_error_set(&error);
}

static sky_status run_train(const struct sky_args *args)
{
    struct sky_config config = {0};
    struct run run = {.config = &config, .best = -1};
    const char **overrides = NULL;
    char *path = NULL;
    int override_count = 0;
    bool finished = false;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_experiment_path(args->operands[0], &path));
    SKY_TRY_DONE(sky_config_read(&config, path, overrides, override_count));
    if (sky_args_given(args, "dry-run")) {
        SKY_TRY_DONE(sky_summary_dry_run(&config, evaluates(&config, args)));
        goto done;
    }
    SKY_TRY_DONE(sky_run_ranks_open(&run.comm, &config, args));
    SKY_TRY_DONE(sky_signals_install());
    SKY_TRY_DONE(open_run(&run, args));
    SKY_TRY_DONE(find_finished(&run, &finished));
    if (finished) goto done;
    SKY_TRY_DONE(train(&run));
    if (!sky_args_given(args, "no-eval")) SKY_TRY_DONE(evaluate(&run));
    SKY_TRY_DONE(write_report(&run));
    if (run.first) sky_log(SKY_LOG_INFO, "done: run folder %s", run.folder.path);
done:
    close_trainer(&run, status);
    status = sky_run_ranks_end(run.comm, status);
    sky_metrics_close(&run.metrics);
    sky_event_file_close(&run.events);
    sky_run_folder_close(&run.folder);
    sky_config_free(&config);
    free(overrides);
    free(path);
    return status;
}

const struct sky_command sky_command_train = {
    .name = "train",
    .operands = "EXPERIMENT.ini|RUN_DIR",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "train a model as an experiment file says, then evaluate it",
    .details = "Writes run.ini, env.json, log.txt, metrics.jsonl, TensorBoard's events, checkpoints/, eval/ and, at the end, report.html into the run folder. "
               "SIGINT and SIGTERM end it after a checkpoint (exit 75).",
    .options = options,
    .run = run_train,
};
