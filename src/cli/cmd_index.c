/*
 * skygem index: a folder of tiles embedded once, for locate; or an index brought up to date with its folder.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/signals.h"
#include "retrieval.h"
#include "retrieve/build.h"
#include "skygem/log.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

static const struct sky_option options[] = {
    SKY_WEIGHTS_OPTION,
    {"output", 'o', "INDEX", NULL, "the file to make", false},
    {"geo", 0, "WHERE", "auto",
     "a CSV of path,lat,lon[,metres_per_pixel], paths from DIR on; xyz or tms: from names ZOOM/X/Y.jpg; geotiff: from the tiles' own tags; none; auto: xyz "
     "where every name fits, else geotiff",
     false},
    {"store", 0, "TYPE", "float32", "how features are kept: float32, fp16 (half the memory) or int8 (a quarter)", false},
    {"sketch", 0, "N", "0", "also keep N numbers a tile, for locate --candidates: 256 or so where a search through all features takes too long", false},
    {"place-radius", 0, "METRES", "0", "tiles no farther from each other are one place (overlapping tiles, several seasons)", false},
    {"update", 'u', NULL, NULL, "embed new and changed tiles, drop those that are gone, keep the rest (by size and time, else by content)", false},
    SKY_EXIF_OPTION,
    SKY_BAD_IMAGE_OPTION("fail"),
    SKY_ENCODER_OPTIONS,
    {NULL, 0, NULL, NULL, NULL, false},
};

struct shown {
    struct sky_progress progress; /* first: sky_show_gather takes it */
    bool begun;
};

static bool show(void *context, int64_t done, int64_t total)
{
    struct shown *shown = context;
    if (!shown->begun) sky_progress_begin(&shown->progress, "embedding", "img", total, 0);
    shown->begun = true;
    return sky_show_gather(&shown->progress, done, total);
}

static sky_status read_geo(const char *text, struct sky_index_build *build)
{
    build->table = NULL;
    for (int s = SKY_GEO_AUTO; s < SKY_GEO_TABLE; s++) {
        build->geo = (enum sky_geo_source)s;
        if (!strcmp(text, sky_geo_source_name(build->geo))) return SKY_OK;
    }
    build->geo = SKY_GEO_TABLE, build->table = text;
    if (sky_path_is_file(text)) return SKY_OK;
    sky_fail(SKY_USAGE, "--geo", "there is no file '%s'", text);
    return sky_hint("give a CSV of path,lat,lon, or one of auto, none, xyz, tms, geotiff");
}

static sky_status read_store(const struct sky_args *args, enum sky_store *out)
{
    const char *names[SKY_STORE_COUNT];
    int chosen = 0;
    for (int s = 0; s < SKY_STORE_COUNT; s++) names[s] = sky_store_name((enum sky_store)s);
    SKY_TRY(sky_args_choice(args, "store", names, SKY_STORE_COUNT, &chosen));
    *out = (enum sky_store)chosen;
    return SKY_OK;
}

/* What is not said again on the command line is as the index has it. */
static sky_status follow_old(const struct sky_args *args, const struct sky_index *old, struct sky_index_build *build)
{
    if (!sky_args_given(args, "store")) build->store = old->table.rows.store;
    if (!sky_args_given(args, "sketch")) build->sketch = old->info.sketch;
    if (!sky_args_given(args, "exif")) build->exif = strcmp(old->texts.exif, "apply") ? SKY_EXIF_IGNORE : SKY_EXIF_APPLY;
    if (!sky_args_given(args, "place-radius")) build->place_radius = old->texts.place_radius;
    if (!sky_args_given(args, "geo")) SKY_TRY(read_geo(old->texts.geo, build));
    if (build->store != old->table.rows.store || (build->exif == SKY_EXIF_APPLY) != !strcmp(old->texts.exif, "apply")) {
        sky_fail(SKY_USAGE, build->output, "it was made with --store %s --exif %s; an update cannot change these", sky_store_name(old->table.rows.store),
                 old->texts.exif);
        return sky_hint("make it anew, without --update");
    }
    return SKY_OK;
}

/* The encoder of an update: the weights given, or those of the index; the same model either way. */
static sky_status open_old_encoder(const struct sky_args *args, const struct sky_index *old, struct sky_encoder **out)
{
    const char **overrides = NULL;
    struct sky_encoder_options encoder = {.gallery = true, .batch = BATCH};
    if (sky_args_given(args, "experiment")) return sky_fail(SKY_USAGE, "--experiment", "an update takes the experiment that the index was made with");
    SKY_TRY(sky_args_list(args, "set", &overrides, &encoder.override_count));
    encoder.overrides = overrides;
    const sky_status status = sky_index_encoder(old, sky_args_text(args, "weights"), &encoder, out);
    free(overrides);
    return status;
}

static void say(const struct sky_index_build *build)
{
    if (build->unchanged) {
        sky_log(SKY_LOG_INFO, "%s is up to date: %lld tiles", build->output, (long long)build->tiles);
        return;
    }
    sky_log(SKY_LOG_INFO, "%s: %lld tiles (%lld embedded, %lld kept, %lld removed), %lld of them with a place", build->output, (long long)build->tiles,
            (long long)build->embedded, (long long)build->kept, (long long)build->removed, (long long)build->located);
}

static sky_status run_index(const struct sky_args *args)
{
    static const struct sky_index_options any_size = {.larger_than_memory = true};
    struct sky_index *old = NULL;
    struct shown shown = {.begun = false};
    struct sky_index_build build = {
        .output = sky_args_text(args, "output"), .folder = args->operand_count ? args->operands[0] : NULL, .progress = show, .context = &shown};
    const bool update = sky_args_given(args, "update");
    sky_status status = SKY_OK;
    if (!build.output) return sky_fail(SKY_USAGE, args->path, "--output is missing: the index to make");
    SKY_TRY(sky_args_double(args, "place-radius", 0, 1e7, &build.place_radius));
    SKY_TRY(sky_args_int(args, "sketch", 0, 1 << 20, &build.sketch));
    SKY_TRY(sky_read_exif(args, &build.exif));
    SKY_TRY(sky_read_bad_image(args, &build.skip_bad));
    SKY_TRY(read_store(args, &build.store));
    SKY_TRY(read_geo(sky_args_text(args, "geo"), &build));
    SKY_TRY(sky_signals_install());
    if (update) {
        SKY_TRY_DONE(sky_index_open(&old, build.output, &any_size));
        SKY_TRY_DONE(follow_old(args, old, &build));
        SKY_TRY_DONE(open_old_encoder(args, old, &build.encoder));
        if (!build.folder) build.folder = old->texts.root;
    } else {
        if (!build.folder) SKY_TRY_DONE(sky_fail(SKY_USAGE, args->path, "needs the folder of tiles"));
        SKY_TRY_DONE(sky_open_encoder(args, SKY_VIEW_SATELLITE, BATCH, &build.encoder));
    }
    build.old = old;
    SKY_TRY_DONE(sky_index_build(&build));
    say(&build);
    status = sky_skipped_status(build.skipped, build.tiles + build.skipped);
done:
    sky_encoder_close(build.encoder);
    sky_index_close(old);
    return status;
}

const struct sky_command sky_command_index = {
    .name = "index",
    .operands = "DIR",
    .max_operands = 1,
    .doc = "embed a folder of tiles once, with their places, for locate",
    .details = "The index names the weights it was made with, and keeps the experiment: locate needs nothing else. With --update, DIR, --weights and what is "
               "not given are the index's.",
    .options = options,
    .run = run_index,
};
