/*
 * Photos whose place is known, for calibration and for an honest look at what locate does. Owns one row a photo while it runs.
 */
#include "locate.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/signals.h"
#include "progress.h"
#include "retrieval.h"
#include "retrieve/calibration.h"
#include "skygem/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known {
    struct sky_locator *locator;
    int64_t count, skipped, right_count, in_top, k;
    int64_t far, far_line; /* photos that lie far from every tile; the line of one */
    double *margins, *metres; /* [count]; metres NaN: the truth or the tile has no place */
    bool *right;
};

/* The tile of that path; -1: there is none. Paths are sorted. */
static int64_t find_tile(const struct sky_index *index, const char *path)
{
    int64_t low = 0, high = index->info.tiles;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(sky_index_path(index, middle), path) < 0) low = middle + 1;
        else high = middle;
    }
    return low < index->info.tiles && !strcmp(sky_index_path(index, low), path) ? low : -1;
}

static double distance_to(const struct sky_index *index, int64_t tile, const struct sky_geo *geo)
{
    return sky_geo_distance(geo->latitude, geo->longitude, index->table.latitude[tile], index->table.longitude[tile]);
}

static const double far_metres = 1e5; /* no folder of tiles for a flight is as coarse */

/* What the truth allows: its own tile's place, or what lies no farther from it than the nearest tile, the radius of a place and `within` allow. */
struct truth {
    int64_t tile; /* -1: by distance */
    struct sky_geo geo;
    double reach;
    bool is_far; /* from every tile */
};

static sky_status find_truth(const struct sky_index *index, const struct sky_geo_row *row, const char *table, double within, struct truth *out)
{
    char where[1024];
    snprintf(where, sizeof where, "%s:%d", table, row->line);
    *out = (struct truth){.tile = -1, .geo = row->geo};
    if (row->tile && *row->tile) {
        out->tile = find_tile(index, row->tile);
        if (out->tile < 0) return sky_fail(SKY_DATA, where, "the index has no tile '%s'", row->tile);
        if (isnan(row->geo.latitude)) out->geo = (struct sky_geo){index->table.latitude[out->tile], index->table.longitude[out->tile], NAN};
        return SKY_OK;
    }
    if (isnan(row->geo.latitude)) return sky_fail(SKY_DATA, where, "the photo has neither a place nor a tile");
    if (!index->info.located) return sky_fail(SKY_DATA, where, "the tiles of the index have no places to compare with; name the photos' tiles: path,tile");
    double nearest = INFINITY;
    for (int64_t i = 0; i < index->info.tiles; i++) nearest = fmin(nearest, distance_to(index, i, &row->geo)); /* fmin leaves NaN out */
    out->reach = fmax(within, nearest + index->texts.place_radius), out->is_far = nearest > far_metres;
    return SKY_OK;
}

static bool is_right(const struct sky_index *index, const struct truth *truth, int64_t tile)
{
    return truth->tile >= 0 ? sky_index_same_place(index, truth->tile, tile) : distance_to(index, tile, &truth->geo) <= truth->reach;
}

static void count_photo(struct known *known, const struct truth *truth, const struct sky_answer *answer)
{
    const struct sky_index *index = known->locator->index;
    bool found = false;
    known->margins[known->count] = answer->margin;
    known->metres[known->count] = distance_to(index, answer->candidates[0].tile, &truth->geo);
    known->right[known->count] = is_right(index, truth, answer->candidates[0].tile);
    for (int64_t i = 0; i < answer->count; i++) found = found || is_right(index, truth, answer->candidates[i].tile);
    known->right_count += known->right[known->count], known->in_top += found;
    known->k = answer->count;
    known->count++;
}

static sky_status locate_rows(struct known *known, const struct sky_geo_table *rows, const struct sky_locate_options *asked)
{
    struct sky_progress progress;
    char *folder = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_path_folder(&folder, asked->known));
    sky_progress_begin(&progress, "locating", "img", rows->count, 0);
    for (int64_t i = 0; i < rows->count && status == SKY_OK; i++) {
        struct truth truth;
        struct sky_located located;
        char *path = NULL;
        if (sky_signal_received()) {
            status = sky_fail(SKY_INTERRUPTED, asked->known, "stopped after %lld of %lld photos", (long long)i, (long long)rows->count);
            break;
        }
        status = find_truth(known->locator->index, &rows->rows[i], asked->known, asked->within, &truth);
        if (status == SKY_OK && truth.is_far && !known->far++) known->far_line = rows->rows[i].line;
        if (status == SKY_OK) status = sky_path_join(&path, folder, rows->rows[i].path);
        if (status == SKY_OK) {
            const struct sky_frame frame = {.name = path, .modified = NAN};
            status = sky_locate_frame(known->locator, &frame, &located);
            if (status == SKY_OK) count_photo(known, &truth, &located.answer);
            else if (asked->skip_bad && sky_is_bad_picture(status)) {
                sky_log(SKY_LOG_WARNING, "left out: %s: %s", path, sky_error_last()->what);
                known->skipped++;
                status = SKY_OK;
            }
        }
        sky_progress_show(&progress, i + 1, 1, NULL);
        free(path);
    }
    sky_progress_end(&progress);
    free(folder);
    return status;
}

static int ascending(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts the known ones to the front; returns how many those are. */
static int64_t sort_known(double *values, int64_t count)
{
    int64_t good = 0;
    for (int64_t i = 0; i < count; i++)
        if (!isnan(values[i])) values[good++] = values[i];
    qsort(values, (size_t)good, sizeof *values, ascending);
    return good;
}

/* The q-th part of sorted values; NaN when there are none. */
static double quantile(const double *sorted, int64_t count, double q) { return count ? sorted[(int64_t)(q * (double)(count - 1) + 0.5)] : NAN; }

static sky_status print(struct known *known, const struct sky_calibration *calibration, bool json)
{
    struct sky_reliability r = {0};
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    double *probabilities = NULL;
    SKY_TRY(sky_alloc(&probabilities, (size_t)known->count, sizeof *probabilities, "photos"));
    for (int64_t i = 0; calibration && i < known->count; i++) probabilities[i] = sky_calibration_probability(calibration, known->margins[i]);
    if (calibration) sky_reliability_measure(probabilities, known->right, known->count, &r);
    free(probabilities);
    const double n = (double)known->count, first = 100 * (double)known->right_count / n, top = 100 * (double)known->in_top / n;
    const int64_t measured = sort_known(known->metres, known->count);
    const double half = quantile(known->metres, measured, 0.5), most = quantile(known->metres, measured, 0.9);
    if (json) {
        sky_json_begin_object(&w, NULL);
        sky_json_int(&w, "photos", known->count);
        sky_json_double(&w, "right", first);
        sky_json_int(&w, "k", known->k);
        sky_json_double(&w, "right_in_k", top);
        sky_json_int(&w, "measured", measured);
        sky_json_double(&w, "median_metres", half);
        sky_json_double(&w, "metres_90", most);
        sky_json_double(&w, "offset", calibration ? calibration->offset : NAN);
        sky_json_double(&w, "slope", calibration ? calibration->slope : NAN);
        sky_json_double(&w, "brier", calibration ? r.brier : NAN);
        sky_json_double(&w, "brier_of_share", calibration ? r.base_brier : NAN);
        sky_json_double(&w, "mean_gap", calibration ? r.gap : NAN);
        sky_json_end_object(&w);
        sky_text_append(&text, "\n");
    } else {
        sky_text_format(&text, "%lld photos: the first tile is right for %.1f %%, one of the first %lld for %.1f %%\n", (long long)known->count, first,
                        (long long)known->k, top);
        if (!isnan(half))
            sky_text_format(&text, "distance of the first tile from the truth: median %.1f m, 90 %% within %.1f m (of %lld photos where both have a place)\n",
                            half, most, (long long)measured);
    }
    if (calibration && !json) {
        sky_text_format(&text, "confidence = 1 / (1 + exp(-(%.4g + %.4g * margin)))\n", calibration->offset, calibration->slope);
        sky_text_format(&text, "mean squared error of the confidence %.4f (always saying %.1f %%: %.4f); confidence and truth differ by %.1f %% on average\n",
                        r.brier, first, r.base_brier, 100 * r.gap);
        sky_text_format(&text, "%-12s %8s %12s %8s\n", "confidence", "photos", "mean", "right");
        for (int bin = 0; bin < 10; bin++)
            if (r.bin_count[bin])
                sky_text_format(&text, "%3d - %3d %%  %8lld %10.1f %% %6.1f %%\n", 10 * bin, 10 * bin + 10, (long long)r.bin_count[bin],
                                100 * r.bin_confidence[bin], 100 * (double)r.bin_right[bin] / (double)r.bin_count[bin]);
    }
    const sky_status status = sky_text_status(&text, "results");
    if (status == SKY_OK) fputs(text.text, stdout), fflush(stdout);
    sky_text_free(&text);
    return status;
}

static sky_status fit(struct known *known, const char *path, struct sky_calibration *out)
{
    char text[128];
    SKY_TRY(sky_calibration_fit(known->margins, known->right, known->count, out));
    snprintf(text, sizeof text, "%.17g %.17g %lld %lld", out->offset, out->slope, (long long)known->count, (long long)known->right_count);
    SKY_TRY(sky_index_rewrite(path, known->locator->index, text));
    sky_log(SKY_LOG_INFO, "the calibration is kept in %s; it is honest for photos like these %lld, of places that are in the index", path,
            (long long)known->count);
    return SKY_OK;
}

sky_status sky_locate_known(struct sky_locator *locator, const char *path, const struct sky_geo_table *rows, const struct sky_locate_options *asked)
{
    struct known known = {.locator = locator};
    struct sky_calibration calibration = {locator->index->info.offset, locator->index->info.slope};
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&known.margins, (size_t)rows->count, sizeof *known.margins, "photos"));
    SKY_TRY_DONE(sky_alloc(&known.metres, (size_t)rows->count, sizeof *known.metres, "photos"));
    SKY_TRY_DONE(sky_alloc(&known.right, (size_t)rows->count, sizeof *known.right, "photos"));
    SKY_TRY_DONE(locate_rows(&known, rows, asked));
    if (known.far)
        sky_log(SKY_LOG_WARNING, "%s:%lld: this and %lld other photos lie more than %.0f km from every tile: are lat and lon the right way round?", asked->known,
                (long long)known.far_line, (long long)known.far - 1, far_metres / 1000);
    if (!known.count) SKY_TRY_DONE(sky_fail(SKY_DATA, asked->known, "names no photo that can be read"));
    if (isnan(known.margins[0])) SKY_TRY_DONE(sky_fail(SKY_DATA, path, "all its tiles are one place: there is nothing to tell apart"));
    if (asked->fit) SKY_TRY_DONE(fit(&known, path, &calibration));
    SKY_TRY_DONE(print(&known, asked->fit || locator->index->info.calibrated ? &calibration : NULL, asked->json));
    status = sky_skipped_status(known.skipped, known.count + known.skipped);
done:
    free(known.margins);
    free(known.metres);
    free(known.right);
    return status;
}
