/*
 * Augmentation: what is drawn (ranges, shares, independence of the options, repeatability) and what is done on pictures small enough to know by
 * heart. Equality with torchvision on real-looking pictures is in tests/golden/image_golden_test.c.
 */
#include "check.h"

#include "image/augment.h"

static const struct sky_augment everything = {
    .size = 64, .pad = 10, .crop = true, .flip = 0.5, .rotation = 90, .erasing = 0.5, .brightness = 0.1, .contrast = 0.2, .saturation = 1.5};

static struct sky_rng key(uint32_t epoch, uint32_t item)
{
    return sky_rng_make(42, SKY_RNG_AUGMENT, epoch, item);
}

static void test_draws(void)
{
    enum { COUNT = 4000 };
    int flips = 0, erased = 0, orders[3] = {0}, tops[21] = {0}, lefts[21] = {0};
    double angles = 0, widest = 0, brightest = 1, darkest = 1, area = 0, least_saturation = 1, most_saturation = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sky_augment_draws d;
        sky_augment_draw(&everything, key(3, i), &d);
        flips += d.mirrored, orders[d.jitter_order[0]]++;
        CHECK(d.jitter_order[0] + d.jitter_order[1] + d.jitter_order[2] == 3 && d.jitter_order[0] != d.jitter_order[1]);
        if (!CHECK(d.top >= 0 && d.top <= 20 && d.left >= 0 && d.left <= 20)) break;
        tops[d.top]++, lefts[d.left]++;
        angles += d.angle, widest = fmax(widest, fabs(d.angle));
        brightest = fmax(brightest, d.jitter_factor[SKY_JITTER_BRIGHTNESS]), darkest = fmin(darkest, d.jitter_factor[SKY_JITTER_BRIGHTNESS]);
        most_saturation = fmax(most_saturation, d.jitter_factor[SKY_JITTER_SATURATION]),
        least_saturation = fmin(least_saturation, d.jitter_factor[SKY_JITTER_SATURATION]);
        if (d.erased.height == 0) continue;
        erased++;
        const struct sky_rectangle *r = &d.erased;
        const double share = r->height * r->width / (64.0 * 64.0);
        CHECK(r->top >= 0 && r->left >= 0 && r->width > 0 && r->height < 64 && r->width < 64 && r->top + r->height <= 64 && r->left + r->width <= 64);
        CHECK(share > 0.015 && share < 0.42);
        area += share;
    }
    /* five standard deviations */
    CHECK_NEAR(flips / (double)COUNT, 0.5, 5 * 0.5 / sqrt(COUNT));
    CHECK_NEAR(erased / (double)COUNT, 0.5, 5 * 0.5 / sqrt(COUNT));
    CHECK_NEAR(angles / COUNT, 0, 5 * 52 / sqrt(COUNT));
    CHECK(widest > 89 && widest <= 90);
    CHECK(brightest > 1.099 && brightest <= 1.1 && darkest < 0.901 && darkest >= 0.9);
    CHECK(most_saturation > 2.48 && most_saturation <= 2.5 && least_saturation < 0.01 && least_saturation >= 0);
    CHECK(area / erased > 0.15 && area / erased < 0.25);
    for (int i = 0; i < 3; i++) CHECK_NEAR(orders[i] / (double)COUNT, 1 / 3.0, 5 * 0.4714 / sqrt(COUNT));
    for (int i = 0; i <= 20; i++) CHECK_NEAR(tops[i] * 21.0 / COUNT, 1, 0.4), CHECK_NEAR(lefts[i] * 21.0 / COUNT, 1, 0.4);
}

/* An option switched off changes nothing that another one draws. */
static void test_independence(void)
{
    const struct sky_augment plain = {.size = 64, .pad = 10, .crop = true, .flip = 0.5};
    struct sky_augment centred = everything, sure = everything, never = everything;
    centred.crop = false, sure.erasing = 1, never.erasing = 0, never.flip = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct sky_augment_draws a, b, c, d, e;
        sky_augment_draw(&everything, key(0, i), &a), sky_augment_draw(&plain, key(0, i), &b), sky_augment_draw(&centred, key(0, i), &c);
        sky_augment_draw(&sure, key(0, i), &d), sky_augment_draw(&never, key(0, i), &e);
        CHECK(a.top == b.top && a.left == b.left && a.mirrored == b.mirrored);
        CHECK(b.angle == 0 && b.erased.height == 0 && b.jitter_factor[0] == 1 && b.jitter_factor[1] == 1 && b.jitter_factor[2] == 1);
        CHECK(c.top == 10 && c.left == 10 && c.mirrored == a.mirrored && c.angle == a.angle && memcmp(&c.erased, &a.erased, sizeof a.erased) == 0);
        CHECK(d.erased.height > 0 && (a.erased.height == 0 || memcmp(&d.erased, &a.erased, sizeof a.erased) == 0));
        CHECK(e.erased.height == 0 && !e.mirrored && e.angle == a.angle);
    }
}

/* Pixel (x, y) is (16 y + x, 100, 200 - x). */
static void fill(struct sky_image *image, int width, int height)
{
    CHECK_OK(sky_image_resize_buffer(image, width, height));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + (y * width + x) * 3;
            pixel[0] = (uint8_t)(16 * y + x), pixel[1] = 100, pixel[2] = (uint8_t)(200 - x);
        }
}

static const struct sky_augment_draws still = {.jitter_factor = {1, 1, 1}, .jitter_order = {0, 1, 2}};

static void test_pixels(void)
{
    enum { N = 12 };
    const struct sky_augment settings = {.size = N, .pad = 3};
    struct sky_augment no_pad = settings;
    struct sky_image in = {0};
    struct sky_augment_scratch scratch = {0};
    uint8_t out[N * N * 3];
    no_pad.pad = 0;
    fill(&in, N, N);
    struct sky_augment_draws d = still;
    CHECK_OK(sky_augment_render(&no_pad, &d, &in, &scratch, out));
    CHECK(memcmp(out, in.pixels, sizeof out) == 0);
    for (int mirrored = 0; mirrored < 2; mirrored++)
        for (int top = 0; top <= 6; top++)
            for (int left = 0; left <= 6; left++) {
                d.top = top, d.left = left, d.mirrored = mirrored;
                CHECK_OK(sky_augment_render(&settings, &d, &in, &scratch, out));
                int good = 1;
                for (int y = 0; y < N; y++)
                    for (int x = 0; x < N; x++) {
                        const int from_y = y + top - 3, from_x = (mirrored ? N - 1 - x : x) + left - 3;
                        const int row = from_y < 0 ? 0 : from_y >= N ? N - 1 : from_y, column = from_x < 0 ? 0 : from_x >= N ? N - 1 : from_x;
                        good &= memcmp(out + (y * N + x) * 3, in.pixels + (row * N + column) * 3, 3) == 0;
                    }
                CHECK(good);
            }
    const struct {
        double angle;
        int x_from_x, x_from_y, x_plus, y_from_x, y_from_y, y_plus;
    } turns[] = {{90, 0, 1, 0, -1, 0, N - 1}, {-90, 0, -1, N - 1, 1, 0, 0}, {180, -1, 0, N - 1, 0, -1, N - 1}}; /* clockwise: where (x, y) comes from */
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        d = still, d.angle = turns[i].angle;
        CHECK_OK(sky_augment_render(&no_pad, &d, &in, &scratch, out));
        int good = 1;
        for (int y = 0; y < N; y++)
            for (int x = 0; x < N; x++) {
                const int column = turns[i].x_from_x * x + turns[i].x_from_y * y + turns[i].x_plus,
                          row = turns[i].y_from_x * x + turns[i].y_from_y * y + turns[i].y_plus;
                good &= memcmp(out + (y * N + x) * 3, in.pixels + (row * N + column) * 3, 3) == 0;
            }
        CHECK(good);
    }
    d = still, d.angle = 45; /* the corners come from outside: black */
    CHECK_OK(sky_augment_render(&no_pad, &d, &in, &scratch, out));
    CHECK(out[0] == 0 && out[1] == 0 && out[2] == 0 && out[(N / 2 * N + N / 2) * 3 + 1] == 100);
    struct sky_augment wrong = settings;
    wrong.pad = 20000;
    CHECK_FAILS(sky_augment_render(&wrong, &d, &in, &scratch, out), SKY_USAGE, "pad 20000");
    wrong.pad = 0, wrong.size = 0;
    CHECK_FAILS(sky_augment_render(&wrong, &d, &in, &scratch, out), SKY_USAGE, "size 0");
    sky_image_free(&in);
    sky_augment_scratch_free(&scratch);
}

static void test_repeatability(void)
{
    struct sky_image in = {0};
    struct sky_augment_scratch one = {0}, two = {0};
    uint8_t a[64 * 64 * 3], b[64 * 64 * 3];
    struct sky_rectangle ra, rb;
    int differing = 0;
    fill(&in, 100, 80);
    for (uint32_t i = 0; i < 40; i++) {
        CHECK_OK(sky_augment_apply(&everything, key(1, i), &in, &one, a, &ra));
        CHECK_OK(sky_augment_apply(&everything, key(2, i), &in, &two, b, &rb)); /* another epoch, and scratch with another past */
        differing += memcmp(a, b, sizeof a) != 0;
        CHECK_OK(sky_augment_apply(&everything, key(1, i), &in, &two, b, &rb));
        CHECK(memcmp(a, b, sizeof a) == 0 && memcmp(&ra, &rb, sizeof ra) == 0);
    }
    CHECK(differing >= 39);
    struct sky_image untouched = {0};
    fill(&untouched, 100, 80);
    CHECK(memcmp(in.pixels, untouched.pixels, 100 * 80 * 3) == 0);
    sky_image_free(&in), sky_image_free(&untouched);
    sky_augment_scratch_free(&one), sky_augment_scratch_free(&two), sky_augment_scratch_free(&two);
}

int main(void)
{
    test_draws();
    test_independence();
    test_pixels();
    test_repeatability();
    return check_done();
}
