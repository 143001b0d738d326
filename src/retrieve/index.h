/*
 * The index file (a sealed safetensors file, so other programs can read it too) and what it holds in memory.
 *
 * Tensors: latitude, longitude, metres_per_pixel F64 [N] (NaN: not known); bytes, modified (ns), content (crc32c) I64 [N] of the picture files; path_starts I64
 * [N] into paths; scales F32 [N] (int8 only); features F32, F16 or U8 (int8 in two's complement) [N, D]; paths U8, each with a NUL behind it; where there
 * are sketches (sketch.h) sketches U8 [N, S], sketch_scales F32 [N], sketch_axes F32 [S, D]. Rows are sorted by path. Texts: format, skygem, model, weights,
 * experiment, root, store, exif, geo, place_radius, and calibration where there is one.
 */
#ifndef SKY_RETRIEVE_INDEX_H
#define SKY_RETRIEVE_INDEX_H

#include "geo.h"
#include "io/safetensors.h"
#include "rows.h"
#include "skygem/retrieval.h"

/* What stands in an index; arrays of N. Used for reading (into the map) and for writing (the caller's). */
struct sky_index_table {
    struct sky_rows_stored rows, sketches; /* sketches.dimensions 0: there are none */
    const float *sketch_axes;              /* [sketches.dimensions][rows.dimensions] */
    const double *latitude, *longitude, *metres_per_pixel;
    const int64_t *bytes, *modified, *content, *path_starts;
    const char *paths;
    int64_t paths_bytes;
};

struct sky_index_texts {
    const char *model, *weights, *experiment, *root, *exif, *geo;
    double place_radius;
    const char *calibration; /* "OFFSET SLOPE QUERIES RIGHT", or NULL */
};

/* Which file a path named, and in what state. */
struct sky_file_mark {
    uint64_t device, number;
    int64_t bytes, modified;
};

struct sky_index {
    struct sky_safetensors file;
    struct sky_file_mark mark; /* when it was opened */
    struct sky_index_table table;
    struct sky_index_texts texts;
    struct sky_index_info info;
};

const char *sky_index_path(const struct sky_index *index, int64_t tile);

/* Atomic. */
sky_status sky_index_write(const char *path, const struct sky_index_table *table, const struct sky_index_texts *texts);

/* SKY_USAGE: its path does not name the file any more that was opened; what is made from it would undo another process's work. */
sky_status sky_index_check_current(const struct sky_index *index);

/* The same index with another calibration (NULL: none). `index` is open, current, and stays as it is. */
sky_status sky_index_rewrite(const char *path, const struct sky_index *index, const char *calibration);

/* What searching `count` features stored so takes, with sketches of so many numbers (0: none); and whether that is there: SKY_NOMEM with both sizes. */
size_t sky_index_memory_bytes(enum sky_store store, int64_t count, int64_t dimensions, int64_t sketch);
sky_status sky_index_check_memory(const char *where, size_t bytes);

/* sky_index_open_encoder with any options but an experiment: the index's is taken. */
sky_status sky_index_encoder(const struct sky_index *index, const char *weights, const struct sky_encoder_options *options, struct sky_encoder **out);

bool sky_index_same_place(const struct sky_index *index, int64_t a, int64_t b);

#endif
