/*
 * skygem info: what an experiment's model is and needs, from the plan alone.
 */
#include "commands.h"

#include "backend/select.h"
#include "base/str.h"
#include "run_folder.h"
#include "summary.h"
#include "train/bind.h"

#include <stdio.h>
#include <stdlib.h>

enum { PUBLISHED_CLASSES = 701 }; /* University-1652's training set, assumed when no data is there */

static const struct sky_option options[] = {
    {"set", 's', "KEY=VALUE", NULL, "override a key", true},
    {"infer", 0, NULL, NULL, "the inference graph (batch norm folded) instead of the training graph", false},
    {"totals", 0, NULL, NULL, "no layer table", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static sky_status run_info(const struct sky_args *args)
{
    struct sky_config config = {0};
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    struct sky_text text = {0};
    const struct sky_backend *backend = NULL;
    struct sky_device_options device;
    const char **overrides = NULL;
    char *path = NULL;
    int override_count = 0;
    int64_t classes = 0;
    bool assumed = false;
    const bool infer = sky_args_given(args, "infer");
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_experiment_path(args->operands[0], &path));
    SKY_TRY_DONE(sky_config_read(&config, path, overrides, override_count));
    SKY_TRY_DONE(sky_backend_choose(&config, infer ? config.eval.precision : config.train.precision, &backend, &device));
    SKY_TRY_DONE(sky_summary_classes(&config, PUBLISHED_CLASSES, &classes, &assumed));
    if (infer) {
        SKY_TRY_DONE(sky_model_build(&model, &config, SKY_MODEL_INFER, config.eval.batch_size, 0, 0, SKY_F32, NULL));
        SKY_TRY_DONE(sky_executor_create(&executor, backend, &device, &model.graph, NULL));
    } else {
        SKY_TRY_DONE(sky_train_bind(&model, &executor, &config, backend, &device, classes));
    }
    if (!sky_args_given(args, "totals")) sky_summary_layers(&executor, &text);
    sky_text_format(&text, "model              %s, %lld px, %lld images a run, %lld heads of %lld\n", config.model.backbone, (long long)config.data.image_size, (long long)model.rows,
                    (long long)model.heads, (long long)model.embedding);
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
