/*
 * Writes an index of made-up tiles, as several tests of src/retrieve search one. Owns nothing.
 */
#ifndef SKY_TESTS_INDEX_FILE_H
#define SKY_TESTS_INDEX_FILE_H

#include "check.h"

#include "base/str.h"
#include "retrieve/index.h"
#include "retrieve/sketch.h"

struct index_file {
    struct sky_rows_stored rows;
    const double *latitude, *longitude, *metres; /* [tiles], NaN: unknown */
    const int64_t *numbers;                      /* [tiles] stand for what is known of a tile's file */
    const int64_t *starts;                       /* [tiles] where a tile's path begins */
    const struct sky_text *paths;
    int64_t sketch_length; /* 0: no sketches */
    double radius;
    const char *calibration;
};

static inline void index_file_write(const char *path, const struct index_file *file, int threads)
{
    struct sky_sketch sketch = {.axes = NULL};
    if (file->sketch_length) CHECK_OK(sky_sketch_make(&sketch, &file->rows, file->sketch_length, threads));
    const struct sky_index_table table = {.rows = file->rows,
                                          .sketches = sketch.rows,
                                          .sketch_axes = sketch.axes,
                                          .latitude = file->latitude,
                                          .longitude = file->longitude,
                                          .metres_per_pixel = file->metres,
                                          .bytes = file->numbers,
                                          .modified = file->numbers,
                                          .content = file->numbers,
                                          .path_starts = file->starts,
                                          .paths = file->paths->text,
                                          .paths_bytes = (int64_t)file->paths->length};
    const struct sky_index_texts texts = {.model = "0123456789abcdef",
                                          .weights = "/none/w",
                                          .experiment = "",
                                          .root = "/none",
                                          .exif = "apply",
                                          .geo = "none",
                                          .place_radius = file->radius,
                                          .calibration = file->calibration};
    CHECK_OK(sky_index_write(path, &table, &texts));
    sky_sketch_free(&sketch);
}

#endif
