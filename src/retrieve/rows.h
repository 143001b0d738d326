/*
 * Features as an index stores them, and their inner products with a query. Every product of a row is summed in one order, whatever else is computed beside it
 * and on however many threads.
 *
 * float32: as they are. fp16: IEEE binary16, exact to 5e-4 of a value. int8: a row's values over its scale (the largest magnitude / 127), rounded; the query
 * stays float32.
 */
#ifndef SKY_RETRIEVE_ROWS_H
#define SKY_RETRIEVE_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum sky_store { SKY_STORE_FLOAT32, SKY_STORE_FP16, SKY_STORE_INT8, SKY_STORE_COUNT };

const char *sky_store_name(enum sky_store store);                     /* "float32", "fp16", "int8" */
size_t sky_store_row_bytes(enum sky_store store, int64_t dimensions); /* of values; int8 has a float scale a row beside them */

/* Owns nothing. */
struct sky_rows_stored {
    enum sky_store store;
    int64_t count, dimensions;
    const unsigned char *values; /* [count][row bytes], aligned to the element */
    const float *scales;         /* [count]; int8 only */
};

/* One feature to values and *scale (1 unless int8), and back. */
void sky_row_encode(enum sky_store store, const float *feature, int64_t dimensions, void *values, float *scale);
void sky_row_decode(const struct sky_rows_stored *rows, int64_t row, float *feature);

/* A query in the order in which rows of this store are read: sky_query_floats(dimensions) values. */
int64_t sky_query_floats(int64_t dimensions);
void sky_query_prepare(enum sky_store store, const float *query, int64_t dimensions, float *prepared);

/* out[i] = query . row first + i, of a query prepared for this store. */
void sky_rows_products(const struct sky_rows_stored *rows, int64_t first, int64_t count, const float *prepared, float *out);

#endif
