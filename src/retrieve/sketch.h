/*
 * Sketches: a few int8 numbers a tile, its inner products with axes along which the index's features spread most. The inner product of two sketches is nearly
 * that of the features, so a search can look through sketches first and compare few features exactly.
 */
#ifndef SKY_RETRIEVE_SKETCH_H
#define SKY_RETRIEVE_SKETCH_H

#include "rows.h"
#include "skygem/status.h"

/* Owns its memory. Zero-initialise; sky_sketch_free. */
struct sky_sketch {
    struct sky_rows_stored rows; /* int8, [count][length] */
    float *axes;                 /* [length][dimensions], orthonormal */
    unsigned char *values;
    float *scales;
};

/* The sketches of rows, of `length` numbers each, 1 to rows->dimensions. The same for any number of threads. Takes memory for 4096 features beside its own. */
sky_status sky_sketch_make(struct sky_sketch *out, const struct sky_rows_stored *rows, int64_t length, int threads);
void sky_sketch_free(struct sky_sketch *sketch);

/* out[length] = the feature's inner products with the axes. prepared: the feature, sky_query_prepare'd as float32. */
void sky_sketch_project(const float *axes, int64_t length, int64_t dimensions, const float *prepared, float *out);

#endif
