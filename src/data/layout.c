/*
 * Finds the folders of a format below a root. Owns nothing.
 */
#include "layout.h"

#include "base/str.h"
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *sky_data_format_name(int format)
{
    static const char *const names[] = {"university1652", "sues200", "denseuav"};
    return names[format];
}

struct sky_layout sky_layout_native(void) { return (struct sky_layout){"train", "test", 0}; }

static int by_height(const void *a, const void *b)
{
    const struct sky_layout *x = a, *y = b;
    return (x->height > y->height) - (x->height < y->height);
}

/* Adds every folder of ROOT/TRAIN or ROOT/TEST whose name is a number. */
static sky_status add_heights(const char *root, const char *train, const char *test, struct sky_layout *out, int *count)
{
    const char *const groups[2] = {train, test};
    for (int g = 0; g < 2; g++) {
        char **names = NULL;
        int64_t folders = 0, height;
        SKY_TRY(sky_scan_folders(root, groups[g], &names, &folders));
        for (int64_t i = 0; i < folders && *count < SKY_MAX_HEIGHTS; i++) {
            bool known = false;
            if (!sky_parse_int(names[i], &height) || height < 1 || strlen(names[i]) > 12) continue;
            for (int k = 0; k < *count; k++) known = known || out[k].height == height;
            if (known) continue;
            struct sky_layout *layout = &out[(*count)++];
            layout->height = height;
            snprintf(layout->train, sizeof layout->train, "%s/%.12s", train, names[i]);
            snprintf(layout->test, sizeof layout->test, "%s/%.12s", test, names[i]);
        }
        sky_names_free(names, folders);
    }
    return SKY_OK;
}

sky_status sky_layouts_find(const char *root, int format, int64_t height, struct sky_layout out[SKY_MAX_HEIGHTS], int *count)
{
    char *resolved = NULL, found[160] = "";
    int kept = 0;
    *count = 0;
    if (format != SKY_FORMAT_SUES200) {
        out[0] = sky_layout_native();
        *count = 1;
        return SKY_OK;
    }
    SKY_TRY(sky_scan_root(&resolved, root));
    sky_status status = add_heights(resolved, "Training", "Testing", out, count);
    if (status == SKY_OK && *count == 0) status = add_heights(resolved, "train", "test", out, count);
    free(resolved);
    SKY_TRY(status);
    if (*count == 0) {
        sky_fail(SKY_DATA, root, "no flight height of SUES-200: no folder like Training/150 or Testing/150");
        return sky_hint("give the folder that the data set's split_datasets.py wrote, with Training and Testing (or train and test) in it");
    }
    qsort(out, (size_t)*count, sizeof *out, by_height);
    for (int i = 0; i < *count; i++) {
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%lld", i ? ", " : "", (long long)out[i].height);
        if (height == 0 || out[i].height == height) out[kept++] = out[i];
    }
    *count = kept;
    if (kept > 0) return SKY_OK;
    sky_fail(SKY_DATA, root, "there is no flight height %lld", (long long)height);
    return sky_hint("data.height: there are %s", found);
}

sky_status sky_layout_for_training(const struct sky_config *config, struct sky_layout *out)
{
    struct sky_layout layouts[SKY_MAX_HEIGHTS];
    int count = 0;
    if (config->data.format == SKY_FORMAT_SUES200 && config->data.height == 0) {
        sky_fail(SKY_CONFIG, "data.height", "SUES-200 is trained on one flight height, and none is given");
        return sky_hint("set data.height = 150, 200, 250 or 300: one model a height");
    }
    SKY_TRY(sky_layouts_find(config->data.root, config->data.format, config->data.height, layouts, &count));
    *out = layouts[0];
    return SKY_OK;
}
