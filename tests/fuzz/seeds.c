/*
 * Writes small good files of the formats of which no others lie in the tree, for the fuzz targets to start from: .npy, indexes, a whole experiment.
 *   fuzz_seeds FOLDER
 */
#include "base/fs.h"
#include "io/npy.h"
#include "retrieve/index.h"
#include "retrieve/sketch.h"
#include "skygem/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILES = 3, DIMENSIONS = 4, SKETCH = 2 };

static sky_status write_index(const char *path, enum sky_store store)
{
    static const char paths[] = "a.jpg\0b.jpg\0c/d.jpg";
    static const float feature[DIMENSIONS] = {0.5f, -0.5f, 0.5f, 0.5f};
    const double latitude[TILES] = {35, 36, 37}, longitude[TILES] = {139, 140, 141}, metres[TILES] = {0.5, 0.5, 0.5};
    const int64_t bytes[TILES] = {1, 2, 3}, modified[TILES] = {4, 5, 6}, content[TILES] = {7, 8, 9}, starts[TILES] = {0, 6, 12};
    unsigned char values[TILES * DIMENSIONS * sizeof(float)];
    float scales[TILES];
    for (int64_t i = 0; i < TILES; i++) sky_row_encode(store, feature, DIMENSIONS, values + (size_t)i * sky_store_row_bytes(store, DIMENSIONS), &scales[i]);
    const struct sky_rows_stored rows = {.store = store, .count = TILES, .dimensions = DIMENSIONS, .values = values, .scales = scales};
    struct sky_sketch sketch = {.axes = NULL};
    sky_status status = store == SKY_STORE_INT8 ? sky_sketch_make(&sketch, &rows, SKETCH, 1) : SKY_OK;
    const struct sky_index_table table = {.rows = rows, .sketches = sketch.rows, .sketch_axes = sketch.axes,
                                          .latitude = latitude, .longitude = longitude, .metres_per_pixel = metres, .bytes = bytes, .modified = modified,
                                          .content = content, .path_starts = starts, .paths = paths, .paths_bytes = sizeof paths};
    const struct sky_index_texts texts = {.model = "m", .weights = "/w.safetensors", .experiment = "", .root = "/tiles", .exif = "apply", .geo = "", .place_radius = 10};
    if (status == SKY_OK) status = sky_index_write(path, &table, &texts);
    sky_sketch_free(&sketch);
    return status;
}

static sky_status write_experiment(const char *path)
{
    struct sky_config config = {0};
    char *text = NULL;
    SKY_TRY(sky_config_read_text(&config, "seed.ini", "", NULL, 0));
    sky_status status = sky_config_text(&config, &text);
    if (status == SKY_OK) status = sky_file_write_atomic(path, text, strlen(text));
    free(text);
    sky_config_free(&config);
    return status;
}

static sky_status write_all(const char *folder)
{
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t labels[4] = {-1, 0, 5, 7};
    char path[400];
    snprintf(path, sizeof path, "%s/floats.npy", folder);
    SKY_TRY(sky_npy_write_floats(path, values, 2, 3));
    snprintf(path, sizeof path, "%s/labels.npy", folder);
    SKY_TRY(sky_npy_write_labels(path, labels, 4));
    for (int store = 0; store < SKY_STORE_COUNT; store++) {
        snprintf(path, sizeof path, "%s/%s.index", folder, sky_store_name((enum sky_store)store));
        SKY_TRY(write_index(path, (enum sky_store)store));
    }
    snprintf(path, sizeof path, "%s/every_key.ini", folder);
    return write_experiment(path);
}

int main(int argc, char **argv)
{
    if (argc == 2 && write_all(argv[1]) == SKY_OK) return 0;
    fprintf(stderr, "%s\n", argc == 2 ? sky_error_last()->what : "usage: fuzz_seeds FOLDER");
    return 1;
}
