/*
 * Checks, norms and distances behind features.h. The pass over all values is shared by the threads; a float's square is exact in double, so norms are
 * the same on every processor.
 */
#include "features.h"

#include "base/memory.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SUMS = 16, LARGEST_EXPONENT = 126, MARGIN_EXPONENT = -20, PRODUCTS_A_THREAD = 1 << 22 /* a tenth of a millisecond */ };

static double add_sums(double sums[SUMS])
{
    for (int step = SUMS / 2; step; step /= 2) {
        for (int i = 0; i < step; i++) sums[i] += sums[i + step];
    }
    return sums[0];
}

/* Sixteen partial sums, added pairwise: an order that vectorises and depends on nothing but `dimensions`. */
static double squared_norm(const float *row, int64_t dimensions)
{
    double sums[SUMS] = {0};
    int64_t k = 0;
    for (; k + SUMS <= dimensions; k += SUMS) {
        for (int i = 0; i < SUMS; i++) sums[i] += (double)row[k + i] * (double)row[k + i];
    }
    for (int i = 0; k < dimensions; k++, i++) sums[i] += (double)row[k] * (double)row[k];
    return add_sums(sums);
}

double sky_squared_distance(const float *a, const float *b, int64_t dimensions)
{
    double sums[SUMS] = {0}, difference;
    int64_t k = 0;
    for (; k + SUMS <= dimensions; k += SUMS) {
        for (int i = 0; i < SUMS; i++) {
            difference = (double)a[k + i] - (double)b[k + i];
            sums[i] += difference * difference;
        }
    }
    for (int i = 0; k < dimensions; k++, i++) {
        difference = (double)a[k] - (double)b[k];
        sums[i] += difference * difference;
    }
    return add_sums(sums);
}

/* norms[count], the largest of them, and the first row that has a NaN or Inf (count when none has). */
static void measure_rows(const struct sky_features *f, int threads, double *norms, double *largest, int64_t *first_bad)
{
    double most = 0;
    int64_t bad = f->count;
#pragma omp parallel for num_threads(threads) reduction(max : most) reduction(min : bad)
    for (int64_t row = 0; row < f->count; row++) {
        const double norm = squared_norm(f->rows + row * f->dimensions, f->dimensions);
        norms[row] = norm;
        if (!isfinite(norm) && row < bad) bad = row; /* the square of a finite float never overflows a double */
        if (norm > most) most = norm;
    }
    *largest = most;
    *first_bad = bad;
}

static sky_status check_rows(const struct sky_features *f, const char *what, int threads, double *norms, double *largest)
{
    int64_t bad, column = 0;
    measure_rows(f, threads, norms, largest, &bad);
    if (bad == f->count) return SKY_OK;
    const float *row = f->rows + bad * f->dimensions;
    while (column + 1 < f->dimensions && isfinite(row[column])) column++;
    sky_fail(SKY_DATA, f->name ? f->name : what, "%s features: row %lld, column %lld is %s (counted from 0)", what, (long long)bad, (long long)column,
             isnan(row[column]) ? "NaN" : "Inf");
    return sky_hint("distances to such a row mean nothing; find the image that made it, or the weights that did");
}

static float scale_for(double largest_norm)
{
    int exponent = 0;
    if (largest_norm > 0) frexp(sqrt(largest_norm), &exponent);
    if (exponent > LARGEST_EXPONENT) exponent = LARGEST_EXPONENT;
    if (exponent < -LARGEST_EXPONENT) exponent = -LARGEST_EXPONENT;
    return ldexpf(1, -exponent);
}

sky_status sky_measure_features(struct sky_measure *out, const struct sky_features *query, const struct sky_features *gallery, int threads)
{
    sky_status status = SKY_OK;
    double *norms = NULL, largest, largest_item;
    const char *query_name = query->name ? query->name : "query", *gallery_name = gallery->name ? gallery->name : "gallery";
    if (query->count < 1 || query->dimensions < 1) return sky_fail(SKY_DATA, query_name, "there are no query features");
    if (gallery->count < 1 || gallery->dimensions < 1) return sky_fail(SKY_DATA, gallery_name, "there are no gallery features");
    if (query->dimensions != gallery->dimensions) {
        sky_fail(SKY_DATA, gallery_name, "gallery features have %lld dimensions, query features %lld", (long long)gallery->dimensions,
                 (long long)query->dimensions);
        return sky_hint("both must come from the same model");
    }
    SKY_TRY_DONE(sky_alloc(&out->query_norms, (size_t)query->count, sizeof *out->query_norms, "norms"));
    SKY_TRY_DONE(sky_alloc(&norms, (size_t)gallery->count, sizeof *norms, "norms"));
    SKY_TRY_DONE(sky_alloc(&out->half_norms, (size_t)gallery->count, sizeof *out->half_norms, "norms"));
    SKY_TRY_DONE(check_rows(query, "query", threads, out->query_norms, &largest));
    SKY_TRY_DONE(check_rows(gallery, "gallery", threads, norms, &largest_item));
    if (largest_item > largest) largest = largest_item;
    out->scale = scale_for(largest);
    out->margin = (float)ldexp(largest * out->scale * out->scale, MARGIN_EXPONENT);
    for (int64_t i = 0; i < gallery->count; i++) out->half_norms[i] = (float)(norms[i] * out->scale * out->scale * 0.5);
done:
    free(norms);
    return status;
}

int sky_useful_threads(int threads, const struct sky_features *query, const struct sky_features *gallery)
{
    const double useful = 1 + (double)query->count * (double)gallery->count * (double)query->dimensions / PRODUCTS_A_THREAD;
    if (threads <= 0) threads = sky_thread_count_default();
    return useful < threads ? (int)useful : threads;
}

void sky_measure_free(struct sky_measure *measure)
{
    free(measure->query_norms);
    free(measure->half_norms);
    memset(measure, 0, sizeof *measure);
}
