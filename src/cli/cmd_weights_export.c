/*
 * skygem weights export: a checkpoint or weights file under other names, as safetensors or as a .pth that torch.load reads; or its network as an ONNX model.
 */
#include "weights.h"

#include "backend/select.h"
#include "base/fs.h"
#include "eval/onnx.h"
#include "io/checkpoint_file.h"
#include "model/export.h"
#include "run_folder.h"
#include "skygem/log.h"
#include "train/parameters.h"

#include <stdlib.h>
#include <string.h>

enum format { SAFETENSORS, PTH, ONNX };
static const char *const format_names[] = {"safetensors", "pth", "onnx"};
enum { FORMAT_COUNT = sizeof format_names / sizeof *format_names };

static const struct sky_option options[] = {
    {"output", 'o', "FILE", NULL, "the file to write", false},
    {"format", 'f', "WHICH", NULL, "safetensors, pth or onnx (default: by the output's ending)", false},
    {"layout", 0, "WHICH", "reference", "reference (University-1652, LPN, MSBA), torchvision, timm or legacy (the trunk alone), or skygem", false},
    {"views", 0, "N", "3",
     "of the reference layout: 3 (satellite, street, drone; without street images in training the street's is the satellite's) or 2 (satellite, drone)", false},
    {"view", 0, "WHICH", "satellite", "satellite, drone, street or google: whose trunk an ONNX model has, of a model that has several", false},
    {"experiment", 'e', "FILE", NULL, "the experiment or run folder that the weights are of (default: the one they carry: checkpoints do)", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static sky_status choose_format(const struct sky_args *args, const char *output, enum format *out)
{
    int chosen = SAFETENSORS;
    const char *ending = strrchr(sky_path_base(output), '.');
    if (ending && (!strcmp(ending, ".pth") || !strcmp(ending, ".pt") || !strcmp(ending, ".th"))) chosen = PTH;
    if (ending && !strcmp(ending, ".onnx")) chosen = ONNX;
    SKY_TRY(sky_args_choice(args, "format", format_names, FORMAT_COUNT, &chosen));
    *out = (enum format)chosen;
    return SKY_OK;
}

/* The experiment behind the weights: given, or the file's own. *found is false without one. */
static sky_status read_experiment(const struct sky_args *args, const struct sky_safetensors *weights, struct sky_config *config, bool *found)
{
    const char *given = sky_args_text(args, "experiment"), *own = sky_safetensors_text(weights, "config");
    char *path = NULL;
    *found = given || own;
    if (!given) return own ? sky_config_read_text(config, weights->path, own, NULL, 0) : SKY_OK;
    sky_status status = sky_experiment_path(given, &path);
    if (status == SKY_OK) status = sky_config_read(config, path, NULL, 0);
    free(path);
    return status;
}

/* Fills the inference graph on the reference back end, which folds batch norm in double, and writes it. One type throughout: float32. */
static sky_status write_onnx(const struct sky_safetensors *weights, struct sky_config *config, int view, const char *output)
{
    const struct sky_device_options device = {.threads = 1, .deterministic = true, .constant_parameters = true};
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    bool averaged = false;
    sky_status status = SKY_OK;
    config->eval.precision = SKY_PRECISION_FP32;
    for (int64_t i = 0; i < weights->tensor_count; i++) averaged = averaged || !strncmp(weights->tensors[i].name, "ema/", 4);
    SKY_TRY_DONE(sky_model_build(&model, config, SKY_MODEL_INFER, 1, 0, view, SKY_F32, NULL));
    SKY_TRY_DONE(sky_executor_create(&executor, &sky_backend_ref, &device, &model.graph, NULL));
    SKY_TRY_DONE(sky_parameters_read(&model, &executor, weights, SKY_ARENA_PARAMS, ""));
    if (averaged) SKY_TRY_DONE(sky_parameters_overlay(&model, &executor, weights, "ema/"));
    SKY_TRY_DONE(sky_executor_run(&executor, SKY_PHASE_ONCE, false));
    status = sky_onnx_export(output, config->experiment.name ? config->experiment.name : "skygem", &model, &executor);
done:
    sky_executor_destroy(&executor);
    sky_model_free(&model);
    return status;
}

/* The inference network; the experiment says what it is. */
static sky_status export_onnx(const struct sky_args *args, const struct sky_safetensors *weights, const char *output)
{
    struct sky_config config = {0};
    bool found = false;
    int view = SKY_VIEW_SATELLITE;
    SKY_TRY(sky_args_view(args, &view));
    SKY_TRY(read_experiment(args, weights, &config, &found));
    if (!found) {
        sky_fail(SKY_USAGE, args->operands[0], "an ONNX model needs the experiment that the weights are of");
        return sky_hint("give --experiment EXPERIMENT.ini (or the run folder)");
    }
    const sky_status status = write_onnx(weights, &config, view, output);
    if (status == SKY_OK)
        sky_log(SKY_LOG_INFO, "the inference network of %s at %lld px written to %s", config.model.backbone, (long long)config.data.image_size, output);
    sky_config_free(&config);
    return status;
}

/* Whether an SE trunk is of the legacy kind: our names do not tell. */
static sky_status find_kind(const struct sky_args *args, const struct sky_safetensors *weights, bool *legacy)
{
    struct sky_config config = {0};
    bool squeeze = false, found = false;
    const char *stored = sky_safetensors_text(weights, "se_layout");
    for (int64_t i = 0; i < weights->tensor_count; i++) squeeze = squeeze || strstr(weights->tensors[i].name, ".se.fc1.");
    *legacy = stored && !strcmp(stored, "legacy");
    if (!squeeze || stored) return SKY_OK;
    SKY_TRY(read_experiment(args, weights, &config, &found));
    *legacy = found && config.model.se_layout == SKY_SE_LEGACY;
    sky_config_free(&config);
    if (found) return SKY_OK;
    sky_fail(SKY_USAGE, args->operands[0], "has SE layers, of the legacy or of the timm kind: the file does not say which");
    return sky_hint("give --experiment EXPERIMENT.ini (or the run folder)");
}

static sky_status check_layout(const struct sky_args *args, const struct sky_export_options *chosen, const struct sky_safetensors *weights)
{
    bool squeeze = false;
    for (int64_t i = 0; i < weights->tensor_count; i++) squeeze = squeeze || strstr(weights->tensors[i].name, ".se.fc1.");
    const bool legacy = squeeze && chosen->legacy; /* the one network that layout legacy holds, and no other does */
    if (chosen->layout == SKY_LAYOUT_REFERENCE || chosen->layout == SKY_LAYOUT_SKYGEM) return SKY_OK;
    if (legacy == (chosen->layout == SKY_LAYOUT_LEGACY) && !(squeeze && chosen->layout == SKY_LAYOUT_TORCHVISION)) return SKY_OK;
    sky_fail(SKY_UNSUPPORTED, args->operands[0], "there is no such network in layout %s", sky_layout_names[chosen->layout]);
    return sky_hint("SE networks are --layout %s here, others torchvision or timm", squeeze && chosen->legacy ? "legacy" : "timm");
}

static void say(const struct sky_export *list, const char *output)
{
    if (list->averaged) sky_log(SKY_LOG_INFO, "the averaged parameters are exported (train.ema)");
    if (list->has_classifier) sky_log(SKY_LOG_INFO, "the ImageNet classifier, which torch asks for and skygem does not have, is written as zeros");
    sky_log(SKY_LOG_INFO, "%lld tensors written to %s", (long long)list->count, output);
}

static sky_status run_export(const struct sky_args *args)
{
    struct sky_safetensors weights = {0};
    struct sky_export list = {0};
    struct sky_export_options chosen = {0};
    enum format format = SAFETENSORS;
    const char *output = sky_args_text(args, "output");
    int layout = SKY_LAYOUT_REFERENCE;
    int64_t views = 3;
    sky_status status = SKY_OK;
    if (!output) return sky_fail(SKY_USAGE, "skygem weights export", "--output is missing: where to write");
    SKY_TRY(sky_weights_check_output(args->operands[0], output));
    SKY_TRY(choose_format(args, output, &format));
    SKY_TRY(sky_args_choice(args, "layout", sky_layout_names, SKY_LAYOUT_COUNT, &layout));
    SKY_TRY(sky_args_int(args, "views", 2, 3, &views));
    chosen.layout = (enum sky_layout)layout, chosen.views = (int)views, chosen.classifier = format == PTH && layout != SKY_LAYOUT_SKYGEM;
    SKY_TRY_DONE(sky_weights_open(&weights, args->operands[0]));
    if (format == ONNX) {
        status = export_onnx(args, &weights, output);
        goto done;
    }
    if (layout != SKY_LAYOUT_SKYGEM) SKY_TRY_DONE(find_kind(args, &weights, &chosen.legacy));
    SKY_TRY_DONE(check_layout(args, &chosen, &weights));
    SKY_TRY_DONE(sky_export_make(&list, &weights, &chosen));
    SKY_TRY_DONE(format == PTH ? sky_torch_write(output, list.tensors, list.count) : sky_safetensors_write(output, list.tensors, list.count, NULL, 0));
    say(&list, output);
done:
    sky_export_free(&list);
    sky_safetensors_close(&weights);
    return status;
}

const struct sky_command sky_command_weights_export = {
    .name = "export",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "weights under the names of the reference repositories, torchvision or timm, as safetensors or .pth; or an ONNX model",
    .details = "A .pth also holds the ImageNet classifier's keys, as zeros that take no room, so that torch's strict load_state_dict is content; a trunk\n"
               "shared by the views stands under each view's name. The same weights give the same bytes, and importing them again gives back the same values.\n"
               "An ONNX model is the whole inference network: images [N,3,S,S], normalised as torchvision does, to features [N,D] as eval --save-features\n"
               "writes them, without flip.",
    .options = options,
    .run = run_export,
};
