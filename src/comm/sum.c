/*
 * The additions behind sum.h: blocks that fit the first cache, rank after rank. bf16 is added in f32 and rounded once. Owns nothing.
 */
#include "sum.h"

#include <string.h>

enum { BLOCK = 1024 };

sky_status sky_sum_check(enum sky_dtype dtype, enum sky_comm_sum sum, const char *what)
{
    const bool is_float = dtype == SKY_F32 || dtype == SKY_F64 || dtype == SKY_BF16;
    if (is_float || (dtype == SKY_I64 && sum != SKY_COMM_MEAN)) return SKY_OK;
    return sky_fail(SKY_UNSUPPORTED, what, "%s of %s over ranks is not there", sum == SKY_COMM_MEAN ? "a mean" : "a sum", sky_dtype_name(dtype));
}

/* ---- f32, and bf16 widened to it ---- */

static const float *load(float *wide, const void *data, enum sky_dtype dtype, int64_t from, int count)
{
    if (dtype == SKY_F32) return (const float *)data + from;
    const uint16_t *narrow = (const uint16_t *)data + from;
    for (int i = 0; i < count; i++) wide[i] = sky_bf16_to_float(narrow[i]);
    return wide;
}

static void block_f32(void *to, const struct sky_part *in, int size, int64_t from, int count, enum sky_dtype dtype, enum sky_comm_sum sum)
{
    float total[BLOCK], wide[BLOCK];
    memcpy(total, load(wide, in[0].data, dtype, from, count), (size_t)count * sizeof *total);
    for (int r = 1; r < size; r++) {
        const float *next = load(wide, in[r].data, dtype, from, count);
        if (sum == SKY_COMM_MAX)
            for (int i = 0; i < count; i++) total[i] = next[i] > total[i] ? next[i] : total[i];
        else
            for (int i = 0; i < count; i++) total[i] += next[i];
    }
    if (sum == SKY_COMM_MEAN)
        for (int i = 0; i < count; i++) total[i] /= (float)size;
    if (dtype == SKY_F32) memcpy((float *)to + from, total, (size_t)count * sizeof *total);
    else
        for (int i = 0; i < count; i++) ((uint16_t *)to)[from + i] = sky_float_to_bf16(total[i]);
}

/* ---- f64 and i64 ---- */

static void block_f64(double *to, const struct sky_part *in, int size, int64_t from, int count, enum sky_comm_sum sum)
{
    double total[BLOCK];
    memcpy(total, (const double *)in[0].data + from, (size_t)count * sizeof *total);
    for (int r = 1; r < size; r++) {
        const double *next = (const double *)in[r].data + from;
        for (int i = 0; i < count; i++) total[i] = sum != SKY_COMM_MAX ? total[i] + next[i] : next[i] > total[i] ? next[i] : total[i];
    }
    for (int i = 0; i < count; i++) to[from + i] = sum == SKY_COMM_MEAN ? total[i] / size : total[i];
}

static void block_i64(int64_t *to, const struct sky_part *in, int size, int64_t from, int count, enum sky_comm_sum sum)
{
    for (int64_t i = from; i < from + count; i++) {
        int64_t total = ((const int64_t *)in[0].data)[i];
        for (int r = 1; r < size; r++) {
            const int64_t next = ((const int64_t *)in[r].data)[i];
            total = sum != SKY_COMM_MAX ? total + next : next > total ? next : total;
        }
        to[i] = total;
    }
}

void sky_sum_parts(void *to, const struct sky_part *in, int size, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum)
{
    for (int64_t from = 0; from < count; from += BLOCK) {
        const int some = count - from < BLOCK ? (int)(count - from) : BLOCK;
        if (dtype == SKY_F64) block_f64(to, in, size, from, some, sum);
        else if (dtype == SKY_I64) block_i64(to, in, size, from, some, sum);
        else block_f32(to, in, size, from, some, dtype, sum);
    }
}
