/*
 * Data folders as training and test tables: class indices, labels, what is empty or odd. Reads names, never pixels. The tables own all they point to.
 */
#include "dataset.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "image/file_kind.h"
#include "image/image.h"
#include "scan.h"
#include "skygem/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Folders below the root, by view. */
struct parts {
    char train[SKY_VIEW_COUNT][64], query[SKY_VIEW_COUNT][64], gallery[SKY_VIEW_COUNT][64];
};

static void name_parts(const struct sky_layout *layout, struct parts *out)
{
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        snprintf(out->train[view], sizeof out->train[view], "%s/%s", layout->train, sky_view_name(view));
        snprintf(out->query[view], sizeof out->query[view], "%s/query_%s", layout->test, sky_view_name(view));
        snprintf(out->gallery[view], sizeof out->gallery[view], "%s/gallery_%s", layout->test, sky_view_name(view));
    }
}

void sky_image_set_close(struct sky_image_set *set)
{
    free(set->folder);
    sky_names_free(set->paths, set->count);
    free(set->labels);
    memset(set, 0, sizeof *set);
}

/* Says once a folder what is in it but not used; with no image at all that is why. */
static sky_status report_oddities(const struct sky_class_scan *scan, const char *root, const char *part)
{
    char where[900];
    snprintf(where, sizeof where, "%s/%s", root, part);
    if (scan->count > 0) {
        if (scan->unreadable > 0)
            sky_log(SKY_LOG_WARNING, "%s: %lld images in formats that are not read, like %s, are left out; read are %s", where, (long long)scan->unreadable,
                    scan->unreadable_example, sky_image_formats());
        if (scan->loose > 0)
            sky_log(SKY_LOG_WARNING, "%s: %lld images lie beside the class folders, like %s, and are left out", where, (long long)scan->loose,
                    scan->loose_example);
        return SKY_OK;
    }
    if (scan->unreadable > 0) {
        sky_fail(SKY_DATA, where, "all %lld images are in formats that are not read, like %s", (long long)scan->unreadable, scan->unreadable_example);
        return sky_hint("convert them to PNG; read are %s", sky_image_formats());
    }
    if (scan->loose > 0) {
        sky_fail(SKY_DATA, where, "the images lie in this folder itself, like %s", scan->loose_example);
        return sky_hint("give each place a folder of its own: %s/0001/IMAGE.jpg", part);
    }
    sky_fail(SKY_DATA, where, scan->class_count ? "no image in any of its %lld class folders" : "no class folder and no image", (long long)scan->class_count);
    return sky_hint("images end in .jpg, .jpeg or .png and lie in a folder a place: %s/0001/IMAGE.jpg", part);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Index of a name in a sorted table, -1 when absent. */
static int64_t find_name(char *const *names, int64_t count, const char *name)
{
    char *const *found = count ? bsearch(&name, names, (size_t)count, sizeof *names, compare_names) : NULL;
    return found ? found - names : -1;
}

/* A place of another view that the first does not have has no index: refused, since its images would be lost unseen. */
static sky_status foreign_class(const struct sky_train_set *set, const struct parts *parts, int view, const char *name)
{
    char where[900];
    const char *part = parts->train[view], *first = parts->train[set->active.list[0]];
    snprintf(where, sizeof where, "%s/%s/%s", set->root, part, name);
    for (int64_t i = 0; i < set->class_count; i++) {
        if (strcasecmp(set->class_names[i], name)) continue;
        sky_fail(SKY_DATA, where, "differs only in case from %s in %s", set->class_names[i], first);
        return sky_hint("give the place's folder one spelling in all views");
    }
    sky_fail(SKY_DATA, where, "%s has no folder of this name", first);
    return sky_hint("every place of %s needs a folder in %s too; it may be empty", part, first);
}

/* Moves a view's scan into the set: images grouped by the set's class index. */
static sky_status fill_view(struct sky_train_set *set, const struct parts *parts, int view, struct sky_class_scan *scan)
{
    struct sky_image_set *images = set->views + view;
    SKY_TRY(sky_path_join(&images->folder, set->root, parts->train[view]));
    SKY_TRY(sky_alloc(&images->paths, (size_t)scan->count, sizeof *images->paths, "image table"));
    SKY_TRY(sky_alloc(&images->labels, (size_t)scan->count, sizeof *images->labels, "image table"));
    SKY_TRY(sky_alloc(&set->first[view], (size_t)set->class_count + 1, sizeof *set->first[view], "class table"));
    /* Both tables are sorted, so a walk over the folders meets the classes in order. */
    int64_t class = 0;
    for (int64_t folder = 0; folder < scan->class_count; folder++) {
        const int64_t index = find_name(set->class_names, set->class_count, scan->classes[folder]);
        if (index < 0) return foreign_class(set, parts, view, scan->classes[folder]);
        while (class <= index) set->first[view][class ++] = images->count;
        for (int64_t i = scan->first[folder]; i < scan->first[folder + 1]; i++) {
            images->paths[images->count] = scan->paths[i];
            scan->paths[i] = NULL;
            images->labels[images->count++] = (int32_t)index;
        }
    }
    while (class <= set->class_count) set->first[view][class ++] = images->count;
    return SKY_OK;
}

/* A line a view that lacks places; how many lack any view. */
static void count_empty(struct sky_train_set *set, const struct parts *parts)
{
    int64_t lacking[SKY_VIEW_COUNT] = {0};
    const char *example[SKY_VIEW_COUNT] = {NULL};
    for (int64_t class = 0; class < set->class_count; class ++) {
        bool empty = false;
        for (int v = 0; v < set->active.count; v++) {
            const int view = set->active.list[v];
            if (set->first[view][class + 1] > set->first[view][class]) continue;
            if (lacking[view]++ == 0) example[view] = set->class_names[class];
            empty = true;
        }
        set->empty_class_count += empty;
    }
    for (int view = 0; view < SKY_VIEW_COUNT; view++)
        if (lacking[view])
            sky_log(SKY_LOG_WARNING, "%s/%s: %lld of %lld places, %s the first, have no image in this view; they keep their class index", set->root,
                    parts->train[view], (long long)lacking[view], (long long)set->class_count, example[view]);
}

sky_status sky_train_set_open_for(struct sky_train_set *set, const struct sky_config *config)
{
    struct sky_layout layout;
    SKY_TRY(sky_layout_for_training(config, &layout));
    return sky_train_set_open(set, config->data.root, &layout, &config->data.views);
}

static sky_status no_common_place(const struct sky_train_set *set, const struct parts *parts)
{
    struct sky_text list = {0}; /* "train/satellite and train/drone" */
    for (int v = 0; v < set->active.count; v++) {
        sky_text_separate(&list, v, set->active.count, " and ");
        sky_text_append(&list, parts->train[set->active.list[v]]);
    }
    const sky_status status = sky_text_status(&list, "names of folders");
    if (status == SKY_OK) sky_fail(SKY_DATA, set->root, "no place has an image in %s%s", set->active.count == 2 ? "both " : "", list.text);
    sky_text_free(&list);
    if (status != SKY_OK) return status;
    return sky_hint("a place's folder has the same name in every view");
}

sky_status sky_train_set_open(struct sky_train_set *set, const char *root, const struct sky_layout *layout, const struct sky_views *views)
{
    struct parts parts;
    struct sky_class_scan scans[SKY_VIEW_COUNT] = {0};
    struct sky_train_set made = {.active = *views};
    sky_status status = SKY_OK;
    name_parts(layout, &parts);
    SKY_TRY_DONE(sky_scan_root(&made.root, root));
    for (int v = 0; v < views->count; v++) {
        const int view = views->list[v];
        SKY_TRY_DONE(sky_class_scan(&scans[view], made.root, parts.train[view]));
        SKY_TRY_DONE(report_oddities(&scans[view], made.root, parts.train[view]));
    }
    const struct sky_class_scan *first = &scans[views->list[0]]; /* a view without images failed above */
    SKY_TRY_DONE(sky_names_copy(first->classes, first->class_count, &made.class_names, &made.class_count));
    if (made.class_count > INT32_MAX) {
        status = sky_fail(SKY_DATA, made.root, "%lld places are more than labels can count", (long long)made.class_count);
        goto done;
    }
    for (int v = 0; v < views->count; v++) SKY_TRY_DONE(fill_view(&made, &parts, views->list[v], &scans[views->list[v]]));
    count_empty(&made, &parts);
    if (made.empty_class_count == made.class_count) {
        status = no_common_place(&made, &parts);
        goto done;
    }
    *set = made;
    memset(&made, 0, sizeof made);
done:
    sky_train_set_close(&made);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) sky_class_scan_free(&scans[view]);
    return status;
}

void sky_train_set_close(struct sky_train_set *set)
{
    free(set->root);
    sky_names_free(set->class_names, set->class_count);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        sky_image_set_close(&set->views[view]);
        free(set->first[view]);
    }
    memset(set, 0, sizeof *set);
}

/* ---- test sets ---- */

static sky_status open_test_part(struct sky_image_set *set, const char *root, const char *part)
{
    struct sky_class_scan scan = {0};
    sky_status status = SKY_OK;
    int64_t empty = 0, number = 0;
    SKY_TRY_DONE(sky_class_scan(&scan, root, part));
    SKY_TRY_DONE(report_oddities(&scan, root, part));
    SKY_TRY_DONE(sky_path_join(&set->folder, root, part));
    SKY_TRY_DONE(sky_alloc(&set->labels, (size_t)scan.count, sizeof *set->labels, "image table"));
    for (int64_t class = 0; class < scan.class_count; class ++) {
        if (!sky_parse_int(scan.classes[class], &number) || number < -1 || number > INT32_MAX) {
            char where[900];
            snprintf(where, sizeof where, "%s/%s", set->folder, scan.classes[class]);
            sky_fail(SKY_DATA, where, "a test folder's name is its label, so it must be a whole number (-1 marks images to leave out of the ranking)");
            status = sky_hint("rename the folder, the same in query and gallery");
            goto done;
        }
        if (scan.first[class + 1] == scan.first[class]) empty++;
        for (int64_t i = scan.first[class]; i < scan.first[class + 1]; i++) set->labels[i] = (int32_t)number;
    }
    if (empty > 0) sky_log(SKY_LOG_WARNING, "%s: %lld of %lld folders have no image", set->folder, (long long)empty, (long long)scan.class_count);
    set->paths = scan.paths, set->count = scan.count;
    scan.paths = NULL, scan.count = 0;
done:
    sky_class_scan_free(&scan);
    return status;
}

sky_status sky_test_set_open(struct sky_test_set *set, const char *root, const struct sky_layout *layout, int direction)
{
    struct parts parts;
    struct sky_test_set made = {0};
    sky_status status = SKY_OK;
    name_parts(layout, &parts);
    SKY_TRY_DONE(sky_scan_root(&made.root, root));
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        const int query = sky_direction_query(d), gallery = sky_direction_gallery(d);
        if (!sky_direction_has(direction, d)) continue;
        if (!made.query[query].folder) SKY_TRY_DONE(open_test_part(&made.query[query], made.root, parts.query[query]));
        if (!made.gallery[gallery].folder) SKY_TRY_DONE(open_test_part(&made.gallery[gallery], made.root, parts.gallery[gallery]));
    }
    *set = made;
    memset(&made, 0, sizeof made);
done:
    sky_test_set_close(&made);
    return status;
}

void sky_test_set_close(struct sky_test_set *set)
{
    free(set->root);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        sky_image_set_close(&set->query[view]);
        sky_image_set_close(&set->gallery[view]);
    }
    memset(set, 0, sizeof *set);
}

/* ---- any images ---- */

enum { MAX_DEPTH = 32 };

static sky_status scan_below(struct sky_image_set *set, int64_t *capacity, const char *below, int depth, int64_t *unreadable)
{
    struct sky_listing entries = {0};
    struct sky_text folder = {0};
    sky_status status = SKY_OK;
    sky_text_format(&folder, "%s%s%s", set->folder, below[0] ? "/" : "", below);
    SKY_TRY_DONE(sky_text_status(&folder, "a path"));
    if (depth > MAX_DEPTH) {
        status = sky_fail(SKY_DATA, folder.text, "folders lie more than %d deep; is a link leading back?", MAX_DEPTH);
        goto done;
    }
    SKY_TRY_DONE(sky_folder_list(folder.text, &entries));
    for (int64_t i = 0; i < entries.count; i++) {
        const struct sky_entry *entry = entries.entries + i;
        const enum sky_file_kind kind = sky_file_kind(entry->name);
        if (entry->name[0] == '.') continue;
        if (entry->is_file && kind == SKY_FILE_UNREADABLE_IMAGE) ++*unreadable;
        if (!entry->is_folder && !(entry->is_file && kind == SKY_FILE_IMAGE)) continue;
        struct sky_text path = {0};
        sky_text_format(&path, "%s%s%s", below, below[0] ? "/" : "", entry->name);
        status = sky_text_status(&path, "a path");
        if (status == SKY_OK && entry->is_folder) status = scan_below(set, capacity, path.text, depth + 1, unreadable);
        else if (status == SKY_OK) status = sky_grow(&set->paths, set->count, capacity, sizeof *set->paths, "image table");
        if (status == SKY_OK && !entry->is_folder) set->paths[set->count++] = path.text, path.text = NULL;
        sky_text_free(&path);
        if (status != SKY_OK) goto done;
    }
done:
    sky_listing_free(&entries);
    sky_text_free(&folder);
    return status;
}

sky_status sky_image_set_scan(struct sky_image_set *set, const char *path)
{
    struct sky_image_set made = {0};
    char *resolved = NULL;
    int64_t capacity = 0, unreadable = 0;
    sky_status status = SKY_OK;
    if (!(resolved = realpath(path, NULL)) && (errno == ENOENT || errno == ENOTDIR)) {
        sky_fail(SKY_DATA, path, "there is no such file or folder");
        return sky_hint("give an image, or a folder with images in it or below");
    }
    if (!resolved) return sky_fail_errno(path, "cannot find it");
    if (sky_path_is_folder(resolved)) {
        made.folder = resolved;
        resolved = NULL;
        SKY_TRY_DONE(scan_below(&made, &capacity, "", 0, &unreadable));
        if (made.count == 0) {
            sky_fail(SKY_DATA, path, unreadable ? "its %lld images are in formats that are not read" : "no image in it or below", (long long)unreadable);
            status = sky_hint("their names end in .jpg, .jpeg, .png, .tif or .tiff; read are %s", sky_image_formats());
            goto done;
        }
        if (unreadable > 0)
            sky_log(SKY_LOG_WARNING, "%s: %lld images in formats that are not read are left out; read are %s", path, (long long)unreadable, sky_image_formats());
        qsort(made.paths, (size_t)made.count, sizeof *made.paths, compare_names);
    } else { /* a file named by hand is read whatever its name: the content decides */
        SKY_TRY_DONE(sky_path_folder(&made.folder, resolved));
        SKY_TRY_DONE(sky_alloc(&made.paths, 1, sizeof *made.paths, "image table"));
        SKY_TRY_DONE(sky_strdup(&made.paths[0], sky_path_base(resolved), "a path"));
        made.count = 1;
    }
    SKY_TRY_DONE(sky_alloc(&made.labels, (size_t)made.count, sizeof *made.labels, "image table"));
    for (int64_t i = 0; i < made.count; i++) made.labels[i] = -1;
    *set = made;
    memset(&made, 0, sizeof made);
done:
    sky_image_set_close(&made);
    free(resolved);
    return status;
}
