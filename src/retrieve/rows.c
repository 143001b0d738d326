/*
 * Encoding and products behind rows.h, with the compiler's vector types: sixteen sums of every sixteenth product, four times, then added in a fixed order; the
 * same on every machine but for fused multiply-adds. Reading memory bounds the speed. Touches nothing but its arguments.
 */
#include "rows.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, SUMS = 4, STRIDE = LANES * SUMS };

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef float loose_floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t loose_halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef int8_t loose_bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));

const char *sky_store_name(enum sky_store store)
{
    static const char *const names[SKY_STORE_COUNT] = {"float32", "fp16", "int8"};
    return store < SKY_STORE_COUNT ? names[store] : "?";
}

size_t sky_store_row_bytes(enum sky_store store, int64_t dimensions)
{
    static const size_t bytes[SKY_STORE_COUNT] = {4, 2, 1};
    return bytes[store] * (size_t)dimensions;
}

void sky_row_encode(enum sky_store store, const float *feature, int64_t dimensions, void *values, float *scale)
{
    float largest = 0;
    uint16_t *halves = values;
    int8_t *bytes = values;
    *scale = 1;
    if (store == SKY_STORE_FLOAT32) memcpy(values, feature, (size_t)dimensions * sizeof *feature);
    for (int64_t i = 0; store == SKY_STORE_FP16 && i < dimensions; i++) halves[i] = sky_float_to_half(feature[i]);
    if (store != SKY_STORE_INT8) return;
    for (int64_t i = 0; i < dimensions; i++) largest = fmaxf(largest, fabsf(feature[i]));
    *scale = largest / 127;
    for (int64_t i = 0; i < dimensions; i++) bytes[i] = (int8_t)(*scale > 0 ? lrintf(fminf(fmaxf(feature[i] / *scale, -127), 127)) : 0);
}

void sky_row_decode(const struct sky_rows_stored *rows, int64_t row, float *feature)
{
    const unsigned char *values = rows->values + (size_t)row * sky_store_row_bytes(rows->store, rows->dimensions);
    for (int64_t i = 0; i < rows->dimensions; i++) switch (rows->store) {
        case SKY_STORE_FP16: feature[i] = sky_half_to_float(((const uint16_t *)values)[i]); break;
        case SKY_STORE_INT8: feature[i] = (float)((const int8_t *)values)[i] * rows->scales[row]; break;
        default: feature[i] = ((const float *)values)[i]; break;
        }
}

/* Sixteen stored values from `at` on as floats. */
static inline floats load_float32(const unsigned char *values, int64_t at) { return *(const loose_floats *)(values + 4 * at); }

/* The exponent is moved by multiplying with 2^112, which is exact for small numbers too. Features are finite. */
static inline floats load_fp16(const unsigned char *values, int64_t at)
{
    const words halves = __builtin_convertvector(*(const loose_halves *)(values + 2 * at), words);
    const floats size = (floats)((halves & 0x7fff) << 13) * 0x1p112f;
    return (floats)((words)size | (halves & 0x8000) << 16);
}

static inline floats load_int8(const unsigned char *values, int64_t at)
{
    return __builtin_convertvector(__builtin_convertvector(*(const loose_bytes *)(values + at), integers), floats);
}

static inline float add_up(const floats sums[SUMS])
{
    const floats sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float all[LANES];
    memcpy(all, &sum, sizeof all);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) all[i] += all[i + width];
    return all[0];
}

/* Inlined with each loader, so that the loop knows its type. The last, incomplete sixteen are padded with zeros by the caller's `tail`. */
static inline __attribute__((always_inline)) float product(floats (*load)(const unsigned char *, int64_t), const unsigned char *values, const float *query,
                                                           int64_t dimensions, const unsigned char *tail, const float *query_tail)
{
    floats sums[SUMS] = {0};
    const int64_t whole = dimensions / LANES * LANES;
    int64_t i = 0;
    for (; i + STRIDE <= whole; i += STRIDE)
        for (int s = 0; s < SUMS; s++) sums[s] += load(values, i + s * LANES) * *(const loose_floats *)(query + i + s * LANES);
    for (int s = 0; i < whole; i += LANES, s++) sums[s] += load(values, i) * *(const loose_floats *)(query + i);
    if (i < dimensions) sums[SUMS - 1] += load(tail, 0) * *(const loose_floats *)query_tail;
    return add_up(sums);
}

void sky_rows_products(const struct sky_rows_stored *rows, int64_t first, int64_t count, const float *query, float *out)
{
    const int64_t dimensions = rows->dimensions, rest = dimensions % LANES;
    const size_t row_bytes = sky_store_row_bytes(rows->store, dimensions), rest_bytes = sky_store_row_bytes(rows->store, rest);
    const unsigned char *values = rows->values + (size_t)first * row_bytes;
    unsigned char tail[4 * LANES] = {0};
    float query_tail[LANES] = {0};
    memcpy(query_tail, query + dimensions - rest, (size_t)rest * sizeof *query);
    for (int64_t i = 0; i < count; i++, values += row_bytes) {
        memcpy(tail, values + row_bytes - rest_bytes, rest_bytes);
        if (rows->store == SKY_STORE_FLOAT32) out[i] = product(load_float32, values, query, dimensions, tail, query_tail);
        else if (rows->store == SKY_STORE_FP16) out[i] = product(load_fp16, values, query, dimensions, tail, query_tail);
        else out[i] = product(load_int8, values, query, dimensions, tail, query_tail) * rows->scales[first + i];
    }
}
