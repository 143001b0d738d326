/*
 * Weather over pictures: golden checksums (the same on every machine and compiler), what dark, over-exposure and wind must do exactly, mixes, and that neither
 * the order nor the number of threads changes a picture.
 */
#include "check.h"
#include "data_tree.h"

#include "base/crc32c.h"
#include "data/loader.h"

enum { SEED = 1652, MOST = 256 };

static uint8_t before[MOST * MOST * 3], after[MOST * MOST * 3], other[MOST * MOST * 3];
static struct sky_image spare;

static void paint(int size)
{
    for (int i = 0; i < size * size * 3; i++) before[i] = (uint8_t)((i / 3 % size * 3 + i / 3 / size * 5 + i % 3 * 70) % 256);
}

static size_t bytes_of(int size) { return (size_t)size * (size_t)size * 3; }

static uint32_t apply(enum sky_weather weather, uint32_t index, int size, uint8_t *out)
{
    memcpy(out, before, bytes_of(size));
    CHECK_OK(sky_weather_apply(weather, SEED, index, out, size, &spare));
    return sky_crc32c(0, out, bytes_of(size));
}

static void test_golden(void)
{
    static const uint32_t want[SKY_WEATHER_COUNT][2] = {{0x690E670B, 0xF449F31D}, {0xEA5083D2, 0x98C00822}, {0x9C989F25, 0x9CD618DC}, {0xABB3D657, 0x560559DD},
                                                        {0x74BC35FE, 0x1D5669B7}, {0x7EB8DFA8, 0xD9BBD71E}, {0x8BDA5D65, 0xEF8818CA}, {0x8CF9CCB8, 0xB7E43D60},
                                                        {0x5EA03FEA, 0x91E29AD6}, {0x15161F72, 0xD4210606}};
    for (int w = 0; w < SKY_WEATHER_COUNT; w++) {
        char detail[80];
        uint32_t got[2];
        paint(64);
        got[0] = apply((enum sky_weather)w, 0, 64, after);
        paint(250);
        got[1] = apply((enum sky_weather)w, 70000, 250, after);
        snprintf(detail, sizeof detail, "%s: {0x%08X, 0x%08X}", sky_weather_name((enum sky_weather)w), got[0], got[1]);
        check_that(got[0] == want[w][0] && got[1] == want[w][1], "checksums", __FILE__, __LINE__, detail);
    }
}

/* The formulas, pixel by pixel. */
static void test_exact(void)
{
    int addend = -1;
    paint(64);
    apply(SKY_WEATHER_NONE, 3, 64, after);
    CHECK(!memcmp(before, after, bytes_of(64)));
    apply(SKY_WEATHER_DARK, 3, 64, after);
    for (size_t i = 0; i < bytes_of(64); i++) {
        const int want = (before[i] * 4 - 150 + 5) / 10; /* below zero it truncates upwards: still nothing */
        if (after[i] != (want < 0 ? 0 : want)) CHECK(!"0.4 x - 15");
    }
    apply(SKY_WEATHER_OVER_EXPOSURE, 3, 64, after);
    for (size_t i = 0; i < bytes_of(64); i++) {
        if (before[i] == 0) addend = after[i];
    }
    CHECK(addend >= 0 && addend <= 30);
    for (size_t i = 0; i < bytes_of(64); i++) {
        const double want = before[i] * 1.6 + addend > 255 ? 255 : before[i] * 1.6 + addend;
        if (!(fabs(after[i] - want) <= 1.01)) CHECK(!"1.6 x + addend");
    }
    memset(before, 90, bytes_of(64));
    apply(SKY_WEATHER_WIND, 3, 64, after);
    CHECK(!memcmp(before, after, bytes_of(64)));
    memset(before, 0, bytes_of(64)); /* one white pixel is smeared over 15, none lost: 255 / 15 each */
    memset(before + (32 * 64 + 32) * 3, 255, 3);
    apply(SKY_WEATHER_WIND, 3, 64, after);
    int lit = 0, sum = 0;
    for (size_t i = 0; i < bytes_of(64); i += 3) lit += after[i] != 0, sum += after[i];
    CHECK(lit == 15 && sum == 255);
}

static void test_draws(void)
{
    static const enum sky_weather drawn[] = {SKY_WEATHER_FOG, SKY_WEATHER_RAIN, SKY_WEATHER_SNOW, SKY_WEATHER_OVER_EXPOSURE, SKY_WEATHER_WIND};
    paint(64);
    for (int i = 0; i < 5; i++) {
        const uint32_t first = apply(drawn[i], 1, 64, after), second = apply(drawn[i], 2, 64, after);
        CHECK(first != second && apply(drawn[i], 1, 64, after) == first);
    }
    apply(SKY_WEATHER_FOG, 5, 64, after); /* a mix is one element after the other, with the draws of each alone */
    CHECK_OK(sky_weather_apply(SKY_WEATHER_RAIN, SEED, 5, after, 64, &spare));
    apply(SKY_WEATHER_FOG_RAIN, 5, 64, other);
    CHECK(!memcmp(after, other, bytes_of(64)));
    apply(SKY_WEATHER_RAIN, 5, 64, after);
    CHECK_OK(sky_weather_apply(SKY_WEATHER_SNOW, SEED, 5, after, 64, &spare));
    apply(SKY_WEATHER_RAIN_SNOW, 5, 64, other);
    CHECK(!memcmp(after, other, bytes_of(64)));
}

static double mean_of(const uint8_t *pixels, int size)
{
    double sum = 0;
    for (size_t i = 0; i < bytes_of(size); i++) sum += pixels[i];
    return sum / (double)bytes_of(size);
}

/* Fog hides, snow whitens, at any resolution alike. */
static void test_sizes(void)
{
    for (int w = SKY_WEATHER_FOG; w <= SKY_WEATHER_RAIN_SNOW; w++) {
        memset(before, 60, sizeof before);
        apply((enum sky_weather)w, 1, 64, after);
        apply((enum sky_weather)w, 1, 256, other);
        const double small = mean_of(after, 64), large = mean_of(other, 256);
        CHECK(small > 70 && large > 70);
        CHECK_NEAR(small, large, 6);
    }
    memset(before, 60, sizeof before);
    apply(SKY_WEATHER_FOG, 1, 256, other);
    for (size_t i = 0; i < bytes_of(256); i++)
        if (!(other[i] >= 60 + 0.44 * 165 && other[i] <= 60 + 0.86 * 165)) CHECK(!"the fog's density");
}

static void test_threads(void)
{
    enum { IMAGES = 13, SIZE = 48 };
    static uint8_t all[2][IMAGES * SIZE * SIZE * 3];
    const struct sky_alteration alteration = {.weather = SKY_WEATHER_FOG_SNOW, .seed = SEED, .shift = 5};
    struct sky_image_set set = {0};
    for (uint32_t i = 0; i < IMAGES; i++) {
        char name[64];
        snprintf(name, sizeof name, "photos/%02u.png", i);
        tree_picture(name, i);
    }
    CHECK_OK(sky_image_set_scan(&set, in_folder("photos")));
    CHECK(set.count == IMAGES);
    for (int run = 0; run < 3; run++) {
        struct sky_reader *reader = NULL;
        int64_t first = 0, count = 1;
        CHECK_OK(sky_reader_create(&reader, &set, set.folder, NULL, SKY_EXIF_IGNORE, SIZE, 4, run == 1 ? 5 : 1 + run, &alteration));
        while (count > 0) {
            const uint8_t *images = NULL;
            CHECK_OK(sky_reader_next(reader, &images, &first, &count));
            memcpy(all[run > 0] + (size_t)first * SIZE * SIZE * 3, images, (size_t)count * SIZE * SIZE * 3);
        }
        sky_reader_destroy(reader);
        if (run > 0) CHECK(!memcmp(all[0], all[1], sizeof all[0]));
    }
    CHECK(memcmp(all[0], all[0] + SIZE * SIZE * 3, SIZE * SIZE * 3) != 0);
    for (int y = 0; y < SIZE; y++) CHECK(all[0][y * SIZE * 3] == 0 && all[0][y * SIZE * 3 + 14] == 0); /* shifted after the weather: the strip is black */
    sky_image_set_close(&set);
}

int main(void)
{
    folder_make();
    test_golden();
    test_exact();
    test_draws();
    test_sizes();
    test_threads();
    sky_image_free(&spare);
    folder_remove(folder);
    return check_done();
}
