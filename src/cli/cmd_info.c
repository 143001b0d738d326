/*
 * skygem info: what an experiment's model is and needs, from the plan alone.
 */
#include "commands.h"

#include "backend/select.h"
#include "base/fs.h"
#include "base/json.h"
#include "run_folder.h"
#include "summary.h"
#include "train/bind.h"

#include <stdio.h>
#include <stdlib.h>

enum { PUBLISHED_CLASSES = 701 }; /* University-1652's training set, assumed when no data is there */
static const size_t MOST_DESCRIPTION_BYTES = (size_t)1 << 20;

static const struct sky_option options[] = {
    {"set", 's', "KEY=VALUE", NULL, "override a key", true},
    {"infer", 0, NULL, NULL, "the inference graph (batch norm folded) instead of the training graph", false},
    {"gpu", 0, "FILE", NULL, "plan for the GPU that FILE describes (tests/plans/h200.json, a100.json), which need not be here", false},
    {"totals", 0, NULL, NULL, "no layer table", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* Reads a GPU's description and says whose it is. */
static sky_status read_gpu(const char *path, char **json, struct sky_text *text)
{
    struct sky_json_document *document = NULL;
    size_t bytes = 0;
    sky_status status = SKY_OK;
    SKY_TRY(sky_file_read(path, MOST_DESCRIPTION_BYTES, json, &bytes));
    SKY_TRY(sky_json_parse(*json, bytes, path, &document));
    const char *name = sky_json_text(sky_json_root(document), "deviceName");
    const double memory = sky_json_number(sky_json_root(document), "totalGlobalMem");
    if (name && memory > 0) sky_text_format(text, "device             %s with %.1f GiB, described by %s; it need not be here\n", name, memory / (1 << 30), path);
    else status = sky_fail(SKY_FORMAT, path, "does not describe a GPU: deviceName or totalGlobalMem is missing");
    if (status != SKY_OK) status = sky_hint("tests/plans/h200.json is such a description");
    sky_json_free(document);
    return status;
}

static sky_status run_info(const struct sky_args *args)
{
    struct sky_config config = {0};
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    struct sky_text text = {0};
    const struct sky_backend *backend = NULL;
    struct sky_device_options device;
    const char **overrides = NULL;
    char *path = NULL, *gpu = NULL;
    int override_count = 0;
    int64_t classes = 0;
    bool assumed = false;
    const bool infer = sky_args_given(args, "infer");
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_experiment_path(args->operands[0], &path));
    SKY_TRY_DONE(sky_config_read(&config, path, overrides, override_count));
    const int precision = (int)(infer ? config.eval.precision : config.train.precision);
    if (sky_args_given(args, "gpu")) {
        SKY_TRY_DONE(read_gpu(sky_args_text(args, "gpu"), &gpu, &text));
        SKY_TRY_DONE(sky_backend_describe(&config, precision, gpu, &backend, &device));
    } else {
        SKY_TRY_DONE(sky_backend_choose(&config, precision, &backend, &device));
    }
    SKY_TRY_DONE(sky_summary_classes(&config, PUBLISHED_CLASSES, &classes, &assumed));
    if (infer) {
        SKY_TRY_DONE(sky_model_build(&model, &config, SKY_MODEL_INFER, config.eval.batch_size, 0, config.data.views.list[0], SKY_F32, NULL));
        SKY_TRY_DONE(sky_executor_create(&executor, backend, &device, &model.graph, NULL));
    } else {
        SKY_TRY_DONE(sky_train_bind(&model, &executor, &config, backend, &device, classes));
    }
    if (!sky_args_given(args, "totals")) sky_summary_layers(&executor, &text);
    sky_text_format(&text, "model              %s, %lld px, %lld images a run, %lld heads of %lld\n", config.model.backbone, (long long)config.data.image_size,
                    (long long)model.rows, (long long)model.heads, (long long)model.embedding);
    if (!infer) sky_text_format(&text, "classes            %lld%s\n", (long long)classes, assumed ? " (assumed: no data folder to count)" : "");
    sky_summary_totals(&model, &executor, &text);
    if (!infer) SKY_TRY_DONE(sky_summary_traffic(&config, classes, &text));
    SKY_TRY_DONE(sky_text_status(&text, "the table"));
    fputs(text.text, stdout);
done:
    sky_executor_destroy(&executor);
    sky_model_free(&model);
    sky_config_free(&config);
    sky_text_free(&text);
    free(overrides);
    free(path);
    free(gpu);
    return status;
}

const struct sky_command sky_command_info = {
    .name = "info",
    .operands = "EXPERIMENT.ini|RUN_DIR",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "layers, shapes, parameters, multiply-adds and memory of an experiment's model",
    .options = options,
    .run = run_info,
};
