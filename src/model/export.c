/*
 * Renaming behind export.h. In the reference layout every view has its own prefix, and a shared trunk appears under each, as torch saves it; a writer may
 * store aliases once.
 */
#include "export.h"

#include "base/memory.h"
#include "base/str.h"
#include "key_map.h"
#include "skygem/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static sky_status add(struct sky_export *list, const char *prefix, const char *name, const struct sky_file_tensor *tensor)
{
    char *copy = NULL;
    struct sky_text text = {0};
    SKY_TRY(sky_grow(&list->tensors, list->count, &list->capacity, sizeof *list->tensors, "tensors to write"));
    sky_text_format(&text, "%s%s", prefix, name);
    sky_status status = sky_text_status(&text, "a tensor's name");
    if (status == SKY_OK) status = sky_strdup(&copy, text.text, "a tensor's name");
    sky_text_free(&text);
    SKY_TRY(status);
    list->tensors[list->count] = *tensor;
    list->tensors[list->count++].name = copy;
    return SKY_OK;
}

/* The averaged values where the file has them. */
static const struct sky_file_tensor *value_of(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_file_tensor *tensor)
{
    char name[320];
    snprintf(name, sizeof name, "ema/%s", tensor->name);
    const struct sky_file_tensor *averaged = sky_safetensors_find(weights, name);
    list->averaged = list->averaged || averaged;
    return averaged ? averaged : tensor;
}

/* ---- trunks ---- */

/* Zeros in the classifier's place: [1000, C] for a ResNet; the three layers of a VGG. */
static sky_status add_classifier(struct sky_export *list, const struct sky_safetensors *weights, const char *trunk, const char *prefix, bool legacy)
{
    static const int64_t vgg[3][2] = {{4096, 25088}, {4096, 4096}, {1000, 4096}};
    static const char *const vgg_names[3] = {"classifier.0", "classifier.3", "classifier.6"};
    char name[320];
    snprintf(name, sizeof name, "%s.layer4.0.downsample.1.weight", trunk);
    const struct sky_file_tensor *last = sky_safetensors_find(weights, name);
    list->has_classifier = true;
    for (int i = 0; i < (last ? 1 : 3); i++) {
        const char *layer = !last ? vgg_names[i] : legacy ? "last_linear" : "fc";
        const struct sky_file_tensor weight = {.dtype = SKY_F32, .rank = 2, .dim = {last ? 1000 : vgg[i][0], last ? last->dim[0] : vgg[i][1]}};
        const struct sky_file_tensor bias = {.dtype = SKY_F32, .rank = 1, .dim = {weight.dim[0]}};
        snprintf(name, sizeof name, "%s.weight", layer);
        SKY_TRY(add(list, prefix, name, &weight));
        snprintf(name, sizeof name, "%s.bias", layer);
        SKY_TRY(add(list, prefix, name, &bias));
    }
    return SKY_OK;
}

/* Zeros for the bias that a VGG's convolution ("features.N.weight") has in torchvision, where a file must hold every key. */
static sky_status add_zero_bias(struct sky_export *list, const char *prefix, const char *weight, int64_t count)
{
    const struct sky_file_tensor zeros = {.dtype = SKY_F32, .rank = 1, .dim = {count}};
    char name[160];
    snprintf(name, sizeof name, "%.*s.bias", (int)(strrchr(weight, '.') - weight), weight);
    return add(list, prefix, name, &zeros);
}

/* Every tensor of `trunk` under `prefix`, spelled for torch. */
static sky_status add_trunk(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_export_options *options, const char *trunk,
                            const char *prefix, bool gem)
{
    const bool legacy = options->legacy && options->layout != SKY_LAYOUT_TORCHVISION && options->layout != SKY_LAYOUT_TIMM;
    const size_t length = strlen(trunk);
    for (int64_t i = 0; i < weights->tensor_count; i++) {
        const struct sky_file_tensor *tensor = &weights->tensors[i];
        char name[160];
        if (!starts(tensor->name, trunk) || tensor->name[length] != '.') continue;
        sky_key_trunk_name(tensor->name + length + 1, legacy || options->layout == SKY_LAYOUT_LEGACY, name);
        SKY_TRY(add(list, prefix, name, value_of(list, weights, tensor)));
        if (options->classifier && tensor->rank == 4 && starts(name, "features.")) SKY_TRY(add_zero_bias(list, prefix, name, tensor->dim[0]));
    }
    const struct sky_file_tensor *exponent = gem ? sky_safetensors_find(weights, "gem.p") : NULL;
    if (exponent) SKY_TRY(add(list, prefix, "gem2.p", value_of(list, weights, exponent)));
    return options->classifier ? add_classifier(list, weights, trunk, prefix, legacy || options->layout == SKY_LAYOUT_LEGACY) : SKY_OK;
}

static bool has_trunk(const struct sky_safetensors *weights, const char *trunk)
{
    const size_t length = strlen(trunk);
    for (int64_t i = 0; i < weights->tensor_count; i++)
        if (starts(weights->tensors[i].name, trunk) && weights->tensors[i].name[length] == '.') return true;
    return false;
}

/* ---- the layouts ---- */

static sky_status add_own(struct sky_export *list, const struct sky_safetensors *weights)
{
    for (int64_t i = 0; i < weights->tensor_count; i++)
        if (!sky_key_is_state(weights->tensors[i].name)) SKY_TRY(add(list, "", weights->tensors[i].name, value_of(list, weights, &weights->tensors[i])));
    return SKY_OK;
}

/* Heads lie outside the views; a single one is called `classifier`. */
static sky_status add_heads(struct sky_export *list, const struct sky_safetensors *weights)
{
    bool single = true;
    for (int64_t i = 0; i < weights->tensor_count; i++)
        if (starts(weights->tensors[i].name, "classifier") && !starts(weights->tensors[i].name, "classifier0.")) single = false;
    for (int64_t i = 0; i < weights->tensor_count; i++) {
        const struct sky_file_tensor *tensor = &weights->tensors[i];
        if (!starts(tensor->name, "classifier")) continue;
        if (single) SKY_TRY(add(list, "classifier", tensor->name + strlen("classifier0"), value_of(list, weights, tensor)));
        else SKY_TRY(add(list, "", tensor->name, value_of(list, weights, tensor)));
    }
    return SKY_OK;
}

static sky_status add_reference(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_export_options *options)
{
    const bool shared = has_trunk(weights, "backbone");
    const char *satellite = shared ? "backbone" : "backbone_satellite", *drone = shared ? "backbone" : "backbone_drone";
    if (!has_trunk(weights, satellite) || !has_trunk(weights, drone)) {
        sky_fail(SKY_UNSUPPORTED, weights->path, "has no trunk for satellite images, or none for the drone's: the reference layout wants both");
        return sky_hint("--layout skygem holds what is there");
    }
    const char *street = has_trunk(weights, "backbone_ground") ? "backbone_ground" : satellite; /* not trained on: never asked for */
    SKY_TRY(add_trunk(list, weights, options, satellite, "model_1.model.", true));
    SKY_TRY(add_trunk(list, weights, options, options->views == 2 ? drone : street, "model_2.model.", true));
    if (options->views == 3) SKY_TRY(add_trunk(list, weights, options, drone, "model_3.model.", true));
    return add_heads(list, weights);
}

static sky_status add_all(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_export_options *options)
{
    int found = 0;
    for (int t = 0; t < SKY_TRUNK_COUNT; t++) found += has_trunk(weights, sky_trunk_names[t]);
    if (!found) {
        sky_fail(SKY_FORMAT, weights->path, "holds no trunk under skygem's names");
        return sky_hint("weights of others first become skygem's: skygem weights import FILE -o WEIGHTS.safetensors");
    }
    if (options->layout == SKY_LAYOUT_SKYGEM) return add_own(list, weights);
    if (options->layout == SKY_LAYOUT_REFERENCE) return add_reference(list, weights, options);
    for (int t = 0; found == 1 && t < SKY_TRUNK_COUNT; t++)
        if (has_trunk(weights, sky_trunk_names[t])) return add_trunk(list, weights, options, sky_trunk_names[t], "", false);
    sky_fail(SKY_UNSUPPORTED, weights->path, "has %d trunks, layout %s holds one", found, sky_layout_names[options->layout]);
    return sky_hint("--layout reference holds them all");
}

sky_status sky_export_make(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_export_options *options)
{
    memset(list, 0, sizeof *list);
    const sky_status status = add_all(list, weights, options);
    if (status != SKY_OK) sky_export_free(list);
    return status;
}

void sky_export_free(struct sky_export *list)
{
    for (int64_t i = 0; i < list->count; i++) free((char *)list->tensors[i].name); /* ours: add() copied it */
    free(list->tensors);
    memset(list, 0, sizeof *list);
}
