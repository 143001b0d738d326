/*
 * The synthetic world as a data tree: which place gets which id and folders, and the worker pool that renders one place a job. What a place looks like
 * depends on the seed, its role and its number within the role alone, so neither the workers nor the other counts change it.
 */
#include "synth.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "image/image.h"
#include "synth_scene.h"

#include <stdio.h>
#include <stdlib.h>

enum role { ROLE_TRAIN, ROLE_TEST, ROLE_DISTRACTOR, ROLE_COUNT };
enum { MAX_PLACES = 10000, MAX_VIEWS = 99, JPEG_QUALITY = 90 };

/* Folders an image of each role goes to; the query pictures are the gallery's, as in University-1652. */
static const char *const satellite_folders[ROLE_COUNT][2] = {
    {"train/satellite", NULL}, {"test/gallery_satellite", "test/query_satellite"}, {"test/gallery_satellite", NULL}};
static const char *const street_folders[ROLE_COUNT][2] = {{"train/street", NULL}, {"test/gallery_street", "test/query_street"}, {"test/gallery_street", NULL}};
static const char *const google_folders[ROLE_COUNT][2] = {{"train/google", NULL}, {NULL, NULL}, {NULL, NULL}};
static const char *const drone_folders[ROLE_COUNT][2] = {{"train/drone", NULL}, {"test/gallery_drone", "test/query_drone"}, {"test/gallery_drone", NULL}};

struct job {
    enum role role;
    uint32_t number; /* within the role */
    int id;          /* the class folder */
};

struct world {
    const char *root;
    struct sky_synth_options options;
    struct job *jobs; /* [places] */
};

static sky_status write_picture(const struct world *world, const char *const folders[2], int id, const char *name, const uint8_t *rgb)
{
    for (int i = 0; i < 2 && folders[i]; i++) {
        struct sky_text path = {0};
        sky_text_format(&path, "%s/%s/%04d/%s", world->root, folders[i], id, name);
        sky_status status = sky_text_status(&path, "a path");
        if (status == SKY_OK) status = sky_image_write_jpeg(path.text, rgb, world->options.size, world->options.size, JPEG_QUALITY);
        sky_text_free(&path);
        SKY_TRY(status);
    }
    return SKY_OK;
}

static sky_status make_folders(const char *root, const char *const folders[2], int id)
{
    for (int i = 0; i < 2 && folders[i]; i++) {
        struct sky_text path = {0};
        sky_text_format(&path, "%s/%s", root, folders[i]);
        if (id >= 0) sky_text_format(&path, "/%04d", id);
        sky_status status = sky_text_status(&path, "a path");
        if (status == SKY_OK) status = sky_folder_make(path.text);
        sky_text_free(&path);
        SKY_TRY(status);
    }
    return SKY_OK;
}

/* Pictures of one visit, from the street. */
static sky_status take_street(const struct world *world, const struct job *job, struct sky_synth_scene *scene, enum sky_visit visit, uint8_t *rgb)
{
    const char *const *folders = visit == SKY_VISIT_GOOGLE ? google_folders[job->role] : street_folders[job->role];
    char name[32];
    if (!world->options.street_views || !folders[0]) return SKY_OK;
    SKY_TRY(make_folders(world->root, folders, job->id));
    SKY_TRY(sky_synth_scene_visit(scene, visit));
    for (int frame = 0; frame < world->options.street_views; frame++) {
        SKY_TRY(sky_synth_street(scene, visit, frame, world->options.size, rgb));
        snprintf(name, sizeof name, "%s-%02d.jpg", visit == SKY_VISIT_GOOGLE ? "google" : "street", frame + 1);
        SKY_TRY(write_picture(world, folders, job->id, name, rgb));
    }
    return SKY_OK;
}

static sky_status make_place(void *context, int worker, int64_t index, int slot)
{
    const struct world *world = context;
    const struct job *job = world->jobs + index;
    const int size = world->options.size, views = world->options.drone_views;
    const double texel = 0.75 * SKY_SYNTH_TILE / size;
    struct sky_synth_scene scene = {0};
    uint8_t *rgb = NULL; /* [size][size][3] */
    char name[32];
    sky_status status = SKY_OK;
    (void)worker, (void)slot;
    SKY_TRY_DONE(sky_alloc(&rgb, (size_t)size * (size_t)size, 3, "a synthetic picture"));
    SKY_TRY_DONE(sky_synth_scene_build(&scene, world->options.seed, job->number * ROLE_COUNT + (uint32_t)job->role, texel < 0.3 ? 0.3 : texel));
    SKY_TRY_DONE(make_folders(world->root, satellite_folders[job->role], job->id));
    SKY_TRY_DONE(make_folders(world->root, drone_folders[job->role], job->id));
    SKY_TRY_DONE(sky_synth_scene_visit(&scene, SKY_VISIT_SATELLITE));
    SKY_TRY_DONE(sky_synth_satellite(&scene, size, rgb));
    snprintf(name, sizeof name, "%04d.jpg", job->id);
    SKY_TRY_DONE(write_picture(world, satellite_folders[job->role], job->id, name, rgb));
    SKY_TRY_DONE(sky_synth_scene_visit(&scene, SKY_VISIT_DRONE));
    for (int frame = 0; frame < views; frame++) {
        SKY_TRY_DONE(sky_synth_drone(&scene, frame, views, size, rgb));
        snprintf(name, sizeof name, "image-%02d.jpeg", frame + 1);
        SKY_TRY_DONE(write_picture(world, drone_folders[job->role], job->id, name, rgb));
    }
    SKY_TRY_DONE(take_street(world, job, &scene, SKY_VISIT_STREET, rgb));
    SKY_TRY_DONE(take_street(world, job, &scene, SKY_VISIT_GOOGLE, rgb));
done:
    sky_synth_scene_free(&scene);
    free(rgb);
    return status;
}

/* Train ids follow the test ids; among those the distractors lie scattered, as in University-1652. */
static void assign_ids(struct world *world)
{
    const struct sky_synth_options *o = &world->options;
    const int test = o->test_places + o->distractor_places;
    struct sky_rng rng = sky_rng_make(o->seed, SKY_RNG_SYNTH, 0xFFFFFFFFu, 0);
    for (int i = 0; i < o->train_places; i++) world->jobs[i] = (struct job){ROLE_TRAIN, (uint32_t)i, test + i};
    struct job *rest = world->jobs + o->train_places;
    for (int i = 0; i < test; i++) {
        const bool query = i < o->test_places;
        rest[i] = (struct job){query ? ROLE_TEST : ROLE_DISTRACTOR, (uint32_t)(query ? i : i - o->test_places), i};
    }
    for (int i = test - 1; i > 0; i--) {
        const int other = (int)sky_rng_below(&rng, (uint32_t)i + 1), id = rest[i].id;
        rest[i].id = rest[other].id, rest[other].id = id;
    }
}

static sky_status check_number(const char *name, int value, int low, int high)
{
    if (value >= low && value <= high) return SKY_OK;
    return sky_fail(SKY_USAGE, name, "is %d, allowed is %d to %d", value, low, high);
}

static sky_status check_options(const struct sky_synth_options *o)
{
    SKY_TRY(check_number("size", o->size, 16, 2048));
    SKY_TRY(check_number("views", o->drone_views, 1, MAX_VIEWS));
    SKY_TRY(check_number("street", o->street_views, 0, MAX_VIEWS));
    SKY_TRY(check_number("workers", o->workers, 1, 1024));
    SKY_TRY(check_number("places-train", o->train_places, 0, MAX_PLACES));
    SKY_TRY(check_number("places-test", o->test_places, 0, MAX_PLACES));
    SKY_TRY(check_number("distractors", o->distractor_places, 0, MAX_PLACES));
    return check_number("places in all", o->train_places + o->test_places + o->distractor_places, 1, MAX_PLACES); /* four-digit ids */
}

/* Refuses a root that already holds a tree: mixing two worlds would give places two looks. */
static sky_status refuse_old_tree(const char *root)
{
    static const char *const parts[] = {"train", "test"};
    for (int i = 0; i < 2; i++) {
        char *path = NULL;
        SKY_TRY(sky_path_join(&path, root, parts[i]));
        const bool there = sky_path_is_folder(path);
        free(path);
        if (!there) continue;
        SKY_TRY(sky_path_join(&path, root, "readme.txt")); /* written last */
        const bool finished = sky_path_is_file(path);
        free(path);
        sky_fail(SKY_USAGE, root, finished ? "already holds a folder %s" : "already holds a folder %s but no readme.txt: a world that was not finished", parts[i]);
        return sky_hint("give a new folder, or remove the old one first");
    }
    return SKY_OK;
}

static sky_status write_readme(const struct world *world)
{
    const struct sky_synth_options *o = &world->options;
    struct sky_text text = {0};
    char *path = NULL;
    sky_status status = SKY_OK;
    sky_text_format(&text,
                    "A synthetic world made by `skygem data synth`, in University-1652's layout. Not photographs.\n"
                    "seed %llu, size %d, places-train %d, places-test %d, distractors %d, views %d",
                    (unsigned long long)o->seed, o->size, o->train_places, o->test_places, o->distractor_places, o->drone_views);
    if (o->street_views) sky_text_format(&text, ", street %d", o->street_views);
    sky_text_append(&text, "\n");
    SKY_TRY_DONE(sky_text_status(&text, "readme.txt"));
    SKY_TRY_DONE(sky_path_join(&path, world->root, "readme.txt"));
    SKY_TRY_DONE(sky_file_write_atomic(path, text.text, text.length));
done:
    free(path);
    sky_text_free(&text);
    return status;
}

sky_status sky_synth_make(const char *root, const struct sky_synth_options *options, void (*progress)(void *context, int64_t done, int64_t total),
                          void *context)
{
    struct world world = {.root = root, .options = *options};
    struct sky_pool *pool = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(check_options(options));
    SKY_TRY(refuse_old_tree(root));
    const int64_t places = (int64_t)options->train_places + options->test_places + options->distractor_places,
                  images = 1 + options->drone_views + options->street_views; /* google's, of training places, are left out of the count */
    SKY_TRY_DONE(sky_alloc(&world.jobs, (size_t)places, sizeof *world.jobs, "synthetic places"));
    assign_ids(&world);
    for (int role = 0; role < ROLE_COUNT; role++) {
        const int counts[ROLE_COUNT] = {options->train_places, options->test_places, options->distractor_places};
        if (counts[role] == 0) continue;
        SKY_TRY_DONE(make_folders(root, satellite_folders[role], -1));
        SKY_TRY_DONE(make_folders(root, drone_folders[role], -1));
    }
    if (progress) progress(context, 0, places * images);
    SKY_TRY_DONE(sky_pool_create(&pool, options->workers, 2 * options->workers, 0, places, make_place, &world));
    for (int64_t job = 0; job >= 0;) {
        int slot;
        SKY_TRY_DONE(sky_pool_next(pool, &job, &slot));
        if (job < 0) break;
        sky_pool_release(pool, slot);
        if (progress) progress(context, (job + 1) * images, places * images);
    }
    SKY_TRY_DONE(write_readme(&world));
done:
    sky_pool_destroy(pool);
    free(world.jobs);
    return status;
}
