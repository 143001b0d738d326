/*
 * Folders to sorted tables of names, with the oddities of published trees: empty class folders, extensions in any case, formats that are not read,
 * stray files. Opens no image. Everything found is the caller's.
 */
#include "scan.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "image/file_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sky_names_free(char **names, int64_t count)
{
    for (int64_t i = 0; i < count; i++) free(names[i]);
    free(names);
}

sky_status sky_names_copy(char *const *from, int64_t from_count, char ***names, int64_t *count)
{
    *count = 0;
    SKY_TRY(sky_alloc(names, (size_t)from_count, sizeof **names, "names"));
    for (; *count < from_count; ++*count) SKY_TRY(sky_strdup(*names + *count, from[*count], "a name"));
    return SKY_OK;
}

void sky_class_scan_free(struct sky_class_scan *scan)
{
    sky_names_free(scan->classes, scan->class_count);
    sky_names_free(scan->paths, scan->count);
    free(scan->first);
    free(scan->unreadable_example);
    free(scan->loose_example);
    memset(scan, 0, sizeof *scan);
}

/* part, "/", then up to two more names joined by '/'. */
static sky_status join(char **out, const char *part, const char *folder, const char *name)
{
    struct sky_text path = {0};
    sky_text_format(&path, "%s/%s%s%s", part, folder, name ? "/" : "", name ? name : "");
    SKY_TRY(sky_text_status(&path, part));
    *out = path.text;
    return SKY_OK;
}

static sky_status add_name(char ***names, int64_t *count, int64_t *capacity, char *name)
{
    const sky_status status = sky_grow(names, *count, capacity, sizeof **names, "file names");
    if (status != SKY_OK) free(name);
    else (*names)[(*count)++] = name;
    return status;
}

static sky_status note(int64_t *count, char **example, const char *part, const char *folder, const char *name)
{
    if ((*count)++ > 0) return SKY_OK;
    return join(example, part, folder, name);
}

static sky_status scan_class(struct sky_class_scan *scan, int64_t *capacity, const char *root, const char *part, const char *name)
{
    struct sky_listing files = {0};
    struct sky_text folder = {0};
    sky_status status = SKY_OK;
    sky_text_format(&folder, "%s/%s/%s", root, part, name);
    SKY_TRY_DONE(sky_text_status(&folder, part));
    SKY_TRY_DONE(sky_folder_list(folder.text, &files));
    for (int64_t i = 0; i < files.count; i++) {
        char *path = NULL;
        if (!files.entries[i].is_file) continue;
        switch (sky_file_kind(files.entries[i].name)) {
        case SKY_FILE_IMAGE:
            SKY_TRY_DONE(join(&path, part, name, files.entries[i].name));
            SKY_TRY_DONE(add_name(&scan->paths, &scan->count, capacity, path));
            break;
        case SKY_FILE_UNREADABLE_IMAGE: SKY_TRY_DONE(note(&scan->unreadable, &scan->unreadable_example, part, name, files.entries[i].name)); break;
        case SKY_FILE_OTHER: break;
        }
    }
done:
    sky_listing_free(&files);
    sky_text_free(&folder);
    return status;
}

sky_status sky_class_scan(struct sky_class_scan *scan, const char *root, const char *part)
{
    struct sky_listing entries = {0};
    char *folder = NULL;
    int64_t class_capacity = 0, path_capacity = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&folder, root, part));
    if (!sky_path_is_folder(folder)) {
        status = sky_scan_missing(root, part);
        goto done;
    }
    SKY_TRY_DONE(sky_folder_list(folder, &entries));
    SKY_TRY_DONE(sky_alloc(&scan->first, (size_t)entries.count + 1, sizeof *scan->first, "class table"));
    for (int64_t i = 0; i < entries.count; i++) {
        const struct sky_entry *entry = entries.entries + i;
        char *name = NULL;
        if (entry->is_file && sky_file_kind(entry->name) == SKY_FILE_IMAGE) SKY_TRY_DONE(note(&scan->loose, &scan->loose_example, part, entry->name, NULL));
        if (!entry->is_folder || entry->name[0] == '.') continue;
        SKY_TRY_DONE(sky_strdup(&name, entry->name, "class name"));
        SKY_TRY_DONE(add_name(&scan->classes, &scan->class_count, &class_capacity, name));
        SKY_TRY_DONE(scan_class(scan, &path_capacity, root, part, entry->name));
        scan->first[scan->class_count] = scan->count;
    }
done:
    free(folder);
    sky_listing_free(&entries);
    return status;
}

sky_status sky_scan_folders(const char *root, const char *part, char ***names, int64_t *count)
{
    struct sky_listing entries = {0};
    char *folder = NULL, **found = NULL;
    int64_t found_count = 0, capacity = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&folder, root, part));
    if (sky_path_is_folder(folder)) SKY_TRY_DONE(sky_folder_list(folder, &entries));
    for (int64_t i = 0; i < entries.count; i++) {
        char *name = NULL;
        if (!entries.entries[i].is_folder || entries.entries[i].name[0] == '.') continue;
        SKY_TRY_DONE(sky_strdup(&name, entries.entries[i].name, "folder name"));
        SKY_TRY_DONE(add_name(&found, &found_count, &capacity, name));
    }
    *names = found, *count = found_count;
    found = NULL, found_count = 0;
done:
    sky_names_free(found, found_count);
    sky_listing_free(&entries);
    free(folder);
    return status;
}

static bool has_folder(const char *root, const char *name)
{
    char *path = NULL;
    if (sky_path_join(&path, root, name) != SKY_OK) return false;
    const bool there = sky_path_is_folder(path);
    free(path);
    return there;
}

/* What to do when a root is not one: say where it seems to be, else how one looks. */
static sky_status advise(const char *root)
{
    const char *base = sky_path_base(root);
    if (has_folder(root, "drone") || has_folder(root, "satellite") || has_folder(root, "query_drone") || !strcmp(base, "train") || !strcmp(base, "test"))
        return sky_hint("give the folder above it, the one that contains train and test");
    if (has_folder(root, "University-Release")) return sky_hint("give %s/University-Release", root);
    if (has_folder(root, "University-1652")) return sky_hint("give %s/University-1652", root);
    return sky_hint("a data root contains train/{satellite,drone}/PLACE/IMAGE and test/{query,gallery}_{satellite,drone}/NUMBER/IMAGE");
}

sky_status sky_scan_missing(const char *root, const char *part)
{
    char where[900];
    snprintf(where, sizeof where, "%s/%s", root, part);
    sky_fail(SKY_DATA, where, sky_path_is_file(where) ? "is a file where a folder is needed" : "this folder is missing");
    return advise(root);
}

sky_status sky_scan_root(char **out, const char *root)
{
    if (!root || !root[0]) {
        sky_fail(SKY_DATA, "data root", "none is given");
        return sky_hint("set [data] root, or --set data.root=DIR");
    }
    if (!sky_path_is_folder(root)) {
        sky_fail(SKY_DATA, root, sky_path_is_file(root) ? "is a file, not a data folder" : "this data folder is not there");
        return sky_hint("a data root contains train/{satellite,drone}/PLACE/IMAGE and test/{query,gallery}_{satellite,drone}/NUMBER/IMAGE");
    }
    char *resolved = realpath(root, NULL);
    if (!resolved) return sky_fail_errno(root, "cannot resolve the path");
    *out = resolved;
    return SKY_OK;
}
