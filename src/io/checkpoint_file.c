/*
 * The checkpoint protocol on top of safetensors files. Owns nothing between calls; the folder's listing is the only state.
 */
#include "checkpoint_file.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/str.h"
#include "skygem/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t data_bytes(const struct sky_file_tensor *tensor)
{
    size_t bytes = sky_dtype_bytes(tensor->dtype);
    for (int d = 0; d < tensor->rank; d++) bytes *= (size_t)tensor->dim[d];
    return bytes;
}

static sky_status check_room(const char *path, size_t need_bytes)
{
    char *folder = NULL, need[32], have[32];
    size_t free_bytes = 0;
    SKY_TRY(sky_path_folder(&folder, path));
    sky_status status = sky_free_bytes(folder, &free_bytes);
    free(folder);
    SKY_TRY(status);
    if (free_bytes >= need_bytes) return SKY_OK;
    sky_print_bytes(need_bytes, need);
    sky_print_bytes(free_bytes, have);
    sky_fail(SKY_NOSPACE, path, "the disk has %s left, a checkpoint takes %s", have, need);
    return sky_hint("make room, or lower [train] keep_checkpoints; checkpoints written before are untouched");
}

sky_status sky_checkpoint_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count)
{
    struct sky_file_text *all = NULL;
    char sum[16];
    uint32_t crc = 0;
    size_t bytes = 1 << 20; /* the header */
    for (int64_t i = 0; i < count; i++) {
        crc = sky_crc32c(crc, tensors[i].data, data_bytes(&tensors[i]));
        bytes += data_bytes(&tensors[i]);
    }
    SKY_TRY(check_room(path, bytes));
    SKY_TRY(sky_alloc(&all, (size_t)text_count + 1, sizeof *all, "checkpoint metadata"));
    if (text_count) memcpy(all, texts, (size_t)text_count * sizeof *all);
    snprintf(sum, sizeof sum, "%08x", crc);
    all[text_count] = (struct sky_file_text){"crc32c", sum};
    const sky_status status = sky_safetensors_write(path, tensors, count, all, text_count + 1);
    free(all);
    return status;
}

sky_status sky_checkpoint_open(struct sky_safetensors *file, const char *path)
{
    SKY_TRY(sky_safetensors_open(file, path));
    const char *stored = sky_safetensors_text(file, "crc32c");
    char sum[16];
    snprintf(sum, sizeof sum, "%08x", sky_crc32c(0, file->data, file->data_bytes));
    if (stored && strcmp(stored, sum) == 0) return SKY_OK;
    if (stored) sky_fail(SKY_FORMAT, path, "its data are damaged: crc32c is %s, should be %s", sum, stored);
    else sky_fail(SKY_FORMAT, path, "it has no checksum: not a checkpoint of skygem");
    sky_safetensors_close(file);
    return sky_error_last()->status;
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

sky_status sky_checkpoint_find_newest(struct sky_safetensors *file, const char *folder, int64_t *step)
{
    struct sky_listing listing = {0};
    SKY_TRY(sky_folder_list(folder, &listing));
    bool found = false;
    int rejected = 0;
    for (int64_t i = listing.count - 1; i >= 0 && !found; i--) { /* names sort by step */
        char *path = NULL;
        if (!listing.entries[i].is_file || step_of(listing.entries[i].name) < 0 || sky_path_join(&path, folder, listing.entries[i].name) != SKY_OK) continue;
        found = sky_checkpoint_open(file, path) == SKY_OK;
        if (found) *step = step_of(listing.entries[i].name);
        else rejected++, sky_log(SKY_LOG_WARNING, "checkpoint left aside: %s: %s", sky_error_last()->where, sky_error_last()->what);
        free(path);
    }
    sky_listing_free(&listing);
    if (found) return SKY_OK;
    if (rejected) sky_fail(SKY_FORMAT, folder, "none of its %d checkpoints is whole", rejected);
    else sky_fail(SKY_FORMAT, folder, "there is no checkpoint here");
    return sky_hint("start the run anew without --resume");
}

/* PATH.tmp-PID left behind by a process that is gone. */
static bool is_stale_temporary(const char *name)
{
    const char *mark = strstr(name, ".tmp-");
    int64_t process;
    if (!mark || !sky_parse_int(mark + 5, &process) || process == (int64_t)getpid()) return false;
    return kill((pid_t)process, 0) != 0 && errno == ESRCH;
}

static sky_status verify_newest(const char *folder, const struct sky_listing *listing)
{
    for (int64_t i = listing->count - 1; i >= 0; i--) {
        struct sky_safetensors file = {0};
        char *path = NULL;
        if (step_of(listing->entries[i].name) < 0) continue;
        SKY_TRY(sky_path_join(&path, folder, listing->entries[i].name));
        const sky_status status = sky_checkpoint_open(&file, path);
        sky_safetensors_close(&file);
        free(path);
        return status;
    }
    return SKY_OK;
}

sky_status sky_checkpoint_prune(const char *folder, int64_t keep)
{
    struct sky_listing listing = {0};
    SKY_TRY(sky_folder_list(folder, &listing));
    sky_status status = verify_newest(folder, &listing);
    int64_t seen = 0;
    for (int64_t i = listing.count - 1; status == SKY_OK && i >= 0; i--) {
        const char *name = listing.entries[i].name;
        char *path = NULL;
        const bool old = step_of(name) >= 0 && ++seen > keep;
        if (!old && !is_stale_temporary(name)) continue;
        status = sky_path_join(&path, folder, name);
        if (status == SKY_OK && unlink(path) != 0 && errno != ENOENT) status = sky_fail_errno(path, "removing an old checkpoint");
        free(path);
    }
    sky_listing_free(&listing);
    return status;
}
