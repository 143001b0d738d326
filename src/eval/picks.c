/*
 * Makes lists of rows behind picks.h from a set's paths and labels, and rows from such lists. Owns the lists it hands out until sky_picks_free.
 */
#include "picks.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t sky_frame_number(const char *path)
{
    const char *name = sky_path_base(path), *dot = strrchr(name, '.'), *end = dot ? dot : name + strlen(name), *start = end;
    char digits[20];
    int64_t number = -1;
    while (start > name && isdigit((unsigned char)start[-1])) start--;
    if (start == end || (size_t)(end - start) >= sizeof digits) return -1;
    snprintf(digits, sizeof digits, "%.*s", (int)(end - start), start);
    return sky_parse_int(digits, &number) ? number : -1;
}

static sky_status allocate(struct sky_picks *picks, int64_t most)
{
    SKY_TRY(sky_alloc(&picks->first, (size_t)most + 1, sizeof *picks->first, "picked queries"));
    return sky_alloc(&picks->members, (size_t)most, sizeof *picks->members, "picked queries");
}

sky_status sky_picks_frames(struct sky_picks *out, const struct sky_image_set *set, int64_t first, int64_t last)
{
    sky_status status = SKY_OK;
    memset(out, 0, sizeof *out);
    SKY_TRY_DONE(allocate(out, set->count));
    for (int64_t i = 0; i < set->count; i++) {
        const int64_t number = sky_frame_number(set->paths[i]);
        if (number < 0) {
            sky_fail(SKY_DATA, set->paths[i], "the name does not end with a frame number");
            status = sky_hint("frames are told apart by it, as in image-07.jpeg; leave out eval.single_frame and eval.height_groups");
            goto done;
        }
        if (number < first || number > last) continue;
        out->members[out->count++] = i;
        out->first[out->count] = out->count;
    }
    if (out->count == 0) {
        sky_fail(SKY_DATA, set->folder, "no image has a frame number from %lld to %lld", (long long)first, (long long)last);
        status = sky_hint("eval.frames says how many frames a flight has, eval.single_frame which one is taken");
    }
done:
    if (status != SKY_OK) sky_picks_free(out);
    return status;
}

sky_status sky_picks_means(struct sky_picks *out, const struct sky_image_set *set, int64_t k)
{
    int64_t used = 0;
    memset(out, 0, sizeof *out);
    sky_status status = allocate(out, set->count);
    for (int64_t start = 0, end; status == SKY_OK && start < set->count; start = end) { /* sorted paths: a place's images lie together */
        for (end = start + 1; end < set->count && set->labels[end] == set->labels[start];) end++;
        const int64_t images = end - start, queries = images < k ? 1 : images / k, members = images < k ? images : k;
        for (int64_t query = 0; query < queries; query++) {
            for (int64_t m = 0; m < members; m++) out->members[used++] = start + query + m * queries;
            out->first[++out->count] = used;
        }
    }
    if (status != SKY_OK) sky_picks_free(out);
    return status;
}

void sky_picks_rows(const struct sky_picks *picks, const float *rows, int64_t dimensions, float *out)
{
    for (int64_t i = 0; i < picks->count; i++) {
        const int64_t *members = picks->members + picks->first[i], several = picks->first[i + 1] - picks->first[i];
        float *to = out + i * dimensions;
        double squares = 0;
        if (several == 1) {
            memcpy(to, rows + members[0] * dimensions, (size_t)dimensions * sizeof *to);
            continue;
        }
        for (int pass = 0; pass < 2; pass++) { /* the length first, then the values */
            const double scale = squares > 0 ? 1 / sqrt(squares) : 0;
            for (int64_t d = 0; d < dimensions; d++) {
                double sum = 0;
                for (int64_t m = 0; m < several; m++) sum += (double)rows[members[m] * dimensions + d];
                if (pass) to[d] = (float)(sum * scale);
                else squares += sum * sum;
            }
        }
    }
}

void sky_picks_labels(const struct sky_picks *picks, const int64_t *labels, int64_t *out)
{
    for (int64_t i = 0; i < picks->count; i++) out[i] = labels[picks->members[picks->first[i]]];
}

void sky_picks_free(struct sky_picks *picks)
{
    free(picks->first);
    free(picks->members);
    memset(picks, 0, sizeof *picks);
}
