/*
 * The axes are the principal ones of a sample's second moments (not centred: inner products are wanted), found by a few rounds of subspace iteration from
 * random ones. Every sum has one order.
 */
#include "sketch.h"

#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 4096, ROUNDS = 3, COLUMNS = 256 };

void sky_sketch_project(const float *axes, int64_t length, int64_t dimensions, const float *prepared, float *out)
{
    const struct sky_rows_stored rows = {SKY_STORE_FLOAT32, length, dimensions, (const unsigned char *)axes, NULL};
    sky_rows_products(&rows, 0, length, prepared, out);
}

/* What making sketches works with. */
struct making {
    const struct sky_rows_stored *rows;
    int64_t length, dimensions, stride, sample;
    int threads;
    float *features;  /* [sample][stride]: rows of the sample, ready for products */
    float *projected; /* [sample][length] */
    float *axes;      /* [length][dimensions] */
};

static void start_axes(const struct making *m)
{
    for (int64_t a = 0; a < m->length; a++) {
        struct sky_rng rng = sky_rng_make(1, SKY_RNG_SKETCH, 0, (uint32_t)a);
        for (int64_t d = 0; d < m->dimensions; d++) m->axes[a * m->dimensions + d] = (float)(sky_rng_u32(&rng) >> 8) * 0x1p-24f - 0.5f;
    }
}

/* Takes what earlier axes hold out of each, twice for rounding's sake, and gives it length 1; one of which nothing is left becomes zero. */
static void straighten(const struct making *m)
{
    for (int64_t a = 0; a < m->length; a++) {
        float *axis = m->axes + a * m->dimensions;
        double squares = 0, before = 0;
        for (int64_t d = 0; d < m->dimensions; d++) before += (double)axis[d] * (double)axis[d];
        for (int64_t b = 0; b < 2 * a; b++) {
            const float *other = m->axes + b % a * m->dimensions;
            double product = 0;
            for (int64_t d = 0; d < m->dimensions; d++) product += (double)axis[d] * (double)other[d];
            for (int64_t d = 0; d < m->dimensions; d++) axis[d] -= (float)(product * (double)other[d]);
        }
        for (int64_t d = 0; d < m->dimensions; d++) squares += (double)axis[d] * (double)axis[d];
        const double scale = squares > 1e-8 * before && squares > 0 ? 1 / sqrt(squares) : 0;
        for (int64_t d = 0; d < m->dimensions; d++) axis[d] = (float)(scale * (double)axis[d]);
    }
}

/* axes = (features' * features) * axes, of some columns at a time, which stay in the cache. */
static void multiply(const struct making *m)
{
    const int64_t blocks = (m->dimensions + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(m->threads) schedule(static)
    for (int64_t i = 0; i < m->sample; i++) sky_sketch_project(m->axes, m->length, m->dimensions, m->features + i * m->stride, m->projected + i * m->length);
    memset(m->axes, 0, (size_t)(m->length * m->dimensions) * sizeof *m->axes);
#pragma omp parallel for num_threads(m->threads) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = block * COLUMNS, count = m->dimensions - first < COLUMNS ? m->dimensions - first : COLUMNS;
        for (int64_t i = 0; i < m->sample; i++)
            for (int64_t a = 0; a < m->length; a++) {
                const float weight = m->projected[i * m->length + a], *from = m->features + i * m->stride + first;
                float *to = m->axes + a * m->dimensions + first;
                for (int64_t d = 0; d < count; d++) to[d] += weight * from[d];
            }
    }
}

static void read_row(const struct making *m, int64_t row, float *plain, float *prepared)
{
    sky_row_decode(m->rows, row, plain);
    sky_query_prepare(SKY_STORE_FLOAT32, plain, m->dimensions, prepared);
}

static sky_status find_axes(struct making *m)
{
    float *plain = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&plain, (size_t)m->dimensions, sizeof *plain, "sketches"));
    SKY_TRY_DONE(sky_alloc(&m->features, (size_t)(m->sample * m->stride), sizeof *m->features, "sketches"));
    SKY_TRY_DONE(sky_alloc(&m->projected, (size_t)(m->sample * m->length), sizeof *m->projected, "sketches"));
    for (int64_t i = 0; i < m->sample; i++) read_row(m, i * m->rows->count / m->sample, plain, m->features + i * m->stride);
    start_axes(m);
    for (int round = 0; round < ROUNDS; round++) straighten(m), multiply(m);
    straighten(m);
done:
    free(plain);
    free(m->features);
    free(m->projected);
    return status;
}

static sky_status encode(const struct making *m, struct sky_sketch *out)
{
    const int64_t each = m->dimensions + m->stride + m->length, share = (m->rows->count + m->threads - 1) / m->threads;
    float *scratch = NULL;
    SKY_TRY(sky_alloc(&scratch, (size_t)(m->threads * each), sizeof *scratch, "sketches"));
#pragma omp parallel for num_threads(m->threads) schedule(static, 1)
    for (int thread = 0; thread < m->threads; thread++) {
        float *plain = scratch + thread * each, *prepared = plain + m->dimensions, *projected = prepared + m->stride;
        for (int64_t row = thread * share; row < m->rows->count && row < (thread + 1) * share; row++) {
            read_row(m, row, plain, prepared);
            sky_sketch_project(m->axes, m->length, m->dimensions, prepared, projected);
            sky_row_encode(SKY_STORE_INT8, projected, m->length, out->values + row * m->length, &out->scales[row]);
        }
    }
    free(scratch);
    return SKY_OK;
}

sky_status sky_sketch_make(struct sky_sketch *out, const struct sky_rows_stored *rows, int64_t length, int threads)
{
    struct making m = {.rows = rows, .length = length, .dimensions = rows->dimensions, .stride = sky_query_floats(rows->dimensions), .threads = threads};
    m.sample = rows->count < SAMPLE ? rows->count : SAMPLE;
    if (length < 1 || length > rows->dimensions)
        return sky_fail(SKY_USAGE, "sketches", "%lld numbers a tile cannot be, of features of %lld", (long long)length, (long long)rows->dimensions);
    SKY_TRY(sky_alloc(&out->axes, (size_t)(length * rows->dimensions), sizeof *out->axes, "sketches"));
    SKY_TRY(sky_alloc(&out->values, (size_t)rows->count, (size_t)length, "sketches"));
    SKY_TRY(sky_alloc(&out->scales, (size_t)rows->count, sizeof *out->scales, "sketches"));
    m.axes = out->axes;
    SKY_TRY(find_axes(&m));
    SKY_TRY(encode(&m, out));
    out->rows = (struct sky_rows_stored){SKY_STORE_INT8, rows->count, length, out->values, out->scales};
    return SKY_OK;
}

void sky_sketch_free(struct sky_sketch *sketch)
{
    free(sketch->axes);
    free(sketch->values);
    free(sketch->scales);
    memset(sketch, 0, sizeof *sketch);
}
