/*
 * Conversions to and from half precision and bfloat16: every half value, and rounding against the definition by distance.
 */
#include "base/dtype.h"
#include "base/rng.h"
#include "check.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Among the neighbours of the result none is nearer, and at a tie the result is even. */
static bool is_nearest(float value, uint16_t got, float (*widen)(uint16_t), float largest)
{
    if (isnan(value)) return isnan(widen(got));
    if (isinf(widen(got))) return fabsf(value) >= largest && signbit(value) == signbit(widen(got));
    const double distance = fabs((double)widen(got) - (double)value);
    for (int step = -1; step <= 1; step += 2) {
        const uint16_t other = (uint16_t)(got + step);
        if (((got ^ other) & 0x8000) || !isfinite(widen(other))) continue;
        const double theirs = fabs((double)widen(other) - (double)value);
        if (theirs < distance || (theirs == distance && (got & 1))) return false;
    }
    return signbit(value) == signbit(widen(got));
}

int main(void)
{
    int wrong = 0;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const float half = sky_half_to_float((uint16_t)bits), brain = sky_bf16_to_float((uint16_t)bits);
        if (isnan(half) ? !isnan(sky_half_to_float(sky_float_to_half(half))) : sky_float_to_half(half) != bits) wrong++;
        if (isnan(brain) ? !isnan(sky_bf16_to_float(sky_float_to_bf16(brain))) : sky_float_to_bf16(brain) != bits) wrong++;
    }
    CHECK(wrong == 0);

    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, 0, 0);
    for (int i = 0; i < 300000; i++) {
        const float any = from_bits(sky_rng_u32(&rng));                                                          /* of any size */
        const float near = ldexpf((float)(sky_rng_u32(&rng) & 0xffffff) - 0x800000, (int)sky_rng_below(&rng, 42) - 50); /* where half precision has its values */
        if (!is_nearest(any, sky_float_to_half(any), sky_half_to_float, 65520)) wrong++;
        if (!is_nearest(near, sky_float_to_half(near), sky_half_to_float, 65520)) wrong++;
        if (!is_nearest(any, sky_float_to_bf16(any), sky_bf16_to_float, 0x1.ffp127f)) wrong++;
        if (!is_nearest(near, sky_float_to_bf16(near), sky_bf16_to_float, 0x1.ffp127f)) wrong++;
    }
    CHECK(wrong == 0);

    CHECK(sky_float_to_half(65519.996f) == 0x7bff);
    CHECK(sky_float_to_half(65520) == 0x7c00);
    CHECK(sky_float_to_half(0x1p-25f) == 0);          /* a tie: to even */
    CHECK(sky_float_to_half(0x1.000002p-25f) == 1);
    CHECK(sky_float_to_half(2049) == sky_float_to_half(2048)); /* ties to even */
    CHECK(sky_float_to_half(2051) == sky_float_to_half(2052));
    CHECK(sky_float_to_half(-INFINITY) == 0xfc00);
    CHECK(sky_float_to_bf16(1.00390625f) == 0x3f80);  /* a tie */
    CHECK(sky_float_to_bf16(1.01171875f) == 0x3f82);
    return check_done();
}
