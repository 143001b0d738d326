/*
 * Frames, means of frames, conditions listed from an experiment, shifted pictures.
 */
#include "check.h"

#include "eval/conditions.h"

enum { IMAGES = 11 };

static char *paths[IMAGES] = {"q/1/image-01.jpeg", "q/1/image-02.jpeg", "q/1/image-03.jpeg", "q/1/image-04.jpeg", "q/1/image-05.jpeg", "q/2/image-01.jpeg",
                              "q/2/image-36.jpeg", "q/2/image-54.jpeg", "q/2/image-55.jpeg", "q/3/image-18.jpeg", "q/3/image-19.jpeg"};
static int32_t labels[IMAGES] = {1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3};
static struct sky_image_set set = {"q", paths, labels, IMAGES};

static void check_members(const struct sky_picks *picks, const int64_t *want, int64_t count)
{
    CHECK(picks->first[picks->count] == count);
    for (int64_t i = 0; i < count && i < picks->first[picks->count]; i++) CHECK(picks->members[i] == want[i]);
}

static void test_frames(void)
{
    struct sky_picks picks;
    char *odd[1] = {"q/1/photo.jpeg"};
    const struct sky_image_set unnumbered = {"q", odd, labels, 1};
    CHECK(sky_frame_number("a/b/image-07.jpeg") == 7 && sky_frame_number("image-54") == 54 && sky_frame_number("54.JPG") == 54 &&
          sky_frame_number("a12/b.jpg") == -1);
    CHECK(sky_frame_number("x/99999999999999999999999.jpg") == -1);
    CHECK_OK(sky_picks_frames(&picks, &set, 36, 36));
    check_members(&picks, (const int64_t[]){6}, 1);
    sky_picks_free(&picks);
    CHECK_OK(sky_picks_frames(&picks, &set, 1, 18));
    check_members(&picks, (const int64_t[]){0, 1, 2, 3, 4, 5, 9}, 7);
    sky_picks_free(&picks);
    CHECK_FAILS(sky_picks_frames(&picks, &set, 100, 200), SKY_DATA, "100 to 200");
    CHECK_FAILS(sky_picks_frames(&picks, &unnumbered, 1, 2), SKY_DATA, "photo.jpeg");
}

static void test_means(void)
{
    struct sky_picks picks;
    float rows[IMAGES * 2], out[IMAGES * 2];
    int64_t wide[IMAGES], got[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        wide[i] = labels[i];
        rows[2 * i] = (float)cos(i), rows[2 * i + 1] = (float)sin(i);
    }
    CHECK_OK(sky_picks_means(&picks, &set, 2));
    CHECK(picks.count == 2 + 2 + 1);
    check_members(&picks, (const int64_t[]){0, 2, 1, 3, 5, 7, 6, 8, 9, 10}, 10);
    sky_picks_labels(&picks, wide, got);
    CHECK(got[0] == 1 && got[1] == 1 && got[2] == 2 && got[4] == 3);
    sky_picks_rows(&picks, rows, 2, out);
    for (int i = 0; i < 5; i++) { /* the mean of two unit vectors points half way between their angles */
        const int64_t *members = picks.members + picks.first[i];
        const double angle = (double)(members[0] + members[1]) / 2, sign = cos((double)(members[1] - members[0]) / 2) < 0 ? -1 : 1;
        CHECK_NEAR(out[2 * i], sign * cos(angle), 1e-6);
        CHECK_NEAR(out[2 * i + 1], sign * sin(angle), 1e-6);
    }
    sky_picks_free(&picks);
    CHECK_OK(sky_picks_means(&picks, &set, 54)); /* more than any place has: one query a place */
    CHECK(picks.count == 3 && picks.first[1] == 5 && picks.first[2] == 9 && picks.first[3] == 11);
    sky_picks_free(&picks);
}

static void test_conditions(void)
{
    struct sky_config config = {0};
    static struct sky_condition list[SKY_MAX_CONDITIONS];
    const char *const overrides[] = {"eval.multi_query=3,54", "eval.single_frame=36", "eval.height_groups=3", "eval.query_shift=10,20", "eval.rerank=yes"};
    CHECK_OK(sky_config_read(&config, NULL, NULL, 0));
    CHECK(sky_conditions_list(&config, SKY_DRONE_ASKS, list) == 1 && list[0].kind == SKY_CONDITION_PLAIN);
    sky_config_free(&config);
    CHECK_OK(sky_config_read(&config, NULL, overrides, 5));
    CHECK(sky_conditions_list(&config, SKY_DRONE_ASKS, list) == 1 + 1 + 2 + 1 + 3 + 2);
    CHECK(list[1].kind == SKY_CONDITION_RERANK && !strcmp(list[1].detail, "k1 20, k2 6, lambda 0.3"));
    CHECK(list[3].kind == SKY_CONDITION_MULTI_QUERY && list[3].count == 54);
    CHECK(!strcmp(list[5].detail, "frames 1-18, 256 to 213 m") && !strcmp(list[6].detail, "frames 19-36, 210 to 167 m") &&
          !strcmp(list[7].detail, "frames 37-54, 165 to 122 m"));
    CHECK(list[6].first_frame == 19 && list[6].last_frame == 36 && list[7].last_frame > 55);
    CHECK(list[9].alteration.shift == 20 && list[9].alteration.fill == SKY_SHIFT_BLACK && !strcmp(list[9].detail, "20 px, black"));
    CHECK(sky_conditions_list(&config, SKY_DRONE_IS_ASKED, list) == 1 + 1 + 3 + 2); /* a satellite tile has no frames to average */
    CHECK(sky_conditions_list(&config, SKY_DRONE_ABSENT, list) == 1 + 1 + 2);       /* nor is there a flight, from the street */
    sky_config_free(&config);
    const char *const high[] = {"eval.height_groups=7", "eval.frames=6"}, *const far[] = {"eval.query_shift=256"},
                      *const wide[] = {"eval.rerank_k1=4", "eval.rerank_k2=6"};
    CHECK_FAILS(sky_config_read(&config, NULL, high, 2), SKY_CONFIG, "eval.height_groups");
    CHECK_FAILS(sky_config_read(&config, NULL, far, 1), SKY_CONFIG, "eval.query_shift");
    CHECK_FAILS(sky_config_read(&config, NULL, wide, 2), SKY_CONFIG, "eval.rerank_k2");
}

static void test_shift(void)
{
    enum { SIZE = 5 };
    uint8_t pixels[SIZE * SIZE * 3];
    static const uint8_t black[SIZE] = {0, 0, 1, 2, 3}, mirror[SIZE] = {3, 2, 1, 1, 2}, all[SIZE] = {5, 4, 3, 2, 1};
    static const struct {
        int shift;
        enum sky_shift_fill fill;
        const uint8_t *want;
    } cases[] = {{2, SKY_SHIFT_BLACK, black}, {3, SKY_SHIFT_MIRROR, mirror}, {5, SKY_SHIFT_MIRROR, all}};
    for (int i = 0; i < 3; i++) {
        for (int p = 0; p < SIZE * SIZE * 3; p++) pixels[p] = (uint8_t)(p / 3 % SIZE + 1);
        sky_image_shift(pixels, SIZE, cases[i].shift, cases[i].fill);
        for (int p = 0; p < SIZE * SIZE * 3; p++) CHECK(pixels[p] == cases[i].want[p / 3 % SIZE]);
    }
}

int main(void)
{
    test_frames();
    test_means();
    test_conditions();
    test_shift();
    return check_done();
}
