/*
 * Ranking by counting behind rank.h, a range of queries at a time:
 *   1. the distance of every query to each of its right rows, in double, nearest first;
 *   2. one pass over all products, tile by tile: how many rows come before each right row;
 *   3. sums of those counts are the ranks.
 * The gallery is walked in the order of match.h (known rows, then distractors), so junk costs nothing and each protocol is a contiguous stretch.
 * Counters belong to a thread each and are added as integers. The range owns its memory, the ranker the rest. A device may do the second part (rank_device.c).
 */
#include "rank.h"

#include "base/memory.h"
#include "ranker.h"

#include <stdlib.h>
#include <string.h>

enum {
    RANGE_RIGHTS = 1 << 20, /* most right rows in one range: bounds the counters when classes are huge */
    FEW_RIGHTS = 64         /* up to here one vectorised pass a right row beats a binary search a gallery row */
};

void sky_ranking_free(struct sky_ranking *ranking)
{
    free(ranking->first);
    for (int protocol = 0; protocol < 2; protocol++) {
        free(ranking->ranks[protocol]);
        free(ranking->tied[protocol]);
    }
    memset(ranking, 0, sizeof *ranking);
}

sky_status sky_ranker_create(struct sky_ranker **out, const struct sky_features *query, const struct sky_features *gallery, bool full, int threads, struct sky_device *device)
{
    sky_status status = SKY_OK;
    struct sky_ranker *r = NULL;
    if (gallery->count > UINT32_MAX) return sky_fail(SKY_UNSUPPORTED, "gallery", "has %lld rows; at most 2^32 - 1 can be ranked", (long long)gallery->count);
    SKY_TRY(sky_alloc(&r, 1, sizeof *r, "ranking"));
    r->query = *query;
    r->gallery = *gallery;
    r->threads = sky_useful_threads(threads, query, gallery);
    r->device = device && device->backend->count_keys ? device : NULL;
    r->stretches = full ? STRETCHES : 1;
    SKY_TRY_DONE(sky_measure_features(&r->measure, query, gallery, r->threads));
    SKY_TRY_DONE(sky_match_make(&r->match, query->labels, query->count, gallery->labels, gallery->count));
    r->ranked = r->match.known + (full ? r->match.distractors : 0);
    SKY_TRY_DONE(sky_alloc(&r->half_norms, (size_t)r->ranked, sizeof *r->half_norms, "ranking"));
    for (int64_t i = 0; i < r->ranked; i++) r->half_norms[i] = r->measure.half_norms[r->match.order[i]];
    SKY_TRY_DONE(sky_similarity_create(&r->similarity, query->dimensions, r->measure.scale, r->threads));
    *out = r;
    r = NULL;
done:
    sky_ranker_destroy(r);
    return status;
}

void sky_ranker_destroy(struct sky_ranker *ranker)
{
    if (!ranker) return;
    sky_match_free(&ranker->match);
    sky_measure_free(&ranker->measure);
    sky_similarity_destroy(ranker->similarity);
    free(ranker->half_norms);
    free(ranker);
}

int64_t sky_ranker_known(const struct sky_ranker *ranker) { return ranker->match.known; }

int64_t sky_ranker_distractors(const struct sky_ranker *ranker) { return ranker->match.distractors; }

int64_t sky_ranker_junk(const struct sky_ranker *ranker) { return ranker->match.junk; }

/* ---- 1. right rows ---- */

static int64_t right_count(const struct sky_ranker *r, int64_t query)
{
    const int64_t class = r->match.query_class[query];
    return class < 0 ? 0 : r->match.first_item[class + 1] - r->match.first_item[class];
}

static int compare_rights(const void *a, const void *b)
{
    const struct sky_right *left = a, *right = b;
    if (left->distance != right->distance) return left->distance < right->distance ? -1 : 1;
    return (left->item > right->item) - (left->item < right->item);
}

static void find_rights(struct sky_rank_range *range)
{
    const struct sky_ranker *r = range->ranker;
    const double scale = (double)r->measure.scale * r->measure.scale;
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 16)
    for (int64_t query = 0; query < range->queries; query++) {
        struct sky_right *rights = range->rights + range->first[query];
        const int64_t count = range->first[query + 1] - range->first[query], class = r->match.query_class[range->first_query + query];
        for (int64_t t = 0; t < count; t++) {
            rights[t].item = r->match.class_items[r->match.first_item[class] + t];
            rights[t].distance = sky_range_distance(range, query, rights[t].item);
        }
        if (count > 1) qsort(rights, (size_t)count, sizeof *rights, compare_rights);
        for (int64_t t = 0; t < count; t++)
            range->keys[range->first[query] + t] = (float)((rights[t].distance - r->measure.query_norms[range->first_query + query]) * scale * 0.5);
    }
}

/* ---- 2. counting ---- */

/* A piece of one query's row of keys, inside one stretch. */
struct piece {
    const struct sky_rank_range *range;
    int64_t query, rights, count;
    const float *keys;         /* [count] */
    const int64_t *items;      /* [count] gallery row numbers */
    uint32_t *counters, *ties; /* this thread's, of this query */
    const struct sky_right *right; /* [rights] */
    const float *right_keys;   /* [rights] */
};

/* How many keys lie below `low`, and how many up to `high`: the inner loop; plain enough for the compiler to vectorise. */
static void compare_keys(const float *keys, int64_t count, float low, float high, uint32_t *below, uint32_t *up_to)
{
    uint32_t less = 0, most = 0; /* a tile's row is short */
    for (int64_t i = 0; i < count; i++) {
        less += keys[i] < low;
        most += keys[i] <= high;
    }
    *below = less;
    *up_to = most;
}

/* Of the keys in low .. high, how many rows really come before right row t. */
static uint32_t count_near(const struct piece *p, int64_t t, float low, float high)
{
    const struct sky_right *right = &p->right[t];
    uint32_t before = 0;
    for (int64_t i = 0; i < p->count; i++) {
        if (!(p->keys[i] >= low && p->keys[i] <= high)) continue;
        const double distance = p->items[i] == right->item ? right->distance : sky_range_distance(p->range, p->query, p->items[i]);
        before += distance < right->distance || (distance == right->distance && p->items[i] < right->item);
        if (t == 0) *p->ties += distance == right->distance;
    }
    return before;
}

/* How many of the ascending keys are below `key`; without branches to mispredict. */
static int64_t count_below(const float *keys, int64_t count, float key)
{
    const float *base = keys;
    while (count > 1) {
        const int64_t half = count / 2;
        base += base[half - 1] < key ? half : 0;
        count -= half;
    }
    return base - keys + (*base < key);
}

/* Many right rows: for each row, how many of them it is behind; a right row counts as behind itself. */
static void count_for_many(const struct piece *p)
{
    const float margin = p->range->ranker->measure.margin;
    for (int64_t i = 0; i < p->count; i++) {
        int64_t behind = count_below(p->right_keys, p->rights, p->keys[i] - margin);
        if (behind < p->rights && p->right_keys[behind] <= p->keys[i] + margin) {
            const struct sky_right row = {sky_range_distance(p->range, p->query, p->items[i]), p->items[i]};
            *p->ties += row.distance == p->right[0].distance;
            while (behind < p->rights && p->right_keys[behind] <= p->keys[i] + margin && compare_rights(&p->right[behind], &row) <= 0) behind++;
        }
        p->counters[behind]++;
    }
}

/*
 * A few right rows: for each, how many rows come before it. Distances are then computed again for each pair that is too close; when that would be more work
 * than one distance a row (features that nearly coincide), the other way is taken.
 */
static void count_for_few(const struct piece *p)
{
    const float margin = p->range->ranker->measure.margin;
    uint32_t before[FEW_RIGHTS], up_to[FEW_RIGHTS], previous = 0;
    int64_t near = 0;
    for (int64_t t = 0; t < p->rights; t++) {
        compare_keys(p->keys, p->count, p->right_keys[t] - margin, p->right_keys[t] + margin, &before[t], &up_to[t]);
        near += up_to[t] - before[t];
    }
    if (near > p->count) {
        count_for_many(p);
        return;
    }
    for (int64_t t = 0; t < p->rights; t++) {
        if (up_to[t] > before[t]) before[t] += count_near(p, t, p->right_keys[t] - margin, p->right_keys[t] + margin);
        p->counters[t] += before[t] - previous; /* those behind t right rows, not behind t + 1 */
        previous = before[t];
    }
}

static void count_tile(void *context, const struct sky_similarity_tile *tile)
{
    const struct sky_rank_range *range = context;
    const struct sky_ranker *r = range->ranker;
    const int64_t bounds[STRETCHES + 1] = {0, r->match.known, r->ranked}, end = tile->first_item + tile->items;
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t query = tile->first_query + i, first = range->first[query], rights = range->first[query + 1] - first;
        float *keys = tile->products + i * tile->stride;
        if (!rights) continue;
        for (int64_t j = 0; j < tile->items; j++) keys[j] = r->half_norms[tile->first_item + j] - keys[j];
        for (int stretch = 0; stretch < r->stretches; stretch++) {
            const int64_t from = bounds[stretch] > tile->first_item ? bounds[stretch] : tile->first_item,
                          to = bounds[stretch + 1] < end ? bounds[stretch + 1] : end;
            const struct piece piece = {.range = range,
                                        .query = query,
                                        .rights = rights,
                                        .count = to - from,
                                        .keys = keys + (from - tile->first_item),
                                        .items = r->match.order + from,
                                        .counters = sky_range_counters(range, tile->thread, stretch) + first + query,
                                        .ties = sky_range_ties(range, tile->thread, stretch) + query,
                                        .right = range->rights + first,
                                        .right_keys = range->keys + first};
            if (piece.count <= 0) continue;
            if (rights <= FEW_RIGHTS) count_for_few(&piece);
            else count_for_many(&piece);
        }
    }
}

static sky_status count_here(struct sky_rank_range *range)
{
    const struct sky_ranker *r = range->ranker;
    const struct sky_rows queries = {r->query.rows + range->first_query * r->query.dimensions, NULL, range->queries}, items = {r->gallery.rows, r->match.order, r->ranked};
    return sky_similarity_all(r->similarity, &queries, &items, count_tile, range);
}

/* ---- 3. ranks ---- */

/* Adds every thread's counters of one stretch to thread 0's. */
static void add_threads(const struct sky_rank_range *range, int stretch)
{
    uint32_t *counters = sky_range_counters(range, 0, stretch), *ties = sky_range_ties(range, 0, stretch);
    for (int thread = 1; thread < range->ranker->threads; thread++) {
        const uint32_t *more = sky_range_counters(range, thread, stretch), *more_ties = sky_range_ties(range, thread, stretch);
        for (int64_t i = 0; i < range->count + range->queries; i++) counters[i] += more[i];
        for (int64_t i = 0; i < range->queries; i++) ties[i] += more_ties[i];
    }
}

/* The ranks when the first `stretches` stretches are the gallery. */
static void make_ranks(const struct sky_rank_range *range, int stretches, int64_t *ranks, bool *tied)
{
    for (int64_t query = 0; query < range->queries; query++) {
        const int64_t first = range->first[query], rights = range->first[query + 1] - first;
        int64_t ties = 0, own = 0;
        if (!rights) continue;
        memset(ranks + first, 0, (size_t)rights * sizeof *ranks);
        for (int stretch = 0; stretch < stretches; stretch++) {
            const uint32_t *counters = sky_range_counters(range, 0, stretch) + first + query;
            uint32_t before = 0;
            for (int64_t t = 0; t < rights; t++) ranks[first + t] += before += counters[t];
        }
        for (int stretch = 0; stretch < stretches; stretch++) ties += sky_range_ties(range, 0, stretch)[query];
        while (own < rights && range->rights[first + own].distance == range->rights[first].distance) own++;
        tied[query] = ties > own;
    }
}

static void range_free(struct sky_rank_range *range)
{
    free(range->first);
    free(range->rights);
    free(range->keys);
    free(range->counters);
    free(range->ties);
}

static sky_status range_choose(struct sky_rank_range *range, const struct sky_ranker *r)
{
    const size_t tables = (size_t)r->threads * (size_t)r->stretches;
    int64_t end = r->next_query, count = 0;
    while (end < r->query.count && (end == r->next_query || count + right_count(r, end) + end - r->next_query < RANGE_RIGHTS)) count += right_count(r, end++);
    range->ranker = r;
    range->first_query = r->next_query;
    range->queries = end - r->next_query;
    range->count = count;
    SKY_TRY(sky_alloc(&range->first, (size_t)range->queries + 1, sizeof *range->first, "ranking"));
    for (int64_t i = 0; i < range->queries; i++) range->first[i + 1] = range->first[i] + right_count(r, range->first_query + i);
    SKY_TRY(sky_alloc(&range->rights, (size_t)count, sizeof *range->rights, "ranking"));
    SKY_TRY(sky_alloc(&range->keys, (size_t)count, sizeof *range->keys, "ranking"));
    SKY_TRY(sky_alloc(&range->counters, tables * (size_t)(count + range->queries), sizeof *range->counters, "ranking"));
    SKY_TRY(sky_alloc(&range->ties, tables * (size_t)range->queries, sizeof *range->ties, "ranking"));
    return SKY_OK;
}

sky_status sky_ranker_next(struct sky_ranker *r, struct sky_ranking *out)
{
    sky_status status = SKY_OK;
    struct sky_rank_range range = {0};
    sky_ranking_free(out);
    if (r->next_query == r->query.count) return SKY_OK;
    SKY_TRY_DONE(range_choose(&range, r));
    find_rights(&range);
    bool counted = false;
    if (r->device) SKY_TRY_DONE(sky_range_count_on_device(&range, &counted));
    if (!counted) SKY_TRY_DONE(count_here(&range));
    for (int stretch = 0; stretch < r->stretches; stretch++) {
        const int protocol = stretch == KNOWN ? SKY_PROTOCOL_NO_DISTRACTORS : SKY_PROTOCOL_FULL;
        SKY_TRY_DONE(sky_alloc(&out->ranks[protocol], (size_t)range.count, sizeof *out->ranks[protocol], "ranking"));
        SKY_TRY_DONE(sky_alloc(&out->tied[protocol], (size_t)range.queries, sizeof *out->tied[protocol], "ranking"));
        add_threads(&range, stretch);
        make_ranks(&range, stretch + 1, out->ranks[protocol], out->tied[protocol]);
    }
    out->first = range.first;
    range.first = NULL;
    out->queries = range.queries;
    r->next_query += range.queries;
done:
    if (status != SKY_OK) sky_ranking_free(out);
    range_free(&range);
    return status;
}
