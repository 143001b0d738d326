/*
 * The comparison behind import.h. Owns the open file and the table of renamed tensors; reads values only through others.
 */
#include "import.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const struct sky_file_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static sky_status check_names(const struct sky_import *import)
{
    const struct sky_file_tensor **sorted = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&sorted, (size_t)import->count + 1, sizeof *sorted, "tensors' names"));
    for (int64_t i = 0; i < import->count; i++) sorted[i] = &import->tensors[i];
    qsort(sorted, (size_t)import->count, sizeof *sorted, by_name);
    for (int64_t i = 1; i < import->count && status == SKY_OK; i++)
        if (by_name(&sorted[i], &sorted[i - 1]) == 0) status = sky_fail(SKY_FORMAT, import->file.path, "two of its keys stand for '%s'", sorted[i]->name);
    free(sorted);
    return status;
}

/*
 * Batch norm takes the mean off, and with it whatever constant the convolution added: w x + b less (mean of it) is w x less (mean - b). So a bias is exactly a
 * running mean that is smaller by it, in inference and, since batches have their own means, in training.
 */
static sky_status fold_bias(struct sky_import *import, const struct sky_key *key)
{
    const char *layer = strstr(key->name, ".features.");
    char norm[200];
    int number = 0;
    if (!layer || sscanf(layer, ".features.%d.", &number) != 1) return sky_fail(SKY_INTERNAL, key->name, "is not a bias to fold");
    snprintf(norm, sizeof norm, "%.*s.features.%d.running_mean", (int)(layer - key->name), key->name, number + 1);
    struct sky_file_tensor *mean = NULL;
    for (int64_t i = 0; i < import->count; i++)
        if (strcmp(import->tensors[i].name, norm) == 0) mean = &import->tensors[i];
    const int64_t count = key->tensor->rank == 1 ? key->tensor->dim[0] : 0;
    if (!mean || mean->rank != 1 || mean->dim[0] != count || !count) {
        sky_fail(SKY_FORMAT, import->file.path, "'%s' has no running mean of its length behind it to go into ('%s')", key->tensor->name, norm);
        return sky_hint("only the VGG with batch norm (torchvision's vgg16_bn) can be imported");
    }
    float *folded = NULL, *bias = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&folded, (size_t)count, sizeof *folded, "a running mean"));
    import->folded[import->folded_count++] = folded; /* ours from here on */
    SKY_TRY_DONE(sky_alloc(&bias, (size_t)count, sizeof *bias, "a bias"));
    SKY_TRY_DONE(sky_file_tensor_floats(mean, import->file.path, folded, count));
    SKY_TRY_DONE(sky_file_tensor_floats(key->tensor, import->file.path, bias, count));
    for (int64_t i = 0; i < count; i++) folded[i] -= bias[i];
    mean->dtype = SKY_F32, mean->data = folded, mean->bytes = (size_t)count * sizeof *folded;
done:
    free(bias);
    return status;
}

sky_status sky_import_open(struct sky_import *import, const char *path, enum sky_layout layout)
{
    sky_status status = SKY_OK;
    memset(import, 0, sizeof *import);
    SKY_TRY_DONE(sky_tensor_file_open(&import->file, path));
    SKY_TRY_DONE(sky_key_map_make(&import->map, &import->file, layout));
    SKY_TRY_DONE(sky_alloc(&import->tensors, (size_t)import->map.count + 1, sizeof *import->tensors, "a file's tensors"));
    for (int64_t i = 0; i < import->map.count; i++) {
        const struct sky_key *key = &import->map.keys[i];
        if (key->fate != SKY_KEY_TAKEN) continue;
        import->tensors[import->count] = *key->tensor;
        import->tensors[import->count++].name = key->name;
    }
    SKY_TRY_DONE(check_names(import));
    SKY_TRY_DONE(sky_alloc(&import->folded, (size_t)import->map.count + 1, sizeof *import->folded, "running means"));
    for (int64_t i = 0; i < import->map.count && status == SKY_OK; i++)
        if (import->map.keys[i].fate == SKY_KEY_FOLDED) status = fold_bias(import, &import->map.keys[i]);
done:
    if (status != SKY_OK) sky_import_close(import);
    return status;
}

void sky_import_close(struct sky_import *import)
{
    for (int64_t i = 0; i < import->folded_count; i++) free(import->folded[i]);
    free(import->folded);
    free(import->tensors);
    sky_key_map_free(&import->map);
    sky_tensor_file_close(&import->file);
    memset(import, 0, sizeof *import);
}

static const struct sky_file_tensor *find_exact(const struct sky_file_tensor *tensors, int64_t count, const char *name)
{
    for (int64_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
    return NULL;
}

const struct sky_file_tensor *sky_import_find(const struct sky_file_tensor *tensors, int64_t count, const char *name)
{
    char shared[320];
    const struct sky_file_tensor *found = find_exact(tensors, count, name);
    for (int t = 0; t < SKY_TRUNK_COUNT && !found; t++) {
        const size_t length = strlen(sky_trunk_names[t]);
        if (strncmp(name, sky_trunk_names[t], length) != 0 || name[length] != '.') continue;
        snprintf(shared, sizeof shared, "backbone%s", name + length);
        found = find_exact(tensors, count, shared);
    }
    return found;
}

bool sky_import_fits(const struct sky_file_tensor *tensor, const struct sky_slice *slice, bool *reshaped)
{
    int a = 0, b = 0;
    *reshaped = tensor->rank != slice->rank;
    while (true) { /* dimensions that are not 1 must follow one another alike */
        while (a < tensor->rank && tensor->dim[a] == 1) a++;
        while (b < slice->rank && slice->dim[b] == 1) b++;
        if (a == tensor->rank || b == slice->rank) break;
        if (tensor->dim[a++] != slice->dim[b++]) return false;
    }
    if (a != tensor->rank || b != slice->rank) return false;
    for (int i = 0; i < slice->rank && !*reshaped; i++) *reshaped = tensor->dim[i] != slice->dim[i];
    return true;
}

void sky_import_print_shape(int rank, const int64_t *dim, char out[96])
{
    int used = snprintf(out, 96, "[");
    for (int i = 0; i < rank && used < 90; i++) used += snprintf(out + used, (size_t)(96 - used), i ? ", %lld" : "%lld", (long long)dim[i]);
    if (used < 95) snprintf(out + used, (size_t)(96 - used), "]");
}

/* ---- the report ---- */

static void note(struct sky_text *names, const char *name, const char *more)
{
    sky_text_format(names, "%s%s", name, more);
    sky_text_append(names, "\n");
}

static void compare_slice(const struct sky_import *import, const struct sky_slice *slice, struct sky_import_report *report)
{
    char have[96], want[96], shapes[256];
    bool reshaped = false;
    const struct sky_file_tensor *tensor = sky_import_find(import->tensors, import->count, slice->name);
    sky_import_print_shape(slice->rank, slice->dim, want);
    if (!tensor) {
        snprintf(shapes, sizeof shapes, " %s", want);
        note(&report->missing_names, slice->name, shapes);
        report->missing++;
        report->missing_trunk += strncmp(slice->name, "backbone", 8) == 0;
        return;
    }
    sky_import_print_shape(tensor->rank, tensor->dim, have);
    snprintf(shapes, sizeof shapes, " in the file %s, in the model %s", have, want);
    if (!sky_import_fits(tensor, slice, &reshaped)) note(&report->other_shape_names, slice->name, shapes), report->other_shape++;
    else report->taken++;
    if (reshaped) note(&report->reshaped_names, slice->name, shapes), report->reshaped++;
}

bool sky_import_has_place(const struct sky_model *model, const char *name)
{
    const char *rest = strncmp(name, "backbone.", 9) == 0 ? name + 8 : NULL;
    for (int64_t p = 0; p < model->graph.parameter_count; p++) {
        const struct sky_parameter *parameter = &model->graph.parameters[p];
        for (int64_t i = 0; i < parameter->slice_count; i++) {
            const char *own = parameter->slice_names[i], *dot = strchr(own, '.');
            if (strcmp(own, name) == 0 || (rest && dot && strncmp(own, "backbone", 8) == 0 && strcmp(dot, rest) == 0)) return true;
        }
    }
    return false;
}

/* What the street view has in the file is left out where the model has no trunk for it, and must fit where it has one. */
static enum sky_key_fate fate_in(const struct sky_key *key, bool ground)
{
    if (!ground && key->fate == SKY_KEY_TAKEN && strncmp(key->name, "backbone_ground.", 16) == 0) return SKY_KEY_STREET;
    return ground && key->fate == SKY_KEY_STREET ? SKY_KEY_UNKNOWN : key->fate;
}

sky_status sky_import_compare(const struct sky_import *import, const struct sky_model *model, bool trunk_only, struct sky_import_report *report)
{
    const bool ground = sky_model_parameter_count(model, "backbone_ground.") > 0;
    memset(report, 0, sizeof *report);
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        if (!trunk_only || strncmp(slice.name, "backbone", 8) == 0) compare_slice(import, &slice, report);
    }
    for (int64_t i = 0; i < import->map.count; i++) {
        const struct sky_key *key = &import->map.keys[i];
        const bool trunk = strncmp(key->name, "backbone", 8) == 0;
        const enum sky_key_fate fate = fate_in(key, ground);
        const bool unexpected = fate == SKY_KEY_UNKNOWN || (fate == SKY_KEY_TAKEN && (trunk || !trunk_only) && !sky_import_has_place(model, key->name));
        report->left_out[fate]++;
        if (unexpected) {
            char shape[96], more[128];
            sky_import_print_shape(key->tensor->rank, key->tensor->dim, shape);
            snprintf(more, sizeof more, " %s", shape);
            note(&report->unexpected_names, key->tensor->name, more);
            report->unexpected++;
        } else if (fate == SKY_KEY_TAKEN) {
            report->taken += trunk_only && !trunk;
        } else if (fate == SKY_KEY_CLASSIFIER) {
            note(&report->left_out_names, key->tensor->name, "");
        }
    }
    SKY_TRY(sky_text_status(&report->missing_names, "a report"));
    SKY_TRY(sky_text_status(&report->other_shape_names, "a report"));
    SKY_TRY(sky_text_status(&report->unexpected_names, "a report"));
    return sky_text_status(&report->reshaped_names, "a report");
}

void sky_import_report_free(struct sky_import_report *report)
{
    sky_text_free(&report->missing_names);
    sky_text_free(&report->other_shape_names);
    sky_text_free(&report->reshaped_names);
    sky_text_free(&report->unexpected_names);
    sky_text_free(&report->left_out_names);
}
