/*
 * The bicubic resize: published weight vectors, the fast passes against the plain ones on many shapes, memory touched only where it may be.
 */
#include "check.h"

#include "base/rng.h"
#include "image/image.h"
#include "image/resize_passes.h"

/* The true window: weights from the first that is not zero to the last. */
static void check_weights(const struct sky_resize_axis *axis, int i, int first, const int32_t *want, int count)
{
    const int32_t *weights = axis->weights + (int64_t)i * axis->taps;
    int64_t sum = 0;
    for (int t = 0; t < axis->taps; t++) {
        const int k = axis->start[i] + t - first;
        CHECK(weights[t] == (k >= 0 && k < count ? want[k] : 0));
        sum += weights[t];
    }
    CHECK(llabs(sum - (1 << SKY_RESIZE_BITS)) <= axis->taps);
}

static void check_weights_near(const struct sky_resize_axis *axis, int i, int first, const double *want, int count)
{
    const int32_t *weights = axis->weights + (int64_t)i * axis->taps;
    for (int t = 0; t < axis->taps; t++) {
        const int k = axis->start[i] + t - first;
        CHECK_NEAR(weights[t] / (double)(1 << SKY_RESIZE_BITS), k >= 0 && k < count ? want[k] : 0, 1.3e-7);
    }
}

static void test_vectors(void)
{
    struct sky_resize_axis axis = {0};
    const double interior[8] = {-.01171875, -.03515625, .11328125, .43359375, .43359375, .11328125, -.03515625, -.01171875};
    const double begin[5] = {.464435146, .464435146, .121338912, -.037656904, -.012552301};
    const double end[5] = {-.012552301, -.037656904, .121338912, .464435146, .464435146};
    CHECK_OK(sky_resize_axis_make(&axis, 512, 256));
    CHECK(axis.taps == 8);
    check_weights_near(&axis, 100, 197, interior, 8);
    check_weights_near(&axis, 0, 0, begin, 5);
    check_weights_near(&axis, 255, 507, end, 5);
    const int32_t w0[3] = {3157725, 1276527, -239949}, w99[5] = {-138884, 287027, 3046194, 1231440, -231474};
    const int32_t w100[6] = {-21306, -149144, 2267603, 2267603, -149144, -21306}, w101[5] = {-231474, 1231440, 3046194, 287027, -138884};
    CHECK_OK(sky_resize_axis_make(&axis, 512, 384));
    check_weights(&axis, 0, 0, w0, 3);
    check_weights(&axis, 99, 130, w99, 5);
    check_weights(&axis, 100, 131, w100, 6);
    check_weights(&axis, 101, 133, w101, 5);
    for (int64_t i = 0; i < (int64_t)axis.out * axis.taps; i++) {
        const int8_t *digits = axis.digits + i / 4 * 12 + i % 4;
        CHECK(digits[0] + 256 * digits[4] + 65536 * digits[8] == axis.weights[i]);
    }
    sky_resize_axis_free(&axis);
}

static uint8_t *random_bytes(struct sky_rng *rng, size_t count)
{
    uint8_t *bytes = malloc(count);
    for (size_t i = 0; bytes && i < count; i++) {
        const uint32_t draw = sky_rng_u32(rng);
        bytes[i] = draw % 4 == 0 ? 0 : draw % 4 == 1 ? 255 : (uint8_t)(draw >> 8); /* extremes make sums overshoot */
    }
    return bytes;
}

/* Blocks of exactly the right size: a sanitizer sees any byte too many. The bytes behind the result must stay. */
static void compare_passes(const struct sky_resize_passes *fast, struct sky_rng *rng, struct sky_resizer *plain_state, struct sky_resizer *fast_state,
                           const int shape[4])
{
    enum { GUARD = 64 };
    const size_t in_bytes = (size_t)shape[0] * shape[1] * 3, out_bytes = (size_t)shape[2] * shape[3] * 3;
    uint8_t *in = random_bytes(rng, in_bytes), *want = malloc(out_bytes), *got = malloc(out_bytes + GUARD);
    char detail[128];
    snprintf(detail, sizeof detail, "%d x %d to %d x %d", shape[0], shape[1], shape[2], shape[3]);
    if (CHECK(in && want && got)) {
        memset(got, 0xA5, out_bytes + GUARD);
        CHECK_OK(sky_resize_with(&sky_resize_plain, plain_state, in, shape[0], shape[1], shape[2], shape[3], want));
        CHECK_OK(sky_resize_with(fast, fast_state, in, shape[0], shape[1], shape[2], shape[3], got));
        check_that(memcmp(got, want, out_bytes) == 0, "fast passes equal plain ones", __FILE__, __LINE__, detail);
        for (int i = 0; i < GUARD; i++)
            if (got[out_bytes + (size_t)i] != 0xA5) check_that(0, "nothing written behind the picture", __FILE__, __LINE__, detail);
    }
    free(in), free(want), free(got);
}

static void test_passes(void)
{
    const struct sky_resize_passes *fast = sky_resize_vnni();
    struct sky_rng rng = sky_rng_make(5, SKY_RNG_TEST, 1, 0);
    struct sky_resizer plain_state = {0}, fast_state = {0};
    const int shapes[][4] = {{512, 512, 256, 256}, {512, 512, 384, 384}, {512, 512, 255, 257}, {1, 1, 1, 2},       {1, 1, 300, 300},   {2, 900, 31, 7},
                             {900, 2, 7, 31},      {1, 500, 1, 20},      {500, 1, 20, 1},      {640, 100, 113, 9}, {640, 100, 112, 9}, {640, 100, 111, 100},
                             {97, 1000, 97, 13},   {700, 900, 3, 2},     {21, 22, 64, 64},     {64, 64, 22, 21}};
    if (!fast) check_skip("fast resize passes", "this processor has no AVX-512 VNNI and VBMI");
    for (size_t i = 0; fast && i < sizeof shapes / sizeof *shapes; i++) compare_passes(fast, &rng, &plain_state, &fast_state, shapes[i]);
    for (int i = 0; fast && i < 300; i++) {
        const uint32_t widest = i % 3 ? 40 : 250;
        const int shape[4] = {1 + (int)sky_rng_below(&rng, widest), 1 + (int)sky_rng_below(&rng, widest), 1 + (int)sky_rng_below(&rng, 90),
                              1 + (int)sky_rng_below(&rng, 90)};
        compare_passes(fast, &rng, &plain_state, &fast_state, shape);
    }
    sky_resizer_free(&plain_state);
    sky_resizer_free(&fast_state);
}

/* A pass by Pillow's definition with 64-bit sums, for one shape; written anew, sharing only the table. */
static void test_plain(void)
{
    enum { IN = 37, OUT = 14 };
    struct sky_rng rng = sky_rng_make(6, SKY_RNG_TEST, 2, 0);
    struct sky_resize_axis axis = {0};
    struct sky_resizer resizer = {0};
    uint8_t *in = random_bytes(&rng, IN * 3), out[OUT * 3];
    CHECK_OK(sky_resize_axis_make(&axis, IN, OUT));
    CHECK_OK(sky_resize_with(&sky_resize_plain, &resizer, in, IN, 1, OUT, 1, out));
    for (int i = 0; i < OUT * 3; i++) {
        int64_t sum = SKY_RESIZE_HALF;
        for (int t = 0; t < axis.taps && axis.start[i / 3] + t < IN; t++)
            sum += (int64_t)axis.weights[i / 3 * axis.taps + t] * in[(axis.start[i / 3] + t) * 3 + i % 3];
        sum >>= SKY_RESIZE_BITS;
        CHECK(out[i] == (sum < 0 ? 0 : sum > 255 ? 255 : sum));
    }
    free(in);
    sky_resize_axis_free(&axis);
    sky_resizer_free(&resizer);
}

static void test_pictures(void)
{
    struct sky_image in = {0}, out = {0}, again = {0};
    struct sky_resizer resizer = {0};
    struct sky_rng rng = sky_rng_make(7, SKY_RNG_TEST, 3, 0);
    CHECK_OK(sky_image_resize_buffer(&in, 50, 40));
    for (int i = 0; i < 50 * 40 * 3; i++) in.pixels[i] = (uint8_t)sky_rng_u32(&rng);
    CHECK_OK(sky_resize_bicubic(&resizer, &in, 50, 40, &out));
    CHECK(out.width == 50 && out.height == 40 && memcmp(in.pixels, out.pixels, 50 * 40 * 3) == 0);
    CHECK_OK(sky_resize_bicubic(&resizer, &in, 30, 20, &out));
    CHECK_OK(sky_resize_bicubic(&resizer, &in, 77, 5, &again)); /* another shape in between must leave nothing behind */
    CHECK_OK(sky_resize_bicubic(&resizer, &in, 30, 20, &again));
    CHECK(memcmp(out.pixels, again.pixels, 30 * 20 * 3) == 0);
    for (int value = 0; value < 256; value += 51) { /* one colour stays that colour */
        memset(in.pixels, value, 50 * 40 * 3);
        CHECK_OK(sky_resize_bicubic(&resizer, &in, 23, 61, &out));
        int same = 1;
        for (int i = 0; i < 23 * 61 * 3; i++) same &= out.pixels[i] == value;
        CHECK(same);
    }
    CHECK_FAILS(sky_resize_bicubic(&resizer, &in, 0, 5, &out), SKY_INTERNAL, "0 x 5");
    sky_image_free(&in), sky_image_free(&out), sky_image_free(&again);
    sky_resizer_free(&resizer);
    sky_resizer_free(&resizer);
}

int main(void)
{
    test_vectors();
    test_plain();
    test_passes();
    test_pictures();
    return check_done();
}
