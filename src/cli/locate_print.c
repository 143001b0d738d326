/*
 * How locate shows a picture's tiles: a few lines for people, or one line of JSON. Every number that is not known is left out for people and null in JSON.
 */
#include "locate.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>

static double distance_of(float similarity) { return sqrt(fmax(0, 2 - 2 * (double)similarity)); }

static sky_status give_out(struct sky_text *text)
{
    sky_text_append(text, "\n");
    const sky_status status = sky_text_status(text, "a result");
    if (status == SKY_OK) fputs(text->text, stdout), fflush(stdout);
    sky_text_free(text);
    return status;
}

static void add_tile(struct sky_json_writer *w, const struct sky_tile *tile)
{
    sky_json_string(w, "path", tile->path);
    sky_json_double(w, "lat", tile->latitude);
    sky_json_double(w, "lon", tile->longitude);
}

static sky_status print_json(const struct sky_locator *locator, const char *name, const struct sky_located *located, const struct sky_track_fix *track)
{
    const struct sky_answer *answer = &located->answer;
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    struct sky_tile tile;
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "image", name);
    sky_json_begin_array(&w, "tiles");
    for (int64_t i = 0; i < answer->count; i++) {
        SKY_TRY(sky_index_tile(locator->index, answer->candidates[i].tile, &tile));
        sky_json_begin_object(&w, NULL);
        add_tile(&w, &tile);
        sky_json_double(&w, "metres_per_pixel", tile.metres_per_pixel);
        sky_json_float(&w, "similarity", answer->candidates[i].similarity);
        sky_json_double(&w, "distance", distance_of(answer->candidates[i].similarity));
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    sky_json_double(&w, "margin", answer->margin);
    sky_json_double(&w, "confidence", answer->confidence);
    sky_json_bool(&w, "calibrated", locator->index->info.calibrated);
    if (track) {
        SKY_TRY(sky_index_tile(locator->index, track->tile, &tile));
        sky_json_begin_object(&w, "track");
        add_tile(&w, &tile);
        sky_json_double(&w, "probability", track->probability);
        sky_json_end_object(&w);
    }
    sky_json_begin_object(&w, "ms");
    sky_json_double(&w, "decode", 1e3 * located->embed.decode);
    sky_json_double(&w, "network", 1e3 * located->embed.network);
    sky_json_double(&w, "search", 1e3 * located->search);
    sky_json_end_object(&w);
    sky_json_end_object(&w);
    return give_out(&text);
}

static void add_place(struct sky_text *text, const struct sky_tile *tile)
{
    if (!isnan(tile->latitude)) sky_text_format(text, "%.6f, %.6f  ", tile->latitude, tile->longitude);
    sky_text_append(text, tile->path);
}

static sky_status print_lines(const struct sky_locator *locator, const char *name, const struct sky_located *located, const struct sky_track_fix *track)
{
    const struct sky_answer *answer = &located->answer;
    struct sky_text text = {0};
    struct sky_tile tile;
    sky_text_format(&text, "%s: ", name);
    if (isnan(answer->margin)) sky_text_append(&text, "no other place to compare with");
    else sky_text_format(&text, "margin %.4f to the next place, ", answer->margin);
    if (!isnan(answer->confidence)) sky_text_format(&text, "confidence %.1f %%", 100 * answer->confidence);
    else if (!isnan(answer->margin)) sky_text_append(&text, "uncalibrated");
    sky_text_format(&text, "; %.1f ms decode, %.1f network, %.1f search", 1e3 * located->embed.decode, 1e3 * located->embed.network, 1e3 * located->search);
    for (int64_t i = 0; i < answer->count; i++) {
        SKY_TRY(sky_index_tile(locator->index, answer->candidates[i].tile, &tile));
        sky_text_format(&text, "\n%4lld  %.4f  ", (long long)i + 1, (double)answer->candidates[i].similarity);
        add_place(&text, &tile);
    }
    if (track) {
        SKY_TRY(sky_index_tile(locator->index, track->tile, &tile));
        sky_text_format(&text, "\ntrack %.1f %%  ", 100 * track->probability);
        add_place(&text, &tile);
    }
    return give_out(&text);
}

sky_status sky_located_print(const struct sky_locator *locator, const char *name, const struct sky_located *located, const struct sky_track_fix *track,
                             bool json)
{
    return json ? print_json(locator, name, located, track) : print_lines(locator, name, located, track);
}

sky_status sky_located_print_error(const char *name, const struct sky_error *error)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "image", name);
    sky_json_string(&w, "error", error->what);
    sky_json_end_object(&w);
    return give_out(&text);
}
