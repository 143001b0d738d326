/*
 * What locate makes of similarities: the confidence fitted to a known law, the filter over a flight, and JPEG pictures cut from a stream.
 */
#include "data_tree.h"
#include "index_file.h"

#include "base/str.h"
#include "cli/jpeg_stream.h"
#include "retrieve/calibration.h"
#include "retrieve/track.h"

/* ---- calibration ---- */

enum { PHOTOS = 20000 };
static double margins[PHOTOS];
static bool right[PHOTOS];

/* Photos that follow the law 1 / (1 + exp(-(offset + slope * margin))), margins from 0 to 0.4. */
static void draw(double offset, double slope, int64_t count)
{
    struct sky_rng rng = sky_rng_make(4, SKY_RNG_TEST, 77, 0);
    for (int64_t i = 0; i < count; i++) {
        margins[i] = sky_rng_between(&rng, 0, 0.4);
        right[i] = sky_rng_between(&rng, 0, 1) < 1 / (1 + exp(-(offset + slope * margins[i])));
    }
}

static void test_fit(void)
{
    struct sky_calibration c = {0};
    draw(-1.5, 14, PHOTOS);
    CHECK_OK(sky_calibration_fit(margins, right, PHOTOS, &c));
    CHECK_NEAR(c.offset, -1.5, 0.15);
    CHECK_NEAR(c.slope, 14, 0.8);
    CHECK_NEAR(sky_calibration_probability(&c, 0.1), 1 / (1 + exp(-(c.offset + 0.1 * c.slope))), 1e-15);
    /* At the most likely point the residuals are 0 on average, and so are residual times margin: with Platt's targets, which are a hair from 0 and 1. */
    double sum = 0, weighted = 0;
    int64_t rights = 0;
    for (int64_t i = 0; i < PHOTOS; i++) rights += right[i];
    for (int64_t i = 0; i < PHOTOS; i++) {
        const double target = right[i] ? ((double)rights + 1) / ((double)rights + 2) : 1 / ((double)(PHOTOS - rights) + 2);
        sum += target - sky_calibration_probability(&c, margins[i]), weighted += margins[i] * (target - sky_calibration_probability(&c, margins[i]));
    }
    CHECK_NEAR(sum / PHOTOS, 0, 1e-8);
    CHECK_NEAR(weighted / PHOTOS, 0, 1e-8);

    for (int i = 0; i < 40; i++) margins[i] = i < 20 ? 0.01 : 0.3, right[i] = i >= 20; /* a margin that separates perfectly: finite, thanks to the targets */
    CHECK_OK(sky_calibration_fit(margins, right, 40, &c));
    CHECK(isfinite(c.slope) && sky_calibration_probability(&c, 0.3) > 0.9 && sky_calibration_probability(&c, 0.3) < 0.99 &&
          sky_calibration_probability(&c, 0.01) < 0.1);

    CHECK_FAILS(sky_calibration_fit(margins, right, 19, &c), SKY_DATA, "too few");
    for (int i = 0; i < 40; i++) right[i] = true;
    CHECK_FAILS(sky_calibration_fit(margins, right, 40, &c), SKY_DATA, "every one of the 40");
    for (int i = 0; i < 40; i++) right[i] = i < 20; /* the wrong way round */
    CHECK_FAILS(sky_calibration_fit(margins, right, 40, &c), SKY_DATA, "no sign of being right");
    for (int i = 0; i < 40; i++) margins[i] = 0.2, right[i] = i % 2;
    CHECK_FAILS(sky_calibration_fit(margins, right, 40, &c), SKY_DATA, "no sign of being right");
}

static void test_reliability(void)
{
    static const double p[5] = {0.25, 0.25, 0.25, 0.25, 1};
    static const bool good[5] = {true, false, false, false, true};
    struct sky_reliability r;
    sky_reliability_measure(p, good, 5, &r);
    CHECK_NEAR(r.brier, (0.5625 + 3 * 0.0625) / 5, 1e-15);
    CHECK_NEAR(r.base_brier, 0.24, 1e-15);
    CHECK(r.bin_count[2] == 4 && r.bin_right[2] == 1 && r.bin_count[9] == 1 && r.bin_confidence[2] == 0.25);
    CHECK_NEAR(r.gap, 0, 1e-15);
    sky_reliability_measure(p, (const bool[5]){true, true, true, true, true}, 5, &r);
    CHECK_NEAR(r.gap, 0.6, 1e-15);
}

/* ---- a flight ---- */

enum { SIDE = 40, TILES = SIDE * SIDE + 5, FRAMES = 60 };
static const double pitch = 100; /* metres */

/* A square of tiles 100 m apart, and five tiles without a place. */
static struct sky_index *make_grid(void)
{
    static double latitude[TILES], longitude[TILES], metres[TILES];
    static int64_t numbers[TILES];
    static float values[TILES];
    struct sky_text paths = {0};
    struct sky_index *index = NULL;
    const double degree = 6378137.0 * 3.14159265358979 / 180;
    for (int i = 0; i < TILES; i++) {
        const bool located = i < SIDE * SIDE;
        latitude[i] = located ? pitch * (i / SIDE) / degree : NAN, longitude[i] = located ? pitch * (i % SIDE) / degree : NAN, metres[i] = NAN;
        numbers[i] = (int64_t)paths.length;
        sky_text_format(&paths, "%05d", i);
        sky_text_append_bytes(&paths, "", 1);
    }
    const struct sky_rows_stored rows = {SKY_STORE_FLOAT32, TILES, 1, (unsigned char *)values, NULL};
    const struct index_file file = {rows, latitude, longitude, metres, numbers, numbers, &paths, 0, 0, NULL};
    index_file_write(in_folder("grid"), &file, 1);
    sky_text_free(&paths);
    CHECK_OK(sky_index_open(&index, in_folder("grid"), NULL));
    return index;
}

/* Similarities of a frame at a tile: that one is 0.1 better than the rest, which are noise; every third frame sees a wrong tile far away as best. */
static void see(float *similarities, int64_t tile, uint32_t frame)
{
    struct sky_rng rng = sky_rng_make(frame, SKY_RNG_TEST, 5, 0);
    for (int i = 0; i < TILES; i++) similarities[i] = (float)(0.4 + 0.02 * sky_rng_normal(&rng));
    similarities[tile] += 0.1f;
    if (frame % 3 == 2) similarities[sky_rng_u32(&rng) % (SIDE * SIDE)] = 0.7f;
    similarities[TILES - 1] = 0.9f; /* without a place: nothing to follow */
}

/* At the tile or beside it. */
static bool is_near(int64_t a, int64_t b) { return llabs(a / SIDE - b / SIDE) <= 1 && llabs(a % SIDE - b % SIDE) <= 1; }

static void test_track(void)
{
    static float similarities[TILES];
    const struct sky_track_options options = {.metres_per_second = 10, .sharpness = 40};
    struct sky_track *track = NULL;
    struct sky_track_fix fix;
    struct sky_index *index = make_grid();
    int single = 0, tracked = 0;
    if (!index || !CHECK_OK(sky_track_open(&track, index, &options))) return;
    for (int frame = 0; frame < FRAMES; frame++) { /* 10 m/s along a diagonal for 10 s a frame: a tile each */
        const int64_t tile = frame / 2 * (SIDE + 1);
        int best = 0;
        see(similarities, tile, (uint32_t)frame);
        for (int i = 0; i < SIDE * SIDE; i++)
            if (similarities[i] > similarities[best]) best = i;
        sky_track_update(track, similarities, 10, &fix);
        CHECK(fix.probability > 0 && fix.probability <= 1 && fix.tile >= 0 && fix.tile < SIDE * SIDE);
        single += is_near(best, tile), tracked += is_near(fix.tile, tile);
    }
    printf("frames within a tile of the right one: %d alone, %d tracked, of %d\n", single, tracked, FRAMES);
    CHECK(single < FRAMES * 3 / 4 && tracked > FRAMES * 17 / 20);

    /* Carried off: after some clear frames elsewhere it finds back. */
    for (int frame = 0; frame < 3; frame++) {
        for (int i = 0; i < TILES; i++) similarities[i] = 0.3f;
        similarities[SIDE - 1] = 0.8f;
        sky_track_update(track, similarities, 0.1, &fix);
    }
    CHECK(fix.tile == SIDE - 1 && fix.probability > 0.99);
    for (int i = 0; i < TILES; i++) similarities[i] = 0.3f; /* a frame that says nothing: still there or beside it */
    sky_track_update(track, similarities, 0.1, &fix);
    const int64_t row = fix.tile / SIDE, column = fix.tile % SIDE;
    CHECK(row <= 1 && column >= SIDE - 2 && fix.probability > 0.1);
    sky_track_close(track);
    sky_index_close(index);
}

/* ---- JPEG streams ---- */

static void test_jpeg_stream(void)
{
    enum { PICTURES = 4 };
    struct sky_text stream = {0};
    size_t lengths[PICTURES], at = 0, start, length;
    for (uint32_t i = 0; i < PICTURES; i++) {
        char *bytes = NULL;
        tree_picture("one.jpg", i);
        CHECK_OK(sky_file_read(in_folder("one.jpg"), 1 << 20, &bytes, &lengths[i]));
        sky_text_append_bytes(&stream, bytes, lengths[i]);
        free(bytes);
    }
    const unsigned char *bytes = (const unsigned char *)stream.text;
    for (int i = 0; i < PICTURES; i++) {
        for (size_t cut = 0; cut < lengths[i]; cut += 13) CHECK(sky_jpeg_find(bytes + at, cut, false, &start, &length) != SKY_JPEG_WHOLE && start <= cut);
        CHECK(sky_jpeg_find(bytes + at, stream.length - at, false, &start, &length) == SKY_JPEG_WHOLE && start == 0 && length == lengths[i]);
        at += length;
    }
    CHECK(sky_jpeg_find(bytes + at, 0, true, &start, &length) == SKY_JPEG_NONE);
    /* the last one cut: what there is, at the end; bytes in front are passed over */
    at = stream.length - lengths[PICTURES - 1];
    CHECK(sky_jpeg_find(bytes + at, 200, false, &start, &length) == SKY_JPEG_BEGUN);
    CHECK(sky_jpeg_find(bytes + at, 200, true, &start, &length) == SKY_JPEG_WHOLE && length == 200);
    CHECK(sky_jpeg_find(bytes + at - 5, lengths[PICTURES - 1] + 5, true, &start, &length) == SKY_JPEG_WHOLE && start == 5);
    /* a thumbnail within a header segment is part of its picture */
    struct sky_text thumb = {0};
    const size_t inner = lengths[1], segment = inner + 2;
    const unsigned char head[6] = {0xff, 0xd8, 0xff, 0xe1, (unsigned char)(segment >> 8), (unsigned char)segment};
    sky_text_append_bytes(&thumb, (const char *)head, sizeof head);
    sky_text_append_bytes(&thumb, stream.text + lengths[0], inner);
    sky_text_append_bytes(&thumb, stream.text + 2, lengths[0] - 2);
    CHECK(sky_jpeg_find((const unsigned char *)thumb.text, thumb.length, true, &start, &length) == SKY_JPEG_WHOLE && start == 0 && length == thumb.length);
    /* any bytes at all: never beyond them, always onwards */
    struct sky_rng rng = sky_rng_make(8, SKY_RNG_TEST, 6, 0);
    for (int round = 0; round < 3000; round++) {
        unsigned char noise[64];
        const size_t count = sky_rng_u32(&rng) % sizeof noise;
        for (size_t i = 0; i < count; i++)
            noise[i] = sky_rng_u32(&rng) % 3 ? (unsigned char)(sky_rng_u32(&rng) % 2 ? 0xff : 0xd8 + sky_rng_u32(&rng) % 3) : (unsigned char)sky_rng_u32(&rng);
        const enum sky_jpeg_found found = sky_jpeg_find(noise, count, round % 2, &start, &length);
        if (!CHECK(start <= count && (found != SKY_JPEG_WHOLE || (length > 0 && start + length <= count)))) break;
    }
    sky_text_free(&stream);
    sky_text_free(&thumb);
}

int main(void)
{
    folder_make();
    test_fit();
    test_reliability();
    test_track();
    test_jpeg_stream();
    folder_remove(folder);
    return check_done();
}
