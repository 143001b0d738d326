/*
 * skygem data: synth makes the synthetic tree, pack the decoded cache; check and stats are in cmd_data_check.c.
 */
#include "commands.h"
#include "progress.h"

#include "base/str.h"
#include "base/threads.h"
#include "data/pack.h"
#include "data/synth.h"

#include <stdio.h>

static sky_status read_int(const struct sky_args *args, const char *name, int low, int high, int *out)
{
    int64_t value = *out;
    SKY_TRY(sky_args_int(args, name, low, high, &value));
    *out = (int)value;
    return SKY_OK;
}

static sky_status read_workers(const struct sky_args *args, int *out)
{
    *out = 0;
    SKY_TRY(read_int(args, "workers", 0, 1024, out));
    if (*out == 0) *out = sky_thread_count_default();
    return SKY_OK;
}

static void show_progress(void *context, int64_t done, int64_t total)
{
    struct sky_progress *progress = context;
    progress->total = total;
    sky_progress_show(progress, done, 1, NULL);
}

/* ---- synth ---- */

static const struct sky_option synth_options[] = {
    {"places-train", 0, "N", "200", "places to train on", false},
    {"places-test", 0, "N", "100", "other places, in query and gallery", false},
    {"distractors", 0, "N", "50", "further places, in the gallery only", false},
    {"views", 0, "N", "54", "drone frames a place (1 to 99)", false},
    {"street", 0, "N", "0", "pictures from the street a place, and in training as many of other days as google's (0 to 99)", false},
    {"size", 0, "N", "256", "side of every image in pixels", false},
    {"seed", 0, "N", "1", "another seed, another world", false},
    {"workers", 'j', "N", "0", "worker threads, 0 = one a core; does not change the images", false},
    {0},
};

static sky_status run_synth(const struct sky_args *args)
{
    struct sky_synth_options options = {0};
    struct sky_progress progress = {0};
    int64_t seed = 0;
    SKY_TRY(read_int(args, "places-train", 0, 10000, &options.train_places));
    SKY_TRY(read_int(args, "places-test", 0, 10000, &options.test_places));
    SKY_TRY(read_int(args, "distractors", 0, 10000, &options.distractor_places));
    SKY_TRY(read_int(args, "views", 1, 99, &options.drone_views));
    SKY_TRY(read_int(args, "street", 0, 99, &options.street_views));
    SKY_TRY(read_int(args, "size", 16, 2048, &options.size));
    SKY_TRY(sky_args_int(args, "seed", 0, INT64_MAX, &seed));
    SKY_TRY(read_workers(args, &options.workers));
    options.seed = (uint64_t)seed;
    sky_progress_begin(&progress, "rendering places", "img", 0, 0);
    const sky_status status = sky_synth_make(args->operands[0], &options, show_progress, &progress);
    sky_progress_end(&progress);
    SKY_TRY(status);
    char street[48] = "";
    if (options.street_views) snprintf(street, sizeof street, " and %d street pictures", options.street_views);
    printf("%s: %d training places, %d test places, %d distractors, one satellite tile%s %d drone frames%s each, %d x %d\n", args->operands[0], options.train_places,
           options.test_places, options.distractor_places, options.street_views ? "," : " and", options.drone_views, street, options.size, options.size);
    return SKY_OK;
}

static const struct sky_command synth_command = {
    .name = "synth",
    .operands = "OUT",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "make the synthetic world: procedural places as satellite tiles and drone frames",
    .details =
        "Writes JPEGs in University-1652's tree. The same options give the same bytes. For demonstrations and tests; no substitute for photographs in a claim.",
    .options = synth_options,
    .run = run_synth,
};

/* ---- pack ---- */

static const struct sky_option pack_options[] = {
    {"output", 'o', "FILE", NULL, "the pack to write", false},
    {"size", 0, "N", "256", "side of the stored pictures: the experiment's [data] image_size", false},
    {"exif", 0, "ignore|apply", "ignore", "the experiment's [data] exif", false},
    {"workers", 'j', "N", "0", "worker threads, 0 = one a core", false},
    {0},
};

static sky_status run_pack(const struct sky_args *args)
{
    static const char *const exif_names[] = {"ignore", "apply"};
    const char *root = args->operands[0], *output = sky_args_text(args, "output");
    struct sky_progress progress = {0};
    struct sky_pack *pack = NULL;
    int size = 0, exif = 0, workers = 0;
    char bytes[32];
    if (!output) {
        sky_fail(SKY_USAGE, args->path, "--output is missing");
        return sky_hint("skygem data pack %s -o FILE", root);
    }
    SKY_TRY(read_int(args, "size", 16, 4096, &size));
    SKY_TRY(sky_args_choice(args, "exif", exif_names, 2, &exif));
    SKY_TRY(read_workers(args, &workers));
    sky_progress_begin(&progress, "packing", "img", 0, 0);
    const sky_status status = sky_pack_make(output, root, size, (enum sky_exif)exif, workers, show_progress, &progress);
    sky_progress_end(&progress);
    SKY_TRY(status);
    SKY_TRY(sky_pack_open(&pack, output));
    sky_print_bytes((size_t)sky_pack_count(pack) * (size_t)size * (size_t)size * 3, bytes);
    printf("%s: %lld images of %d x %d, %s; use it with [data] pack = %s\n", output, (long long)sky_pack_count(pack), size, size, bytes, output);
    sky_pack_close(pack);
    return SKY_OK;
}

static const struct sky_command pack_command = {
    .name = "pack",
    .operands = "ROOT",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "decode and resize every image once, into one file that training maps",
    .options = pack_options,
    .run = run_pack,
};

static const struct sky_command *const data_commands[] = {&sky_command_data_check, &synth_command, &pack_command, &sky_command_data_stats, NULL};
const struct sky_command sky_command_data = {
    .name = "data",
    .doc = "verify a data tree, make the synthetic one, build the decoded cache",
    .commands = data_commands,
};
