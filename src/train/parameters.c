/*
 * Where a model's parameters come from and go to as named tensors in files: the seed, a weights file, a checkpoint. Works slice by slice through host copies
 * of one tensor at a time.
 */
#include "parameters.h"

#include "base/memory.h"
#include "base/str.h"
#include "model/import.h"
#include "skygem/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Host copy of one tensor of an arena; its slices are read or written there, and it goes back as a whole. */
static sky_status read_tensor(struct sky_executor *executor, sky_value value, enum sky_arena arena, void *host)
{
    const struct sky_tensor *tensor = &executor->graph->tensors[value];
    return executor->device.backend->copy_out(&executor->device, host, (char *)executor->arena[arena] + tensor->offset, tensor->bytes);
}

static sky_status write_tensor(struct sky_executor *executor, sky_value value, enum sky_arena arena, const void *host)
{
    const struct sky_tensor *tensor = &executor->graph->tensors[value];
    return executor->device.backend->copy_in(&executor->device, (char *)executor->arena[arena] + tensor->offset, host, tensor->bytes);
}

static size_t largest_tensor_bytes(const struct sky_model *model)
{
    size_t bytes = 0;
    for (int64_t p = 0; p < model->graph.parameter_count; p++) {
        const size_t tensor = model->graph.tensors[model->graph.parameters[p].value].bytes;
        if (tensor > bytes) bytes = tensor;
    }
    return bytes;
}

/* Calls give() for every slice in turn: it fills `values` (file order), which then go to the arena. give() returns false to leave the slice as it is. */
typedef sky_status (*slice_source)(void *context, const struct sky_slice *slice, float *values, bool *given);

static sky_status fill(const struct sky_model *model, struct sky_executor *executor, enum sky_arena arena, slice_source source, void *context)
{
    void *host = NULL;
    float *values = NULL;
    sky_status status = SKY_OK;
    const size_t bytes = largest_tensor_bytes(model);
    SKY_TRY_DONE(sky_alloc(&host, 1, bytes, "a parameter"));
    SKY_TRY_DONE(sky_alloc(&values, bytes / sky_dtype_bytes(model->graph.dtype), sizeof *values, "a parameter"));
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        const struct sky_parameter *parameter = &model->graph.parameters[slice.parameter];
        const enum sky_arena target = parameter->is_buffer ? SKY_ARENA_BUFFERS : arena;
        bool given = true;
        if (parameter->is_buffer && arena != SKY_ARENA_PARAMS) continue; /* momentum and averages are of learned tensors only */
        SKY_TRY_DONE(source(context, &slice, values, &given));
        if (!given) continue;
        SKY_TRY_DONE(read_tensor(executor, parameter->value, target, host));
        sky_slice_import(model, &slice, values, host);
        SKY_TRY_DONE(write_tensor(executor, parameter->value, target, host));
    }
done:
    free(host);
    free(values);
    return status;
}

struct seeded {
    const struct sky_model *model;
    uint64_t seed;
};

static sky_status from_seed(void *context, const struct sky_slice *slice, float *values, bool *given)
{
    const struct seeded *seeded = context;
    (void)given;
    sky_slice_initial(seeded->model, slice, seeded->seed, values);
    return SKY_OK;
}

sky_status sky_parameters_initialise(const struct sky_model *model, struct sky_executor *executor, uint64_t seed)
{
    struct seeded seeded = {model, seed};
    return fill(model, executor, SKY_ARENA_PARAMS, from_seed, &seeded);
}

sky_status sky_parameters_start_average(struct sky_executor *executor)
{
    const struct sky_backend *backend = executor->device.backend;
    const size_t bytes = executor->graph->arena_bytes[SKY_ARENA_EMA];
    void *host = NULL;
    if (!bytes) return SKY_OK;
    SKY_TRY(sky_alloc(&host, 1, bytes, "averaged parameters"));
    sky_status status = backend->copy_out(&executor->device, host, executor->arena[SKY_ARENA_PARAMS], bytes);
    if (status == SKY_OK) status = backend->copy_in(&executor->device, executor->arena[SKY_ARENA_EMA], host, bytes);
    free(host);
    return status;
}

struct filed {
    const char *path;
    const struct sky_file_tensor *tensors; /* [count] */
    int64_t count;
    const char *prefix; /* of the names in the file: "", "momentum/", "ema/" */
    bool learned_only;  /* buffers are left as they are */
    bool optional;      /* a missing tensor, or one of another shape, is counted and left as it is */
    int64_t taken, missing, other_shape;
    struct sky_text names; /* of the first three that were left */
};

/* Values of a file that was damaged, or of a training that had come apart: told here, before they look like a step's fault. */
static sky_status check_finite(const char *path, const char *name, const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(values[i])) continue;
        sky_fail(SKY_FORMAT, path, "tensor '%s' is not finite: its number %lld is %g", name, (long long)i, (double)values[i]);
        return sky_hint("the file is damaged, or the training that wrote it had come apart: take an earlier checkpoint");
    }
    return SKY_OK;
}

static sky_status from_file(void *context, const struct sky_slice *slice, float *values, bool *given)
{
    struct filed *filed = context;
    char name[320], want[96], have[96] = "absent";
    if (filed->learned_only && strstr(slice->name, ".running_")) {
        *given = false;
        return SKY_OK;
    }
    snprintf(name, sizeof name, "%s%s", filed->prefix, slice->name);
    const struct sky_file_tensor *tensor = sky_import_find(filed->tensors, filed->count, name);
    bool reshaped = false;
    if (tensor && sky_import_fits(tensor, slice, &reshaped) && (filed->optional || !reshaped)) {
        filed->taken++;
        SKY_TRY(sky_file_tensor_floats(tensor, filed->path, values, slice->count));
        return check_finite(filed->path, name, values, slice->count);
    }
    sky_import_print_shape(slice->rank, slice->dim, want);
    if (tensor) sky_import_print_shape(tensor->rank, tensor->dim, have);
    if (!filed->optional) {
        sky_fail(SKY_FORMAT, filed->path, "tensor '%s' should be %s, is %s", name, want, have);
        return sky_hint("this file belongs to a model with other settings");
    }
    *given = false;
    filed->missing += !tensor;
    filed->other_shape += tensor != NULL;
    if (filed->missing + filed->other_shape > 3) return SKY_OK;
    sky_text_format(&filed->names, "%s%s (%s, model %s)", filed->names.length ? ", " : "", name, have, want);
    return SKY_OK;
}

/* Whether the model has such a tensor, of a trunk any view's: a network for inference has one view's trunk of all that a file may have. */
static bool has_place(const struct sky_model *model, const char *name)
{
    const char *dot = strchr(name, '.');
    char any_trunk[320];
    if (!dot || strncmp(name, "backbone", 8) != 0) return sky_import_has_place(model, name);
    snprintf(any_trunk, sizeof any_trunk, "backbone%s", dot);
    return sky_import_has_place(model, any_trunk);
}

/* A trunk's or head's tensor that the model lacks: without it this would be another network. Classifiers are only trained with. */
static sky_status check_places(const struct sky_model *model, const struct sky_safetensors *file)
{
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name;
        const bool feature = strncmp(name, "backbone", 8) == 0 || strncmp(name, "classifier", 10) == 0 || strcmp(name, "gem.p") == 0;
        if (!feature || strstr(name, ".classifier.") || has_place(model, name)) continue;
        sky_fail(SKY_FORMAT, file->path, "tensor '%s' has no place in the model", name);
        return sky_hint("this file belongs to a model with other settings");
    }
    return SKY_OK;
}

sky_status sky_parameters_read(const struct sky_model *model, struct sky_executor *executor, const struct sky_safetensors *file, enum sky_arena arena,
                               const char *prefix)
{
    if (arena == SKY_ARENA_PARAMS) SKY_TRY(check_places(model, file));
    struct filed filed = {.path = file->path, .tensors = file->tensors, .count = file->tensor_count, .prefix = prefix};
    return fill(model, executor, arena, from_file, &filed);
}

sky_status sky_parameters_overlay(const struct sky_model *model, struct sky_executor *executor, const struct sky_safetensors *file, const char *prefix)
{
    struct filed filed = {.path = file->path, .tensors = file->tensors, .count = file->tensor_count, .prefix = prefix, .learned_only = true};
    return fill(model, executor, SKY_ARENA_PARAMS, from_file, &filed);
}

static sky_status hint_other_trunk(void)
{
    return sky_hint("check [model] backbone, se_layout and width against the weights: skygem weights import FILE --experiment EXPERIMENT.ini");
}

/* The trunk completely or not at all: half a pretrained trunk would train silently badly. */
static sky_status check_trunk(const struct sky_model *model, const struct sky_import *import)
{
    int64_t have = 0, want = 0;
    char example[320] = "", shape[96], in_file[96] = "absent";
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        bool reshaped = false;
        if (strncmp(slice.name, "backbone", 8) != 0) continue;
        const struct sky_file_tensor *tensor = sky_import_find(import->tensors, import->count, slice.name);
        const bool fits = tensor && sky_import_fits(tensor, &slice, &reshaped);
        want++, have += fits;
        if (fits || *example) continue;
        sky_import_print_shape(slice.rank, slice.dim, shape);
        if (tensor) sky_import_print_shape(tensor->rank, tensor->dim, in_file);
        snprintf(example, sizeof example, "%s", slice.name);
    }
    if (have == want) return SKY_OK;
    sky_fail(SKY_FORMAT, import->file.path, "%lld of the trunk's %lld tensors fit; the first that does not: %s, in the file %s, in the model %s",
             (long long)have, (long long)want, example, in_file, shape);
    return hint_other_trunk();
}

/* Of a larger network (resnet101's for resnet50, one with SE for one without) everything asked for would be there, and the rest be lost. */
static sky_status check_surplus(const struct sky_model *model, const struct sky_import *import)
{
    const char *example = NULL;
    int64_t surplus = 0;
    for (int64_t i = 0; i < import->count; i++) {
        const char *name = import->tensors[i].name;
        if (strncmp(name, "backbone", 8) != 0 || has_place(model, name)) continue;
        if (!surplus++) example = name;
    }
    if (!surplus) return SKY_OK;
    sky_fail(SKY_FORMAT, import->file.path, "%lld tensors of its trunk have no place in the model's; the first: %s", (long long)surplus, example);
    return hint_other_trunk();
}

/* The two SE networks have the same names here and fit each other's shapes: a file that knows its kind must be of the experiment's. */
static sky_status check_kind(const struct sky_import *import, enum sky_se_layout wanted)
{
    static const char *const names[] = {"legacy", "timm"}; /* order of enum sky_se_layout */
    const char *stored = sky_safetensors_text(&import->file.safetensors, "se_layout");
    const bool own = import->map.layout == SKY_LAYOUT_SKYGEM;
    if (!import->map.squeeze || (own && !stored)) return SKY_OK;
    const char *kind = own ? stored : names[import->map.legacy ? SKY_SE_LEGACY : SKY_SE_TIMM];
    if (strcmp(kind, names[wanted]) == 0) return SKY_OK;
    sky_fail(SKY_FORMAT, import->file.path, "an SE network of the %s kind, but model.se_layout is %s: they stride and pool in different places", kind,
             names[wanted]);
    return sky_hint("set model.se_layout=%s", kind);
}

static void say_taken(const struct sky_model *model, const struct filed *filed, const struct sky_import *import)
{
    const char *layout = sky_layout_names[import->map.layout];
    sky_log(SKY_LOG_INFO, "weights: %lld tensors taken from %s (layout %s)", (long long)filed->taken, filed->path, layout);
    const int64_t left = filed->missing + filed->other_shape;
    if (left > 3) sky_log(SKY_LOG_WARNING, "weights: %lld tensors keep their initial values: %s, and %lld more", (long long)left, filed->names.text, (long long)left - 3);
    else if (left) sky_log(SKY_LOG_WARNING, "weights: %lld tensors keep their initial values: %s", (long long)left, filed->names.text);
    for (int64_t i = 0; i < import->map.count; i++) {
        const struct sky_key *key = &import->map.keys[i];
        if (key->fate == SKY_KEY_UNKNOWN || (key->fate == SKY_KEY_TAKEN && !has_place(model, key->name)))
            sky_log(SKY_LOG_WARNING, "weights: '%s' of the file has no place in the model", key->tensor->name);
    }
}

sky_status sky_parameters_load(const struct sky_model *model, struct sky_executor *executor, const struct sky_config *config, const char *path)
{
    struct sky_import import = {0};
    char digest[65];
    int digits = 0;
    SKY_TRY(sky_import_open(&import, path, SKY_LAYOUT_COUNT));
    struct filed filed = {.path = path, .tensors = import.tensors, .count = import.count, .prefix = "", .optional = true};
    sky_status status = import.map.layout == SKY_LAYOUT_SKYGEM ? SKY_OK : sky_tensor_file_digest(path, digest, &digits);
    if (status == SKY_OK) status = check_trunk(model, &import);
    if (status == SKY_OK) status = check_surplus(model, &import);
    if (status == SKY_OK) status = check_kind(&import, (enum sky_se_layout)config->model.se_layout);
    if (status == SKY_OK) status = fill(model, executor, SKY_ARENA_PARAMS, from_file, &filed);
    if (status == SKY_OK) say_taken(model, &filed, &import);
    sky_text_free(&filed.names);
    sky_import_close(&import);
    return status;
}

sky_status sky_parameters_collect(const struct sky_model *model, struct sky_executor *executor, enum sky_arena arena, const char *prefix,
                                  struct sky_tensor_list *list)
{
    void *host = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&host, 1, largest_tensor_bytes(model), "a parameter"));
    for (int64_t i = 0; i < sky_model_slice_count(model) && status == SKY_OK; i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        const struct sky_parameter *parameter = &model->graph.parameters[slice.parameter];
        char name[320];
        float *values = NULL;
        if (parameter->is_buffer && arena != SKY_ARENA_PARAMS) continue;
        snprintf(name, sizeof name, "%s%s", prefix, slice.name);
        status = read_tensor(executor, parameter->value, parameter->is_buffer ? SKY_ARENA_BUFFERS : arena, host);
        if (status == SKY_OK) status = sky_tensor_list_add(list, name, slice.rank, slice.dim, &values);
        if (status == SKY_OK) sky_slice_export(model, &slice, host, values);
    }
    free(host);
    return status;
}

sky_status sky_tensor_list_add(struct sky_tensor_list *list, const char *name, int rank, const int64_t *dim, float **values)
{
    int64_t count = 1;
    char *copy = NULL;
    for (int i = 0; i < rank; i++) count *= dim[i];
    SKY_TRY(sky_grow(&list->tensors, list->count, &list->capacity, sizeof *list->tensors, "tensors to write"));
    SKY_TRY(sky_strdup(&copy, name, "a tensor's name"));
    const sky_status status = sky_alloc(values, (size_t)count, sizeof **values, "a tensor to write");
    if (status != SKY_OK) {
        free(copy);
        return status;
    }
    struct sky_file_tensor *tensor = &list->tensors[list->count++];
    *tensor = (struct sky_file_tensor){.name = copy, .dtype = SKY_F32, .rank = rank, .data = *values, .bytes = (size_t)count * sizeof **values};
    for (int i = 0; i < rank; i++) tensor->dim[i] = dim[i];
    return SKY_OK;
}

void sky_tensor_list_free(struct sky_tensor_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        free((char *)list->tensors[i].name); /* ours: sky_tensor_list_add copied both */
        free((void *)list->tensors[i].data);
    }
    free(list->tensors);
    memset(list, 0, sizeof *list);
}
