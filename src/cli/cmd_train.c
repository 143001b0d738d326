/*
 * skygem train: opens the run folder and the trainer, loops over steps (log, metrics, checkpoints, evaluation), answers signals with a checkpoint, and ends with the scores.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/signals.h"
#include "base/str.h"
#include "console.h"
#include "evaluation.h"
#include "progress.h"
#include "report/metrics_log.h"
#include "run_folder.h"
#include "skygem/log.h"
#include "skygem/trainer.h"
#include "summary.h"

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
    struct sky_run_folder folder;
    struct sky_trainer *trainer;
    struct sky_metrics_log metrics;
    struct sky_progress progress;
    double best; /* recall of the best evaluation so far, -1: none */
};

static void log_step(struct run *run, const struct sky_step_report *report)
{
    char extra[200];
    snprintf(extra, sizeof extra, "epoch %lld  loss %.4f (ce %.4f kl %.5f)  grad %.3g  lr %.2e  data %.0f %%", (long long)report->epoch, report->loss, report->loss_ce, report->loss_kl,
             report->gradient_norm, report->lr_head, 100 * report->data_seconds / report->step_seconds);
    if (run->progress.terminal || (report->step + 1) % run->config->log.every == 0)
        sky_progress_show(&run->progress, report->step + 1, (double)report->images, extra);
    if (report->update_skipped) sky_log(SKY_LOG_WARNING, "step %lld: gradients were not finite, update left out (%lld so far)", (long long)report->step, (long long)report->skipped_updates);
}

/* Signals are answered between steps: what is saved is always a whole step. */
static sky_status stop_for_signal(struct run *run)
{
    SKY_TRY(sky_trainer_save(run->trainer));
    sky_fail(SKY_INTERRUPTED, run->folder.path, "stopped by a signal after step %lld; a checkpoint is written", (long long)sky_trainer_next_step(run->trainer) - 1);
    return sky_hint("go on with: skygem train %s --resume", run->folder.path);
}

static sky_status after_epoch(struct run *run, int64_t epochs_done, bool last)
{
    const struct sky_config *config = run->config;
    if (last || epochs_done % config->train.checkpoint_every == 0) SKY_TRY(sky_trainer_save(run->trainer));
    if (last || config->train.eval_every == 0 || epochs_done % config->train.eval_every) return SKY_OK;
    return sky_evaluate_trainer(run->config, run->trainer, run->folder.path, &run->best);
}

static sky_status train(struct run *run)
{
    const int64_t step_count = sky_trainer_step_count(run->trainer), per_epoch = sky_trainer_steps_per_epoch(run->trainer);
    sky_progress_begin(&run->progress, "step", "img", step_count, sky_trainer_next_step(run->trainer));
    while (sky_trainer_next_step(run->trainer) < step_count) {
        struct sky_step_report report;
        SKY_TRY(sky_trainer_step(run->trainer, &report));
        SKY_TRY(sky_metrics_write(&run->metrics, &report));
        log_step(run, &report);
        if (sky_signal_received()) return stop_for_signal(run);
        const int64_t done = report.step + 1;
        if (done % per_epoch == 0) SKY_TRY(after_epoch(run, done / per_epoch, done == step_count));
    }
    sky_progress_end(&run->progress);
    return SKY_OK;
}

static sky_status open_run(struct run *run, const struct sky_args *args)
{
    const bool resume = sky_args_given(args, "resume");
    const char *output = sky_args_text(args, "output");
    char *log_path = NULL;
    if (!output && sky_path_is_folder(args->operands[0])) output = args->operands[0];
    SKY_TRY(sky_run_folder_open(&run->folder, run->config, output, resume));
    SKY_TRY(sky_path_join(&log_path, run->folder.path, "log.txt"));
    const sky_status status = sky_console_log_file(log_path);
    free(log_path);
    SKY_TRY(status);
    SKY_TRY(sky_trainer_open(&run->trainer, run->config, run->folder.path, resume));
    SKY_TRY(sky_run_folder_describe(&run->folder, run->config));
    SKY_TRY(sky_summary_log(run->config, run->trainer, run->folder.path));
    return sky_metrics_open(&run->metrics, run->folder.path, sky_trainer_next_step(run->trainer));
}

static sky_status run_train(const struct sky_args *args)
{
    struct sky_config config = {0};
    struct run run = {.config = &config, .best = -1};
    const char **overrides = NULL;
    char *path = NULL;
    int override_count = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_experiment_path(args->operands[0], &path));
    SKY_TRY_DONE(sky_config_read(&config, path, overrides, override_count));
    if (sky_args_given(args, "dry-run")) {
        SKY_TRY_DONE(sky_summary_dry_run(&config));
        goto done;
    }
    SKY_TRY_DONE(sky_signals_install());
    SKY_TRY_DONE(open_run(&run, args));
    SKY_TRY_DONE(train(&run));
    if (!sky_args_given(args, "no-eval")) SKY_TRY_DONE(sky_evaluate_trainer(&config, run.trainer, run.folder.path, &run.best));
    sky_log(SKY_LOG_INFO, "done: run folder %s", run.folder.path);
done:
    sky_metrics_close(&run.metrics);
    sky_trainer_close(run.trainer);
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
    .details = "Writes run.ini, env.json, log.txt, metrics.jsonl, checkpoints/ and eval/ into the run folder. SIGINT and SIGTERM end it after a checkpoint (exit 75).",
    .options = options,
    .run = run_train,
};
