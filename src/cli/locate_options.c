/*
 * Reads and checks. Keeps nothing.
 */
#include "locate_options.h"

#include "base/fs.h"
#include "retrieval.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TILES = 10000 };

/* Options that were given although they do nothing here. */
static sky_status refuse_given(const struct sky_args *args, const char *const *names, const char *where)
{
    for (; *names; names++) {
        char option[32] = "--";
        if (!sky_args_given(args, *names)) continue;
        strncat(option, *names, sizeof option - 3);
        return sky_fail(SKY_USAGE, option, "is of use %s", where);
    }
    return SKY_OK;
}

static sky_status read_known(const struct sky_args *args, struct sky_locate_options *out)
{
    static const char *const of_pictures[] = {"track", "fps", "count", "sheet", NULL}, *const of_tables[] = {"within", NULL};
    out->fit = sky_args_given(args, "calibrate");
    out->known = sky_args_text(args, out->fit ? "calibrate" : "truth");
    SKY_TRY(sky_args_double(args, "within", 0, 1e7, &out->within));
    if (!out->known) return refuse_given(args, of_tables, "with --calibrate and --truth only");
    if (args->operand_count > 1 || out->list || out->watch || (out->fit && sky_args_given(args, "truth")))
        return sky_fail(SKY_USAGE, args->path, "--calibrate or --truth takes its pictures from the table alone");
    SKY_TRY(refuse_given(args, of_pictures, "without --calibrate and --truth only"));
    return sky_path_is_file(out->known) ? SKY_OK : sky_fail(SKY_USAGE, out->fit ? "--calibrate" : "--truth", "there is no file '%s'", out->known);
}

static sky_status read_track(const struct sky_args *args, struct sky_locate_options *out)
{
    static const char *const of_tracks[] = {"fps", NULL};
    if (!sky_args_given(args, "track")) return refuse_given(args, of_tracks, "with --track only");
    SKY_TRY(sky_args_double(args, "track", 0.01, 1e4, &out->metres_per_second));
    if (out->candidates) return sky_fail(SKY_USAGE, "--candidates", "--track needs the similarity of every tile");
    return sky_args_double(args, "fps", 1e-6, 1e6, &out->rate);
}

static sky_status read_sheet(const struct sky_args *args, bool stream, struct sky_locate_options *out)
{
    char *folder = NULL;
    out->sheet = sky_args_text(args, "sheet");
    if (!out->sheet) return SKY_OK;
    if (stream) {
        sky_fail(SKY_USAGE, "--sheet", "is drawn when the last picture is located, and a stream or a watched folder need not have one");
        return sky_hint("name the pictures, or list them in a file: --list FILE");
    }
    SKY_TRY(sky_path_folder(&folder, out->sheet));
    const sky_status status = sky_path_is_folder(folder) ? SKY_OK : sky_fail(SKY_USAGE, "--sheet", "there is no folder '%s' to write it to", folder);
    free(folder);
    return status;
}

sky_status sky_locate_options_read(const struct sky_args *args, struct sky_locate_options *out)
{
    *out = (struct sky_locate_options){.k = 5, .list = sky_args_text(args, "list"), .watch = sky_args_text(args, "watch")};
    const bool stream = out->watch || (args->operand_count > 1 && !strcmp(args->operands[1], "-"));
    SKY_TRY(sky_args_int(args, "top", 1, MOST_TILES, &out->k));
    SKY_TRY(sky_args_int(args, "candidates", 0, INT64_MAX, &out->candidates));
    if (out->candidates && out->candidates < out->k)
        return sky_fail(SKY_USAGE, "--candidates", "%lld of them cannot hold the best %lld tiles (--top)", (long long)out->candidates, (long long)out->k);
    SKY_TRY(sky_args_int(args, "count", 0, INT64_MAX, &out->most));
    SKY_TRY(sky_read_exif(args, &out->exif));
    out->json = sky_args_given(args, "json"), out->larger_than_memory = sky_args_given(args, "larger-than-memory");
    SKY_TRY(read_known(args, out));
    SKY_TRY(read_track(args, out));
    SKY_TRY(read_sheet(args, stream, out));
    out->skip_bad = stream || out->list;
    return sky_args_given(args, "on-bad-image") ? sky_read_bad_image(args, &out->skip_bad) : SKY_OK;
}
