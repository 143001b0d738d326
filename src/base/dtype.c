/*
 * The table and the conversions behind dtype.h.
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

uint16_t sky_float_to_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return sign | 0x7e00;                /* NaN */
    if (size >= 0x477ff000u) return sign | 0x7c00;               /* rounds to 65536 or more */
    const int shift = size < 0x38800000u ? 126 - (int)(size >> 23) : 13; /* below 2^-14 the result is subnormal: a multiple of 2^-24 */
    if (shift > 24) return sign;
    const uint32_t whole = shift > 13 ? (size & 0x7fffffu) | 0x800000u : size - 0x38000000u;
    const uint32_t half = 1u << (shift - 1), rest = whole & (2 * half - 1), kept = whole >> shift;
    return (uint16_t)(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
}

float sky_bf16_to_float(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t sky_float_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
