/*
 * The nearest rows behind top.h: each thread keeps the best it has seen for each query by (key, index), a few more than asked for; the lists are merged
 * and put in their final order by distances in double. That order is total, so neither tiles nor threads change the result.
 */
#include "top.h"

#include "base/memory.h"
#include "match.h"
#include "similarity.h"

#include <math.h>
#include <stdlib.h>

enum { SPARE = 16 }; /* places beyond k, for rows that the rounding of keys puts behind rows a hair farther */

struct near {
    double distance; /* the float32 key of features.h while searching, then the squared distance */
    int64_t item;
};

struct top {
    const struct sky_features *query, *gallery;
    const int64_t *order; /* gallery rows that are not junk */
    const float *half_norms;
    int64_t places;     /* in a list */
    struct near *lists; /* [threads][queries][places] */
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
            const float key = top->half_norms[item] - tile->products[i * tile->stride + j];
            insert(list, top->places, (struct near){key, item});
        }
    }
}

static void finish_lists(const struct top *top, int64_t k, int threads, int64_t *indices, double *distances)
{
    const int64_t dimensions = top->query->dimensions;
#pragma omp parallel for num_threads(threads)
    for (int64_t query = 0; query < top->query->count; query++) {
        struct near *list = top->lists + query * top->places;
        for (int thread = 1; thread < threads; thread++) {
            const struct near *more = top->lists + (thread * top->query->count + query) * top->places;
            for (int64_t i = 0; i < top->places; i++) insert(list, top->places, more[i]);
        }
        for (int64_t i = 0; i < top->places; i++) {
            if (list[i].item < top->gallery->count)
                list[i].distance = sky_squared_distance(top->query->rows + query * dimensions, top->gallery->rows + list[i].item * dimensions, dimensions);
        }
        qsort(list, (size_t)top->places, sizeof *list, compare_near);
        for (int64_t i = 0; i < k; i++) {
            indices[query * k + i] = list[i].item < top->gallery->count ? list[i].item : -1;
            distances[query * k + i] = sqrt(list[i].distance);
        }
    }
}

sky_status sky_rank_top(const struct sky_features *query, const struct sky_features *gallery, int64_t k, int threads, int64_t *indices, double *distances)
{
    sky_status status = SKY_OK;
    struct sky_measure measure = {0};
    struct sky_similarity *similarity = NULL;
    struct top top = {.query = query, .gallery = gallery, .places = k + SPARE};
    int64_t *order = NULL, ranked = 0;
    size_t lists;
    if (k < 1 || k > INT32_MAX) return sky_fail(SKY_USAGE, "k", "is %lld; it must be 1 to %d", (long long)k, INT32_MAX);
    threads = sky_useful_threads(threads, query, gallery);
    SKY_TRY_DONE(sky_measure_features(&measure, query, gallery, threads));
    SKY_TRY_DONE(sky_alloc(&order, (size_t)gallery->count, sizeof *order, "nearest rows"));
    for (int64_t i = 0; i < gallery->count; i++) {
        if (gallery->labels[i] != SKY_LABEL_JUNK) order[ranked++] = i;
    }
    if (!sky_multiply_size((size_t)query->count * (size_t)threads, (size_t)top.places, &lists)) lists = SIZE_MAX;
    SKY_TRY_DONE(sky_alloc(&top.lists, lists, sizeof *top.lists, "nearest rows"));
    for (size_t i = 0; i < lists; i++) top.lists[i] = (struct near){INFINITY, gallery->count}; /* an empty place is behind everything */
    top.order = order;
    top.half_norms = measure.half_norms;
    SKY_TRY_DONE(sky_similarity_create(&similarity, query->dimensions, measure.scale, threads));
    const struct sky_rows queries = {query->rows, NULL, query->count}, items = {gallery->rows, order, ranked};
    SKY_TRY_DONE(sky_similarity_all(similarity, &queries, &items, take_tile, &top));
    finish_lists(&top, k, threads, indices, distances);
done:
    free(top.lists);
    free(order);
    sky_similarity_destroy(similarity);
    sky_measure_free(&measure);
    return status;
}
