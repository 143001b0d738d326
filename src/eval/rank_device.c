/*
 * The second part of ranking on a device: it counts the keys that are certainly smaller and lists the pairs too close to call; those few are decided here, by
 * distances in double, exactly as rank.c decides them. So the ranks are the same to the last one. Owns what it allocates while it runs.
 */
#include "base/memory.h"
#include "ranker.h"

#include <stdlib.h>

enum { NEAR_ROOM = 1 << 24, WIDER = 8 /* a device's products may round more than ours: the margin is so many times wider */ };

/* The query that right row `right` belongs to. */
static int64_t query_of(const struct sky_rank_range *range, int64_t right)
{
    int64_t low = 0, high = range->queries - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (range->first[middle] <= right) low = middle;
        else high = middle - 1;
    }
    return low;
}

static void decide(struct sky_rank_range *range, const struct sky_key_count *task)
{
    const struct sky_ranker *r = range->ranker;
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 64)
    for (int64_t i = 0; i < task->near_count; i++) {
        const int64_t right = task->near[i].right, query = query_of(range, right), item = r->match.order[task->near[i].item];
        const int stretch = (int64_t)task->near[i].item >= task->bounds[1];
        const struct sky_right *than = &range->rights[right];
        const double distance = item == than->item ? than->distance : sky_range_distance(range, query, item);
        const bool before = distance < than->distance || (distance == than->distance && item < than->item),
                   tie = right == range->first[query] && distance == than->distance;
        if (before) {
#pragma omp atomic
            task->before[(int64_t)stretch * range->count + right]++;
        }
        if (tie) {
#pragma omp atomic
            sky_range_ties(range, 0, stretch)[query]++;
        }
    }
}

sky_status sky_range_count_on_device(struct sky_rank_range *range, bool *done)
{
    const struct sky_ranker *r = range->ranker;
    const int64_t room = range->count * 64 < NEAR_ROOM ? range->count * 64 + 1024 : NEAR_ROOM;
    struct sky_key_count task = {.queries = range->queries,
                                 .items = r->ranked,
                                 .dimensions = r->query.dimensions,
                                 .query_rows = r->query.rows + range->first_query * r->query.dimensions,
                                 .item_rows = r->gallery.rows,
                                 .order = r->match.order,
                                 .half_norms = r->half_norms,
                                 .first = range->first,
                                 .right_keys = range->keys,
                                 .bounds = {0, r->match.known, r->ranked},
                                 .scale = r->measure.scale,
                                 .margin = WIDER * r->measure.margin,
                                 .near_room = room};
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&task.before, 2 * (size_t)range->count, sizeof *task.before, "ranking"));
    SKY_TRY_DONE(sky_alloc(&task.near, (size_t)room, sizeof *task.near, "ranking"));
    SKY_TRY_DONE(r->device->backend->count_keys(r->device, &task));
    *done = task.near_count <= room;
    if (!*done) goto done;
    decide(range, &task);
    for (int stretch = 0; stretch < r->stretches; stretch++)
        for (int64_t query = 0; query < range->queries; query++) {
            uint32_t *counters = sky_range_counters(range, 0, stretch) + range->first[query] + query, previous = 0; /* of query q, at first[q] + q */
            for (int64_t right = range->first[query]; right < range->first[query + 1]; right++) {
                const uint32_t before = task.before[(int64_t)stretch * range->count + right];
                *counters++ += before - previous;
                previous = before;
            }
        }
done:
    free(task.before);
    free(task.near);
    return status;
}
