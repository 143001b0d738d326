/*
 * The filter behind track.h. Belief is kept for the tiles most similar to the last frame only (all of them in a small index); the others share what is left.
 * Arrays are as long as that list.
 */
#include "track.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TILES = 2048, MOST_SOURCES = 256, PITCH_SAMPLES = 32 };
static const double lost = 0.01, default_sharpness = 20;

struct belief {
    int64_t tile;
    double weight; /* similarity while the list is made, then probability */
};

struct sky_track {
    const struct sky_index *index; /* borrowed */
    double metres_per_second, sharpness, pitch /* metres from a tile to the next */;
    int64_t located, limit, now_count, before_count;
    struct belief *now, *before; /* [limit], most probable first */
};

/* The median distance from a tile to the nearest other place, over some tiles. */
static double find_pitch(const struct sky_index *index)
{
    const struct sky_index_table *t = &index->table;
    double nearest[PITCH_SAMPLES];
    int count = 0;
    const int64_t step = index->info.tiles / PITCH_SAMPLES + 1;
    for (int64_t i = 0; i < index->info.tiles && count < PITCH_SAMPLES; i += step) {
        double best = INFINITY;
        if (isnan(t->latitude[i])) continue;
        for (int64_t j = 0; j < index->info.tiles; j++) {
            const double distance = sky_geo_distance(t->latitude[i], t->longitude[i], t->latitude[j], t->longitude[j]);
            if (distance < best && distance > index->texts.place_radius) best = distance; /* NaN is neither */
        }
        int at = count++;
        for (; at > 0 && nearest[at - 1] > best; at--) nearest[at] = nearest[at - 1];
        nearest[at] = best;
    }
    return count && isfinite(nearest[count / 2]) ? nearest[count / 2] : 1;
}

sky_status sky_track_open(struct sky_track **out, const struct sky_index *index, const struct sky_track_options *options)
{
    struct sky_track *track = NULL;
    sky_status status = SKY_OK;
    if (index->info.located < 2) {
        sky_fail(SKY_DATA, index->file.path, "%lld of its tiles have a place: nothing can be followed", (long long)index->info.located);
        return sky_hint("index them with places: --geo tiles.csv");
    }
    SKY_TRY(sky_alloc(&track, 1, sizeof *track, "track"));
    track->index = index, track->metres_per_second = options->metres_per_second;
    track->sharpness = options->sharpness > 0 ? options->sharpness : index->info.calibrated ? index->info.slope : default_sharpness;
    track->located = index->info.located, track->limit = track->located < MOST_TILES ? track->located : MOST_TILES;
    track->pitch = find_pitch(index);
    SKY_TRY_DONE(sky_alloc(&track->now, (size_t)track->limit, sizeof *track->now, "track"));
    SKY_TRY_DONE(sky_alloc(&track->before, (size_t)track->limit, sizeof *track->before, "track"));
    *out = track;
    track = NULL;
done:
    sky_track_close(track);
    return status;
}

void sky_track_close(struct sky_track *track)
{
    if (!track) return;
    free(track->now);
    free(track->before);
    free(track);
}

static int by_weight(const void *a, const void *b)
{
    const struct belief *left = a, *right = b;
    if (left->weight != right->weight) return left->weight > right->weight ? -1 : 1;
    return (left->tile > right->tile) - (left->tile < right->tile);
}

/* Keeps the `limit` most similar located tiles: the lightest kept one lies at the root of a heap. */
static void choose_tiles(struct sky_track *track, const float *similarities)
{
    struct belief *heap = track->now;
    int64_t count = 0;
    for (int64_t i = 0; i < track->index->info.tiles; i++) {
        const struct belief tile = {i, (double)similarities[i]};
        if (isnan(track->index->table.latitude[i])) continue;
        if (count < track->limit) {
            int64_t at = count++;
            for (; at > 0 && by_weight(&heap[(at - 1) / 2], &tile) < 0; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
            heap[at] = tile;
        } else if (by_weight(&tile, &heap[0]) < 0) {
            int64_t at = 0, child;
            while ((child = 2 * at + 1) < count) {
                if (child + 1 < count && by_weight(&heap[child], &heap[child + 1]) < 0) child++;
                if (by_weight(&heap[child], &tile) <= 0) break;
                heap[at] = heap[child];
                at = child;
            }
            heap[at] = tile;
        }
    }
    track->now_count = count;
}

/* What was believed before, moved: uniform over all tiles within reach. */
static double predicted(const struct sky_track *track, int64_t tile, double reach, double tiles_in_reach)
{
    const struct sky_index_table *t = &track->index->table;
    const int64_t sources = track->before_count < MOST_SOURCES ? track->before_count : MOST_SOURCES;
    double sum = 0;
    for (int64_t j = 0; j < sources; j++) {
        const int64_t from = track->before[j].tile;
        if (sky_geo_distance(t->latitude[from], t->longitude[from], t->latitude[tile], t->longitude[tile]) <= reach) sum += track->before[j].weight;
    }
    return lost / (double)track->located + (1 - lost) * sum / tiles_in_reach;
}

void sky_track_update(struct sky_track *track, const float *similarities, double seconds, struct sky_track_fix *out)
{
    const double reach = track->metres_per_second * fmax(seconds, 0) + track->pitch * 1.5; /* 1.5: the neighbours across a corner too */
    const double in_reach = fmin(fmax(3.14159265358979 * reach * reach / (track->pitch * track->pitch), 1), (double)track->located);
    double largest = -INFINITY, sum = 0;
    choose_tiles(track, similarities);
    for (int64_t i = 0; i < track->now_count; i++) largest = fmax(largest, track->now[i].weight);
    for (int64_t i = 0; i < track->now_count; i++) {
        const double prior = track->before_count ? predicted(track, track->now[i].tile, reach, in_reach) : 1;
        track->now[i].weight = prior * exp(track->sharpness * (track->now[i].weight - largest));
        sum += track->now[i].weight;
    }
    for (int64_t i = 0; i < track->now_count; i++) track->now[i].weight /= sum; /* the most similar tile has at least `lost` of a share: above 0 */
    qsort(track->now, (size_t)track->now_count, sizeof *track->now, by_weight);
    *out = (struct sky_track_fix){track->now[0].tile, track->now[0].weight};
    struct belief *const swap = track->before;
    track->before = track->now, track->now = swap, track->before_count = track->now_count;
}
