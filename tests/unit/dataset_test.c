/*
 * Data folders as tables: University-1652's oddities, class indices and labels, the sampler, and every wrong tree with its message; the check and the
 * statistics of a tree.
 */
#include "data_tree.h"

#include "data/check.h"
#include "data/dataset.h"
#include "data/sampler.h"

#include <math.h>

static void make_tree(void)
{
    /* Upper case, mixed endings, an empty class, formats not read, hidden files, notes, a loose picture. */
    tree_picture("odd/train/satellite/0839/0839.jpg", 1);
    tree_picture("odd/train/satellite/0840/0840.PNG", 2);
    tree_picture("odd/train/satellite/0842/0842.JPG", 3);
    CHECK_OK(sky_folder_make(in_folder("odd/train/satellite/0841")));
    tree_picture("odd/train/drone/0839/image-02.jpeg", 4);
    tree_picture("odd/train/drone/0839/image-01.jpeg", 5);
    tree_picture("odd/train/drone/0839/image-10.JPEG", 6);
    tree_picture("odd/train/drone/0841/image-01.png", 7);
    tree_picture("odd/train/drone/0842/image-01.jpeg", 8);
    CHECK_OK(sky_folder_make(in_folder("odd/train/drone/0840")));
    tree_write("odd/train/drone/0842/H80.BMP", "BM", 2);
    tree_write("odd/train/drone/0842/._image-01.jpeg", "resource fork", 13);
    tree_write("odd/train/drone/0842/Thumbs.db", "x", 1);
    tree_picture("odd/train/drone/stray.jpg", 9);
    tree_picture("odd/test/query_drone/0007/image-01.jpeg", 10);
    tree_picture("odd/test/query_drone/12/image-01.jpeg", 11);
    tree_picture("odd/test/gallery_drone/0007/image-01.jpeg", 10);
    tree_picture("odd/test/gallery_drone/12/image-01.jpeg", 12);
    tree_picture("odd/test/gallery_drone/0003/image-01.jpeg", 13);
    tree_picture("odd/test/query_satellite/0007/0007.jpg", 14);
    tree_picture("odd/test/gallery_satellite/0007/0007.jpg", 14);
    tree_picture("odd/test/gallery_satellite/0012/0012.jpg", 15);
    tree_picture("odd/test/gallery_satellite/-1/junk.jpg", 16);
}

static void test_train(void)
{
    struct sky_train_set set = {0};
    tree_log_catch();
    CHECK_OK(tree_train_set(&set, in_folder("odd")));
    CHECK(set.class_count == 4 && set.empty_class_count == 2); /* 0840 has no drone image, 0841 no tile */
    CHECK(!strcmp(set.class_names[0], "0839") && !strcmp(set.class_names[2], "0841"));
    CHECK(set.views[SKY_VIEW_SATELLITE].count == 3 && set.views[SKY_VIEW_DRONE].count == 5);
    CHECK(tree_log.warnings == 4); /* a format, a stray picture, empty classes of either view: once each */
    const int64_t satellite_first[] = {0, 1, 2, 2, 3}, drone_first[] = {0, 3, 3, 4, 5};
    CHECK(!memcmp(set.first[SKY_VIEW_SATELLITE], satellite_first, sizeof satellite_first));
    CHECK(!memcmp(set.first[SKY_VIEW_DRONE], drone_first, sizeof drone_first));
    CHECK(!strcmp(set.views[SKY_VIEW_DRONE].paths[0], "train/drone/0839/image-01.jpeg") &&
          !strcmp(set.views[SKY_VIEW_DRONE].paths[2], "train/drone/0839/image-10.JPEG"));
    CHECK(!strcmp(set.views[SKY_VIEW_SATELLITE].paths[2], "train/satellite/0842/0842.JPG") && set.views[SKY_VIEW_SATELLITE].labels[2] == 3);
    CHECK(set.views[SKY_VIEW_DRONE].labels[3] == 2);
    CHECK(set.root[0] == '/' && !strncmp(set.views[0].folder, set.root, strlen(set.root)));
    sky_train_set_close(&set);
    sky_train_set_close(&set);
}

static void test_test(void)
{
    struct sky_test_set set = {0};
    tree_log_catch();
    CHECK_OK(tree_test_set(&set, in_folder("odd"), SKY_DIRECTION_BOTH));
    CHECK(set.query[SKY_VIEW_DRONE].count == 2 && set.query[SKY_VIEW_DRONE].labels[0] == 7 && set.query[SKY_VIEW_DRONE].labels[1] == 12);
    CHECK(set.gallery[SKY_VIEW_SATELLITE].count == 3);
    int junk = 0;
    for (int64_t i = 0; i < 3; i++) junk += set.gallery[SKY_VIEW_SATELLITE].labels[i] == -1;
    CHECK(junk == 1);
    sky_test_set_close(&set);
    CHECK_OK(tree_test_set(&set, in_folder("odd"), SKY_DIRECTION_DRONE_TO_SATELLITE));
    CHECK(set.query[SKY_VIEW_SATELLITE].count == 0 && set.gallery[SKY_VIEW_DRONE].count == 0 && set.gallery[SKY_VIEW_SATELLITE].count == 3);
    sky_test_set_close(&set);
}

static void test_wrong_trees(void)
{
    struct sky_train_set train = {0};
    struct sky_test_set test = {0};
    CHECK_FAILS(tree_train_set(&train, NULL), SKY_DATA, "data.root");
    CHECK_FAILS(tree_train_set(&train, in_folder("nowhere")), SKY_DATA, "nowhere");
    CHECK_FAILS(tree_train_set(&train, in_folder("nowhere")), SKY_DATA, "train/{satellite,drone}");
    CHECK_FAILS(tree_train_set(&train, in_folder("odd/train")), SKY_DATA, "the folder above");
    CHECK_FAILS(tree_train_set(&train, in_folder("odd/train/satellite")), SKY_DATA, "train/satellite");
    CHECK_FAILS(tree_train_set(&train, in_folder("odd/train/satellite/0839/0839.jpg")), SKY_DATA, "is a file");
    CHECK_OK(sky_folder_make(in_folder("above/University-Release/train")));
    CHECK_FAILS(tree_train_set(&train, in_folder("above")), SKY_DATA, "University-Release");
    tree_picture("flat/train/satellite/0001.jpg", 1);
    CHECK_FAILS(tree_train_set(&train, in_folder("flat")), SKY_DATA, "folder of its own");
    tree_write("bitmaps/train/satellite/0001/H80.bmp", "BM", 2);
    CHECK_FAILS(tree_train_set(&train, in_folder("bitmaps")), SKY_DATA, "formats that are not read");
    CHECK_OK(sky_folder_make(in_folder("empty/train/satellite/0001")));
    CHECK_FAILS(tree_train_set(&train, in_folder("empty")), SKY_DATA, "no image");
    tree_picture("case/train/satellite/Abbey/a.jpg", 1);
    tree_picture("case/train/drone/abbey/a.jpg", 1);
    CHECK_FAILS(tree_train_set(&train, in_folder("case")), SKY_DATA, "only in case");
    tree_picture("foreign/train/satellite/0001/a.jpg", 1);
    tree_picture("foreign/train/drone/0001/a.jpg", 1);
    tree_picture("foreign/train/drone/0002/a.jpg", 1);
    CHECK_FAILS(tree_train_set(&train, in_folder("foreign")), SKY_DATA, "0002");
    tree_picture("apart/train/satellite/0001/a.jpg", 1);
    CHECK_OK(sky_folder_make(in_folder("apart/train/satellite/0002")));
    tree_picture("apart/train/drone/0002/a.jpg", 1);
    CHECK_FAILS(tree_train_set(&train, in_folder("apart")), SKY_DATA, "no place has an image in both");
    tree_picture("named/test/query_drone/abbey/a.jpg", 1);
    CHECK_FAILS(tree_test_set(&test, in_folder("named"), SKY_DIRECTION_DRONE_TO_SATELLITE), SKY_DATA, "whole number");
    tree_picture("huge/test/query_drone/4294967296/a.jpg", 1);
    CHECK_FAILS(tree_test_set(&test, in_folder("huge"), SKY_DIRECTION_DRONE_TO_SATELLITE), SKY_DATA, "4294967296");
    tree_picture("half/test/query_drone/0001/a.jpg", 1);
    CHECK_FAILS(tree_test_set(&test, in_folder("half"), SKY_DIRECTION_DRONE_TO_SATELLITE), SKY_DATA, "gallery_satellite");
    CHECK(train.root == NULL && test.root == NULL); /* nothing is left half open */
}

static void test_scan(void)
{
    struct sky_image_set set = {0};
    CHECK_OK(sky_image_set_scan(&set, in_folder("odd/train")));
    CHECK(set.count == 9 && set.labels[0] == -1); /* the stray one too */
    for (int64_t i = 1; i < set.count; i++) CHECK(strcmp(set.paths[i - 1], set.paths[i]) < 0);
    sky_image_set_close(&set);
    CHECK_OK(sky_image_set_scan(&set, in_folder("odd/train/drone/0842/Thumbs.db"))); /* named by hand: its content decides */
    CHECK(set.count == 1 && !strcmp(set.paths[0], "Thumbs.db"));
    sky_image_set_close(&set);
    CHECK_FAILS(sky_image_set_scan(&set, in_folder("empty")), SKY_DATA, "no image");
    CHECK_FAILS(sky_image_set_scan(&set, in_folder("nowhere")), SKY_DATA, "nowhere");
    CHECK(!symlink("..", in_folder("empty/train/back")));
    CHECK_FAILS(sky_image_set_scan(&set, in_folder("empty")), SKY_DATA, "link");
}

/* 10 places of which two are empty in a view; drone images 1, 2, 3 ... a place. */
static void make_places(struct sky_train_set *set)
{
    for (int place = 0; place < 10; place++) {
        char name[96];
        snprintf(name, sizeof name, "places/train/satellite/%04d/a.jpg", place);
        if (place != 3) tree_picture(name, 100 + (uint32_t)place);
        else CHECK_OK(sky_folder_make(in_folder("places/train/satellite/0003")));
        for (int i = 0; i <= place % 4 && place != 5; i++) {
            snprintf(name, sizeof name, "places/train/drone/%04d/%d.jpg", place, i);
            tree_picture(name, 200 + 10 * (uint32_t)place + (uint32_t)i);
        }
    }
    tree_log_catch();
    CHECK_OK(tree_train_set(set, in_folder("places")));
}

static void test_sampler(void)
{
    enum { BATCH = 3 };
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    struct sky_pick picks[2 * BATCH], again[2 * BATCH];
    make_places(&set);
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 2, BATCH, 11));
    CHECK(sky_sampler_steps_per_epoch(sampler) == 5); /* 8 usable places twice, 16 / 3 */
    int seen_images[64] = {0}, orders_differ = 0;
    int32_t first_order[15];
    for (int64_t epoch = 0; epoch < 40; epoch++) {
        int seen[10] = {0};
        for (int64_t step = 0; step < 5; step++) {
            CHECK_OK(sky_sampler_step(sampler, epoch, step, picks));
            for (int row = 0; row < BATCH; row++) {
                const struct sky_pick *satellite = &picks[row], *drone = &picks[BATCH + row];
                CHECK(satellite->label == drone->label && satellite->item == drone->item && satellite->item == step * BATCH + row);
                CHECK(set.views[SKY_VIEW_SATELLITE].labels[satellite->image] == satellite->label &&
                      set.views[SKY_VIEW_DRONE].labels[drone->image] == drone->label);
                seen[satellite->label]++, seen_images[drone->image]++;
                if (epoch == 0) first_order[step * BATCH + row] = satellite->label;
                else orders_differ += first_order[step * BATCH + row] != satellite->label;
            }
        }
        int total = 0;
        for (int place = 0; place < 10; place++)
            total += seen[place], CHECK(seen[place] <= 2 && (seen[place] > 0) == (place != 3 && place != 5 && seen[place] > 0));
        CHECK(total == 15 && seen[3] == 0 && seen[5] == 0);
    }
    CHECK(orders_differ > 300);                                   /* of 585: another order every epoch */
    for (int64_t i = 0; i < set.views[SKY_VIEW_DRONE].count; i++) /* every drone image of a usable place comes up */
        CHECK((seen_images[i] > 0) == (set.views[SKY_VIEW_DRONE].labels[i] != 3));
    /* Any step of any epoch without the ones before it. */
    memset(picks, 0, sizeof picks);
    memset(again, 0, sizeof again);
    CHECK_OK(sky_sampler_step(sampler, 17, 4, picks));
    CHECK_OK(sky_sampler_step(sampler, 2, 0, again));
    sky_sampler_destroy(sampler);
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 2, BATCH, 11));
    CHECK_OK(sky_sampler_step(sampler, 17, 4, again));
    CHECK(!memcmp(picks, again, sizeof picks));
    CHECK_FAILS(sky_sampler_step(sampler, 0, 5, picks), SKY_INTERNAL, "step");
    sky_sampler_destroy(sampler);

    /* Unpaired: a permutation a view, places with an image in that view; rows of the views are mostly different places. */
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_UNPAIRED, 1, BATCH, 11));
    CHECK(sky_sampler_steps_per_epoch(sampler) == 3);
    int same = 0, seen[2][10] = {{0}};
    for (int64_t step = 0; step < 3; step++) {
        CHECK_OK(sky_sampler_step(sampler, 5, step, picks));
        for (int row = 0; row < BATCH; row++)
            same += picks[row].label == picks[BATCH + row].label, seen[0][picks[row].label]++, seen[1][picks[BATCH + row].label]++;
    }
    CHECK(same < 5);
    for (int place = 0; place < 10; place++) CHECK(seen[0][place] == (place != 3) && seen[1][place] == (place != 5));
    sky_sampler_destroy(sampler);
    CHECK_FAILS(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, 9, 1), SKY_DATA, "batch_size");
    sky_sampler_destroy(NULL);
    sky_train_set_close(&set);
}

/* The same places with street images of all but two, and pictures from the web of two. */
static void make_more_views(void)
{
    for (int place = 0; place < 10; place++) {
        char name[96];
        snprintf(name, sizeof name, "places/train/street/%04d/a.jpg", place);
        if (place != 3 && place != 7) tree_picture(name, 400 + (uint32_t)place);
        snprintf(name, sizeof name, "places/train/google/%04d/a.jpg", place);
        if (place == 1 || place == 7) tree_picture(name, 500 + (uint32_t)place);
        snprintf(name, sizeof name, "places/train/google/%04d", place);
        if (place != 5) CHECK_OK(sky_folder_make(in_folder(name)));
    }
}

/* More views than two, and one: which are opened, which places a paired and an unpaired epoch has, where the rows of each are. */
static void test_views(void)
{
    enum { BATCH = 3, MOST = SKY_VIEW_COUNT * BATCH };
    const struct sky_layout layout = sky_layout_native();
    const struct sky_views three = {{SKY_VIEW_SATELLITE, SKY_VIEW_DRONE, SKY_VIEW_STREET}, 3}, last = {{SKY_VIEW_DRONE, SKY_VIEW_GOOGLE}, 2}, one = {{SKY_VIEW_STREET}, 1};
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    struct sky_pick picks[MOST];
    make_more_views();
    tree_log_catch();
    CHECK_OK(sky_train_set_open(&set, in_folder("places"), &layout, &three));
    CHECK(tree_log.warnings == 3 && strstr(tree_log.last, "train/street: 2 of 10 places, 0003 the first"));
    CHECK(set.active.count == 3 && set.views[SKY_VIEW_STREET].count == 8 && set.views[SKY_VIEW_GOOGLE].count == 0 && !set.first[SKY_VIEW_GOOGLE]);
    CHECK(set.empty_class_count == 3); /* 3, 5, 7 */
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 11));
    CHECK(tree_log.warnings == 4 && strstr(tree_log.last, "3 of 10 places lack an image in some view and are never drawn"));
    CHECK(sky_sampler_steps_per_epoch(sampler) == 2);
    for (int64_t step = 0; step < 2; step++) {
        CHECK_OK(sky_sampler_step(sampler, 0, step, picks));
        for (int row = 0; row < 3 * BATCH; row++) {
            const int view = row / BATCH;
            CHECK(picks[row].label == picks[row % BATCH].label && set.views[view].labels[picks[row].image] == picks[row].label);
        }
    }
    sky_sampler_destroy(sampler);
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_UNPAIRED, 1, 4, 11));
    CHECK(tree_log.warnings == 4 && sky_sampler_steps_per_epoch(sampler) == 2); /* street's 8 places: the fewest */
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);

    CHECK_OK(sky_train_set_open(&set, in_folder("places"), &layout, &last)); /* rows of google follow drone's at once */
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, 2, 11));
    CHECK_OK(sky_sampler_step(sampler, 0, 0, picks));
    for (int row = 0; row < 2; row++)
        CHECK((!strcmp(set.class_names[picks[row].label], "0001") || !strcmp(set.class_names[picks[row].label], "0007")) &&
              set.views[SKY_VIEW_GOOGLE].labels[picks[2 + row].image] == picks[row].label &&
              set.views[SKY_VIEW_DRONE].labels[picks[row].image] == picks[row].label);
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
    CHECK_OK(sky_train_set_open(&set, in_folder("places"), &layout, &one)); /* its own folders are the places */
    CHECK(set.class_count == 8 && set.empty_class_count == 0 && !set.views[SKY_VIEW_SATELLITE].folder);
    sky_train_set_close(&set);

    tree_picture("foreign/train/street/0077/a.jpg", 1); /* beside those of test_wrong_trees */
    CHECK_FAILS(sky_train_set_open(&set, in_folder("apart"), &layout, &three), SKY_DATA, "train/street");
    CHECK_FAILS(sky_train_set_open(&set, in_folder("foreign"), &layout, &(const struct sky_views){{SKY_VIEW_SATELLITE, SKY_VIEW_STREET}, 2}), SKY_DATA, "0077");
    CHECK(strstr(sky_error_last()->hint, "train/street") && strstr(sky_error_last()->hint, "train/satellite"));
}

static const struct sky_finding *finding_about(const struct sky_check_report *report, const char *text)
{
    for (int64_t i = 0; i < report->finding_count; i++)
        if (strstr(report->findings[i].where, text) || strstr(report->findings[i].what, text)) return &report->findings[i];
    return NULL;
}

static void test_check(void)
{
    struct sky_check_report report = {0};
    const struct sky_finding *finding;
    CHECK_OK(sky_dataset_check(&report, in_folder("odd"), SKY_FORMAT_UNIVERSITY1652, 2, NULL, NULL));
    CHECK(report.survey.part_count == 6 && report.published_count == 0);
    CHECK(report.queries_in_gallery == 2 && report.queries_differing == 1 && report.queries_absent == 0);
    CHECK((finding = finding_about(&report, "0841")) && !finding->problem);
    CHECK((finding = finding_about(&report, "H80.BMP")) && !finding->problem);
    CHECK((finding = finding_about(&report, "stray.jpg")) && !finding->problem);
    CHECK(report.problem_count == 0);
    sky_check_report_free(&report);

    tree_write("odd/train/drone/0842/image-02.jpeg", "<html>404</html>", 16);
    tree_write("odd/train/drone/0842/image-03.jpeg", "", 0);
    tree_picture("odd/train/satellite/0012/0012.jpg", 30);       /* a query's place */
    tree_picture("odd/test/query_drone/0099/image-01.jpeg", 31); /* not in the gallery */
    tree_picture("odd/test/gallery_drone/hall/a.jpg", 32);
    CHECK_OK(sky_dataset_check(&report, in_folder("odd"), SKY_FORMAT_UNIVERSITY1652, 1, NULL, NULL));
    CHECK((finding = finding_about(&report, "image-02.jpeg")) && finding->problem);
    CHECK((finding = finding_about(&report, "image-03.jpeg")) && finding->problem);
    CHECK((finding = finding_about(&report, "scores on them")) && finding->problem && strstr(finding->where, "query_drone"));
    CHECK((finding = finding_about(&report, "cannot be answered")) && finding->problem && strstr(finding->what, "0099"));
    CHECK((finding = finding_about(&report, "hall")) && finding->problem);
    CHECK(report.queries_absent == 1);
    CHECK(report.problem_count == 5);
    sky_check_report_free(&report);
    CHECK_FAILS(sky_dataset_check(&report, in_folder("nowhere"), SKY_FORMAT_UNIVERSITY1652, 1, NULL, NULL), SKY_DATA, "nowhere");
    sky_check_report_free(&report);
    CHECK_FAILS(sky_dataset_check(&report, in_folder("odd/train"), SKY_FORMAT_UNIVERSITY1652, 1, NULL, NULL), SKY_DATA, "the folder above");
    sky_check_report_free(&report);
}

static void test_stats(void)
{
    struct sky_survey survey = {0};
    struct sky_part_stats stats;
    static const char *const groups[] = {"train", "test"};
    struct sky_size_count *sizes = NULL;
    int64_t count = 0;
    uint8_t grey[4 * 2 * 3], half[8 * 3];
    memset(grey, 51, sizeof grey);
    for (size_t i = 0; i < sizeof half; i++) half[i] = i % 3 == 0 ? (i < 12 ? 0 : 255) : 102; /* red 0 or 1, green and blue 0.4 */
    CHECK_OK(sky_folder_make(in_folder("grey/train/drone/0001")));
    CHECK_OK(sky_folder_make(in_folder("grey/train/drone/0002")));
    CHECK_OK(sky_image_write_png(in_folder("grey/train/drone/0001/a.png"), grey, 4, 2));
    CHECK_OK(sky_image_write_png(in_folder("grey/train/drone/0001/b.png"), half, 2, 4));
    CHECK_OK(sky_image_write_png(in_folder("grey/train/drone/0001/c.png"), half, 2, 4));
    CHECK_OK(sky_survey_make(&survey, in_folder("grey"), groups, 2, 2, NULL, NULL));
    CHECK_OK(sky_part_stats(&survey.parts[0], &stats));
    CHECK(stats.images == 3 && stats.pixels == 24 && stats.least == 3 && stats.median == 3 && stats.most == 3 && stats.empty_classes == 1);
    CHECK_NEAR(stats.mean[0], (0.2 + 0.5 + 0.5) / 3, 1e-12);
    CHECK_NEAR(stats.mean[1], (0.2 + 0.4 + 0.4) / 3, 1e-12);
    CHECK_NEAR(stats.deviation[0], sqrt((0.04 + 0.5 + 0.5) / 3 - 0.16), 1e-12);
    CHECK_OK(sky_survey_sizes(&survey.parts[0], &sizes, &count));
    CHECK(count == 2 && sizes[0].width == 2 && sizes[0].height == 4 && sizes[0].count == 2 && sizes[1].count == 1);
    free(sizes);
    sky_survey_free(&survey);
}

int main(void)
{
    folder_make();
    make_tree();
    test_train();
    test_test();
    test_wrong_trees();
    test_scan();
    test_sampler();
    test_views();
    test_check();
    test_stats();
    folder_remove(folder);
    return check_done();
}
