/*
 * The checkpoint protocol on top of safetensors files. Owns nothing between calls; the folder's listing is the only state.
 */
#include "checkpoint_file.h"

#include "base/memory.h"
#include "base/str.h"
#include "sealed.h"
#include "skygem/log.h"
#include "torch_file.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- one file ---- */

sky_status sky_checkpoint_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count)
{
    const sky_status status = sky_sealed_write(path, tensors, count, texts, text_count, "a checkpoint");
    return status == SKY_NOSPACE ? sky_hint("make room, or lower [train] keep_checkpoints; checkpoints written before are untouched") : status;
}

sky_status sky_checkpoint_open(struct sky_safetensors *file, const char *path)
{
    SKY_TRY(sky_safetensors_open(file, path));
    const sky_status status = sky_sealed_verify(file, true);
    if (status != SKY_OK) sky_safetensors_close(file);
    return status;
}

static sky_status refuse_torch(const char *path)
{
    struct sky_map map = {0};
    SKY_TRY(sky_map_open(&map, path));
    const bool torch = sky_torch_is(&map);
    sky_map_close(&map);
    if (!torch) return SKY_OK;
    sky_fail(SKY_FORMAT, path, "a .pth file of PyTorch, where weights under skygem's names are wanted");
    return sky_hint("skygem weights import %s -o WEIGHTS.safetensors", path);
}

sky_status sky_weights_open(struct sky_safetensors *file, const char *path)
{
    if (!sky_path_is_file(path)) {
        sky_fail(SKY_USAGE, path, "there is no such weights file");
        return sky_hint("give the path of a .safetensors file");
    }
    SKY_TRY(refuse_torch(path));
    SKY_TRY(sky_safetensors_open(file, path));
    const sky_status status = sky_sealed_is(file) ? sky_sealed_verify(file, true) : SKY_OK;
    if (status != SKY_OK) sky_safetensors_close(file);
    return status;
}

sky_status sky_checkpoint_path(char **out, const char *folder, int64_t step)
{
    char name[64];
    snprintf(name, sizeof name, "step-%09lld.safetensors", (long long)step);
    return sky_path_join(out, folder, name);
}

/* The step in "step-NNNNNNNNN.safetensors", or -1. */
static int64_t step_of(const char *name)
{
    static const char ending[] = ".safetensors";
    char digits[32];
    int64_t step;
    const size_t length = strlen(name), tail = sizeof ending - 1;
    if (strncmp(name, "step-", 5) != 0 || length <= 5 + tail || length - 5 - tail >= sizeof digits || strcmp(name + length - tail, ending) != 0) return -1;
    const char *first = name + 5;
    while (*first == '0' && first + 1 < name + length - tail) first++;
    memcpy(digits, first, (size_t)(name + length - tail - first));
    digits[name + length - tail - first] = 0;
    return sky_parse_int(digits, &step) ? step : -1;
}

/* ---- a folder of them ---- */

struct numbered {
    int64_t step;
    char *path;
};

struct series {
    struct numbered *files; /* [count] newest first */
    int64_t count;
};

static int newest_first(const void *a, const void *b)
{
    const struct numbered *left = a, *right = b;
    if (left->step != right->step) return left->step > right->step ? -1 : 1;
    return strcmp(left->path, right->path); /* "step-5" and "step-000000005" */
}

static void series_free(struct series *series)
{
    for (int64_t i = 0; i < series->count; i++) free(series->files[i].path);
    free(series->files);
    memset(series, 0, sizeof *series);
}

static sky_status series_make(struct series *out, const char *folder, const struct sky_listing *listing)
{
    struct series series = {0};
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&series.files, (size_t)listing->count, sizeof *series.files, folder));
    for (int64_t i = 0; i < listing->count; i++) {
        const int64_t step = step_of(listing->entries[i].name);
        if (step < 0 || !listing->entries[i].is_file) continue;
        series.files[series.count].step = step;
        SKY_TRY_DONE(sky_path_join(&series.files[series.count].path, folder, listing->entries[i].name));
        series.count++;
    }
    qsort(series.files, (size_t)series.count, sizeof *series.files, newest_first);
    *out = series;
    memset(&series, 0, sizeof series);
done:
    series_free(&series);
    return status;
}

static sky_status open_numbered(struct sky_safetensors *file, const struct numbered *numbered)
{
    int64_t step;
    SKY_TRY(sky_checkpoint_open(file, numbered->path));
    const char *text = sky_safetensors_text(file, "step");
    if (!text || (sky_parse_int(text, &step) && step == numbered->step)) return SKY_OK;
    sky_fail(SKY_FORMAT, numbered->path, "it is the checkpoint of step %s under another name", text);
    sky_safetensors_close(file);
    return sky_error_last()->status;
}

/* Opens the newest whole one, naming those left aside: *at is its place, or the count and the failure of the newest. */
static sky_status open_newest(struct sky_safetensors *file, const struct series *series, int64_t *at)
{
    sky_status status = SKY_OK;
    struct sky_error newest;
    for (*at = 0; *at < series->count; ++*at) {
        status = open_numbered(file, &series->files[*at]);
        if (status == SKY_OK) return SKY_OK;
        if (*at == 0) newest = *sky_error_last();
        sky_log(SKY_LOG_WARNING, "checkpoint left aside: %s: %s", sky_error_last()->where, sky_error_last()->what);
    }
    return series->count ? sky_error_set(&newest) : SKY_OK;
}

sky_status sky_checkpoint_count(const char *folder, int64_t *out)
{
    struct sky_listing listing = {0};
    *out = 0;
    if (!sky_path_is_folder(folder)) return SKY_OK;
    SKY_TRY(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count; i++) *out += listing.entries[i].is_file && step_of(listing.entries[i].name) >= 0;
    sky_listing_free(&listing);
    return SKY_OK;
}

sky_status sky_checkpoint_find_newest(struct sky_safetensors *file, const char *folder, int64_t *step)
{
    struct sky_listing listing = {0};
    struct series series = {0};
    sky_status status = SKY_OK;
    int64_t at = 0;
    SKY_TRY(sky_folder_list(folder, &listing));
    SKY_TRY_DONE(series_make(&series, folder, &listing));
    open_newest(file, &series, &at);
    if (at < series.count) {
        *step = series.files[at].step;
        goto done;
    }
    if (series.count) {
        sky_fail(SKY_FORMAT, folder, "none of its %lld checkpoints is whole", (long long)series.count);
        status = sky_hint("look at the disk; then start the run anew in another folder");
    } else {
        sky_fail(SKY_FORMAT, folder, "there is no checkpoint here");
        status = sky_hint("start the run anew without --resume");
    }
done:
    series_free(&series);
    sky_listing_free(&listing);
    return status;
}

/* Left behind by a process that is gone: step-N.safetensors.tmp-PID and the like. */
static bool is_stale_temporary(const char *name)
{
    static const char ending[] = ".safetensors.tmp-";
    const char *mark = strstr(name, ending);
    int64_t process;
    if (!mark || !sky_parse_int(mark + sizeof ending - 1, &process) || process < 1 || process > INT32_MAX) return false;
    return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static sky_status remove_file(const char *path, const char *doing)
{
    return unlink(path) != 0 && errno != ENOENT ? sky_fail_errno(path, doing) : SKY_OK;
}

static sky_status remove_stale_temporaries(const char *folder, const struct sky_listing *listing)
{
    sky_status status = SKY_OK;
    for (int64_t i = 0; i < listing->count && status == SKY_OK; i++) {
        char *path = NULL;
        if (!is_stale_temporary(listing->entries[i].name)) continue;
        SKY_TRY(sky_path_join(&path, folder, listing->entries[i].name));
        status = remove_file(path, "cannot remove a left-over file");
        free(path);
    }
    return status;
}

sky_status sky_checkpoint_prune(const char *folder, int64_t keep)
{
    struct sky_listing listing = {0};
    struct sky_safetensors file = {0};
    struct series series = {0};
    sky_status status = SKY_OK;
    int64_t at = 0, kept = 1;
    SKY_TRY(sky_folder_list(folder, &listing));
    SKY_TRY_DONE(series_make(&series, folder, &listing));
    SKY_TRY_DONE(open_newest(&file, &series, &at));
    sky_safetensors_close(&file);
    for (at++; at < series.count && kept < keep; at++) { /* the others' structure is enough: their data were read back when they were the newest */
        kept += sky_safetensors_open(&file, series.files[at].path) == SKY_OK;
        sky_safetensors_close(&file);
    }
    for (; at < series.count; at++) SKY_TRY_DONE(remove_file(series.files[at].path, "cannot remove an old checkpoint"));
    SKY_TRY_DONE(remove_stale_temporaries(folder, &listing));
done:
    series_free(&series);
    sky_listing_free(&listing);
    return status;
}
