/*
 * The name rules behind key_map.h. One rule for trunks serves all layouts, since they differ in three spellings; the layout is found from keys that only it
 * has.
 */
#include "key_map.h"

#include "base/memory.h"
#include "build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sky_layout_names[SKY_LAYOUT_COUNT] = {"skygem", "torchvision", "timm", "legacy", "reference"};

const char *sky_key_fate_text(enum sky_key_fate fate)
{
    static const char *const texts[SKY_KEY_FATE_COUNT] = {"taken",
                                                          "the ImageNet classifier",
                                                          "counters (num_batches_tracked)",
                                                          "biases before a batch norm (in its running mean now)",
                                                          "the same tensors under the other view's name",
                                                          "the street view's, which has no place in the model",
                                                          "the optimiser's state",
                                                          "unexpected"};
    return texts[fate];
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *suffix)
{
    const size_t length = strlen(text), tail = strlen(suffix);
    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

/* ---- one key ---- */

/* Replaces the first `from` in the name; false when there is none or no room. */
static bool replace(char name[160], const char *from, const char *to)
{
    char *found = strstr(name, from);
    const size_t before = strlen(name), old = strlen(from), new = strlen(to);
    if (!found || before - old + new >= 160) return false;
    memmove(found + new, found + old, strlen(found + old) + 1);
    memcpy(found, to, new);
    return true;
}

/* A trunk's key, whatever its layout, to our spelling without "backbone.". */
static enum sky_key_fate map_trunk(const char *key, char out[160])
{
    static const char *const classifiers[] = {"fc.", "last_linear.", "classifier.", "head.fc."};
    for (size_t i = 0; i < sizeof classifiers / sizeof *classifiers; i++)
        if (starts(key, classifiers[i])) return SKY_KEY_CLASSIFIER;
    if (strlen(key) >= 128) return SKY_KEY_UNKNOWN;
    snprintf(out, 160, "%s", starts(key, "layer0.") ? key + strlen("layer0.") : key);
    replace(out, ".se_module.", ".se.");
    const bool known = starts(out, "conv1.") || starts(out, "bn1.") || starts(out, "layer") || starts(out, "features.");
    return known ? SKY_KEY_TAKEN : SKY_KEY_UNKNOWN;
}

static enum sky_key_fate map_under(struct sky_key *key, const char *prefix, const char *name)
{
    char trunk[160] = "";
    const enum sky_key_fate fate = map_trunk(name, trunk);
    if (fate == SKY_KEY_TAKEN) snprintf(key->name, sizeof key->name, "%s.%.130s", prefix, trunk);
    return fate;
}

static enum sky_key_fate keep(struct sky_key *key, const char *name)
{
    if (strlen(name) >= sizeof key->name) return SKY_KEY_UNKNOWN;
    snprintf(key->name, sizeof key->name, "%s", name);
    return SKY_KEY_TAKEN;
}

/* "classifier3.add_block.0.weight", "classifier00...": a head of ours. "classifier.add_block...", the baseline's single head, is classifier0. */
static enum sky_key_fate map_head(struct sky_key *key, const char *name)
{
    if (!starts(name, "classifier")) return SKY_KEY_UNKNOWN;
    const char *rest = name + strlen("classifier");
    const size_t digits = strspn(rest, "0123456789");
    if (rest[digits] != '.' || strlen(name) >= 140) return SKY_KEY_UNKNOWN;
    const char *layer = rest + digits + 1;
    if (!starts(layer, "add_block.0.") && !starts(layer, "add_block.1.") && !starts(layer, "classifier.0.")) return SKY_KEY_UNKNOWN;
    if (digits) return keep(key, name);
    snprintf(key->name, sizeof key->name, "classifier0%.140s", rest);
    return SKY_KEY_TAKEN;
}

bool sky_key_is_state(const char *name)
{
    return starts(name, "momentum/") || starts(name, "squares/") || starts(name, "ema/");
}

static enum sky_key_fate map_own(struct sky_key *key, const char *name)
{
    if (sky_key_is_state(name)) return SKY_KEY_OPTIMIZER;
    if (starts(name, "backbone.") || starts(name, "backbone_satellite.") || starts(name, "backbone_drone.") || starts(name, "backbone_ground.") ||
        strcmp(name, "gem.p") == 0 || strcmp(name, "logit_scale") == 0)
        return keep(key, name);
    return map_head(key, name);
}

static const char *plain_name(const struct sky_key_map *map, const struct sky_file_tensor *tensor)
{
    return map->module_prefix ? tensor->name + strlen("module.") : tensor->name;
}

static const struct sky_file_tensor *find(const struct sky_key_map *map, const char *name)
{
    for (int64_t i = 0; i < map->count; i++)
        if (strcmp(plain_name(map, map->keys[i].tensor), name) == 0) return map->keys[i].tensor;
    return NULL;
}

static bool same_values(const struct sky_file_tensor *a, const struct sky_file_tensor *b)
{
    return a->dtype == b->dtype && a->bytes == b->bytes && (!a->bytes || memcmp(a->data, b->data, a->bytes) == 0);
}

/* Each view has its exponent in the reference, ours is one: the others must be the first's aliases. */
static enum sky_key_fate map_exponent(const struct sky_key_map *map, int view, struct sky_key *key, const char *name)
{
    char first[64];
    if (view == 1) return keep(key, "gem.p");
    snprintf(first, sizeof first, "model_1.%.40s", name + strlen("model_1."));
    const struct sky_file_tensor *satellite = find(map, first);
    const bool street = view == 2 && map->ground;
    return satellite && same_values(satellite, key->tensor) ? SKY_KEY_ALIAS : street ? SKY_KEY_STREET : SKY_KEY_UNKNOWN;
}

/* model_1 is the satellite's, model_3 (in a file of two views: model_2) the drone's, model_2 of three the street's. */
static enum sky_key_fate map_reference(const struct sky_key_map *map, int drone, struct sky_key *key, const char *name)
{
    if (!starts(name, "model_")) return map_head(key, name);
    const int view = name[6] - '0';
    if (view < 1 || view > 3 || name[7] != '.') return SKY_KEY_UNKNOWN;
    const bool street = view != 1 && view != drone;
    if (street && !map->ground) return SKY_KEY_ALIAS;
    const char *inner = name + 8;
    if (!starts(inner, "model.")) return view == 1 ? map_head(key, inner) : SKY_KEY_ALIAS; /* MSBA_net keeps its heads beside the trunk */
    inner += strlen("model.");
    if (strcmp(inner, "gem2.p") == 0) return map_exponent(map, view, key, name);
    if (street) return map_under(key, "backbone_ground", inner);
    const enum sky_key_fate fate = map_under(key, !map->two_trunks ? "backbone" : view == 1 ? "backbone_satellite" : "backbone_drone", inner);
    return fate == SKY_KEY_TAKEN && view == drone && !map->two_trunks ? SKY_KEY_ALIAS : fate;
}

/* ---- the file ---- */

static bool has(const struct sky_key_map *map, const char *prefix, const char *part)
{
    for (int64_t i = 0; i < map->count; i++) {
        const char *name = plain_name(map, map->keys[i].tensor);
        if (starts(name, prefix) && strstr(name, part)) return true;
    }
    return false;
}

static sky_status guess_layout(const struct sky_key_map *map, const char *path, enum sky_layout *out)
{
    if (has(map, "", ".se.fc.0.")) {
        sky_fail(SKY_FORMAT, path, "an SE network whose squeeze layers have no bias (keys like layer1.0.se.fc.0.weight) is not read");
        return sky_hint("use timm's legacy_seresnet50 (se_resnet50-ce0d4300.pth) or seresnet50");
    }
    *out = SKY_LAYOUT_COUNT;
    if (has(map, "model_1.", "")) *out = SKY_LAYOUT_REFERENCE;
    else if (has(map, "backbone.", "") || has(map, "backbone_", "") || has(map, "classifier0.add_block.", "")) *out = SKY_LAYOUT_SKYGEM;
    else if (has(map, "layer0.conv1.", "")) *out = SKY_LAYOUT_LEGACY;
    else if (has(map, "layer1.0.", ".se.fc1.")) *out = SKY_LAYOUT_TIMM;
    else if (has(map, "layer1.0.conv1.", "") || has(map, "features.0.", "")) *out = SKY_LAYOUT_TORCHVISION;
    if (*out != SKY_LAYOUT_COUNT) return SKY_OK;
    sky_fail(SKY_FORMAT, path, "its keys are of no network that is known here; the first is '%s'", map->count ? map->keys[0].tensor->name : "");
    return sky_hint("known are ResNet, SE-ResNet and VGG16 of torchvision and timm, and checkpoints of University-1652's baseline, LPN and MSBA; "
                    "'skygem weights show FILE' lists the keys");
}

static sky_status choose_layout(struct sky_key_map *map, const char *path, enum sky_layout wanted)
{
    SKY_TRY(guess_layout(map, path, &map->layout));
    const bool plain = wanted == SKY_LAYOUT_TIMM && map->layout == SKY_LAYOUT_TORCHVISION; /* networks without SE are spelled alike */
    if (wanted == SKY_LAYOUT_COUNT || wanted == map->layout || plain) return SKY_OK;
    sky_fail(SKY_FORMAT, path, "its keys are of layout %s, not %s", sky_layout_names[map->layout], sky_layout_names[wanted]);
    return sky_hint("--layout auto takes what is there");
}

/* torch writes a shared trunk under both views' names; other values under the second mean two trunks. */
static bool views_differ(const struct sky_key_map *map, int drone)
{
    char other[512];
    for (int64_t i = 0; i < map->count; i++) {
        const struct sky_file_tensor *one = map->keys[i].tensor;
        const char *name = plain_name(map, one);
        if (!starts(name, "model_1.model.") || ends(name, "gem2.p") || strlen(name) >= sizeof other) continue;
        snprintf(other, sizeof other, "%s", name);
        other[6] = (char)('0' + drone);
        const struct sky_file_tensor *two = find(map, other);
        if (two && !same_values(one, two)) return true;
    }
    return false;
}

/* Which backbone has these blocks. Names are ours by now. */
static void name_backbone(struct sky_key_map *map)
{
    static const char *const candidates[] = {"resnet18", "resnet34", "resnet50", "resnet101", "se_resnet18", "se_resnet34", "se_resnet50", "se_resnet101"};
    int blocks[4] = {0};
    bool bottleneck = false, vgg = false;
    for (int64_t i = 0; i < map->count; i++) {
        int stage = 0, block = 0, used = 0;
        const char *dot = map->keys[i].fate == SKY_KEY_TAKEN && starts(map->keys[i].name, "backbone") ? strchr(map->keys[i].name, '.') : NULL;
        if (!dot) continue;
        vgg = vgg || starts(dot, ".features.40."); /* the thirteenth convolution of the form with batch norm */
        if (sscanf(dot, ".layer%1d.%3d.%n", &stage, &block, &used) != 2 || !used || stage < 1 || stage > 4 || block < 0) continue;
        if (block >= blocks[stage - 1]) blocks[stage - 1] = block + 1;
        bottleneck = bottleneck || starts(dot + used, "conv3.");
        map->squeeze = map->squeeze || starts(dot + used, "se.");
    }
    if (vgg) snprintf(map->backbone, sizeof map->backbone, "vgg16");
    for (size_t c = 0; c < sizeof candidates / sizeof *candidates; c++) {
        const struct sky_backbone *known = sky_backbone_find(candidates[c]);
        if (known && known->bottleneck == bottleneck && known->squeeze == map->squeeze && memcmp(known->blocks, blocks, sizeof blocks) == 0)
            snprintf(map->backbone, sizeof map->backbone, "%s", candidates[c]);
    }
}

/* A VGG's convolutions have biases in torchvision, and none here. */
static void fold_biases(struct sky_key_map *map)
{
    for (int64_t i = 0; i < map->count; i++) {
        struct sky_key *key = &map->keys[i];
        const char *layer = key->fate == SKY_KEY_TAKEN ? strstr(key->name, ".features.") : NULL;
        if (!layer || !ends(key->name, ".bias")) continue;
        const size_t stem = strlen(key->name) - strlen("bias");
        for (int64_t j = 0; j < map->count; j++)
            if (map->keys[j].fate == SKY_KEY_TAKEN && map->keys[j].tensor->rank == 4 && strncmp(map->keys[j].name, key->name, stem) == 0 &&
                strcmp(map->keys[j].name + stem, "weight") == 0)
                key->fate = SKY_KEY_FOLDED;
    }
}

sky_status sky_key_map_make(struct sky_key_map *map, const struct sky_tensor_file *file, enum sky_layout layout)
{
    sky_status status = SKY_OK;
    memset(map, 0, sizeof *map);
    SKY_TRY_DONE(sky_alloc(&map->keys, (size_t)file->tensor_count + 1, sizeof *map->keys, "a file's keys"));
    map->count = file->tensor_count;
    map->module_prefix = map->count > 0;
    for (int64_t i = 0; i < map->count; i++) {
        map->keys[i].tensor = &file->tensors[i];
        map->module_prefix = map->module_prefix && starts(file->tensors[i].name, "module.");
    }
    SKY_TRY_DONE(choose_layout(map, file->path, layout));
    const int drone = has(map, "model_3.", "") ? 3 : 2;
    map->two_trunks = map->layout == SKY_LAYOUT_REFERENCE ? views_differ(map, drone) : has(map, "backbone_drone.", "");
    map->ground = map->layout == SKY_LAYOUT_REFERENCE ? drone == 3 && views_differ(map, 2) : has(map, "backbone_ground.", "");
    map->legacy = has(map, "layer0.", "") || has(map, "model_1.model.layer0.", "");
    for (int64_t i = 0; i < map->count; i++) {
        struct sky_key *key = &map->keys[i];
        const char *name = plain_name(map, key->tensor);
        if (ends(name, ".num_batches_tracked")) key->fate = SKY_KEY_COUNTER;
        else if (map->layout == SKY_LAYOUT_SKYGEM) key->fate = map_own(key, name);
        else if (map->layout == SKY_LAYOUT_REFERENCE) key->fate = map_reference(map, drone, key, name);
        else key->fate = map_under(key, "backbone", name);
    }
    fold_biases(map);
    name_backbone(map);
done:
    if (status != SKY_OK) sky_key_map_free(map);
    return status;
}

void sky_key_map_free(struct sky_key_map *map)
{
    free(map->keys);
    memset(map, 0, sizeof *map);
}

void sky_key_trunk_name(const char *name, bool legacy, char out[160])
{
    const bool stem = starts(name, "conv1.") || starts(name, "bn1.");
    snprintf(out, 160, "%s%.140s", legacy && stem ? "layer0." : "", name);
    if (legacy) replace(out, ".se.", ".se_module.");
}
