/*
 * DenseUAV: geo-tags from text, distances in degrees and metres, SDM@K and MA@m by hand. SUES-200: which flight heights a tree holds.
 */
#include "check.h"
#include "folder.h"

#include "eval/geo_scores.h"

static void write_text(const char *name, const char *text) { CHECK_OK(sky_file_write_atomic(in_folder(name), text, strlen(text))); }

static void test_tags(void)
{
    struct sky_geo_tags tags = {0};
    CHECK_FAILS(sky_geo_tags_open(&tags, folder), SKY_DATA, "Dense_GPS_ALL.txt");
    write_text(
        "Dense_GPS_ALL.txt",
        "train/drone/000003/H80.JPG E118.5 N30.25 80.3\r\n\n/somewhere/else/000001/H90.tif, W2.5, S3, 90\ntrain/drone/000003/H90.JPG E118.6 N30.26 90.1\n");
    CHECK_OK(sky_geo_tags_open(&tags, folder));
    CHECK(tags.count == 2 && !sky_geo_tags_find(&tags, 2));
    const struct sky_geo_tag *one = sky_geo_tags_find(&tags, 1), *three = sky_geo_tags_find(&tags, 3);
    CHECK(one && one->longitude == -2.5 && one->latitude == -3);
    CHECK(three && three->longitude == 118.6 && three->latitude == 30.26); /* the last line of a place */
    sky_geo_tags_close(&tags);
    write_text("Dense_GPS_test.txt", "test/query_drone/000001/H80.JPG E5 N6 80");
    CHECK_OK(sky_geo_tags_open(&tags, folder));
    one = sky_geo_tags_find(&tags, 1);
    CHECK(tags.count == 2 && one && one->longitude == 5 && one->latitude == 6);
    char *paths[2] = {"test/query_drone/000001/H80.JPG", "test/query_drone/000007/H80.JPG"};
    int32_t labels[2] = {1, 7};
    const struct sky_image_set set = {NULL, paths, labels, 2};
    CHECK_FAILS(sky_geo_tags_check(&tags, &set), SKY_DATA, "000007/H80.JPG");
    sky_geo_tags_close(&tags);
    static const char *const wrong[] = {"x/000001/a.jpg E1 2 80", "x/000001/a.jpg N1 E2", "x/one/a.jpg E1 N2",    "a.jpg E1 N2",
                                        "x/000001/a.jpg E181 N2", "x/000001/a.jpg E1",    "x/000001/a.jpg E1x N2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[200];
        snprintf(text, sizeof text, "x/000001/a.jpg E1 N2 80\n%s\n", wrong[i]);
        write_text("Dense_GPS_ALL.txt", text);
        CHECK_FAILS(sky_geo_tags_open(&tags, folder), SKY_DATA, "Dense_GPS_ALL.txt:2");
        CHECK(tags.tags == NULL);
    }
}

static void test_distances(void)
{
    const struct sky_geo_tag origin = {0, 0, 0}, north = {0, 0, 1}, east = {0, 1, 0}, far = {0, 120.3, 60}, near = {0, 120.3 + 3e-5, 60 + 4e-5},
                             pole = {0, 77, 90}, other_pole = {0, -20, -90};
    CHECK_NEAR(sky_geo_metres(&origin, &north), 111319.49079327357, 1e-6); /* 6378137 pi / 180 */
    CHECK_NEAR(sky_geo_metres(&origin, &east), 111319.49079327357, 1e-6);
    CHECK_NEAR(sky_geo_metres(&pole, &other_pole), 6378137 * acos(-1), 1e-4);
    CHECK_NEAR(sky_geo_metres(&far, &far), 0, 0);
    CHECK_NEAR(sky_geo_degrees(&far, &near), 5e-5, 1e-12);
    CHECK_NEAR(sky_geo_metres(&far, &near), 111319.49079327357 * hypot(3e-5 / 2, 4e-5), 1e-3); /* a degree of longitude is half as long at 60 degrees north */
}

static void test_scores(void)
{
    /* Places on a meridian, 2e-4 degrees (22.26 m) apart. Queries: one finds 1, 2, 3, the other 2, 1, 3. */
    struct sky_geo_tag list[3] = {{1, 8, 50}, {2, 8, 50.0002}, {3, 8, 50.0004}};
    const struct sky_geo_tags tags = {list, 3};
    const float query_rows[2] = {0, 1.4f}, gallery_rows[4] = {0.1f, 1, 5, 0.2f};
    const int64_t query_labels[2] = {1, 1}, gallery_labels[4] = {1, 2, 3, -1};
    struct sky_features query = {2, 1, query_rows, query_labels, "q"}, gallery = {4, 1, gallery_rows, gallery_labels, "g"};
    struct sky_geo_scores s;
    const double e = exp(-1), ee = exp(-2); /* 5000 times 2e-4 and 4e-4 */
    CHECK_OK(sky_geo_score(&query, &gallery, &tags, 1, &s));
    CHECK_NEAR(s.sdm[0], 100 * (1 + e) / 2, 1e-6);
    CHECK_NEAR(s.sdm[1], 100 * ((3 + 2 * e + ee) / 6 + (3 * e + 2 + ee) / 6) / 2, 1e-6);
    CHECK_NEAR(s.sdm[2], 100 * ((5 + 4 * e + 3 * ee) / 15 + (5 * e + 4 + 3 * ee) / 15) / 2, 1e-6); /* ranks 4 and 5 are not there */
    CHECK_NEAR(s.sdm[3], 100 * ((10 + 9 * e + 8 * ee) / 55 + (10 * e + 9 + 8 * ee) / 55) / 2, 1e-6);
    for (int m = 0; m < SKY_MA_COUNT; m++) CHECK_NEAR(s.ma[m], sky_ma_metres[m] < 23 ? 50 : 100, 0);
    list[1].latitude = 50; /* another place at the same spot is as good */
    CHECK_OK(sky_geo_score(&query, &gallery, &tags, 1, &s));
    CHECK_NEAR(s.sdm[0], 100, 0);
    CHECK_NEAR(s.ma[0], 100, 0);
    const int64_t unknown[2] = {1, 9};
    query.labels = unknown;
    CHECK_FAILS(sky_geo_score(&query, &gallery, &tags, 1, &s), SKY_DATA, "place 9");
}

static void test_layouts(void)
{
    struct sky_layout layouts[SKY_MAX_HEIGHTS];
    int count = 0;
    CHECK_OK(sky_layouts_find(folder, SKY_FORMAT_DENSEUAV, 0, layouts, &count));
    CHECK(count == 1 && !strcmp(layouts[0].train, "train") && layouts[0].height == 0);
    CHECK_FAILS(sky_layouts_find(folder, SKY_FORMAT_SUES200, 0, layouts, &count), SKY_DATA, "Training/150");
    static const char *const folders[] = {"Training/300", "Testing/150", "Testing/300", "Testing/notes", "Testing/0"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) CHECK_OK(sky_folder_make(in_folder(folders[i])));
    CHECK_OK(sky_layouts_find(folder, SKY_FORMAT_SUES200, 0, layouts, &count));
    CHECK(count == 2 && layouts[0].height == 150 && layouts[1].height == 300 && !strcmp(layouts[0].test, "Testing/150") &&
          !strcmp(layouts[1].train, "Training/300"));
    CHECK_OK(sky_layouts_find(folder, SKY_FORMAT_SUES200, 300, layouts, &count));
    CHECK(count == 1 && layouts[0].height == 300);
    CHECK_FAILS(sky_layouts_find(folder, SKY_FORMAT_SUES200, 200, layouts, &count), SKY_DATA, "150, 300");
}

int main(void)
{
    folder_make();
    test_tags();
    test_distances();
    test_scores();
    test_layouts();
    folder_remove(folder);
    return check_done();
}
