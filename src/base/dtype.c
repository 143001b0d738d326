/*
 * The table and the conversion behind dtype.h.
 */
#include "dtype.h"

#include <string.h>

static const struct {
    size_t bytes;
    const char *name;
} dtypes[SKY_DTYPE_COUNT] = {
    [SKY_F32] = {4, "f32"}, [SKY_F64] = {8, "f64"}, [SKY_BF16] = {2, "bf16"}, [SKY_F16] = {2, "f16"},
    [SKY_U8] = {1, "u8"},   [SKY_I32] = {4, "i32"}, [SKY_I64] = {8, "i64"},
};

size_t sky_dtype_bytes(enum sky_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *sky_dtype_name(enum sky_dtype dtype)
{
    return dtypes[dtype].name;
}

float sky_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    uint32_t bits;
    float value;
    if (exponent == 31) bits = sign | 0x7f800000u | fraction << 13;
    else if (exponent) bits = sign | (exponent + 112) << 23 | fraction << 13;
    else {
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}
