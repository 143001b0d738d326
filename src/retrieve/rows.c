/*
 * Encoding and products behind rows.h, with the compiler's vector types. Sixty-four values of a row are read at a time, as words of four bytes each, and taken
 * apart where they lie: the first values of all words, then the second ones. The query is put in that order once. Four times sixteen sums are added up in a
 * fixed order; the same on every machine but for fused multiply-adds. Little-endian, as the files are. Touches nothing but its arguments.
 */
#include "rows.h"

#include "base/dtype.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, SUMS = 4, BLOCK = LANES * SUMS };

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef float loose_floats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t loose_words __attribute__((vector_size(4 * LANES), aligned(1), may_alias));

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

int64_t sky_query_floats(int64_t dimensions) { return (dimensions + BLOCK - 1) / BLOCK * BLOCK; }

void sky_query_prepare(enum sky_store store, const float *query, int64_t dimensions, float *prepared)
{
    const int64_t each = store == SKY_STORE_INT8 ? 4 : store == SKY_STORE_FP16 ? 2 : 1; /* values a word */
    for (int64_t i = 0; i < sky_query_floats(dimensions); i++) {
        const int64_t vector = i / (LANES * each) * (LANES * each), lane = i % LANES, place = i % (LANES * each) / LANES;
        const int64_t from = vector + lane * each + place;
        prepared[i] = from < dimensions ? query[from] : 0;
    }
}

/* One block of a row times the query's: inlined into the loop over a row. */
static inline __attribute__((always_inline)) void add_float32(const unsigned char *values, const float *query, floats sums[SUMS])
{
    for (int s = 0; s < SUMS; s++) sums[s] += *(const loose_floats *)(values + 4 * LANES * s) * *(const loose_floats *)(query + LANES * s);
}

/* Sign and size (the other bits, where a float has them) to a float. A size below the smallest normal half has no exponent of its own: it is put behind that of
 * 2^-14, which is taken off. */
static inline __attribute__((always_inline)) void half_to_float(const words *sign, const words *size, floats *out)
{
    const words least = (words){0} + (113u << 23), is_small = (words)(*size < (0x400u << 13));
    const floats small = (floats)(*size + least) - (floats)least;
    *out = (floats)(((words)small & is_small) | ((*size + (112u << 23)) & ~is_small) | *sign);
}

static inline __attribute__((always_inline)) void add_fp16(const unsigned char *values, const float *query, floats sums[SUMS])
{
    for (int half = 0; half < 2; half++) {
        const words both = *(const loose_words *)(values + 4 * LANES * half);
        const words low_sign = both << 16 & 0x80000000u, low_size = (both & 0x7fff) << 13, high_sign = both & 0x80000000u, high_size = both >> 3 & 0x0fffe000u;
        floats low, high;
        half_to_float(&low_sign, &low_size, &low);
        half_to_float(&high_sign, &high_size, &high);
        sums[2 * half] += low * *(const loose_floats *)(query + LANES * 2 * half);
        sums[2 * half + 1] += high * *(const loose_floats *)(query + LANES * (2 * half + 1));
    }
}

static inline __attribute__((always_inline)) void add_int8(const unsigned char *values, const float *query, floats sums[SUMS])
{
    const words four = *(const loose_words *)values;
    for (int s = 0; s < SUMS; s++)
        sums[s] += __builtin_convertvector((integers)(four << (24 - 8 * s)) >> 24, floats) * *(const loose_floats *)(query + LANES * s);
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

/* `add` is one of those above, known to the compiler where this is inlined. The last, incomplete block is padded with zeros. */
static inline __attribute__((always_inline)) float product(void (*add)(const unsigned char *, const float *, floats *), const unsigned char *values,
                                                           size_t value_bytes, const float *query, int64_t dimensions)
{
    floats sums[SUMS] = {0};
    const int64_t whole = dimensions / BLOCK * BLOCK;
    for (int64_t i = 0; i < whole; i += BLOCK) add(values + (size_t)i * value_bytes, query + i, sums);
    if (whole < dimensions) {
        unsigned char last[4 * BLOCK] = {0};
        memcpy(last, values + (size_t)whole * value_bytes, (size_t)(dimensions - whole) * value_bytes);
        add(last, query + whole, sums);
    }
    return add_up(sums);
}

void sky_rows_products(const struct sky_rows_stored *rows, int64_t first, int64_t count, const float *prepared, float *out)
{
    const int64_t dimensions = rows->dimensions;
    const size_t row_bytes = sky_store_row_bytes(rows->store, dimensions);
    const unsigned char *values = rows->values + (size_t)first * row_bytes;
    for (int64_t i = 0; i < count; i++, values += row_bytes) {
        if (rows->store == SKY_STORE_FLOAT32) out[i] = product(add_float32, values, 4, prepared, dimensions);
        else if (rows->store == SKY_STORE_FP16) out[i] = product(add_fp16, values, 2, prepared, dimensions);
        else out[i] = product(add_int8, values, 1, prepared, dimensions) * rows->scales[first + i];
    }
}
