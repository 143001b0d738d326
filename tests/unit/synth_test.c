/*
 * The synthetic world: its tree and counts, ids on one side only, the same bytes whatever the workers and the other counts, rays against their solids,
 * pictures that show something.
 */
#include "data_tree.h"

#include "data/dataset.h"
#include "data/synth.h"
#include "data/synth_scene.h"

#include <math.h>

static const struct sky_synth_options small = {
    .seed = 7, .size = 32, .train_places = 4, .test_places = 3, .distractor_places = 2, .drone_views = 3, .workers = 1};

static int64_t progress_calls, progress_last, progress_total;

static void count_progress(void *context, int64_t done, int64_t total)
{
    (void)context;
    CHECK(done >= progress_last && done <= total);
    progress_calls++, progress_last = done, progress_total = total;
}

static void test_tree(void)
{
    struct sky_train_set train = {0};
    struct sky_test_set test = {0};
    CHECK_OK(sky_synth_make(in_folder("one"), &small, count_progress, NULL));
    CHECK(progress_last == 9 * 4 && progress_total == 9 * 4 && progress_calls == 10);
    CHECK_OK(tree_train_set(&train, in_folder("one")));
    CHECK_OK(tree_test_set(&test, in_folder("one"), SKY_DIRECTION_BOTH));
    CHECK(train.class_count == 4 && train.empty_class_count == 0);
    CHECK(train.views[SKY_VIEW_SATELLITE].count == 4 && train.views[SKY_VIEW_DRONE].count == 12);
    CHECK(test.query[SKY_VIEW_SATELLITE].count == 3 && test.query[SKY_VIEW_DRONE].count == 9);
    CHECK(test.gallery[SKY_VIEW_SATELLITE].count == 5 && test.gallery[SKY_VIEW_DRONE].count == 15);
    /* Names as University-1652's, ids of four digits, no id on both sides, every query's place in the gallery. */
    CHECK(!strcmp(train.views[SKY_VIEW_DRONE].paths[0], "train/drone/0005/image-01.jpeg"));
    CHECK(!strcmp(train.views[SKY_VIEW_SATELLITE].paths[0], "train/satellite/0005/0005.jpg"));
    for (int64_t i = 0; i < test.gallery[SKY_VIEW_SATELLITE].count; i++)
        for (int64_t c = 0; c < train.class_count; c++) CHECK(test.gallery[SKY_VIEW_SATELLITE].labels[i] != atoi(train.class_names[c]));
    for (int64_t i = 0; i < test.query[SKY_VIEW_DRONE].count; i++) {
        int found = 0;
        for (int64_t j = 0; j < test.gallery[SKY_VIEW_SATELLITE].count; j++)
            found += test.gallery[SKY_VIEW_SATELLITE].labels[j] == test.query[SKY_VIEW_DRONE].labels[i];
        CHECK(found == 1);
    }
    sky_train_set_close(&train);
    sky_test_set_close(&test);
    CHECK_FAILS(sky_synth_make(in_folder("one"), &small, NULL, NULL), SKY_USAGE, "already holds");
}

/* Pictures from the street in all three sets, of other days in training; the others do not change. */
static void test_street(void)
{
    const struct sky_layout layout = sky_layout_native();
    const struct sky_views views = {{SKY_VIEW_SATELLITE, SKY_VIEW_STREET, SKY_VIEW_GOOGLE}, 3};
    struct sky_synth_options options = small;
    struct sky_train_set train = {0};
    struct sky_test_set test = {0};
    int files = 0;
    options.street_views = 2, options.workers = 3;
    CHECK_OK(sky_synth_make(in_folder("street"), &options, NULL, NULL));
    CHECK_OK(sky_train_set_open(&train, in_folder("street"), &layout, &views));
    CHECK_OK(tree_test_set(&test, in_folder("street"), SKY_DIRECTION_ALL));
    CHECK(train.empty_class_count == 0 && train.views[SKY_VIEW_STREET].count == 8 && train.views[SKY_VIEW_GOOGLE].count == 8);
    CHECK(test.query[SKY_VIEW_STREET].count == 6 && test.gallery[SKY_VIEW_STREET].count == 10 && test.gallery[SKY_VIEW_SATELLITE].count == 5);
    CHECK(!strcmp(train.views[SKY_VIEW_GOOGLE].paths[1], "train/google/0005/google-02.jpg"));
    sky_train_set_close(&train);
    sky_test_set_close(&test);
    CHECK(tree_same(in_folder("one/train/drone"), in_folder("street/train/drone"), &files) &&
          tree_same(in_folder("one/test/gallery_drone"), in_folder("street/test/gallery_drone"), &files));
    options.street_views = 100;
    CHECK_FAILS(sky_synth_make(in_folder("bad"), &options, NULL, NULL), SKY_USAGE, "street");
}

static void test_workers(void)
{
    struct sky_synth_options options = small;
    for (int workers = 2; workers <= 5; workers += 3) {
        char name[16];
        int files = 0;
        snprintf(name, sizeof name, "w%d", workers);
        options.workers = workers;
        CHECK_OK(sky_synth_make(in_folder(name), &options, NULL, NULL));
        CHECK(tree_same(in_folder("one"), in_folder(name), &files));
        CHECK(files == 4 * 4 + 2 * 3 * 4 + 2 * 4 + 1); /* train, test twice, distractors, readme */
    }
    /* More distractors or views of training leave a training place as it was; another seed does not. */
    int files = 0;
    options = small, options.distractor_places = 0, options.test_places = 5;
    CHECK_OK(sky_synth_make(in_folder("other"), &options, NULL, NULL));
    CHECK(tree_same(in_folder("one/train/drone/0005"), in_folder("other/train/drone/0005"), &files));
    options = small, options.seed = 8, options.test_places = options.distractor_places = 0, options.train_places = 1;
    CHECK_OK(sky_synth_make(in_folder("seed"), &options, NULL, NULL));
    CHECK(!tree_same(in_folder("one/train/drone/0005"), in_folder("seed/train/drone/0000"), &files));
}

static void test_options(void)
{
    struct sky_synth_options options = small;
    options.size = 8;
    CHECK_FAILS(sky_synth_make(in_folder("bad"), &options, NULL, NULL), SKY_USAGE, "size");
    options = small, options.train_places = 9999;
    CHECK_FAILS(sky_synth_make(in_folder("bad"), &options, NULL, NULL), SKY_USAGE, "10000");
    options = small, options.drone_views = 100;
    CHECK_FAILS(sky_synth_make(in_folder("bad"), &options, NULL, NULL), SKY_USAGE, "views");
    options = small, options.train_places = options.test_places = options.distractor_places = 0;
    CHECK_FAILS(sky_synth_make(in_folder("bad"), &options, NULL, NULL), SKY_USAGE, "places");
    CHECK(!sky_path_is_folder(in_folder("bad")));
    if (geteuid() != 0) {
        CHECK(!mkdir(in_folder("shut"), 0500));
        CHECK_FAILS(sky_synth_make(in_folder("shut/world"), &small, NULL, NULL), SKY_IO, "shut");
    }
    tree_write("file", "x", 1);
    CHECK_FAILS(sky_synth_make(in_folder("file/world"), &small, NULL, NULL), SKY_IO, "file");
}

/* A scene of hand-placed solids. */
static void make_scene(struct sky_synth_scene *scene, const struct sky_solid *solids, int count)
{
    CHECK_OK(sky_synth_scene_build(scene, 1, 1, 4));
    scene->standing_count = scene->solid_count = scene->car_slot_count = 0;
    for (int i = 0; i < count; i++) sky_synth_add_solid(scene, &solids[i]);
    CHECK_OK(sky_synth_grid_build(scene));
}

/* Points inside each solid by its own formula. */
static int inside(const struct sky_solid *s, const double p[3])
{
    const double dx = p[0] - s->x, dy = p[1] - s->y, u = s->cosine * dx + s->sine * dy, v = s->cosine * dy - s->sine * dx, z = p[2] - s->bottom,
                 h = s->eaves - s->bottom;
    const double slope = s->rise / s->half_y;
    if (z < 0) return 0;
    switch (s->shape) {
    case SKY_SOLID_BOX: return fabs(u) < s->half_x && fabs(v) < s->half_y && z < h;
    case SKY_SOLID_GABLE: return fabs(u) < s->half_x && fabs(v) < s->half_y && z < h + slope * (s->half_y - fabs(v));
    case SKY_SOLID_HIP: return fabs(u) < s->half_x && fabs(v) < s->half_y && z < h + slope * (s->half_y - fabs(v)) && z < h + slope * (s->half_x - fabs(u));
    case SKY_SOLID_CYLINDER: return u * u + v * v < s->half_x * s->half_x && z < h;
    case SKY_SOLID_CONE: return z < h && sqrt(u * u + v * v) < s->half_x * (1 - z / h);
    case SKY_SOLID_ELLIPSOID: return u * u / (s->half_x * s->half_x) + v * v / (s->half_y * s->half_y) + (z / (0.5 * h) - 1) * (z / (0.5 * h) - 1) < 1;
    }
    return 0;
}

/* Every kind of solid, seen from all sides: the hit must be where fine steps along the ray first come inside something. */
static void test_rays(void)
{
    struct sky_solid solids[6];
    struct sky_synth_scene scene = {0};
    struct sky_rng rng = sky_rng_make(3, SKY_RNG_TEST, 0, 0);
    int hits = 0, misses = 0, wrong = 0, wrong_shadow = 0, wrong_normal = 0;
    for (int i = 0; i < 6; i++) {
        const double angle = 0.7 * i;
        solids[i] = (struct sky_solid){.shape = (enum sky_solid_shape)i,
                                       .x = 14.0 * (i % 3) - 14,
                                       .y = 16.0 * (i / 3) - 8,
                                       .cosine = cos(angle),
                                       .sine = sin(angle),
                                       .half_x = 6,
                                       .half_y = 4};
        solids[i].eaves = 5 + i, solids[i].rise = i == SKY_SOLID_GABLE || i == SKY_SOLID_HIP ? 3 : 0;
        if (i >= SKY_SOLID_CYLINDER && i < SKY_SOLID_ELLIPSOID) solids[i].half_y = solids[i].half_x;
        if (i == SKY_SOLID_ELLIPSOID) solids[i].cosine = 1, solids[i].sine = 0;
    }
    make_scene(&scene, solids, 6);
    for (int ray = 0; ray < 3000; ray++) {
        double from[3], to[3], direction[3], p[3];
        for (int i = 0; i < 3; i++) from[i] = sky_rng_between(&rng, -40, 40), to[i] = sky_rng_between(&rng, -20, 20);
        from[2] = 20 + 0.2 * fabs(from[2]), to[2] = 0.05; /* from above every roof to the ground */
        double length = 0, entered = INFINITY;
        for (int i = 0; i < 3; i++) direction[i] = to[i] - from[i], length += direction[i] * direction[i];
        length = sqrt(length);
        for (int i = 0; i < 3; i++) direction[i] /= length;
        for (double t = 0; t < length && entered > t; t += 0.01) {
            for (int i = 0; i < 3; i++) p[i] = from[i] + t * direction[i];
            for (int k = 0; k < 6; k++)
                if (inside(&solids[k], p)) entered = t;
        }
        const struct sky_hit hit = sky_synth_cast(&scene, from, direction);
        const double got = hit.t < length ? hit.t : INFINITY;
        const int grazing = isinf(got) != isinf(entered); /* steps of a centimetre miss the slimmest edges */
        if (isinf(entered)) misses++;
        else hits++;
        if (!grazing && !isinf(got) && fabs(got - entered) > 0.02) wrong++;
        if (grazing) {
            double inside_length = 0;
            for (double t = isinf(got) ? entered : got; t < length && t < (isinf(got) ? entered : got) + 1; t += 0.001) {
                for (int i = 0; i < 3; i++) p[i] = from[i] + t * direction[i];
                int in = 0;
                for (int k = 0; k < 6; k++) in |= inside(&solids[k], p);
                inside_length += in * 0.001;
            }
            if (inside_length > 0.03) wrong++;
        }
        if (!isinf(got)) {
            const double facing = direction[0] * hit.normal[0] + direction[1] * hit.normal[1] + direction[2] * hit.normal[2];
            const double unit = hit.normal[0] * hit.normal[0] + hit.normal[1] * hit.normal[1] + hit.normal[2] * hit.normal[2];
            if (facing > 1e-6 || fabs(unit - 1) > 1e-9) wrong_normal++;
        }
        /* The same way back: from just above the ground up to the camera. */
        const double back[3] = {-direction[0], -direction[1], -direction[2]};
        int starts_inside = 0;
        for (int k = 0; k < 6; k++) starts_inside |= inside(&solids[k], to);
        if (!starts_inside && !grazing && sky_synth_blocked(&scene, to, back) != !isinf(got)) wrong_shadow++;
    }
    CHECK(hits > 300 && misses > 300);
    CHECK(wrong == 0);
    CHECK(wrong_normal == 0);
    CHECK(wrong_shadow <= 2); /* tangents seen one way only */
    sky_synth_scene_free(&scene);
}

/* Pictures are neither empty nor all alike: the landmark's roof and the grass differ, shadows are dark, the views differ. */
static void test_pictures(void)
{
    enum { SIZE = 64 };
    struct sky_synth_scene scene = {0};
    static uint8_t satellite[SIZE * SIZE * 3], drone[2][SIZE * SIZE * 3], street[2][SIZE * SIZE * 3];
    CHECK_OK(sky_synth_scene_build(&scene, 5, 9, 1.5));
    CHECK(scene.landmark_radius > 12 && scene.landmark_radius < SKY_SYNTH_TILE / 2);
    CHECK(scene.solid_count > 30 && scene.solid_count < SKY_SYNTH_MAX_SOLIDS && scene.decal_count < SKY_SYNTH_MAX_DECALS);
    CHECK_OK(sky_synth_scene_visit(&scene, SKY_VISIT_SATELLITE));
    CHECK_OK(sky_synth_satellite(&scene, SIZE, satellite));
    CHECK_OK(sky_synth_scene_visit(&scene, SKY_VISIT_DRONE));
    for (int i = 0; i < 2; i++) CHECK_OK(sky_synth_drone(&scene, 20 * i, 54, SIZE, drone[i]));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(sky_synth_scene_visit(&scene, i ? SKY_VISIT_GOOGLE : SKY_VISIT_STREET));
        CHECK_OK(sky_synth_street(&scene, i ? SKY_VISIT_GOOGLE : SKY_VISIT_STREET, 0, SIZE, street[i]));
    }
    const uint8_t *const pictures[] = {satellite, drone[0], drone[1], street[0], street[1]};
    for (int k = 0; k < 5; k++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < SIZE * SIZE * 3; i++) sum += pictures[k][i], squares += (double)pictures[k][i] * pictures[k][i];
        const double mean = sum / (SIZE * SIZE * 3), deviation = sqrt(squares / (SIZE * SIZE * 3) - mean * mean);
        CHECK(mean > 50 && mean < 200);
        CHECK(deviation > 15);
    }
    CHECK(memcmp(drone[0], drone[1], sizeof drone[0]) && memcmp(street[0], street[1], sizeof street[0]));
    sky_synth_scene_free(&scene);
}

int main(void)
{
    folder_make();
    test_tree();
    test_street();
    test_workers();
    test_options();
    test_rays();
    test_pictures();
    folder_remove(folder);
    return check_done();
}
