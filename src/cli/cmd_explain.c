/*
 * skygem explain: which pixels of pictures the model's parts are made of, as heat maps over them.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "report/overlay.h"
#include "retrieval.h"
#include "skygem/log.h"

#include <stdlib.h>
#include <string.h>

static const struct sky_option options[] = {
    SKY_WEIGHTS_OPTION,
    {"output", 'o', "DIR", ".", "folder of the PNG files: PLACE-NAME-explained.png of each PLACE/NAME.jpg", false},
    SKY_VIEW_OPTION("drone"),
    SKY_EXIF_OPTION,
    SKY_ENCODER_OPTIONS,
    {NULL, 0, NULL, NULL, NULL, false},
};

/* FOLDER/PLACE-NAME-explained.png of ".../PLACE/NAME.jpg": places' pictures have the same names. */
static sky_status output_path(const char *folder, const char *picture, char **out)
{
    const char *base = sky_path_base(picture), *dot = strrchr(base, '.');
    struct sky_text name = {0};
    char *place = NULL;
    SKY_TRY(sky_path_folder(&place, picture));
    if (strcmp(place, ".") != 0 && *sky_path_base(place)) sky_text_format(&name, "%s-", sky_path_base(place));
    free(place);
    sky_text_format(&name, "%.*s-explained.png", dot && dot != base ? (int)(dot - base) : (int)strlen(base), base);
    SKY_TRY(sky_text_status(&name, "a path"));
    const sky_status status = sky_path_join(out, folder, name.text);
    sky_text_free(&name);
    return status;
}

/* All parts together, then each. */
static sky_status draw(const struct sky_heat *heat, const uint8_t *pixels, int side, const char *path)
{
    const int64_t map = heat->height * heat->width;
    float *maps = NULL; /* [1 + parts, height, width] */
    SKY_TRY(sky_alloc(&maps, (size_t)((heat->parts + 1) * map), sizeof *maps, "heat maps"));
    sky_heat_mean(heat, maps);
    memcpy(maps + map, heat->share, (size_t)(heat->parts * map) * sizeof *maps);
    const sky_status status = sky_overlay_png(path, pixels, side, maps, heat->parts + 1, heat->height, heat->width);
    free(maps);
    return status;
}

static sky_status explain(struct sky_encoder *encoder, const char *picture, enum sky_exif exif, const char *folder)
{
    struct sky_heat heat = {0};
    const uint8_t *pixels = NULL;
    char *path = NULL;
    sky_status status = output_path(folder, picture, &path);
    if (status == SKY_OK) status = sky_encoder_explain(encoder, picture, exif, &heat, &pixels);
    if (status == SKY_OK) status = draw(&heat, pixels, (int)sky_encoder_image_size(encoder), path);
    if (status == SKY_OK) sky_log(SKY_LOG_INFO, "%s: the picture, all parts together, then %lld parts", path, (long long)heat.parts);
    sky_heat_free(&heat);
    free(path);
    return status;
}

/* One must not be drawn over another. */
static sky_status check_names(const struct sky_args *args, const char *folder)
{
    char **paths = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&paths, (size_t)args->operand_count, sizeof *paths, "paths"));
    for (int i = 0; i < args->operand_count; i++) {
        SKY_TRY_DONE(output_path(folder, args->operands[i], &paths[i]));
        for (int j = 0; j < i; j++) {
            if (strcmp(paths[i], paths[j]) != 0 || !strcmp(args->operands[i], args->operands[j])) continue;
            sky_fail(SKY_USAGE, paths[i], "would be the heat maps of both %s and %s", args->operands[j], args->operands[i]);
            SKY_TRY_DONE(sky_hint("explain them one after the other, each with a folder of its own: -o DIR"));
        }
    }
done:
    for (int i = 0; i < args->operand_count; i++) free(paths[i]);
    free(paths);
    return status;
}

static sky_status run_explain(const struct sky_args *args)
{
    const char *folder = sky_args_text(args, "output");
    struct sky_encoder *encoder = NULL;
    enum sky_exif exif = SKY_EXIF_APPLY;
    int view = SKY_VIEW_DRONE;
    sky_status status = SKY_OK;
    SKY_TRY(sky_args_view(args, &view));
    SKY_TRY(sky_read_exif(args, &exif));
    SKY_TRY(sky_signals_install());
    SKY_TRY(check_names(args, folder));
    SKY_TRY(sky_folder_make(folder));
    SKY_TRY(sky_open_encoder(args, view, 1, &encoder));
    for (int i = 0; i < args->operand_count && status == SKY_OK; i++)
        status = sky_signal_received() ? sky_fail(SKY_INTERRUPTED, args->operands[i], "stopped before this picture") : explain(encoder, args->operands[i], exif, folder);
    sky_encoder_close(encoder);
    return status;
}

const struct sky_command sky_command_explain = {
    .name = "explain",
    .operands = "IMAGE...",
    .min_operands = 1,
    .max_operands = -1,
    .doc = "which pixels the parts of a picture's feature are made of, as heat maps",
    .details = "A pixel's heat is its share of what a part pools, averaged over the channels: the place that the feature is made of. No class is asked.",
    .options = options,
    .run = run_explain,
};
