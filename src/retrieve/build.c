/*
 * Makes an index: lists the tiles, finds out which are new, embeds those, places all, writes. A picture is the same as before when its size and time are, or
 * its size and content. Owns everything it gathers; holds the stored features in memory until they are written, which is what searching them takes as well.
 */
#include "build.h"

#include "base/crc32c.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "gather.h"
#include "image/image.h"
#include "sketch.h"
#include "skygem/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct work {
    struct sky_index_build *build;
    struct sky_image_set set; /* the pictures found, sorted */
    int64_t dimensions;
    size_t row_bytes;
    bool *good;    /* [set.count] its row is there */
    bool *renewed; /* its time changed, its content did not */
    int64_t *bytes, *modified, *content;
    double *latitude, *longitude, *metres;
    float *scales;
    unsigned char *values; /* [set.count][row_bytes] */
    int64_t *wanted, wanted_count;
    int64_t *path_starts;
    struct sky_text paths;
};

static sky_status allocate(struct work *w)
{
    const size_t n = (size_t)w->set.count;
    void *values;
    size_t bytes;
    if (!sky_multiply_size(n, w->row_bytes, &bytes)) return sky_fail(SKY_NOMEM, "index", "%zu tiles are too many", n);
    SKY_TRY(sky_alloc(&w->good, n, sizeof *w->good, "index"));
    SKY_TRY(sky_alloc(&w->renewed, n, sizeof *w->renewed, "index"));
    SKY_TRY(sky_alloc(&w->bytes, n, sizeof *w->bytes, "index"));
    SKY_TRY(sky_alloc(&w->modified, n, sizeof *w->modified, "index"));
    SKY_TRY(sky_alloc(&w->content, n, sizeof *w->content, "index"));
    SKY_TRY(sky_alloc(&w->latitude, n, sizeof *w->latitude, "index"));
    SKY_TRY(sky_alloc(&w->longitude, n, sizeof *w->longitude, "index"));
    SKY_TRY(sky_alloc(&w->metres, n, sizeof *w->metres, "index"));
    SKY_TRY(sky_alloc(&w->scales, n, sizeof *w->scales, "index"));
    SKY_TRY(sky_alloc(&w->wanted, n, sizeof *w->wanted, "index"));
    SKY_TRY(sky_alloc(&w->path_starts, n, sizeof *w->path_starts, "index"));
    SKY_TRY(sky_block_alloc(&values, bytes, "features of an index"));
    w->values = values;
    return SKY_OK;
}

static void work_free(struct work *w)
{
    sky_block_free(w->values, (size_t)w->set.count * w->row_bytes);
    void *const blocks[] = {w->good, w->renewed, w->bytes, w->modified, w->content, w->latitude, w->longitude, w->metres, w->scales, w->wanted, w->path_starts};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    sky_image_set_close(&w->set);
    sky_text_free(&w->paths);
}

/* ---- what is new ---- */

static sky_status read_stat(struct work *w, int64_t i, char **path)
{
    struct stat info;
    SKY_TRY(sky_path_join(path, w->build->folder, w->set.paths[i]));
    if (stat(*path, &info)) return sky_fail_errno(*path, "cannot look at it");
    w->bytes[i] = info.st_size;
    w->modified[i] = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return SKY_OK;
}

/* Read, not mapped: somebody may be writing it. */
static sky_status read_content(const char *path, int64_t *out)
{
    char *bytes = NULL;
    size_t count = 0;
    *out = 0;
    SKY_TRY(sky_file_read(path, SKY_IMAGE_MOST_FILE_BYTES, &bytes, &count));
    *out = sky_crc32c(0, bytes, count);
    free(bytes);
    return SKY_OK;
}

static void keep_row(struct work *w, int64_t i, int64_t old)
{
    const struct sky_index_table *table = &w->build->old->table;
    memcpy(w->values + (size_t)i * w->row_bytes, table->rows.values + (size_t)old * w->row_bytes, w->row_bytes);
    w->scales[i] = table->rows.scales ? table->rows.scales[old] : 1;
    w->content[i] = table->content[old];
    w->good[i] = true;
    w->build->kept++;
}

/* Both lists are sorted: one walk. *old moves on past names that come before this one; those are removed tiles. */
static sky_status compare_with_old(struct work *w, int64_t i, const char *path, int64_t *old)
{
    const struct sky_index *index = w->build->old;
    int order = 1;
    while (index && *old < index->info.tiles && (order = strcmp(sky_index_path(index, *old), w->set.paths[i])) < 0) ++*old, w->build->removed++;
    const bool known = index && *old < index->info.tiles && order == 0;
    const int64_t at = known ? (*old)++ : 0;
    if (known && index->table.bytes[at] == w->bytes[i] && index->table.modified[at] == w->modified[i]) return keep_row(w, i, at), SKY_OK;
    if (read_content(path, &w->content[i]) == SKY_OK && known && index->table.bytes[at] == w->bytes[i] && index->table.content[at] == w->content[i]) {
        w->renewed[i] = true;
        return keep_row(w, i, at), SKY_OK;
    }
    w->wanted[w->wanted_count++] = i; /* a file that cannot be read fails where it is decoded */
    return SKY_OK;
}

static sky_status find_new(struct work *w)
{
    int64_t old = 0;
    for (int64_t i = 0; i < w->set.count; i++) {
        char *path = NULL;
        sky_status status = read_stat(w, i, &path);
        if (status == SKY_OK) status = compare_with_old(w, i, path, &old);
        free(path);
        SKY_TRY(status);
    }
    if (w->build->old) w->build->removed += w->build->old->info.tiles - old;
    return SKY_OK;
}

/* ---- rows ---- */

static sky_status take(void *context, int64_t picture, const float *feature)
{
    struct work *w = context;
    sky_row_encode(w->build->store, feature, w->dimensions, w->values + (size_t)picture * w->row_bytes, &w->scales[picture]);
    w->good[picture] = true;
    w->build->embedded++;
    return SKY_OK;
}

static bool show(void *context, int64_t done, int64_t total)
{
    const struct work *w = context;
    return !w->build->progress || w->build->progress(w->build->context, done, total);
}

static sky_status embed_new(struct work *w)
{
    struct sky_gather gather = {.encoder = w->build->encoder,
                                .root = w->build->folder,
                                .paths = w->set.paths,
                                .count = w->set.count,
                                .wanted = w->wanted,
                                .wanted_count = w->wanted_count,
                                .exif = w->build->exif,
                                .skip_bad = w->build->skip_bad,
                                .take = take,
                                .progress = show,
                                .context = w};
    SKY_TRY(sky_gather_run(&gather));
    w->build->skipped = gather.skipped;
    return SKY_OK;
}

/* Brings the good rows together and joins their paths. */
static sky_status compact(struct work *w)
{
    int64_t to = 0;
    for (int64_t i = 0; i < w->set.count; i++) {
        if (!w->good[i]) continue;
        memmove(w->values + (size_t)to * w->row_bytes, w->values + (size_t)i * w->row_bytes, w->row_bytes);
        w->scales[to] = w->scales[i], w->bytes[to] = w->bytes[i], w->modified[to] = w->modified[i], w->content[to] = w->content[i];
        w->latitude[to] = w->latitude[i], w->longitude[to] = w->longitude[i], w->metres[to] = w->metres[i];
        w->path_starts[to] = (int64_t)w->paths.length;
        w->build->located += !isnan(w->latitude[i]);
        sky_text_append_bytes(&w->paths, w->set.paths[i], strlen(w->set.paths[i]) + 1);
        to++;
    }
    w->build->tiles = to;
    return sky_text_status(&w->paths, "paths of an index");
}

/* The old index's tiles, all of them, at the same places: what a margin depends on. */
static bool same_tiles(const struct work *w)
{
    const struct sky_index_build *build = w->build;
    const struct sky_index_table *table = &build->old->table;
    const size_t bytes = (size_t)build->tiles * sizeof(double);
    return !build->embedded && !build->removed && build->tiles == build->old->info.tiles && build->place_radius == build->old->texts.place_radius &&
           !memcmp(table->latitude, w->latitude, bytes) && !memcmp(table->longitude, w->longitude, bytes);
}

static bool same_as_old(const struct work *w, const struct sky_index_texts *texts)
{
    const struct sky_index *old = w->build->old;
    if (!old || !same_tiles(w) || w->build->sketch != old->info.sketch) return false;
    for (int64_t i = 0; i < w->set.count; i++)
        if (w->renewed[i]) return false;
    return !memcmp(old->table.metres_per_pixel, w->metres, (size_t)w->build->tiles * sizeof(double)) && !strcmp(old->texts.geo, texts->geo) &&
           !strcmp(old->texts.root, texts->root) && !strcmp(old->texts.weights, texts->weights);
}

/* A margin means something else among other tiles, or where other tiles are one place. */
static const char *still_calibrated(const struct work *w)
{
    const struct sky_index_build *build = w->build;
    if (!build->old || !build->old->texts.calibration) return NULL;
    if (same_tiles(w)) return build->old->texts.calibration;
    sky_log(SKY_LOG_WARNING, "%s: the calibration was fitted to other tiles or places and is dropped; fit it again: skygem locate INDEX --calibrate PHOTOS.csv",
            build->output);
    return NULL;
}

/* Drops the comments, in place: where each value came from would make equal indices differ. */
static void drop_comments(char *text)
{
    char *to = text;
    for (const char *at = text; *at;) {
        const size_t length = strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n');
        if (*at != ';' && *at != '\n') memmove(to, at, length), to += length;
        at += length;
    }
    *to = 0;
}

static sky_status write_index(struct work *w)
{
    struct sky_index_build *build = w->build;
    char *experiment = NULL, *root = NULL, *table = NULL;
    struct sky_sketch sketch = {.axes = NULL};
    sky_status status = SKY_OK;
    if (!(root = realpath(build->folder, NULL)) || (build->table && !(table = realpath(build->table, NULL)))) {
        status = sky_fail_errno(root ? build->table : build->folder, "cannot resolve");
        goto done;
    }
    SKY_TRY_DONE(sky_config_text(sky_encoder_config(build->encoder), &experiment));
    drop_comments(experiment);
    const struct sky_index_texts texts = {.model = sky_encoder_model(build->encoder),
                                          .weights = sky_encoder_weights(build->encoder),
                                          .experiment = experiment,
                                          .root = root,
                                          .exif = build->exif == SKY_EXIF_APPLY ? "apply" : "ignore",
                                          .geo = table ? table : sky_geo_source_name(build->geo),
                                          .place_radius = build->place_radius,
                                          .calibration = NULL};
    build->unchanged = same_as_old(w, &texts);
    if (build->unchanged) goto done;
    struct sky_index_texts all = texts;
    all.calibration = still_calibrated(w);
    const struct sky_rows_stored features = {build->store, build->tiles, w->dimensions, w->values, w->scales};
    if (build->sketch) SKY_TRY_DONE(sky_sketch_make(&sketch, &features, build->sketch, sky_thread_count_default()));
    const struct sky_index_table rows = {.rows = features,
                                         .sketches = sketch.rows,
                                         .sketch_axes = sketch.axes,
                                         .latitude = w->latitude,
                                         .longitude = w->longitude,
                                         .metres_per_pixel = w->metres,
                                         .bytes = w->bytes,
                                         .modified = w->modified,
                                         .content = w->content,
                                         .path_starts = w->path_starts,
                                         .paths = w->paths.text,
                                         .paths_bytes = (int64_t)w->paths.length};
    if (build->old) SKY_TRY_DONE(sky_index_check_current(build->old));
    status = sky_index_write(build->output, &rows, &all);
done:
    sky_sketch_free(&sketch);
    free(experiment);
    free(root);
    free(table);
    return status;
}

sky_status sky_index_build(struct sky_index_build *build)
{
    struct work w = {.build = build, .dimensions = sky_encoder_dimensions(build->encoder)};
    char bytes[32];
    sky_status status = SKY_OK;
    build->tiles = build->located = build->kept = build->embedded = build->removed = build->skipped = 0;
    if (!sky_path_is_folder(build->folder)) {
        sky_fail(SKY_DATA, build->folder, "there is no such folder of tiles");
        return sky_hint("give a folder that holds pictures, at any depth");
    }
    SKY_TRY(sky_atomic_probe(build->output));
    SKY_TRY(sky_image_set_scan(&w.set, build->folder));
    if (build->sketch > w.dimensions)
        SKY_TRY_DONE(sky_fail(SKY_USAGE, "--sketch", "%lld numbers a tile cannot be, of features of %lld", (long long)build->sketch, (long long)w.dimensions));
    w.row_bytes = sky_store_row_bytes(build->store, w.dimensions);
    const size_t memory = sky_index_memory_bytes(build->store, w.set.count, w.dimensions, build->sketch);
    sky_print_bytes(memory, bytes);
    sky_log(SKY_LOG_INFO, "%lld tiles, %lld dimensions in %s: searching them takes %s of memory", (long long)w.set.count, (long long)w.dimensions,
            sky_store_name(build->store), bytes);
    SKY_TRY_DONE(sky_index_check_memory(build->output, memory));
    SKY_TRY_DONE(allocate(&w));
    const struct sky_places places = {build->folder, w.set.paths, w.set.count, w.latitude, w.longitude, w.metres};
    SKY_TRY_DONE(sky_places_find(&places, build->geo, build->table)); /* before the long part: a wrong table is said at once */
    SKY_TRY_DONE(find_new(&w));
    SKY_TRY_DONE(embed_new(&w));
    SKY_TRY_DONE(compact(&w));
    if (!build->tiles) SKY_TRY_DONE(sky_fail(SKY_DATA, build->folder, "none of its %lld pictures can be read", (long long)w.set.count));
    SKY_TRY_DONE(write_index(&w));
done:
    work_free(&w);
    return status;
}
