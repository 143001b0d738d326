/*
 * skygem weights import: other people's weights to a safetensors file with our names, after a strict comparison with the model they are for. Nothing is
 * written unless the trunk is complete and every key accounted for.
 */
#include "weights.h"

#include "base/json.h"
#include "base/memory.h"
#include "io/checkpoint_file.h"
#include "model/import.h"
#include "run_folder.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sky_option options[] = {
    {"output", 'o', "FILE", NULL, "the safetensors file to write; without it the report alone", false},
    {"layout", 0, "WHICH", "auto", "auto, skygem, torchvision, timm, legacy (Cadene's SE networks) or reference (University-1652, LPN, MSBA)", false},
    {"experiment", 'e', "FILE", NULL, "compare with this experiment's model, heads too (default: with the trunk that the keys name)", false},
    {"set", 's', "KEY=VALUE", NULL, "override a key of the experiment", true},
    {"allow-unexpected", 0, NULL, NULL, "leave out keys that are not known instead of refusing the file", false},
    {"json", 0, NULL, NULL, "print the report as JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* Everything of one run; freed together. */
struct work {
    struct sky_import import;
    struct sky_config config;
    struct sky_model model;
    struct sky_import_report report;
    struct sky_file_tensor *out; /* [out_count] f32 */
    int64_t out_count;
    char digest[65];
    int digits;
    bool trunk_only;
};

static sky_status read_layout(const struct sky_args *args, enum sky_layout *out)
{
    const char *names[SKY_LAYOUT_COUNT + 1];
    int chosen = SKY_LAYOUT_COUNT;
    for (int i = 0; i < SKY_LAYOUT_COUNT; i++) names[i] = sky_layout_names[i];
    names[SKY_LAYOUT_COUNT] = "auto";
    SKY_TRY(sky_args_choice(args, "layout", names, SKY_LAYOUT_COUNT + 1, &chosen));
    *out = (enum sky_layout)chosen;
    return SKY_OK;
}

/* Without an experiment: the trunk whose blocks the file has. */
static sky_status config_of_keys(const struct sky_key_map *map, const char *path, struct sky_config *config)
{
    char backbone[64], se_layout[64], share[64];
    if (!*map->backbone) {
        sky_fail(SKY_FORMAT, path, "its blocks are those of no backbone that is known here");
        return sky_hint("give the experiment it is for with --experiment: the report then says what does not fit");
    }
    snprintf(backbone, sizeof backbone, "model.backbone=%s", map->backbone);
    snprintf(se_layout, sizeof se_layout, "model.se_layout=%s", map->legacy ? "legacy" : "timm");
    snprintf(share, sizeof share, "model.share_views=%s", map->two_trunks ? "no" : "yes");
    const char *branch = strcmp(map->backbone, "vgg16") == 0 ? "model.global_branch=none" : "model.global_branch=layer3+layer4"; /* only the trunk is compared */
    const char *views = map->ground ? "data.views=satellite,drone,street" : "data.views=satellite,drone";
    const char *overrides[] = {backbone, share, branch, views, se_layout};
    return sky_config_read(config, NULL, overrides, map->squeeze && map->layout != SKY_LAYOUT_SKYGEM ? 5 : 4);
}

/* Names alone do not tell the two SE networks apart once they are ours, so their file's layout must be the experiment's. */
static sky_status check_kind(const struct work *work, const char *path)
{
    const struct sky_key_map *map = &work->import.map;
    const char *wanted = work->config.model.backbone;
    if (*map->backbone && strcmp(map->backbone, wanted) != 0) {
        sky_fail(SKY_FORMAT, path, "these are weights of %s, the experiment's backbone is %s", map->backbone, wanted);
        return sky_hint("take other weights, or --set model.backbone=%s", map->backbone);
    }
    const bool legacy = work->config.model.se_layout == SKY_SE_LEGACY;
    if (!map->squeeze || map->layout == SKY_LAYOUT_SKYGEM || map->legacy == legacy) return SKY_OK;
    sky_fail(SKY_FORMAT, path, "an SE network of the %s kind, the experiment's se_layout is %s: they stride and pool in different places",
             map->legacy ? "legacy" : "timm", legacy ? "legacy" : "timm");
    return sky_hint("--set model.se_layout=%s, here and in the experiment", map->legacy ? "legacy" : "timm");
}

/* Places trained on, as the file's classifiers say. */
static int64_t class_count(const struct sky_import *import)
{
    const struct sky_file_tensor *tensor = sky_import_find(import->tensors, import->count, "classifier0.classifier.0.weight");
    return tensor && tensor->rank == 2 && tensor->dim[0] > 0 && tensor->dim[0] < INT32_MAX ? tensor->dim[0] : 1;
}

static sky_status build_model(const struct sky_args *args, struct work *work)
{
    const char **overrides = NULL;
    char *path = NULL;
    int override_count = 0;
    sky_status status = SKY_OK;
    const char *experiment = sky_args_text(args, "experiment");
    work->trunk_only = !experiment;
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    if (experiment) {
        SKY_TRY_DONE(sky_experiment_path(experiment, &path));
        SKY_TRY_DONE(sky_config_read(&work->config, path, overrides, override_count));
        SKY_TRY_DONE(check_kind(work, args->operands[0]));
    } else if (override_count) {
        status = sky_fail(SKY_USAGE, "skygem weights import", "--set changes an experiment: give --experiment FILE too");
        goto done;
    } else {
        SKY_TRY_DONE(config_of_keys(&work->import.map, args->operands[0], &work->config));
    }
    status = sky_model_build(&work->model, &work->config, SKY_MODEL_TRAIN, work->config.train.batch_size, class_count(&work->import), 0, SKY_F32, NULL);
done:
    free(overrides);
    free(path);
    return status;
}

/* ---- what is written: the model's order; then, without an experiment, the heads in the file's ---- */

static sky_status add(struct work *work, const struct sky_file_tensor *tensor, const char *name, int rank, const int64_t *dim)
{
    const int64_t count = (int64_t)(tensor->bytes / sky_dtype_bytes(tensor->dtype));
    struct sky_file_tensor *out = &work->out[work->out_count];
    float *values = NULL;
    SKY_TRY(sky_alloc(&values, (size_t)count + 1, sizeof *values, "a tensor to write"));
    *out = (struct sky_file_tensor){.name = name, .dtype = SKY_F32, .rank = rank, .data = values};
    work->out_count++;
    memcpy(out->dim, dim, (size_t)rank * sizeof *dim);
    return sky_file_tensor_floats(tensor, work->import.file.path, values, count);
}

static sky_status gather(struct work *work)
{
    const struct sky_import *import = &work->import;
    const int64_t slices = sky_model_slice_count(&work->model);
    SKY_TRY(sky_alloc(&work->out, (size_t)(slices + import->count) + 1, sizeof *work->out, "tensors to write"));
    for (int64_t i = 0; i < slices; i++) {
        const struct sky_slice slice = sky_model_slice(&work->model, i);
        const bool trunk = strncmp(slice.name, "backbone", 8) == 0;
        const struct sky_file_tensor *tensor = trunk || !work->trunk_only ? sky_import_find(import->tensors, import->count, slice.name) : NULL;
        if (tensor) SKY_TRY(add(work, tensor, slice.name, slice.rank, slice.dim));
    }
    for (int64_t i = 0; i < import->count && work->trunk_only; i++)
        if (strncmp(import->tensors[i].name, "backbone", 8) != 0)
            SKY_TRY(add(work, &import->tensors[i], import->tensors[i].name, import->tensors[i].rank, import->tensors[i].dim));
    return SKY_OK;
}

/* A complete model carries its experiment, as checkpoints do: embed and export then need no other file. */
static sky_status write_out(struct work *work, const char *path)
{
    const struct sky_config *config = &work->config;
    struct sky_file_text texts[3] = {{"backbone", config->model.backbone}};
    const char *kind = config->model.se_layout == SKY_SE_LEGACY ? "legacy" : "timm";
    char *experiment = NULL;
    int64_t count = 1;
    /* our own files do not say which kind of SE they hold unless an experiment does */
    if (work->import.map.squeeze && (work->import.map.layout != SKY_LAYOUT_SKYGEM || !work->trunk_only)) texts[count++] = (struct sky_file_text){"se_layout", kind};
    sky_status status = gather(work);
    if (status == SKY_OK && !work->trunk_only && !work->report.missing) {
        status = sky_config_text(config, &experiment);
        if (status == SKY_OK) texts[count++] = (struct sky_file_text){"config", experiment};
    }
    if (status == SKY_OK) status = sky_checkpoint_write(path, work->out, work->out_count, texts, count);
    free(experiment);
    return status;
}

/* ---- the report ---- */

static void print_list(struct sky_text *text, const char *what, int64_t count, const struct sky_text *names)
{
    sky_text_format(text, "%-19s", what);
    if (!count) sky_text_append(text, "none");
    else sky_text_format(text, "%lld", (long long)count);
    sky_text_append(text, "\n");
    for (const char *line = count && names->text ? names->text : ""; *line;) {
        const size_t length = strcspn(line, "\n");
        sky_text_format(text, "    %.*s\n", (int)length, line);
        line += length + 1;
    }
}

static void print_report(const struct work *work, const char *output, struct sky_text *text)
{
    const struct sky_import_report *report = &work->report;
    const struct sky_key_map *map = &work->import.map;
    sky_text_format(text, "file               %s: %s, sha256 %.16s...%s\n", work->import.file.path, sky_tensor_format_name(work->import.file.format),
                    work->digest, work->digits ? " as its name says" : "");
    sky_text_format(text, "layout             %s, %s%s%s\n", sky_layout_names[map->layout], *map->backbone ? map->backbone : "no known backbone",
                    map->two_trunks ? ", a trunk for each view" : "", map->ground ? ", a trunk for street images" : "");
    sky_text_format(text, "taken              %lld tensors%s%s\n", (long long)report->taken, output ? " -> " : "", output ? output : "");
    for (int fate = SKY_KEY_CLASSIFIER; fate < SKY_KEY_UNKNOWN; fate++)
        if (report->left_out[fate])
            sky_text_format(text, "left out           %lld: %s\n", (long long)report->left_out[fate], sky_key_fate_text((enum sky_key_fate)fate));
    print_list(text, "missing", report->missing, &report->missing_names);
    print_list(text, "unexpected", report->unexpected, &report->unexpected_names);
    print_list(text, "of another shape", report->other_shape, &report->other_shape_names);
    print_list(text, "reshaped", report->reshaped, &report->reshaped_names);
}

static void json_list(struct sky_json_writer *w, const char *name, const struct sky_text *names)
{
    sky_json_begin_array(w, name);
    for (const char *line = names->text ? names->text : ""; *line;) {
        const size_t length = strcspn(line, " \n");
        char key[512];
        snprintf(key, sizeof key, "%.*s", (int)length, line);
        sky_json_string(w, NULL, key);
        line += strcspn(line, "\n") + 1;
    }
    sky_json_end_array(w);
}

static void print_json(const struct work *work, const char *output, struct sky_text *text)
{
    const struct sky_import_report *report = &work->report;
    const struct sky_key_map *map = &work->import.map;
    struct sky_json_writer w = {.out = text};
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "file", work->import.file.path);
    sky_json_string(&w, "output", output);
    sky_json_string(&w, "format", sky_tensor_format_name(work->import.file.format));
    sky_json_string(&w, "sha256", work->digest);
    sky_json_string(&w, "layout", sky_layout_names[map->layout]);
    sky_json_string(&w, "backbone", *map->backbone ? map->backbone : NULL);
    sky_json_int(&w, "taken", report->taken);
    json_list(&w, "missing", &report->missing_names);
    json_list(&w, "unexpected", &report->unexpected_names);
    json_list(&w, "other_shape", &report->other_shape_names);
    json_list(&w, "reshaped", &report->reshaped_names);
    json_list(&w, "classifier", &report->left_out_names);
    sky_json_end_object(&w);
    sky_text_append(text, "\n");
}

static sky_status judge(const struct work *work, const struct sky_args *args)
{
    const struct sky_import_report *report = &work->report;
    if (report->missing_trunk || report->other_shape) {
        sky_fail(SKY_FORMAT, args->operands[0], "%lld of the trunk's tensors are missing and %lld tensors have another shape: nothing is written",
                 (long long)report->missing_trunk, (long long)report->other_shape);
        return sky_hint("the report above names each; is it the right backbone and width?");
    }
    if (report->unexpected && !sky_args_given(args, "allow-unexpected")) {
        sky_fail(SKY_FORMAT, args->operands[0], "%lld keys are not known: nothing is written", (long long)report->unexpected);
        return sky_hint("the report above names each; --allow-unexpected leaves them out");
    }
    return SKY_OK;
}

static sky_status run_import(const struct sky_args *args)
{
    struct work work;
    struct sky_text text = {0};
    enum sky_layout layout = SKY_LAYOUT_COUNT;
    const char *output = sky_args_text(args, "output");
    sky_status status = SKY_OK;
    memset(&work, 0, sizeof work);
    SKY_TRY(read_layout(args, &layout));
    SKY_TRY(sky_weights_check_output(args->operands[0], output));
    SKY_TRY_DONE(sky_tensor_file_digest(args->operands[0], work.digest, &work.digits));
    SKY_TRY_DONE(sky_import_open(&work.import, args->operands[0], layout));
    SKY_TRY_DONE(build_model(args, &work));
    SKY_TRY_DONE(sky_import_compare(&work.import, &work.model, work.trunk_only, &work.report));
    const sky_status verdict = judge(&work, args);
    if (sky_args_given(args, "json")) print_json(&work, verdict == SKY_OK ? output : NULL, &text);
    else print_report(&work, verdict == SKY_OK ? output : NULL, &text);
    SKY_TRY_DONE(sky_text_status(&text, "the report"));
    fputs(text.text, stdout);
    status = verdict;
    if (status == SKY_OK && output) status = write_out(&work, output);
    if (status == SKY_OK && output && !work.trunk_only && work.report.missing)
        sky_log(SKY_LOG_INFO, "what is missing keeps its initial values when %s is loaded", output);
done:
    for (int64_t i = 0; i < work.out_count; i++) free((void *)work.out[i].data); /* ours: add() made it */
    free(work.out);
    sky_text_free(&text);
    sky_import_report_free(&work.report);
    sky_model_free(&work.model);
    sky_config_free(&work.config);
    sky_import_close(&work.import);
    return status;
}

const struct sky_command sky_command_weights_import = {
    .name = "import",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "weights of torchvision, timm, Cadene and the reference repositories to a file for model.weights",
    .details = "Known are ResNet, SE-ResNet and VGG16 (batch norm) and the checkpoints of University-1652's baseline, LPN and MSBA. Every key that is\n"
               "missing, unexpected or of another shape is named; an incomplete trunk or an unknown key is refused. A SHA-256 in the file's name\n"
               "(resnet50-0676ba61.pth) is verified.",
    .options = options,
    .run = run_import,
};
