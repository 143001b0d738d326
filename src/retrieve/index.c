/*
 * Opening, checking and writing index files. Trusts nothing in a file: every array's type and length, every path's end. An open index owns its map; its arrays
 * point into it.
 */
#include "index.h"

#include "base/memory.h"
#include "base/str.h"
#include "encoder.h"
#include "io/sealed.h"
#include "skygem/skygem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT "skygem index 1"

static const enum sky_dtype store_types[SKY_STORE_COUNT] = {SKY_F32, SKY_F16, SKY_U8};

static sky_status refuse(const struct sky_index *index, const char *what, const char *name)
{
    sky_fail(SKY_FORMAT, index->file.path, "%s '%s': the index is damaged", what, name);
    return sky_hint("make it again with skygem index");
}

/* An array of count (times `columns` when that is not 0) elements. */
static sky_status find(const struct sky_index *index, const char *name, enum sky_dtype dtype, int64_t count, int64_t columns,
                       void *out /* a pointer of any type */)
{
    const struct sky_file_tensor *tensor = sky_safetensors_find(&index->file, name);
    if (!tensor) return refuse(index, "it lacks", name);
    if (tensor->dtype != dtype || tensor->rank != 1 + (columns > 0) || tensor->dim[0] != count || (columns && tensor->dim[1] != columns))
        return refuse(index, "it has another shape or type than it should:", name);
    if ((uintptr_t)tensor->data % sky_dtype_bytes(dtype)) return refuse(index, "it lies askew:", name);
    memcpy(out, &tensor->data, sizeof tensor->data);
    return SKY_OK;
}

static sky_status find_text(const struct sky_index *index, const char *key, const char **out)
{
    *out = sky_safetensors_text(&index->file, key);
    return *out ? SKY_OK : refuse(index, "it does not say", key);
}

static sky_status read_texts(struct sky_index *index)
{
    struct sky_index_texts *texts = &index->texts;
    const char *radius;
    SKY_TRY(find_text(index, "model", &texts->model));
    SKY_TRY(find_text(index, "weights", &texts->weights));
    SKY_TRY(find_text(index, "experiment", &texts->experiment));
    SKY_TRY(find_text(index, "root", &texts->root));
    SKY_TRY(find_text(index, "exif", &texts->exif));
    SKY_TRY(find_text(index, "geo", &texts->geo));
    SKY_TRY(find_text(index, "place_radius", &radius));
    if (!sky_parse_double(radius, &texts->place_radius)) return refuse(index, "it has no number as", "place_radius");
    texts->calibration = sky_safetensors_text(&index->file, "calibration");
    long long queries = 0, right = 0;
    if (texts->calibration && sscanf(texts->calibration, "%lf %lf %lld %lld", &index->info.offset, &index->info.slope, &queries, &right) != 4)
        return refuse(index, "it cannot be read:", "calibration");
    index->info.calibrated = texts->calibration != NULL;
    index->info.calibration_queries = queries, index->info.calibration_right = right;
    return SKY_OK;
}

/* Sketches are there as a whole or not at all. */
static sky_status read_sketches(struct sky_index *index)
{
    struct sky_index_table *table = &index->table;
    const struct sky_file_tensor *axes = sky_safetensors_find(&index->file, "sketch_axes");
    if (!axes) return SKY_OK;
    if (axes->rank != 2 || axes->dim[0] < 1 || axes->dim[0] > table->rows.dimensions) return refuse(index, "it has another shape or type than it should:", "sketch_axes");
    table->sketches = (struct sky_rows_stored){.store = SKY_STORE_INT8, .count = table->rows.count, .dimensions = axes->dim[0]};
    SKY_TRY(find(index, "sketch_axes", SKY_F32, axes->dim[0], table->rows.dimensions, &table->sketch_axes));
    SKY_TRY(find(index, "sketch_scales", SKY_F32, table->rows.count, 0, &table->sketches.scales));
    return find(index, "sketches", SKY_U8, table->rows.count, axes->dim[0], &table->sketches.values);
}

static sky_status read_arrays(struct sky_index *index)
{
    struct sky_index_table *table = &index->table;
    const struct sky_file_tensor *features = sky_safetensors_find(&index->file, "features"), *paths = sky_safetensors_find(&index->file, "paths");
    const char *store;
    SKY_TRY(find_text(index, "store", &store));
    for (table->rows.store = 0; table->rows.store < SKY_STORE_COUNT && strcmp(sky_store_name(table->rows.store), store) != 0;) table->rows.store++;
    if (table->rows.store == SKY_STORE_COUNT) return refuse(index, "it stores features in an unknown way:", store);
    if (!features || features->rank != 2 || features->dim[0] < 1 || features->dim[1] < 1) return refuse(index, "it lacks", "features");
    const int64_t n = table->rows.count = features->dim[0];
    table->rows.dimensions = features->dim[1];
    SKY_TRY(find(index, "features", store_types[table->rows.store], n, table->rows.dimensions, &table->rows.values));
    if (table->rows.store == SKY_STORE_INT8) SKY_TRY(find(index, "scales", SKY_F32, n, 0, &table->rows.scales));
    SKY_TRY(read_sketches(index));
    SKY_TRY(find(index, "latitude", SKY_F64, n, 0, &table->latitude));
    SKY_TRY(find(index, "longitude", SKY_F64, n, 0, &table->longitude));
    SKY_TRY(find(index, "metres_per_pixel", SKY_F64, n, 0, &table->metres_per_pixel));
    SKY_TRY(find(index, "bytes", SKY_I64, n, 0, &table->bytes));
    SKY_TRY(find(index, "modified", SKY_I64, n, 0, &table->modified));
    SKY_TRY(find(index, "content", SKY_I64, n, 0, &table->content));
    SKY_TRY(find(index, "path_starts", SKY_I64, n, 0, &table->path_starts));
    if (!paths || paths->dtype != SKY_U8 || paths->rank != 1 || paths->dim[0] < n) return refuse(index, "it lacks", "paths");
    table->paths = paths->data, table->paths_bytes = paths->dim[0];
    for (int64_t i = 0; i < n; i++) {
        const int64_t start = table->path_starts[i], end = i + 1 < n ? table->path_starts[i + 1] : table->paths_bytes;
        if ((i == 0 && start) || end <= start || end > table->paths_bytes || table->paths[end - 1])
            return refuse(index, "its names do not fit each other:", "paths");
    }
    return SKY_OK;
}

size_t sky_index_memory_bytes(enum sky_store store, int64_t count, int64_t dimensions, int64_t sketch)
{
    const size_t a_sketch = sketch ? (size_t)sketch + sizeof(float) : 0;
    const size_t a_tile = sky_store_row_bytes(store, dimensions) + (store == SKY_STORE_INT8 ? sizeof(float) : 0) + a_sketch + 7 * sizeof(int64_t) + sizeof(float);
    size_t bytes;
    return sky_multiply_size(a_tile, (size_t)count, &bytes) ? bytes : SIZE_MAX;
}

sky_status sky_index_check_memory(const char *where, size_t bytes)
{
    const size_t available = sky_memory_available_bytes();
    char need[32], have[32];
    if (!available || bytes <= available) return SKY_OK;
    sky_print_bytes(bytes, need);
    sky_print_bytes(available, have);
    sky_fail(SKY_NOMEM, where, "searching it takes %s of memory, and %s are free", need, have);
    return sky_hint("store features smaller (skygem index --store int8 takes a quarter of float32), search it in shards (skygem launch -n N skygem locate "
                    "...), or use a machine with more memory");
}

static void fill_info(struct sky_index *index)
{
    const struct sky_index_table *table = &index->table;
    struct sky_index_info *info = &index->info;
    info->tiles = table->rows.count, info->dimensions = table->rows.dimensions, info->sketch = table->sketches.dimensions;
    for (int64_t i = 0; i < info->tiles; i++) info->located += !isnan(table->latitude[i]);
    info->store = sky_store_name(table->rows.store);
    info->model = index->texts.model, info->weights = index->texts.weights, info->root = index->texts.root, info->place_radius = index->texts.place_radius;
    info->memory_bytes = index->file.map.count + (size_t)info->tiles * sizeof(float);
}

/* Of the file that a path names now. */
static struct sky_file_mark mark_of(const char *path)
{
    struct stat info;
    if (stat(path, &info)) return (struct sky_file_mark){.number = 0};
    return (struct sky_file_mark){info.st_dev, info.st_ino, info.st_size, (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec};
}

static sky_status open_index(struct sky_index *index, const char *path, const struct sky_index_options *options)
{
    if (!sky_path_is_file(path)) {
        sky_fail(SKY_USAGE, path, "there is no such index");
        return sky_hint("make one: skygem index --weights FILE -o %s FOLDER_OF_TILES", path);
    }
    index->mark = mark_of(path);
    if (sky_safetensors_open(&index->file, path) != SKY_OK) return sky_hint("this is no index, or a damaged one; make it with skygem index");
    const char *format = sky_safetensors_text(&index->file, "format");
    if (!format || strncmp(format, "skygem index ", 13) != 0) {
        sky_fail(SKY_FORMAT, path, "this is no index%s%s", format ? " but a " : "", format ? format : "");
        return sky_hint("make one: skygem index --weights FILE -o INDEX FOLDER_OF_TILES");
    }
    if (strcmp(format, FORMAT) != 0) {
        sky_fail(SKY_FORMAT, path, "this is a '%s'; this program reads '%s'", format, FORMAT);
        return sky_hint("make it again with this program: skygem index");
    }
    if (sky_sealed_verify(&index->file, false) != SKY_OK) return sky_hint("make it again with skygem index");
    SKY_TRY(read_texts(index));
    SKY_TRY(read_arrays(index));
    fill_info(index);
    if (!options->larger_than_memory) SKY_TRY(sky_index_check_memory(path, index->info.memory_bytes));
    if (options->skip_checksums) return SKY_OK;
    return sky_sealed_verify(&index->file, true) == SKY_OK ? SKY_OK : sky_hint("make it again with skygem index");
}

sky_status sky_index_check_current(const struct sky_index *index)
{
    const struct sky_file_mark *then = &index->mark, now = mark_of(index->file.path);
    if (then->device == now.device && then->number == now.number && then->bytes == now.bytes && then->modified == now.modified) return SKY_OK;
    sky_fail(SKY_USAGE, index->file.path, "another process has written or removed it meanwhile: it is left as it is now");
    return sky_hint("run the command again");
}

sky_status sky_index_open(struct sky_index **out, const char *path, const struct sky_index_options *options)
{
    static const struct sky_index_options defaults;
    struct sky_index *index = NULL;
    SKY_TRY(sky_alloc(&index, 1, sizeof *index, "index"));
    const sky_status status = open_index(index, path, options ? options : &defaults);
    if (status == SKY_OK) *out = index;
    else sky_index_close(index);
    return status;
}

void sky_index_close(struct sky_index *index)
{
    if (!index) return;
    sky_safetensors_close(&index->file);
    free(index);
}

const struct sky_index_info *sky_index_info(const struct sky_index *index) { return &index->info; }

const char *sky_index_path(const struct sky_index *index, int64_t tile) { return index->table.paths + index->table.path_starts[tile]; }

static sky_status check_tile(const struct sky_index *index, int64_t tile)
{
    if (tile >= 0 && tile < index->info.tiles) return SKY_OK;
    return sky_fail(SKY_USAGE, index->file.path, "has no tile %lld, only 0 to %lld", (long long)tile, (long long)index->info.tiles - 1);
}

sky_status sky_index_tile(const struct sky_index *index, int64_t tile, struct sky_tile *out)
{
    SKY_TRY(check_tile(index, tile));
    *out = (struct sky_tile){sky_index_path(index, tile), index->table.latitude[tile], index->table.longitude[tile], index->table.metres_per_pixel[tile]};
    return SKY_OK;
}

sky_status sky_index_feature(const struct sky_index *index, int64_t tile, float *out)
{
    SKY_TRY(check_tile(index, tile));
    sky_row_decode(&index->table.rows, tile, out);
    return SKY_OK;
}

bool sky_index_same_place(const struct sky_index *index, int64_t a, int64_t b)
{
    const struct sky_index_table *t = &index->table;
    if (a == b) return true;
    return sky_geo_distance(t->latitude[a], t->longitude[a], t->latitude[b], t->longitude[b]) <= index->texts.place_radius; /* false with NaN */
}

sky_status sky_index_encoder(const struct sky_index *index, const char *weights, const struct sky_encoder_options *options, struct sky_encoder **out)
{
    struct sky_encoder *encoder = NULL;
    if (!weights && !sky_path_is_file(index->texts.weights)) {
        sky_fail(SKY_USAGE, index->texts.weights, "the weights that %s was made with are not there any more", index->file.path);
        return sky_hint("say where they are: --weights FILE");
    }
    SKY_TRY(sky_encoder_open_text(&encoder, weights ? weights : index->texts.weights, index->file.path, index->texts.experiment, options));
    if (!strcmp(sky_encoder_model(encoder), index->texts.model)) {
        *out = encoder;
        return SKY_OK;
    }
    const bool parameters = strncmp(sky_encoder_model(encoder), index->texts.model, 8) != 0;
    sky_fail(SKY_CONFIG, index->file.path, "it was made with another model (%s, now %s): %s differ", index->texts.model, sky_encoder_model(encoder),
             parameters ? "the parameters" : "the settings ([model], data.image_size, eval.flip)");
    sky_encoder_close(encoder);
    return sky_hint("features of different models cannot be compared: give the weights it was made with, or index the tiles again");
}

sky_status sky_index_open_encoder(const struct sky_index *index, const char *weights, const char *const *overrides, int override_count,
                                  struct sky_encoder **out)
{
    const struct sky_encoder_options options = {.overrides = overrides, .override_count = override_count};
    return sky_index_encoder(index, weights, &options, out);
}

/* ---- writing ---- */

enum { TENSORS = 13, TEXTS = 11 };

static struct sky_file_tensor array(const char *name, enum sky_dtype dtype, const void *data, int64_t count)
{
    return (struct sky_file_tensor){.name = name, .dtype = dtype, .rank = 1, .dim = {count}, .data = data};
}

sky_status sky_index_write(const char *path, const struct sky_index_table *table, const struct sky_index_texts *texts)
{
    const int64_t n = table->rows.count;
    struct sky_file_tensor tensors[TENSORS] = {
        array("latitude", SKY_F64, table->latitude, n),
        array("longitude", SKY_F64, table->longitude, n),
        array("metres_per_pixel", SKY_F64, table->metres_per_pixel, n),
        array("bytes", SKY_I64, table->bytes, n),
        array("modified", SKY_I64, table->modified, n),
        array("content", SKY_I64, table->content, n),
        array("path_starts", SKY_I64, table->path_starts, n)}; /* eight bytes an element first, so that everything is aligned */
    int count = 7, text_count = 0;
    const int64_t sketch = table->sketches.dimensions;
    if (table->rows.store == SKY_STORE_INT8) tensors[count++] = array("scales", SKY_F32, table->rows.scales, n);
    if (sketch) {
        tensors[count++] = array("sketch_scales", SKY_F32, table->sketches.scales, n);
        tensors[count++] = (struct sky_file_tensor){.name = "sketch_axes", .dtype = SKY_F32, .rank = 2, .dim = {sketch, table->rows.dimensions}, .data = table->sketch_axes};
    }
    tensors[count++] = (struct sky_file_tensor){
        .name = "features", .dtype = store_types[table->rows.store], .rank = 2, .dim = {n, table->rows.dimensions}, .data = table->rows.values};
    if (sketch) tensors[count++] = (struct sky_file_tensor){.name = "sketches", .dtype = SKY_U8, .rank = 2, .dim = {n, sketch}, .data = table->sketches.values};
    tensors[count++] = array("paths", SKY_U8, table->paths, table->paths_bytes);
    char radius[32];
    sky_print_double(texts->place_radius, radius);
    struct sky_file_text all[TEXTS] = {{"format", FORMAT},       {"skygem", SKYGEM_VERSION},
                                       {"model", texts->model},  {"weights", texts->weights},
                                       {"root", texts->root},    {"exif", texts->exif},
                                       {"geo", texts->geo},      {"store", sky_store_name(table->rows.store)},
                                       {"place_radius", radius}, {"experiment", texts->experiment}};
    text_count = 10;
    if (texts->calibration) all[text_count++] = (struct sky_file_text){"calibration", texts->calibration};
    return sky_sealed_write(path, tensors, count, all, text_count, "the index");
}

sky_status sky_index_rewrite(const char *path, const struct sky_index *index, const char *calibration)
{
    struct sky_index_texts texts = index->texts;
    texts.calibration = calibration;
    SKY_TRY(sky_index_check_current(index));
    return sky_index_write(path, &index->table, &texts);
}
