/*
 * Counting behind rank_distances.h: each wrong row is counted before the first right row that it precedes; sums of the counts are the ranks. One query a job.
 */
#include "rank_distances.h"

#include "base/memory.h"
#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

struct right {
    float distance;
    int64_t item;
};

static int compare_rights(const void *a, const void *b)
{
    const struct right *left = a, *right = b;
    if (left->distance != right->distance) return left->distance < right->distance ? -1 : 1;
    return (left->item > right->item) - (left->item < right->item);
}

/* Adds a stretch of the walking order to counts[rights]: wrong rows by the first right row behind them. */
static void count_stretch(const struct right *rights, int64_t count, const int64_t *order, int64_t length, const float *distances, int64_t *counts, bool *tied)
{
    for (int64_t i = 0; i < length; i++) {
        const struct right row = {distances[order[i]], order[i]};
        int64_t low = 0, high = count;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (compare_rights(&rights[middle], &row) <= 0) low = middle + 1;
            else high = middle;
        }
        const bool itself = low > 0 && rights[low - 1].item == row.item;
        if (itself) continue;
        if (low < count) counts[low]++;
        if (row.distance == rights[0].distance) *tied = true;
    }
}

static void put_ranks(const int64_t *counts, int64_t count, int64_t *ranks)
{
    int64_t wrong = 0;
    for (int64_t t = 0; t < count; t++) wrong += counts[t], ranks[t] = wrong + t;
}

static sky_status allocate(const struct sky_match *match, int64_t first, int64_t count, struct sky_ranking *out)
{
    sky_ranking_free(out);
    SKY_TRY(sky_alloc(&out->first, (size_t)count + 1, sizeof *out->first, "ranks"));
    for (int64_t q = 0; q < count; q++) {
        const int64_t class = match->query_class[first + q];
        out->first[q + 1] = out->first[q] + (class < 0 ? 0 : match->first_item[class + 1] - match->first_item[class]);
    }
    for (int p = 0; p < 2; p++) {
        SKY_TRY(sky_alloc(&out->ranks[p], (size_t)out->first[count], sizeof *out->ranks[p], "ranks"));
        SKY_TRY(sky_alloc(&out->tied[p], (size_t)count, sizeof *out->tied[p], "ranks"));
    }
    out->queries = count;
    return SKY_OK;
}

sky_status sky_rank_distances(const struct sky_match *match, int64_t first, int64_t count, const float *distances, int64_t items, int threads,
                              struct sky_ranking *out)
{
    struct right *rights = NULL;
    int64_t *counts = NULL;
    sky_status status = SKY_OK;
    if (threads <= 0) threads = sky_thread_count_default();
    SKY_TRY_DONE(allocate(match, first, count, out));
    SKY_TRY_DONE(sky_alloc(&rights, (size_t)out->first[count], sizeof *rights, "ranks"));
    SKY_TRY_DONE(sky_alloc(&counts, (size_t)out->first[count], sizeof *counts, "ranks"));
#pragma omp parallel for num_threads(threads) schedule(dynamic, 8)
    for (int64_t q = 0; q < count; q++) {
        const int64_t start = out->first[q], own = out->first[q + 1] - start, class = match->query_class[first + q];
        const float *row = distances + q * items;
        bool tied = false;
        if (!own) continue;
        for (int64_t t = 0; t < own; t++) {
            const int64_t item = match->class_items[match->first_item[class] + t];
            rights[start + t] = (struct right){row[item], item};
        }
        qsort(rights + start, (size_t)own, sizeof *rights, compare_rights);
        count_stretch(rights + start, own, match->order, match->known, row, counts + start, &tied);
        put_ranks(counts + start, own, out->ranks[SKY_PROTOCOL_NO_DISTRACTORS] + start);
        out->tied[SKY_PROTOCOL_NO_DISTRACTORS][q] = tied;
        count_stretch(rights + start, own, match->order + match->known, match->distractors, row, counts + start, &tied);
        put_ranks(counts + start, own, out->ranks[SKY_PROTOCOL_FULL] + start);
        out->tied[SKY_PROTOCOL_FULL][q] = tied;
    }
done:
    free(rights);
    free(counts);
    return status;
}
