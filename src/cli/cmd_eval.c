/*
 * skygem eval: scores of a run or of any weights on an experiment's test tree.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/str.h"
#include "evaluation.h"
#include "io/checkpoint_file.h"
#include "report/sheet.h"
#include "run_folder.h"
#include "run_ranks.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sky_option options[] = {
    {"set", 's', "KEY=VALUE", NULL, "override a key", true},
    {"weights", 'w', "FILE", NULL, "checkpoint or weights (default: the run folder's newest checkpoint, else model.weights)", false},
    {"direction", 'd', "WHICH", NULL, "drone2satellite, satellite2drone, both, street2satellite, satellite2street or all (default: the experiment's)", false},
    {"save-features", 0, "DIR", NULL, "write the features as .npy with labels and paths", false},
    {"save-mat", 0, "DIR", NULL, "write DIR/DIRECTION/pytorch_result.mat, which the references' evaluate_gpu.py scores", false},
    {"weather", 0, "NAME", NULL, "scores also with the drone's images in this weather: fog, rain ... or all (eval.weather)", true},
    {"rerank", 0, NULL, NULL, "scores also after k-reciprocal re-ranking (eval.rerank = yes)", false},
    {"sheet", 0, "FILE", NULL, "a PNG of some queries and the hardest failures of the first direction, each with its nearest five", false},
    {"json", 0, NULL, NULL, "print the results as JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* A run that was only begun is the user's slip, not damage. */
static sky_status require_checkpoint(const char *run_folder, const char *checkpoints)
{
    int64_t count = 0;
    SKY_TRY(sky_checkpoint_count(checkpoints, &count));
    if (count) return SKY_OK;
    sky_fail(SKY_USAGE, run_folder, "this run has no checkpoint yet: there is nothing to evaluate");
    return sky_hint("train it first: skygem train %s", run_folder);
}

/* Finds out before hours of embedding whether features can be written. */
static sky_status try_folder(const struct sky_args *args, const char *option)
{
    const char *folder = sky_args_text(args, option);
    char *path = NULL;
    if (!folder) return SKY_OK;
    sky_status status = sky_folder_make(folder);
    if (status == SKY_OK) status = sky_path_join(&path, folder, "probe");
    if (status == SKY_OK) status = sky_atomic_probe(path);
    free(path);
    return status == SKY_IO ? sky_hint("--%s writes there: make it writable, or name another folder", option) : status;
}

/* model.weights may be a pretrained trunk: something to start from, without the heads that make features. */
static sky_status explain_starting_weights(const char *experiment)
{
    const struct sky_error error = *sky_error_last();
    sky_fail(SKY_USAGE, error.where, "%s; these are the model.weights to start from, no trained model", error.what);
    return sky_hint("train it first (skygem train %s) and give its run folder; or name weights: --weights FILE", experiment);
}

/* Which file to evaluate. Heap text in *out. */
static sky_status choose_weights(const struct sky_args *args, const struct sky_config *config, char **out)
{
    const char *given = sky_args_text(args, "weights");
    struct sky_safetensors file = {0};
    char *folder = NULL;
    int64_t step = 0;
    if (given) return sky_strdup(out, given, "the weights' path");
    if (!sky_path_is_folder(args->operands[0])) {
        if (config->model.weights) return sky_strdup(out, config->model.weights, "the weights' path");
        sky_fail(SKY_USAGE, args->operands[0], "this experiment has no weights to evaluate");
        return sky_hint("train it first (skygem train %s) and give its run folder; or name weights: --weights FILE", args->operands[0]);
    }
    SKY_TRY(sky_path_join(&folder, args->operands[0], "checkpoints"));
    sky_status status = require_checkpoint(args->operands[0], folder);
    if (status == SKY_OK) status = sky_checkpoint_find_newest(&file, folder, &step);
    if (status == SKY_OK) status = sky_strdup(out, file.path, "the weights' path");
    sky_safetensors_close(&file);
    free(folder);
    return status;
}

static sky_status print_json(const struct sky_evaluation *evaluation)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_evaluation_json(&w, evaluation);
    const sky_status status = sky_text_status(&text, "scores");
    if (status == SKY_OK) puts(text.text);
    sky_text_free(&text);
    return status;
}

static sky_status draw_sheet(const struct sky_config *config, const struct sky_text *retrievals, const char *path)
{
    struct sky_json_document *document = NULL;
    int64_t missing = 0;
    SKY_TRY(sky_text_status(retrievals, "retrievals"));
    SKY_TRY(sky_json_parse(retrievals->text, retrievals->length, "retrievals", &document));
    const sky_status status = sky_sheet_png(sky_json_root(document), config->data.root, (enum sky_exif)config->data.exif, path, &missing);
    sky_json_free(document);
    if (status == SKY_OK) sky_log(SKY_LOG_INFO, "%s: some queries, then the hardest failures, each with its nearest five", path);
    return status;
}

/* --weather, once or several times, in the place of the experiment's. */
static sky_status choose_weather(const struct sky_args *args, struct sky_config *config)
{
    const char *names[SKY_WEATHER_COUNT + 1], **given = NULL;
    int count = 0, which = 0;
    sky_status status = SKY_OK;
    for (int w = 0; w < SKY_WEATHER_COUNT; w++) names[w] = sky_weather_name((enum sky_weather)w);
    names[SKY_WEATHER_COUNT] = "all";
    SKY_TRY(sky_args_list(args, "weather", &given, &count));
    if (count) config->eval.weather_count = 0;
    for (int i = 0; i < count; i++) {
        SKY_TRY_DONE(sky_choose(given[i], "--weather", names, SKY_WEATHER_COUNT + 1, &which));
        for (int w = 0; w < SKY_WEATHER_COUNT; w++) {
            bool listed = false;
            for (int j = 0; j < config->eval.weather_count; j++) listed = listed || config->eval.weather[j] == w;
            if (!listed && w != SKY_WEATHER_NONE && (w == which || which == SKY_WEATHER_COUNT)) config->eval.weather[config->eval.weather_count++] = w;
        }
    }
done:
    free(given);
    return status;
}

static sky_status run_eval(const struct sky_args *args)
{
    const char *directions[SKY_DIRECTION_COUNT];
    struct sky_config config = {0};
    struct sky_evaluation evaluation;
    struct sky_text retrievals = {0};
    const char *sheet = sky_args_text(args, "sheet");
    struct sky_comm *comm = NULL;
    const char **overrides = NULL;
    char *path = NULL, *weights = NULL;
    int override_count = 0;
    sky_status status = SKY_OK;
    for (int d = 0; d < SKY_DIRECTION_COUNT; d++) directions[d] = sky_direction_name(d);
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_experiment_path(args->operands[0], &path));
    SKY_TRY_DONE(sky_config_read(&config, path, overrides, override_count));
    if (sky_args_given(args, "direction")) SKY_TRY_DONE(sky_args_choice(args, "direction", directions, SKY_DIRECTION_COUNT, &config.eval.direction));
    if (sky_args_given(args, "rerank")) config.eval.rerank = true;
    SKY_TRY_DONE(choose_weather(args, &config));
    SKY_TRY_DONE(choose_weights(args, &config, &weights));
    SKY_TRY_DONE(try_folder(args, "save-features"));
    SKY_TRY_DONE(try_folder(args, "save-mat"));
    SKY_TRY_DONE(sky_run_ranks_open(&comm, &config, args));
    if (sheet && sky_comm_rank(comm) == 0) SKY_TRY_DONE(sky_atomic_probe(sheet));
    sky_log(SKY_LOG_INFO, "evaluating %s on %s", weights, config.data.root ? config.data.root : "");
    const struct sky_evaluation_files files = {sky_args_text(args, "save-features"), sky_args_text(args, "save-mat"), sheet ? &retrievals : NULL};
    status = sky_evaluate_weights(&config, comm, weights, &files, &evaluation);
    if (status == SKY_FORMAT && config.model.weights && !strcmp(weights, config.model.weights)) status = explain_starting_weights(args->operands[0]);
    SKY_TRY_DONE(status);
    if (sky_comm_rank(comm) == 0) SKY_TRY_DONE(sky_args_given(args, "json") ? print_json(&evaluation) : sky_evaluation_print(&evaluation));
    if (sheet && sky_comm_rank(comm) == 0) SKY_TRY_DONE(draw_sheet(&config, &retrievals, sheet));
done:
    status = sky_run_ranks_end(comm, status);
    sky_config_free(&config);
    sky_text_free(&retrievals);
    free(overrides);
    free(path);
    free(weights);
    return status;
}

const struct sky_command sky_command_eval = {
    .name = "eval",
    .operands = "EXPERIMENT.ini|RUN_DIR",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "R@1, R@5, R@10, R@1% and AP of a model on a test tree, both protocols",
    .details = "Further rows under other conditions are keys of [eval] ('skygem help config'): multi_query, single_frame, height_groups, query_shift, shift_fill, weather, rerank.",
    .options = options,
    .run = run_eval,
};
