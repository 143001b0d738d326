/*
 * Walks a data root and makes its tables. Reads folder listings only. Owns all names; a set is freed by its close function, also after a failure half-way.
 */
#include "dataset.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *sky_view_name(int view)
{
    return view == SKY_VIEW_SATELLITE ? "satellite" : "drone";
}

enum extension { EXTENSION_OTHER, EXTENSION_READ, EXTENSION_UNREADABLE };

/* The reference's list of image endings, any case; we decode JPEG and PNG. */
static enum extension extension_of(const char *name)
{
    static const char *const read[] = {".jpg", ".jpeg", ".png"}, *const unreadable[] = {".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};
    const char *dot = strrchr(name, '.');
    if (!dot || name[0] == '.') return EXTENSION_OTHER;
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        if (strcasecmp(dot, read[i]) == 0) return EXTENSION_READ;
    for (size_t i = 0; i < sizeof unreadable / sizeof *unreadable; i++)
        if (strcasecmp(dot, unreadable[i]) == 0) return EXTENSION_UNREADABLE;
    return EXTENSION_OTHER;
}

struct growing {
    struct sky_image_set *set;
    int64_t path_capacity, label_capacity, unreadable;
};

static sky_status add_image(struct growing *grow, const char *path, int32_t label)
{
    struct sky_image_set *set = grow->set;
    SKY_TRY(sky_grow(&set->paths, set->count, &grow->path_capacity, sizeof *set->paths, "image paths"));
    SKY_TRY(sky_grow(&set->labels, set->count, &grow->label_capacity, sizeof *set->labels, "image labels"));
    SKY_TRY(sky_strdup(&set->paths[set->count], path, "an image path"));
    set->labels[set->count++] = label;
    return SKY_OK;
}

/* Adds the images directly in root/relative. */
static sky_status add_folder(struct growing *grow, const char *root, const char *relative, int32_t label)
{
    struct sky_listing listing = {0};
    char *folder = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&folder, root, relative));
    SKY_TRY_DONE(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count; i++) {
        const enum extension extension = listing.entries[i].is_file ? extension_of(listing.entries[i].name) : EXTENSION_OTHER;
        if (extension == EXTENSION_UNREADABLE && grow->unreadable++ == 0)
            sky_log(SKY_LOG_WARNING, "%s/%s is of a kind that is not read (JPEG and PNG are): left out, with any others of its kind", folder, listing.entries[i].name);
        if (extension != EXTENSION_READ) continue;
        char *path = NULL;
        status = sky_path_join(&path, relative, listing.entries[i].name);
        if (status == SKY_OK) status = add_image(grow, path, label);
        free(path);
        if (status != SKY_OK) break;
    }
done:
    free(folder);
    sky_listing_free(&listing);
    return status;
}

void sky_image_set_close(struct sky_image_set *set)
{
    for (int64_t i = 0; i < set->count; i++) free(set->paths[i]);
    free(set->paths);
    free(set->labels);
    free(set->folder);
    memset(set, 0, sizeof *set);
}

static sky_status missing(const char *path, const char *hint)
{
    sky_fail(SKY_DATA, path, "there is no such folder");
    return sky_hint("%s", hint);
}

static const char root_hint[] = "[data] root must hold train/{satellite,drone}/CLASS/ and test/{query,gallery}_{satellite,drone}/CLASS/, as University-1652 does";

static sky_status absolute(char **out, const char *root)
{
    if (!root) {
        sky_fail(SKY_DATA, "data.root", "no data folder is given");
        return sky_hint("set [data] root, or --set data.root=DIR; make a synthetic one with: skygem data synth DIR");
    }
    if (!sky_path_is_folder(root)) return missing(root, root_hint);
    *out = realpath(root, NULL);
    return *out ? SKY_OK : sky_fail_errno(root, "looking up the data folder");
}

/* The folders of root/relative as class names, sorted. */
static sky_status list_classes(const char *root, const char *relative, char ***names, int64_t *count)
{
    struct sky_listing listing = {0};
    char *folder = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&folder, root, relative));
    if (!sky_path_is_folder(folder)) {
        status = missing(folder, root_hint);
        goto done;
    }
    SKY_TRY_DONE(sky_folder_list(folder, &listing));
    SKY_TRY_DONE(sky_alloc(names, (size_t)listing.count, sizeof **names, "class names"));
    for (int64_t i = 0; i < listing.count && status == SKY_OK; i++)
        if (listing.entries[i].is_folder && listing.entries[i].name[0] != '.') {
            status = sky_strdup(&(*names)[*count], listing.entries[i].name, "a class name");
            *count += status == SKY_OK;
        }
done:
    free(folder);
    sky_listing_free(&listing);
    return status;
}

static void free_names(char **names, int64_t count)
{
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A class of one view that the index does not know would be lost silently: refuse. */
static sky_status check_known(const struct sky_train_set *set, int view)
{
    char relative[64], **names = NULL;
    int64_t count = 0;
    snprintf(relative, sizeof relative, "train/%s", sky_view_name(view));
    sky_status status = list_classes(set->root, relative, &names, &count);
    for (int64_t i = 0; i < count && status == SKY_OK; i++)
        if (!bsearch(&names[i], set->class_names, (size_t)set->class_count, sizeof *names, by_name)) {
            sky_fail(SKY_DATA, relative, "class '%s' is in this view but not in train/satellite", names[i]);
            status = sky_hint("every class folder must be in train/satellite and in train/drone (it may be empty), spelled alike");
        }
    free_names(names, count);
    return status;
}

static sky_status open_view(struct sky_train_set *set, int view)
{
    struct sky_image_set *images = &set->views[view];
    struct growing grow = {.set = images};
    char relative[64];
    snprintf(relative, sizeof relative, "train/%s", sky_view_name(view));
    SKY_TRY(sky_path_join(&images->folder, set->root, relative));
    SKY_TRY(check_known(set, view));
    SKY_TRY(sky_alloc(&set->first[view], (size_t)set->class_count + 1, sizeof *set->first[view], "class ranges"));
    for (int64_t c = 0; c < set->class_count; c++) {
        char *folder = NULL, *full = NULL;
        set->first[view][c] = images->count;
        SKY_TRY(sky_path_join(&folder, relative, set->class_names[c]));
        sky_status status = sky_path_join(&full, set->root, folder);
        if (status == SKY_OK && sky_path_is_folder(full)) status = add_folder(&grow, set->root, folder, (int32_t)c);
        free(folder);
        free(full);
        SKY_TRY(status);
    }
    set->first[view][set->class_count] = images->count;
    if (images->count) return SKY_OK;
    sky_fail(SKY_DATA, images->folder, "there is no JPEG or PNG image in any class folder");
    return sky_hint("%s", root_hint);
}

sky_status sky_train_set_open(struct sky_train_set *set, const char *root)
{
    sky_status status = SKY_OK;
    memset(set, 0, sizeof *set);
    SKY_TRY_DONE(absolute(&set->root, root));
    SKY_TRY_DONE(list_classes(set->root, "train/satellite", &set->class_names, &set->class_count));
    for (int view = 0; view < SKY_VIEW_COUNT; view++) SKY_TRY_DONE(open_view(set, view));
    const char *example = NULL;
    for (int64_t c = 0; c < set->class_count; c++)
        if (set->first[0][c] == set->first[0][c + 1] || set->first[1][c] == set->first[1][c + 1]) example = example ? example : set->class_names[c], set->empty_class_count++;
    if (example) sky_log(SKY_LOG_WARNING, "%lld classes have no image in some view (the first: %s): they keep their index and are never drawn", (long long)set->empty_class_count, example);
done:
    if (status != SKY_OK) sky_train_set_close(set);
    return status;
}

void sky_train_set_close(struct sky_train_set *set)
{
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        sky_image_set_close(&set->views[view]);
        free(set->first[view]);
    }
    free_names(set->class_names, set->class_count);
    free(set->root);
    memset(set, 0, sizeof *set);
}

/* Labels of test folders are the integers that their names are (domain.md 1.1), never a sorted index. */
static sky_status test_label(const char *relative, const char *name, int32_t *out)
{
    const char *digits = name;
    int64_t value = 0;
    while (*digits == '0' && digits[1]) digits++;
    if (sky_parse_int(digits, &value) && value >= 0 && value <= INT32_MAX) {
        *out = (int32_t)value;
        return SKY_OK;
    }
    sky_fail(SKY_DATA, relative, "the class folder '%s' is no whole number", name);
    return sky_hint("test classes are named by their number (0000, 0001, ...), which is their label");
}

static sky_status open_test_folder(struct sky_image_set *images, const char *root, const char *role, int view)
{
    struct growing grow = {.set = images};
    char relative[64], **names = NULL;
    int64_t count = 0;
    snprintf(relative, sizeof relative, "test/%s_%s", role, sky_view_name(view));
    sky_status status = sky_path_join(&images->folder, root, relative);
    if (status == SKY_OK) status = list_classes(root, relative, &names, &count);
    for (int64_t c = 0; c < count && status == SKY_OK; c++) {
        char *folder = NULL;
        int32_t label = 0;
        status = test_label(relative, names[c], &label);
        if (status == SKY_OK) status = sky_path_join(&folder, relative, names[c]);
        if (status == SKY_OK) status = add_folder(&grow, root, folder, label);
        free(folder);
    }
    free_names(names, count);
    if (status == SKY_OK && images->count == 0) {
        sky_fail(SKY_DATA, images->folder, "there is no JPEG or PNG image in any class folder");
        status = sky_hint("%s", root_hint);
    }
    return status;
}

sky_status sky_test_set_open(struct sky_test_set *set, const char *root, int direction)
{
    sky_status status = SKY_OK;
    memset(set, 0, sizeof *set);
    SKY_TRY_DONE(absolute(&set->root, root));
    for (int query_view = 0; query_view < SKY_VIEW_COUNT; query_view++) {
        const int wanted = query_view == SKY_VIEW_DRONE ? SKY_DIRECTION_DRONE_TO_SATELLITE : SKY_DIRECTION_SATELLITE_TO_DRONE;
        if (direction != SKY_DIRECTION_BOTH && direction != wanted) continue;
        SKY_TRY_DONE(open_test_folder(&set->query[query_view], set->root, "query", query_view));
        SKY_TRY_DONE(open_test_folder(&set->gallery[1 - query_view], set->root, "gallery", 1 - query_view));
    }
done:
    if (status != SKY_OK) sky_test_set_close(set);
    return status;
}

void sky_test_set_close(struct sky_test_set *set)
{
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        sky_image_set_close(&set->query[view]);
        sky_image_set_close(&set->gallery[view]);
    }
    free(set->root);
    memset(set, 0, sizeof *set);
}

enum { MAX_DEPTH = 32 };

static sky_status scan(struct growing *grow, const char *root, const char *relative, int depth)
{
    struct sky_listing listing = {0};
    char *folder = NULL;
    sky_status status = SKY_OK;
    if (depth > MAX_DEPTH) return sky_fail(SKY_DATA, relative, "folders nest deeper than %d: a loop of links?", MAX_DEPTH);
    SKY_TRY_DONE(sky_path_join(&folder, root, relative));
    SKY_TRY_DONE(add_folder(grow, root, relative, -1));
    SKY_TRY_DONE(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count && status == SKY_OK; i++) {
        char *below = NULL;
        if (!listing.entries[i].is_folder || listing.entries[i].name[0] == '.') continue;
        status = *relative ? sky_path_join(&below, relative, listing.entries[i].name) : sky_strdup(&below, listing.entries[i].name, "a path");
        if (status == SKY_OK) status = scan(grow, root, below, depth + 1);
        free(below);
    }
done:
    free(folder);
    sky_listing_free(&listing);
    return status;
}

sky_status sky_image_set_scan(struct sky_image_set *set, const char *path)
{
    struct growing grow = {.set = set};
    sky_status status = SKY_OK;
    memset(set, 0, sizeof *set);
    if (sky_path_is_file(path)) {
        status = sky_path_folder(&set->folder, path);
        if (status == SKY_OK) status = add_image(&grow, sky_path_base(path), -1);
    } else if (!sky_path_is_folder(path)) {
        status = sky_fail(SKY_DATA, path, "there is no such file or folder");
    } else {
        status = sky_strdup(&set->folder, path, "a path");
        if (status == SKY_OK) status = scan(&grow, path, "", 0);
        if (status == SKY_OK) qsort(set->paths, (size_t)set->count, sizeof *set->paths, by_name); /* labels are all -1 */
        if (status == SKY_OK && set->count == 0) status = sky_fail(SKY_DATA, path, "there is no JPEG or PNG image in this folder or below it");
    }
    if (status != SKY_OK) sky_image_set_close(set);
    return status;
}
