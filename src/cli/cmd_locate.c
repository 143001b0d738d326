/*
 * skygem locate: the tiles of an index that look most like a photo, with their places. One picture at a time as they come; under skygem launch or mpirun every
 * rank searches its share of the tiles, and rank 0 reads the pictures and prints.
 */
#include "commands.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "locate_options.h"
#include "locate_sheet.h"
#include "place.h"
#include "retrieval.h"
#include "skygem/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double patience = 86400; /* seconds that ranks wait for the next picture; a rank that died is noticed at once */

static const struct sky_option options[] = {
    {"top", 'k', "K", "5", "tiles to show", false},
    {"json", 0, NULL, NULL, "one line of JSON a picture", false},
    {"sheet", 0, "FILE.png", NULL, "a picture of what was found: at most 25 photos, each with its tiles (at most 10) and their places", false},
    {"list", 'l', "FILE", NULL, "a file of pictures' paths, one a line", false},
    {"watch", 0, "DIR", NULL, "wait for pictures that are written or moved into a folder", false},
    {"count", 'n', "N", "0", "stop after N pictures (0: at the end)", false},
    {"track", 0, "M/S", NULL, "follow a flight: the drone moves at most so fast between two pictures", false},
    {"fps", 0, "RATE", NULL, "with --track: pictures a second (default: by the files' times)", false},
    {"calibrate", 0, "CSV", NULL, "fit the confidence to photos of known place (path,lat,lon or path,tile; paths from the table's folder) and keep it in the index", false},
    {"truth", 0, "CSV", NULL, "the same table, but only say how many are found and how good the confidence is", false},
    {"within", 0, "METRES", "0", "with --calibrate and --truth: how far off still counts as right (the nearest tile always does)", false},
    {"candidates", 0, "C", "0", "look through sketches (index --sketch), compare only the C most promising tiles exactly; 0: every tile", false},
    {"larger-than-memory", 0, NULL, NULL, "search an index that does not fit the memory from the disk", false},
    SKY_WEIGHTS_OPTION,
    SKY_VIEW_OPTION("drone"),
    SKY_EXIF_OPTION,
    {"on-bad-image", 0, "WHAT", NULL, "fail, or skip: name, count and leave out (default: skip in streams, else fail)", false},
    {"set", 's', "KEY=VALUE", NULL, "override a key of the experiment (device.threads=2)", true},
    {NULL, 0, NULL, NULL, NULL, false},
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
    struct sky_encoder_options options_ = {0};
    const char **overrides = NULL;
    int view = SKY_VIEW_DRONE;
    SKY_TRY(sky_args_view(args, &view));
    sky_choose_trunk(&options_, view);
    SKY_TRY(sky_args_list(args, "set", &overrides, &options_.override_count));
    options_.overrides = overrides;
    const sky_status status = sky_index_encoder(locator->index, sky_args_text(args, "weights"), &options_, &locator->encoder);
    free(overrides);
    return status;
}

/* Every rank maps the file, and keeps only the pages of its tiles in memory. */
static sky_status open_index(const char *path, bool any_size, struct sky_locator *locator)
{
    const int size = sky_comm_size(locator->comm);
    const struct sky_index_options options_ = {.larger_than_memory = any_size || size > 1, .skip_checksums = size > 1};
    SKY_TRY(sky_index_open(&locator->index, path, &options_));
    const struct sky_index_info *info = sky_index_info(locator->index);
    char bytes[32];
    sky_print_bytes(info->memory_bytes / (size_t)size, bytes);
    sky_log(SKY_LOG_DEBUG, "%s: %lld tiles, %lld dimensions, %s, %s of memory%s", path, (long long)info->tiles, (long long)info->dimensions, info->store, bytes,
            size > 1 ? " a rank; the features' checksum is left to a search alone" : "");
    if (size > 1 && !any_size) SKY_TRY(sky_index_check_memory(path, info->memory_bytes / (size_t)size));
    return SKY_OK;
}

static sky_status open_locator(const struct sky_args *args, const struct sky_locate_options *asked, struct sky_locator *locator)
{
    SKY_TRY(open_index(args->operands[0], asked->larger_than_memory, locator));
    if (sky_comm_rank(locator->comm) == 0) SKY_TRY(open_encoder(args, locator));
    const int64_t threads = locator->encoder ? sky_encoder_config(locator->encoder)->device.threads : 0;
    const struct sky_comm_place *place = sky_comm_place(locator->comm);
    SKY_TRY(sky_shards_open(&locator->shards, locator->comm, locator->index, asked->k, threads ? (int)threads : place ? place->threads : 0));
    SKY_TRY(sky_shards_set_candidates(locator->shards, asked->candidates));
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

/* What one run over pictures keeps; rank 0. */
struct pictures {
    const struct sky_locate_options *asked;
    struct sky_frames *frames;
    struct sky_geo_table known; /* in their place, with --calibrate and --truth */
    struct sky_track *track;    /* NULL: off */
    double last;                /* time of the last one */
    struct sky_locate_sheet sheet;
    int64_t located, skipped;
    double decode, network, search;
};

/* Where pictures come from: before anything is loaded, so that a slip is said at once. */
static sky_status open_pictures(const struct sky_args *args, struct pictures *pictures)
{
    const struct sky_locate_options *asked = pictures->asked;
    pictures->last = NAN;
    return asked->known ? sky_geo_table_read(&pictures->known, asked->known) : sky_frames_open(&pictures->frames, args, asked->list, asked->watch);
}

static void close_pictures(struct pictures *pictures)
{
    sky_locate_sheet_free(&pictures->sheet);
    sky_track_close(pictures->track);
    sky_geo_table_free(&pictures->known);
    sky_frames_close(pictures->frames);
}

static sky_status follow(const struct sky_locator *locator, struct pictures *pictures, const struct sky_frame *frame, struct sky_track_fix *fix)
{
    const double rate = pictures->asked->rate;
    double seconds = rate > 0 ? 1 / rate : frame->modified - pictures->last;
    if (!(rate > 0) && isnan(frame->modified)) {
        sky_fail(SKY_USAGE, frame->name, "nobody says when this picture was taken");
        return sky_hint("give the rate of the stream: --fps RATE");
    }
    if (isnan(seconds)) seconds = 0; /* the first */
    pictures->last = frame->modified;
    sky_track_update(pictures->track, sky_shards_similarities(locator->shards), seconds, fix);
    return SKY_OK;
}

static sky_status locate_one(struct sky_locator *locator, struct pictures *pictures, const struct sky_frame *frame)
{
    struct sky_located located;
    struct sky_track_fix fix;
    SKY_TRY(sky_locate_frame(locator, frame, &located));
    if (pictures->track && follow(locator, pictures, frame, &fix) != SKY_OK) return SKY_USAGE; /* not the picture's fault */
    pictures->located++;
    pictures->decode += located.embed.decode, pictures->network += located.embed.network, pictures->search += located.search;
    SKY_TRY(sky_located_print(locator, frame->name, &located, pictures->track ? &fix : NULL, pictures->asked->json));
    return pictures->asked->sheet ? sky_locate_sheet_add(&pictures->sheet, locator, frame->name, &located) : SKY_OK;
}

static sky_status locate_all(struct sky_locator *locator, struct pictures *pictures)
{
    const int64_t most = pictures->asked->most;
    struct sky_frame frame;
    while (!most || pictures->located + pictures->skipped < most) {
        SKY_TRY(sky_frames_next(pictures->frames, &frame));
        if (!frame.name) break;
        const sky_status status = locate_one(locator, pictures, &frame);
        if (status == SKY_OK) continue;
        if (!pictures->asked->skip_bad || !sky_is_bad_picture(status)) return status;
        sky_log(SKY_LOG_WARNING, "left out: %s: %s", frame.name, sky_error_last()->what);
        if (pictures->asked->json) SKY_TRY(sky_located_print_error(frame.name, sky_error_last()));
        pictures->skipped++;
    }
    return SKY_OK;
}

static sky_status run_pictures(const struct sky_args *args, struct sky_locator *locator, struct pictures *pictures)
{
    const struct sky_locate_options *asked = pictures->asked;
    const struct sky_track_options track = {.metres_per_second = asked->metres_per_second};
    if (asked->metres_per_second > 0) SKY_TRY(sky_track_open(&pictures->track, locator->index, &track));
    if (!sky_index_info(locator->index)->calibrated)
        sky_log(SKY_LOG_INFO, "%s has no calibration: the margin to the next place is all that can be said; --calibrate PHOTOS.csv makes a confidence of it",
                args->operands[0]);
    SKY_TRY(locate_all(locator, pictures));
    const double n = (double)pictures->located;
    if (pictures->located > 1)
        sky_log(SKY_LOG_INFO, "%lld pictures; on average %.1f ms decode, %.1f network, %.1f search", (long long)pictures->located, 1e3 * pictures->decode / n,
                1e3 * pictures->network / n, 1e3 * pictures->search / n);
    if (asked->sheet) SKY_TRY(sky_locate_sheet_write(&pictures->sheet, locator, asked->sheet));
    return sky_skipped_status(pictures->skipped, pictures->located + pictures->skipped);
}

/* ---- the command ---- */

static sky_status run_rank(const struct sky_args *args, struct sky_locator *locator, struct pictures *pictures)
{
    const struct sky_locate_options *asked = pictures->asked;
    sky_status status = sky_comm_rank(locator->comm) == 0 ? open_pictures(args, pictures) : SKY_OK;
    if (status == SKY_OK) status = open_locator(args, asked, locator);
    SKY_TRY(sky_comm_agree(locator->comm, status, "opening the index"));
    if (sky_comm_rank(locator->comm) > 0) return sky_shards_serve(locator->shards);
    status = asked->known ? sky_locate_known(locator, args->operands[0], &pictures->known, asked) : run_pictures(args, locator, pictures);
    if (status != SKY_OK && status != SKY_INTERRUPTED && !sky_is_bad_picture(status)) return status;
    const struct sky_error error = *sky_error_last(); /* neither a signal nor a bad picture is a reason to leave the others alone */
    SKY_TRY(sky_shards_end(locator->shards));
    return status == SKY_OK ? SKY_OK : sky_error_set(&error);
}

static sky_status run_locate(const struct sky_args *args)
{
    struct sky_locate_options asked;
    struct sky_comm_place place;
    SKY_TRY(sky_locate_options_read(args, &asked));
    SKY_TRY(sky_place_find(&place, patience));
    if (place.size > 1 && asked.metres_per_second > 0)
        return sky_fail(SKY_USAGE, "--track", "needs every tile's similarity, which ranks do not share: search with one process");
    struct sky_locator locator = {.exif = asked.exif};
    struct pictures pictures = {.asked = &asked};
    SKY_TRY(sky_signals_install());
    if (place.size > 1) SKY_TRY(sky_comm_open(&locator.comm, &place));
    sky_status status = run_rank(args, &locator, &pictures);
    if (locator.comm) status = sky_place_end(locator.comm, status);
    close_pictures(&pictures);
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
