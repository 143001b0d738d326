/*
 * Inner products of many query rows with many gallery rows (a matrix product Q * G^T), handed out tile by tile: nothing as large as the whole
 * matrix is ever held.
 *
 * Every product of two rows is computed by one and the same sequence of operations, wherever the rows stand, whatever else is computed beside
 * them and on however many threads: chunks of SKY_SIMILARITY_CHUNK dimensions, each summed from zero by fused multiply-adds in order of
 * dimension (multiply, then add, on a processor without them), the chunks' sums added in order. So equal rows give equal products, to the last bit.
 * Rounding: the error is about 1e-8 to 1e-7 times |q| |g| (values of both signs; all of one sign), and below 1e-6 in every test.
 */
#ifndef SKY_EVAL_SIMILARITY_H
#define SKY_EVAL_SIMILARITY_H

#include "skygem/status.h"

#include <stdint.h>

#define SKY_SIMILARITY_CHUNK 128

/* Rows of a float matrix, in the order in which their products are wanted. Owns nothing. */
struct sky_rows {
    const float *values;  /* [*, dimensions] */
    const int64_t *order; /* [count] row numbers; NULL: 0, 1, 2 ... */
    int64_t count;
};

/* The products of queries first_query .. +queries with items first_item .. +items, counted in the given orders. */
struct sky_similarity_tile {
    float *products; /* [queries, items], rows `stride` floats apart; the visitor may overwrite them */
    int64_t stride, first_query, queries, first_item, items;
    int thread; /* 0 .. threads-1: whose scratch memory the visitor may use */
};
typedef void (*sky_similarity_visit)(void *context, const struct sky_similarity_tile *tile);

/* Work space for rows of `dimensions` values on `threads` threads. All values are multiplied by `scale`, a power of two (1: as they are). */
struct sky_similarity;
sky_status sky_similarity_create(struct sky_similarity **out, int64_t dimensions, float scale, int threads);
void sky_similarity_destroy(struct sky_similarity *similarity);

/* All products, on all threads: tiles come in any order and from several threads at once, each product once. */
sky_status sky_similarity_all(struct sky_similarity *similarity, const struct sky_rows *queries, const struct sky_rows *items, sky_similarity_visit visit,
                              void *context);

#endif
