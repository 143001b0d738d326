/*
 * exp, log2, powers and running maxima as plain arithmetic without branches, so that compilers vectorise the loops they stand in; good to about 2 units in the
 * last place. Polynomials are minimax fits (relative error 4e-9 and 2e-9). No tables, no library calls, no fast-math.
 */
#ifndef SKY_BACKEND_CPU_VECTOR_H
#define SKY_BACKEND_CPU_VECTOR_H

#include <stdint.h>
#include <string.h>

static inline int32_t sky_bits_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float sky_float_of(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Nearest whole number, |x| < 2^22. */
static inline float sky_round(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: the sum has no room for a fraction */
    return (x + magic) - magic;
}

/* 2^f for |f| <= 0.51 */
static inline float sky_exp2_fraction(float f)
{
    return 1.0f + f * (0.69314721f + f * (0.24022647f + f * (0.055503288f + f * (0.009618489f + f * (0.0013399931f + f * 0.00015345812f)))));
}

/* mantissa * 2^n for whole n in [-252, 254], in two steps so that neither power leaves the range */
static inline float sky_scale(float mantissa, float n)
{
    const int32_t whole = (int32_t)n, half = whole >> 1;
    return mantissa * sky_float_of((int32_t)((uint32_t)(half + 127) << 23)) * sky_float_of((int32_t)((uint32_t)(whole - half + 127) << 23));
}

static inline float sky_exp(float x)
{
    const float low = -104, high = 89; /* below: 0, above: infinity */
    const float clamped = x < low ? low : x > high ? high : x;
    const float n = sky_round(clamped * 1.44269504f);
    const float rest = (clamped - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 = 0.693359375 - 2.1219444e-4; the first product is exact */
    return sky_scale(sky_exp2_fraction(rest * 1.44269504f), n);
}

/* x = mantissa * 2^exponent with the mantissa in [sqrt(1/2), sqrt(2)); x positive and normal. What is not finite gives a mantissa that is not a number. */
static inline float sky_split(float x, float *exponent)
{
    const int32_t bits = sky_bits_of(x), whole = (bits - 0x3f3504f3) >> 23;
    *exponent = (float)whole;
    return sky_float_of(bits - whole * (1 << 23)) + (x - x);
}

/* log2 of a mantissa of sky_split */
static inline float sky_log2_mantissa(float mantissa)
{
    const float f = mantissa - 1;
    return f *
           (1.442695041f +
            f * (-0.7213473515f +
                 f * (0.4808982411f +
                      f * (-0.3606966493f +
                           f * (0.288567407f + f * (-0.2396174055f + f * (0.2046006476f + f * (-0.1910627682f + f * (0.186174795f + f * -0.1099493149f)))))))));
}

/* x positive and normal */
static inline float sky_log2(float x)
{
    float exponent;
    const float mantissa = sky_split(x, &exponent);
    return exponent + sky_log2_mantissa(mantissa);
}

/*
 * x^p = fraction * 2^n, never out of range; *n is a whole number. x positive and normal, p in two parts (sky_power_high) so that the exponent's product with p
 * is exact: a power's error would otherwise grow with its logarithm.
 */
static inline float sky_power(float x, float p_high, float p_low, float *n)
{
    float exponent;
    const float mantissa = sky_split(x, &exponent), large = exponent * p_high, small = exponent * p_low + (p_high + p_low) * sky_log2_mantissa(mantissa);
    *n = sky_round(large + small);
    return sky_exp2_fraction((large - *n) + small);
}

/* The upper 12 bits of p's mantissa. */
static inline float sky_power_high(float p)
{
    return sky_float_of(sky_bits_of(p) & ~0xfff);
}

/* fraction * 2^n for whole n, flushed to 0 below 2^-1022 */
static inline double sky_scale_double(float fraction, float n)
{
    const float low = n < -1023 ? -1023 : n, within = low > 1024 ? 1024 : low; /* 2^-1023 is built as 0, 2^1024 as infinity */
    const uint64_t bits = (uint64_t)(int64_t)((int32_t)within + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return (double)fraction * power;
}

/* x = mantissa * 2^exponent with the mantissa in [1, 2) or negative; x normal. Zero and subnormals give 0 * 2^-1023. */
static inline float sky_split_double(double x, float *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t whole = (int32_t)(bits >> 52 & 0x7ff) - 1023;
    const uint64_t fraction = (bits & 0x800fffffffffffff) | 0x3ff0000000000000;
    double mantissa;
    memcpy(&mantissa, &fraction, sizeof mantissa);
    *exponent = (float)whole;
    return whole == -1023 ? 0 : (float)(mantissa + (x - x));
}

/* One step of running maxima and their places: the first of equals stays. */
static inline void sky_take_larger(const float *restrict x, int32_t place, int64_t lanes, float *restrict best, int32_t *restrict at)
{
#pragma omp simd
    for (int64_t i = 0; i < lanes; i++) {
        at[i] = x[i] > best[i] ? place : at[i];
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}

#endif
