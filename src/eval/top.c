/*
 * The nearest rows behind top.h. A search by float32 keys (features.h), here or on a device, keeps the best rows of each query by (key, index), a few more than
 * asked for; they are put in their final order by distances in double. That order is total, so neither tiles nor threads nor who searched change the result:
 * where the last row kept is not certainly farther than the last one wanted (many rows as good as equally far), that query is searched again in double.
 */
#include "top.h"

#include "backend/backend.h"
#include "base/memory.h"
#include "match.h"
#include "similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARE = 16, /* places beyond k, for rows that the rounding of keys puts behind rows a hair farther */
    WIDER = 8   /* a device's products may round more than ours: the margin is so many times wider */
};

struct near {
    double distance; /* the float32 key of features.h while searching, then the squared distance */
    int64_t item;
};

struct top {
    const struct sky_features *query, *gallery;
    struct sky_measure measure;
    const int64_t *order; /* [ranked] gallery rows that are not junk, ascending */
    int64_t ranked;
    int64_t places;     /* in a list */
    int searchers;      /* threads, or one device */
    float margin;       /* above the rounding error of a searcher's key */
    struct near *lists; /* [searchers][queries][places] */
};

static int compare_near(const void *a, const void *b)
{
    const struct near *left = a, *right = b;
    if (left->distance != right->distance) return left->distance < right->distance ? -1 : 1;
    return (left->item > right->item) - (left->item < right->item);
}

static void insert(struct near *list, int64_t places, struct near candidate)
{
    int64_t at = places - 1;
    if (compare_near(&candidate, &list[at]) >= 0) return;
    for (; at > 0 && compare_near(&candidate, &list[at - 1]) < 0; at--) list[at] = list[at - 1];
    list[at] = candidate;
}

static void take_tile(void *context, const struct sky_similarity_tile *tile)
{
    const struct top *top = context;
    for (int64_t i = 0; i < tile->queries; i++) {
        struct near *list = top->lists + (tile->thread * top->query->count + tile->first_query + i) * top->places;
        for (int64_t j = 0; j < tile->items; j++) {
            const int64_t item = top->order[tile->first_item + j];
            const float key = top->measure.half_norms[item] - tile->products[i * tile->stride + j];
            insert(list, top->places, (struct near){key, item});
        }
    }
}

static double distance_to(const struct top *top, int64_t query, int64_t item)
{
    const int64_t dimensions = top->query->dimensions;
    return sky_squared_distance(top->query->rows + query * dimensions, top->gallery->rows + item * dimensions, dimensions);
}

static bool is_there(const struct top *top, struct near place) { return place.item < top->gallery->count; }

/* No row outside the list, whose keys end with `last_key`, can be as near as a row at this distance. */
static bool is_certain(const struct top *top, int64_t query, double distance, double last_key)
{
    const double scale = (double)top->measure.scale * (double)top->measure.scale;
    const float key = (float)((distance - top->measure.query_norms[query]) * scale * 0.5);
    return last_key - (double)top->margin > (double)key;
}

static void search_in_double(const struct top *top, int64_t query, struct near *list)
{
    for (int64_t i = 0; i < top->places; i++) list[i] = (struct near){INFINITY, top->gallery->count};
    for (int64_t i = 0; i < top->ranked; i++) insert(list, top->places, (struct near){distance_to(top, query, top->order[i]), top->order[i]});
}

/* Of one query: all searchers' lists into the first one, then its final order. */
static void finish_list(const struct top *top, int64_t query, int64_t k)
{
    struct near *list = top->lists + query * top->places;
    for (int searcher = 1; searcher < top->searchers; searcher++) {
        const struct near *more = top->lists + (searcher * top->query->count + query) * top->places;
        for (int64_t i = 0; i < top->places; i++) insert(list, top->places, more[i]);
    }
    const struct near last = list[top->places - 1];
    for (int64_t i = 0; i < top->places; i++)
        if (is_there(top, list[i])) list[i].distance = distance_to(top, query, list[i].item);
    qsort(list, (size_t)top->places, sizeof *list, compare_near);
    if (is_there(top, last) && !is_certain(top, query, list[k - 1].distance, last.distance)) search_in_double(top, query, list);
}

static void finish_lists(const struct top *top, int64_t k, int threads, int64_t *indices, double *distances)
{
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (int64_t query = 0; query < top->query->count; query++) {
        const struct near *list = top->lists + query * top->places;
        finish_list(top, query, k);
        for (int64_t i = 0; i < k; i++) {
            indices[query * k + i] = is_there(top, list[i]) ? list[i].item : -1;
            distances[query * k + i] = sqrt(list[i].distance);
        }
    }
}

static sky_status search_here(struct top *top)
{
    struct sky_similarity *similarity = NULL;
    const struct sky_rows queries = {top->query->rows, NULL, top->query->count}, items = {top->gallery->rows, top->order, top->ranked};
    top->margin = top->measure.margin;
    SKY_TRY(sky_similarity_create(&similarity, top->query->dimensions, top->measure.scale, top->searchers));
    const sky_status status = sky_similarity_all(similarity, &queries, &items, take_tile, top);
    sky_similarity_destroy(similarity);
    return status;
}

static bool can_search(const struct sky_device *device, const struct top *top)
{
    return device && device->backend->top_keys && top->places <= SKY_TOP_MOST_PLACES && top->ranked < UINT32_MAX;
}

static sky_status search_there(struct top *top, struct sky_device *device)
{
    const size_t count = (size_t)(top->query->count * top->places);
    struct sky_top_keys task = {.queries = top->query->count,
                                .items = top->ranked,
                                .dimensions = top->query->dimensions,
                                .query_rows = top->query->rows,
                                .item_rows = top->gallery->rows,
                                .order = top->order,
                                .scale = top->measure.scale,
                                .places = (int)top->places};
    float *half_norms = NULL;
    sky_status status = SKY_OK;
    top->margin = WIDER * top->measure.margin;
    SKY_TRY_DONE(sky_alloc(&half_norms, (size_t)top->ranked, sizeof *half_norms, "nearest rows"));
    for (int64_t i = 0; i < top->ranked; i++) half_norms[i] = top->measure.half_norms[top->order[i]];
    task.half_norms = half_norms;
    SKY_TRY_DONE(sky_alloc(&task.item, count, sizeof *task.item, "nearest rows"));
    SKY_TRY_DONE(sky_alloc(&task.key, count, sizeof *task.key, "nearest rows"));
    SKY_TRY_DONE(device->backend->top_keys(device, &task));
    for (size_t i = 0; i < count; i++)
        if (task.item[i] != UINT32_MAX) top->lists[i] = (struct near){(double)task.key[i], top->order[task.item[i]]};
done:
    free(half_norms);
    free(task.item);
    free(task.key);
    return status;
}

sky_status sky_rank_top(const struct sky_features *query, const struct sky_features *gallery, int64_t k, int threads, int64_t *indices, double *distances)
{
    return sky_rank_top_on(query, gallery, k, threads, NULL, indices, distances);
}

sky_status sky_rank_top_on(const struct sky_features *query, const struct sky_features *gallery, int64_t k, int threads, struct sky_device *device,
                           int64_t *indices, double *distances)
{
    sky_status status = SKY_OK;
    struct top top = {.query = query, .gallery = gallery, .places = k + SPARE};
    int64_t *order = NULL;
    size_t lists;
    if (k < 1 || k > INT32_MAX) return sky_fail(SKY_USAGE, "k", "is %lld; it must be 1 to %d", (long long)k, INT32_MAX);
    threads = sky_useful_threads(threads, query, gallery);
    SKY_TRY_DONE(sky_measure_features(&top.measure, query, gallery, threads));
    SKY_TRY_DONE(sky_alloc(&order, (size_t)gallery->count, sizeof *order, "nearest rows"));
    for (int64_t i = 0; i < gallery->count; i++) {
        if (gallery->labels[i] != SKY_LABEL_JUNK) order[top.ranked++] = i;
    }
    top.order = order;
    if (!can_search(device, &top)) device = NULL;
    top.searchers = device ? 1 : threads;
    if (!sky_multiply_size((size_t)query->count * (size_t)top.searchers, (size_t)top.places, &lists)) lists = SIZE_MAX;
    SKY_TRY_DONE(sky_alloc(&top.lists, lists, sizeof *top.lists, "nearest rows"));
    for (size_t i = 0; i < lists; i++) top.lists[i] = (struct near){INFINITY, gallery->count}; /* an empty place is behind everything */
    SKY_TRY_DONE(device ? search_there(&top, device) : search_here(&top));
    finish_lists(&top, k, threads, indices, distances);
done:
    free(top.lists);
    free(order);
    sky_measure_free(&top.measure);
    return status;
}
