/*
 * Feature rows with their labels, as everything in eval takes them, and the checks before anything is computed with them.
 */
#ifndef SKY_EVAL_FEATURES_H
#define SKY_EVAL_FEATURES_H

#include "skygem/status.h"

#include <stdint.h>

/* Owns nothing. Label -1 in a gallery is junk: never ranked. */
struct sky_features {
    int64_t count, dimensions;
    const float *rows;     /* [count, dimensions] */
    const int64_t *labels; /* [count] */
    const char *name;      /* for messages: the file, or NULL */
};

/*
 * What ranking needs to know of both sets beforehand. Distances are first compared by a float32 key, |g|^2/2 - q.g of the scaled rows (half the
 * squared distance less the query's own part); keys nearer to each other than `margin` decide nothing. Zero-initialise; free with sky_measure_free.
 */
struct sky_measure {
    float scale;         /* power of two that brings the longest row near 1, so that neither huge nor tiny features overflow or vanish */
    float margin;        /* above the rounding error of a key */
    double *query_norms; /* [query count] |q|^2, not scaled; norms are summed in double, in one order for every row */
    float *half_norms;   /* [gallery count] |g|^2 / 2, scaled */
};

/* SKY_DATA: a set is empty, dimensions differ, or a value is NaN or Inf (the first one is named by row and column). */
sky_status sky_measure_features(struct sky_measure *out, const struct sky_features *query, const struct sky_features *gallery, int threads);
void sky_measure_free(struct sky_measure *measure);

/* How many threads comparing all of both sets is worth: at most `threads` (0: all cores), fewer when starting them would take longer. */
int sky_useful_threads(int threads, const struct sky_features *query, const struct sky_features *gallery);

/* |a - b|^2, summed in double in one order: equal rows are equally far from any third, to the last bit. */
double sky_squared_distance(const float *a, const float *b, int64_t dimensions);

#endif
