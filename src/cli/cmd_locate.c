/*
 * skygem locate: the tiles of an index that look most like a photo, with their places. One picture at a time as they come; under skygem launch or mpirun every
 * rank searches its share of the tiles, and rank 0 reads the pictures and prints.
 */
#include "commands.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "locate.h"
#include "place.h"
#include "retrieval.h"
#include "skygem/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TILES = 10000 };
static const double patience = 86400; /* seconds that ranks wait for the next picture; a rank that died is noticed at once */

static const struct sky_option options[] = {
    {"top", 'k', "K", "5", "tiles to show", false},
    {"json", 0, NULL, NULL, "one line of JSON a picture", false},
    {"list", 'l', "FILE", NULL, "a file of pictures' paths, one a line", false},
    {"watch", 0, "DIR", NULL, "wait for pictures that are written or moved into a folder", false},
    {"count", 'n', "N", "0", "stop after N pictures (0: at the end)", false},
    {"track", 0, "M/S", NULL, "follow a flight: the drone moves at most so fast between two pictures", false},
    {"fps", 0, "RATE", NULL, "with --track: pictures a second (default: by the files' times)", false},
    {"calibrate", 0, "CSV", NULL, "fit the confidence to photos of known place (path,lat,lon or path,tile) and keep it in the index", false},
    {"truth", 0, "CSV", NULL, "the same table, but only say how many are found and how good the confidence is", false},
    {"within", 0, "METRES", "0", "with --calibrate and --truth: how far off still counts as right (the nearest tile always does)", false},
    {"larger-than-memory", 0, NULL, NULL, "search an index that does not fit the memory from the disk", false},
    SKY_WEIGHTS_OPTION,
    SKY_EXIF_OPTION,
    {"on-bad-image", 0, "WHAT", NULL, "fail, or skip: name, count and leave out (default: skip in streams, else fail)", false},
    {"set", 's', "KEY=VALUE", NULL, "override a key of the experiment (device.threads=2)", true},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* What one run counts. */
struct totals {
    int64_t located, skipped;
    double decode, network, search;
};

bool sky_is_bad_picture(sky_status status) { return status == SKY_DATA || status == SKY_IO || status == SKY_FORMAT; }

sky_status sky_locate_frame(struct sky_locator *locator, const struct sky_frame *frame, struct sky_located *out)
{
    SKY_TRY(sky_encoder_embed_picture(locator->encoder, frame->name, frame->bytes, frame->count, locator->exif, locator->feature, &out->embed));
    const double start = sky_now();
    SKY_TRY(sky_shards_run(locator->shards, locator->feature, &out->answer));
    out->search = sky_now() - start;
    return SKY_OK;
}

/* ---- opening ---- */

static sky_status open_encoder(const struct sky_args *args, struct sky_locator *locator)
{
    const char **overrides = NULL;
    int count = 0;
    SKY_TRY(sky_args_list(args, "set", &overrides, &count));
    const sky_status status = sky_index_open_encoder(locator->index, sky_args_text(args, "weights"), overrides, count, &locator->encoder);
    free(overrides);
    return status;
}

/* Every rank maps the file, and keeps only the pages of its tiles in memory. */
static sky_status open_index(const struct sky_args *args, struct sky_locator *locator)
{
    const int size = sky_comm_size(locator->comm);
    const bool any_size = sky_args_given(args, "larger-than-memory");
    const struct sky_index_options options_ = {.larger_than_memory = any_size || size > 1, .skip_checksums = size > 1};
    SKY_TRY(sky_index_open(&locator->index, args->operands[0], &options_));
    const struct sky_index_info *info = sky_index_info(locator->index);
    char bytes[32];
    sky_print_bytes(info->memory_bytes / (size_t)size, bytes);
    sky_log(SKY_LOG_DEBUG, "%s: %lld tiles, %lld dimensions, %s, %s of memory%s", args->operands[0], (long long)info->tiles, (long long)info->dimensions,
            info->store, bytes, size > 1 ? " a rank; the features' checksum is left to a search alone" : "");
    if (size > 1 && !any_size) SKY_TRY(sky_index_check_memory(args->operands[0], info->memory_bytes / (size_t)size));
    return SKY_OK;
}

static sky_status open_locator(const struct sky_args *args, int64_t k, struct sky_locator *locator)
{
    SKY_TRY(open_index(args, locator));
    if (sky_comm_rank(locator->comm) == 0) SKY_TRY(open_encoder(args, locator));
    const int64_t threads = locator->encoder ? sky_encoder_config(locator->encoder)->device.threads : 0;
    const struct sky_comm_place *place = sky_comm_place(locator->comm);
    SKY_TRY(sky_shards_open(&locator->shards, locator->comm, locator->index, k, threads ? (int)threads : place ? place->threads : 0));
    return sky_alloc(&locator->feature, (size_t)sky_index_info(locator->index)->dimensions, sizeof *locator->feature, "a feature");
}

static void close_locator(struct sky_locator *locator)
{
    sky_shards_close(locator->shards);
    sky_encoder_close(locator->encoder);
    sky_index_close(locator->index);
    free(locator->feature);
}

/* ---- pictures ---- */

struct following {
    struct sky_track *track; /* NULL: off */
    double rate, last;       /* pictures a second, or 0: by time; time of the last one */
};

static sky_status open_following(const struct sky_args *args, const struct sky_locator *locator, struct following *out)
{
    struct sky_track_options options_ = {0};
    out->last = NAN;
    if (!sky_args_given(args, "track")) return sky_args_given(args, "fps") ? sky_fail(SKY_USAGE, "--fps", "is of use with --track only") : SKY_OK;
    SKY_TRY(sky_args_double(args, "track", 0.01, 1e4, &options_.metres_per_second));
    SKY_TRY(sky_args_double(args, "fps", 1e-6, 1e6, &out->rate));
    if (sky_comm_size(locator->comm) > 1)
        return sky_fail(SKY_USAGE, "--track", "needs every tile's similarity, which ranks do not share: search with one process");
    return sky_track_open(&out->track, locator->index, &options_);
}

static sky_status follow(const struct sky_locator *locator, struct following *following, const struct sky_frame *frame, struct sky_track_fix *fix)
{
    double seconds = following->rate > 0 ? 1 / following->rate : frame->modified - following->last;
    if (!(following->rate > 0) && isnan(frame->modified)) {
        sky_fail(SKY_USAGE, frame->name, "nobody says when this picture was taken");
        return sky_hint("give the rate of the stream: --fps RATE");
    }
    if (isnan(seconds)) seconds = 0; /* the first */
    following->last = frame->modified;
    sky_track_update(following->track, sky_shards_similarities(locator->shards), seconds, fix);
    return SKY_OK;
}

static sky_status locate_one(struct sky_locator *locator, struct following *following, const struct sky_frame *frame, bool json, struct totals *totals)
{
    struct sky_located located;
    struct sky_track_fix fix;
    SKY_TRY(sky_locate_frame(locator, frame, &located));
    if (following->track && follow(locator, following, frame, &fix) != SKY_OK) return SKY_USAGE; /* not the picture's fault */
    totals->located++;
    totals->decode += located.embed.decode, totals->network += located.embed.network, totals->search += located.search;
    return sky_located_print(locator, frame->name, &located, following->track ? &fix : NULL, json);
}

static sky_status locate_all(struct sky_locator *locator, struct sky_frames *frames, struct following *following, bool json, bool skip, int64_t most,
                             struct totals *totals)
{
    struct sky_frame frame;
    while (!most || totals->located + totals->skipped < most) {
        SKY_TRY(sky_frames_next(frames, &frame));
        if (!frame.name) break;
        const sky_status status = locate_one(locator, following, &frame, json, totals);
        if (status == SKY_OK) continue;
        if (!skip || !sky_is_bad_picture(status)) return status;
        sky_log(SKY_LOG_WARNING, "left out: %s: %s", frame.name, sky_error_last()->what);
        if (json) SKY_TRY(sky_located_print_error(frame.name, sky_error_last()));
        totals->skipped++;
    }
    return SKY_OK;
}

static sky_status run_pictures(const struct sky_args *args, struct sky_locator *locator)
{
    struct sky_frames *frames = NULL;
    struct following following = {.track = NULL};
    struct totals totals = {0};
    int64_t most = 0;
    bool skip = false;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_int(args, "count", 0, INT64_MAX, &most));
    SKY_TRY_DONE(sky_frames_open(&frames, args, sky_args_text(args, "list"), sky_args_text(args, "watch")));
    skip = sky_frames_are_stream(frames);
    if (sky_args_given(args, "on-bad-image")) SKY_TRY_DONE(sky_read_bad_image(args, &skip));
    SKY_TRY_DONE(open_following(args, locator, &following));
    if (!sky_index_info(locator->index)->calibrated)
        sky_log(SKY_LOG_INFO, "%s has no calibration: the margin to the next place is all that can be said; --calibrate PHOTOS.csv makes a confidence of it",
                args->operands[0]);
    SKY_TRY_DONE(locate_all(locator, frames, &following, sky_args_given(args, "json"), skip, most, &totals));
    if (totals.located > 1)
        sky_log(SKY_LOG_INFO, "%lld pictures; on average %.1f ms decode, %.1f network, %.1f search", (long long)totals.located,
                1e3 * totals.decode / (double)totals.located, 1e3 * totals.network / (double)totals.located, 1e3 * totals.search / (double)totals.located);
    status = sky_skipped_status(totals.skipped, totals.located + totals.skipped);
done:
    sky_track_close(following.track);
    sky_frames_close(frames);
    return status;
}

/* ---- the command ---- */

static sky_status run_known(const struct sky_args *args, struct sky_locator *locator)
{
    const bool fit = sky_args_given(args, "calibrate");
    double within = 0;
    bool skip = false;
    if (args->operand_count > 1 || (fit && sky_args_given(args, "truth")))
        return sky_fail(SKY_USAGE, args->path, "--calibrate or --truth takes its pictures from the table alone");
    if (sky_args_given(args, "on-bad-image")) SKY_TRY(sky_read_bad_image(args, &skip));
    SKY_TRY(sky_args_double(args, "within", 0, 1e7, &within));
    return sky_locate_known(locator, args->operands[0], sky_args_text(args, fit ? "calibrate" : "truth"), within, fit, skip, sky_args_given(args, "json"));
}

static sky_status run_rank(const struct sky_args *args, struct sky_locator *locator)
{
    int64_t k = 5;
    SKY_TRY(sky_args_int(args, "top", 1, MOST_TILES, &k));
    SKY_TRY(sky_read_exif(args, &locator->exif));
    SKY_TRY(sky_comm_agree(locator->comm, open_locator(args, k, locator), "opening the index"));
    if (sky_comm_rank(locator->comm) > 0) return sky_shards_serve(locator->shards);
    const bool known = sky_args_given(args, "calibrate") || sky_args_given(args, "truth");
    const sky_status status = known ? run_known(args, locator) : run_pictures(args, locator);
    if (status != SKY_OK && !sky_is_bad_picture(status)) return status;
    const struct sky_error bad = *sky_error_last(); /* a bad picture is no reason to leave the others alone */
    SKY_TRY(sky_shards_end(locator->shards));
    return status == SKY_OK ? SKY_OK : sky_error_set(&bad);
}

static sky_status run_locate(const struct sky_args *args)
{
    struct sky_locator locator = {.index = NULL};
    struct sky_comm_place place;
    SKY_TRY(sky_place_find(&place, patience));
    SKY_TRY(sky_signals_install());
    if (place.size > 1) SKY_TRY(sky_comm_open(&locator.comm, &place));
    sky_status status = run_rank(args, &locator);
    if (locator.comm) status = sky_place_end(locator.comm, status);
    close_locator(&locator);
    return status;
}

const struct sky_command sky_command_locate = {
    .name = "locate",
    .operands = "INDEX IMAGE|DIR...|-",
    .min_operands = 1,
    .max_operands = -1,
    .doc = "where a photo was taken: the most similar tiles of an index, with their places",
    .details = "'-' reads standard input: paths, one a line, or JPEG pictures one behind the other (ffmpeg -i VIDEO -f image2pipe -c:v mjpeg -).\n"
               "A confidence is shown when the index has been calibrated; it holds for photos of places that are in the index.",
    .options = options,
    .run = run_locate,
};
