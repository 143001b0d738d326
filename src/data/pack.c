/*
 * The decoded cache. Layout, little-endian: a header of one page; the pictures, each [size][size][3] on pages of its own; the index (a row a picture, by sorted
 * path) and the paths; the index's checksum. Made by a worker pool in path order through a temporary file; read through a map that lends its pixels.
 */
#include "pack.h"

#include "base/crc32c.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "dataset.h"
#include "skygem/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PAGE = 4096, VERSION = 1, MAX_SIZE = 16384 };
static const char magic[8] = "skypack"; /* with its NUL */

struct header {
    char magic[8];
    uint32_t version, size, exif, zero;
    uint64_t count, stride_bytes, index_offset, index_bytes; /* index_bytes: rows and paths, without the checksum behind them */
    uint32_t crc;                                            /* of all before it */
    uint32_t end;
};
struct row {
    uint64_t path_offset;  /* from the end of the rows */
    uint64_t source_bytes; /* size and checksum of the file it was decoded from: they tell when that has changed */
    uint32_t source_crc;
    uint32_t crc; /* of the pixels */
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packs are written as they lie in memory");

struct sky_pack {
    char *path;
    struct timespec made;
    struct sky_map map;
    struct header header;
    const struct row *rows; /* [count], in the map */
    const char *paths;      /* in the map, each with its NUL */
    _Atomic bool *whole;    /* [count] its pixels have been compared with their checksum */
};

static uint64_t round_up(uint64_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

/* ---- making ---- */

struct scratch {
    struct sky_image image, resized;
    struct sky_resizer resizer;
};

struct making {
    const struct sky_image_set *set;
    int size;
    struct sky_decode_options decode;
    uint64_t stride_bytes;
    uint8_t *pixels;         /* [window][stride_bytes] */
    struct row *rows;        /* [count] */
    struct scratch *scratch; /* [workers] */
    int workers;
};

static sky_status decode_one(void *context, int worker, int64_t job, int slot)
{
    struct making *making = context;
    struct scratch *scratch = making->scratch + worker;
    char *path = NULL, *bytes = NULL;
    size_t count = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&path, making->set->folder, making->set->paths[job]));
    SKY_TRY_DONE(sky_file_read(path, SKY_IMAGE_MOST_FILE_BYTES, &bytes, &count));
    making->rows[job].source_bytes = count, making->rows[job].source_crc = sky_crc32c(0, bytes, count);
    SKY_TRY_DONE(sky_image_decode((const uint8_t *)bytes, count, path, &making->decode, &scratch->image));
    SKY_TRY_DONE(sky_resize_bicubic(&scratch->resizer, &scratch->image, making->size, making->size, &scratch->resized));
    memcpy(making->pixels + (size_t)slot * making->stride_bytes, scratch->resized.pixels, (size_t)making->size * (size_t)making->size * 3);
done:
    free(path);
    free(bytes);
    return status;
}

/* Every image below root/train and root/test, by sorted path relative to the root. */
static sky_status list_images(struct sky_image_set *set, const char *root)
{
    struct sky_image_set all = {0};
    int64_t kept = 0;
    SKY_TRY(sky_image_set_scan(&all, root));
    for (int64_t i = 0; i < all.count; i++) {
        if (!strncmp(all.paths[i], "train/", 6) || !strncmp(all.paths[i], "test/", 5)) all.paths[kept++] = all.paths[i];
        else free(all.paths[i]);
    }
    all.count = kept;
    *set = all;
    if (kept > 0) return SKY_OK;
    sky_image_set_close(set);
    sky_fail(SKY_DATA, root, "no image below train or test");
    return sky_hint("give the data root: the folder that contains train and test");
}

/* Writes the decoded pictures in order; bad ones are collected, so that one run names them all. */
static sky_status write_pictures(struct making *making, struct sky_atomic_file *file, void (*progress)(void *, int64_t, int64_t), void *context)
{
    enum { NAMED = 12 };
    const int window = 4 * making->workers;
    struct sky_pool *pool = NULL;
    struct sky_text bad = {0};
    int64_t bad_count = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_pool_create(&pool, making->workers, window, 0, making->set->count, decode_one, making));
    for (int64_t i = 0; i < making->set->count; i++) {
        int64_t job;
        int slot;
        const sky_status one = sky_pool_next(pool, &job, &slot);
        if (one == SKY_DATA) {
            const struct sky_error *error = sky_error_last();
            sky_log(SKY_LOG_ERROR, "%s: %s", error->where, error->what);
            if (bad_count++ < NAMED) sky_text_format(&bad, "\n  %s: %.100s", making->set->paths[i], error->what);
            continue;
        }
        SKY_TRY_DONE(one);
        const uint8_t *pixels = making->pixels + (size_t)slot * making->stride_bytes;
        making->rows[i].crc = sky_crc32c(0, pixels, (size_t)making->size * (size_t)making->size * 3);
        if (bad_count == 0) SKY_TRY_DONE(sky_atomic_write(file, pixels, making->stride_bytes));
        sky_pool_release(pool, slot);
        if (progress) progress(context, i + 1, making->set->count);
    }
    if (bad_count > 0) {
        sky_fail(SKY_DATA, making->set->folder, "%lld of %lld images cannot be read:%s%s", (long long)bad_count, (long long)making->set->count,
                 bad.text ? bad.text : "", bad_count > NAMED ? "\n  ..." : "");
        status = sky_hint("replace or remove them; `skygem data check` lists every one");
    }
done:
    sky_pool_destroy(pool);
    sky_text_free(&bad);
    return status;
}

/* The rows' offsets and all paths behind them as one block. */
static sky_status make_index(const struct sky_image_set *set, struct row *rows, char **index, size_t *index_bytes)
{
    size_t bytes = (size_t)set->count * sizeof *rows, at = 0;
    for (int64_t i = 0; i < set->count; i++) bytes += strlen(set->paths[i]) + 1;
    SKY_TRY(sky_alloc(index, bytes, 1, "the index of a pack"));
    char *paths = *index + (size_t)set->count * sizeof *rows;
    for (int64_t i = 0; i < set->count; i++) {
        const size_t length = strlen(set->paths[i]) + 1;
        rows[i].path_offset = at;
        memcpy(paths + at, set->paths[i], length);
        at += length;
    }
    *index_bytes = bytes;
    return SKY_OK;
}

static sky_status check_room(const char *path, uint64_t bytes)
{
    char *folder = NULL, need[32], have[32];
    size_t free_bytes = SIZE_MAX;
    SKY_TRY(sky_path_folder(&folder, path));
    const sky_status status = sky_free_bytes(folder, &free_bytes);
    free(folder);
    SKY_TRY(status);
    if (bytes <= free_bytes) return SKY_OK;
    sky_print_bytes(bytes, need);
    sky_print_bytes(free_bytes, have);
    sky_fail(SKY_NOSPACE, path, "the pack needs %s, the file system has %s left", need, have);
    return sky_hint("choose a smaller --size or another disk");
}

sky_status sky_pack_make(const char *path, const char *root, int size, enum sky_exif exif, int workers,
                         void (*progress)(void *context, int64_t done, int64_t total), void *context)
{
    struct sky_image_set set = {0};
    struct making making = {.set = &set, .size = size, .decode = {.exif = exif}, .workers = workers};
    struct sky_atomic_file file = {0};
    uint8_t *page = NULL;
    char *index = NULL;
    size_t index_bytes = 0;
    sky_status status = SKY_OK;
    if (size < 1 || size > MAX_SIZE) return sky_fail(SKY_USAGE, "size", "is %d, allowed is 1 to %d", size, MAX_SIZE);
    SKY_TRY_DONE(list_images(&set, root));
    making.stride_bytes = round_up((uint64_t)size * (uint64_t)size * 3);
    SKY_TRY_DONE(sky_alloc(&making.rows, (size_t)set.count, sizeof *making.rows, "the index of a pack"));
    SKY_TRY_DONE(sky_alloc(&making.scratch, (size_t)workers, sizeof *making.scratch, "workers"));
    SKY_TRY_DONE(sky_alloc(&making.pixels, (size_t)(4 * workers), making.stride_bytes, "decoded pictures"));
    SKY_TRY_DONE(sky_alloc(&page, PAGE, 1, "a page"));
    SKY_TRY_DONE(make_index(&set, making.rows, &index, &index_bytes));
    struct header header = {
        .version = VERSION, .size = (uint32_t)size, .exif = (uint32_t)exif, .count = (uint64_t)set.count, .stride_bytes = making.stride_bytes};
    memcpy(header.magic, magic, sizeof magic);
    header.index_offset = PAGE + header.count * header.stride_bytes;
    header.index_bytes = index_bytes;
    header.crc = sky_crc32c(0, &header, offsetof(struct header, crc));
    memcpy(page, &header, sizeof header);
    SKY_TRY_DONE(check_room(path, header.index_offset + index_bytes + PAGE));
    SKY_TRY_DONE(sky_atomic_open(&file, path));
    SKY_TRY_DONE(sky_atomic_write(&file, page, PAGE));
    SKY_TRY_DONE(write_pictures(&making, &file, progress, context));
    memcpy(index, making.rows, (size_t)set.count * sizeof *making.rows);
    const uint32_t index_crc = sky_crc32c(0, index, index_bytes);
    SKY_TRY_DONE(sky_atomic_write(&file, index, index_bytes));
    SKY_TRY_DONE(sky_atomic_write(&file, &index_crc, sizeof index_crc));
    SKY_TRY_DONE(sky_atomic_commit(&file));
done:
    sky_atomic_abort(&file);
    for (int i = 0; making.scratch && i < workers; i++) {
        sky_image_free(&making.scratch[i].image);
        sky_image_free(&making.scratch[i].resized);
        sky_resizer_free(&making.scratch[i].resizer);
    }
    free(making.scratch);
    free(making.pixels);
    free(making.rows);
    free(page);
    free(index);
    sky_image_set_close(&set);
    return status;
}

/* ---- reading ---- */

static sky_status damaged(const char *path, const char *what)
{
    sky_fail(SKY_FORMAT, path, "%s", what);
    return sky_hint("make it again: skygem data pack ROOT -o %s", path);
}

static sky_status check_header(const struct sky_pack *pack)
{
    const struct header *h = &pack->header;
    uint64_t pixels_bytes, end;
    if (memcmp(h->magic, magic, sizeof magic)) return damaged(pack->path, "is not a pack of images");
    if (h->version != VERSION) return damaged(pack->path, "is a pack of another version");
    if (h->crc != sky_crc32c(0, h, offsetof(struct header, crc))) return damaged(pack->path, "its header is damaged");
    if (h->size < 1 || h->size > MAX_SIZE || h->exif > SKY_EXIF_APPLY || h->count < 1 || h->stride_bytes != round_up((uint64_t)h->size * h->size * 3))
        return damaged(pack->path, "its header contradicts itself");
    if (__builtin_mul_overflow(h->count, h->stride_bytes, &pixels_bytes) || __builtin_add_overflow(pixels_bytes, (uint64_t)PAGE, &end) ||
        end != h->index_offset || __builtin_add_overflow(end, h->index_bytes, &end) || __builtin_add_overflow(end, sizeof(uint32_t), &end) ||
        h->index_bytes / sizeof(struct row) < h->count)
        return damaged(pack->path, "its header contradicts itself");
    if (end != pack->map.count) return damaged(pack->path, end > pack->map.count ? "is cut short" : "has bytes behind its end");
    return SKY_OK;
}

static sky_status check_index(const struct sky_pack *pack)
{
    const unsigned char *index = pack->map.bytes + pack->header.index_offset;
    const uint64_t rows_bytes = pack->header.count * sizeof(struct row), paths_bytes = pack->header.index_bytes - rows_bytes;
    uint32_t crc;
    memcpy(&crc, index + pack->header.index_bytes, sizeof crc);
    if (crc != sky_crc32c(0, index, pack->header.index_bytes)) return damaged(pack->path, "its index is damaged");
    if (paths_bytes == 0 || index[pack->header.index_bytes - 1] != 0) return damaged(pack->path, "its index contradicts itself");
    for (uint64_t i = 0; i < pack->header.count; i++)
        if (pack->rows[i].path_offset >= paths_bytes ||
            (i > 0 && strcmp(pack->paths + pack->rows[i - 1].path_offset, pack->paths + pack->rows[i].path_offset) >= 0))
            return damaged(pack->path, "its index contradicts itself");
    return SKY_OK;
}

sky_status sky_pack_open(struct sky_pack **out, const char *path)
{
    struct sky_pack *pack = NULL;
    struct stat info;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&pack, 1, sizeof *pack, "a pack"));
    SKY_TRY_DONE(sky_strdup(&pack->path, path, "a path"));
    SKY_TRY_DONE(sky_map_open(&pack->map, path));
    if (!stat(path, &info)) pack->made = info.st_mtim;
    if (pack->map.count < PAGE) {
        status = damaged(path, pack->map.count == 0 ? "is empty" : "is not a pack of images");
        goto done;
    }
    memcpy(&pack->header, pack->map.bytes, sizeof pack->header);
    SKY_TRY_DONE(check_header(pack));
    pack->rows = (const struct row *)(const void *)(pack->map.bytes + pack->header.index_offset); /* a page boundary */
    pack->paths = (const char *)(pack->rows + pack->header.count);
    SKY_TRY_DONE(check_index(pack));
    SKY_TRY_DONE(sky_alloc(&pack->whole, pack->header.count, sizeof *pack->whole, "what of a pack is whole"));
    *out = pack;
    pack = NULL;
done:
    sky_pack_close(pack);
    return status;
}

void sky_pack_close(struct sky_pack *pack)
{
    if (!pack) return;
    sky_map_close(&pack->map);
    free(pack->path);
    free((void *)pack->whole);
    free(pack);
}

static const uint8_t *picture(const struct sky_pack *pack, uint64_t i) { return pack->map.bytes + PAGE + i * pack->header.stride_bytes; }

int sky_pack_size(const struct sky_pack *pack) { return (int)pack->header.size; }

int64_t sky_pack_count(const struct sky_pack *pack) { return (int64_t)pack->header.count; }

static const struct row *find_row(const struct sky_pack *pack, const char *relative_path)
{
    uint64_t low = 0, high = pack->header.count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        const int order = strcmp(relative_path, pack->paths + pack->rows[middle].path_offset);
        if (order == 0) return pack->rows + middle;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

sky_status sky_pack_read(const struct sky_pack *pack, const char *relative_path, const uint8_t **pixels)
{
    const size_t bytes = (size_t)pack->header.size * pack->header.size * 3;
    const struct row *row = find_row(pack, relative_path);
    if (!row) return sky_fail(SKY_FORMAT, pack->path, "has no %s", relative_path);
    const uint64_t i = (uint64_t)(row - pack->rows);
    *pixels = picture(pack, i);
    if (pack->whole[i]) return SKY_OK;
    if (sky_crc32c(0, *pixels, bytes) != row->crc) {
        sky_fail(SKY_FORMAT, pack->path, "the pixels of %s are damaged", relative_path);
        return sky_hint("make it again: skygem data pack ROOT -o %s", pack->path);
    }
    pack->whole[i] = true;
    return SKY_OK;
}

/* Whether a file is still the one a row was made from. Its content is only read when it is younger than the pack: a copy of a tree may be, and be the same. */
static sky_status is_unchanged(const struct sky_pack *pack, const struct row *row, const char *path, bool *unchanged)
{
    struct stat info;
    char *bytes = NULL;
    size_t count = 0;
    if (stat(path, &info)) return sky_fail_errno(path, "cannot ask for its size");
    *unchanged = (uint64_t)info.st_size == row->source_bytes;
    const bool older = info.st_mtim.tv_sec < pack->made.tv_sec || (info.st_mtim.tv_sec == pack->made.tv_sec && info.st_mtim.tv_nsec < pack->made.tv_nsec);
    if (older || !*unchanged) return SKY_OK;
    SKY_TRY(sky_file_read(path, SKY_IMAGE_MOST_FILE_BYTES, &bytes, &count));
    *unchanged = count == row->source_bytes && sky_crc32c(0, bytes, count) == row->source_crc;
    free(bytes);
    return SKY_OK;
}

sky_status sky_pack_check(const struct sky_pack *pack, const struct sky_image_set *set, const char *root, int size, enum sky_exif exif)
{
    if ((int)pack->header.size != size) {
        sky_fail(SKY_DATA, pack->path, "holds pictures of %d x %d, %d x %d are asked for", (int)pack->header.size, (int)pack->header.size, size, size);
        return sky_hint("make a pack with --size %d, or leave [data] pack empty", size);
    }
    if (pack->header.exif != (uint32_t)exif) {
        sky_fail(SKY_DATA, pack->path, "was made with exif = %s", pack->header.exif == SKY_EXIF_APPLY ? "apply" : "ignore");
        return sky_hint("make it again with the experiment's [data] exif, or change that");
    }
    for (int64_t i = 0; i < set->count; i++) {
        const struct row *row = find_row(pack, set->paths[i]);
        bool unchanged = false;
        char *path = NULL;
        if (!row) {
            sky_fail(SKY_DATA, pack->path, "does not hold %s", set->paths[i]);
            return sky_hint("the data root has changed since, or is another: skygem data pack %s -o %s", root, pack->path);
        }
        SKY_TRY(sky_path_join(&path, root, set->paths[i]));
        const sky_status status = is_unchanged(pack, row, path, &unchanged);
        free(path);
        SKY_TRY(status);
        if (unchanged) continue;
        sky_fail(SKY_DATA, pack->path, "%s has changed since the pack was made", set->paths[i]);
        return sky_hint("make it again: skygem data pack %s -o %s", root, pack->path);
    }
    return SKY_OK;
}
