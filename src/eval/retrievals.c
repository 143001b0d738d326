/*
 * Chooses queries worth looking at from the nearest rows of all of them. Owns its lists while it runs.
 */
#include "retrievals.h"

#include "base/memory.h"
#include "match.h"
#include "top.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far a query's best right row lies behind the first row: above 0 is a failure. */
struct miss {
    double margin;
    int64_t query;
};

struct search {
    const struct sky_features *query, *gallery;
    const int64_t *indices;  /* [queries, SKY_RETRIEVAL_TOP] */
    const double *distances; /* [queries, SKY_RETRIEVAL_TOP] */
};

static int compare_misses(const void *a, const void *b)
{
    const struct miss *left = a, *right = b;
    if (left->margin != right->margin) return left->margin > right->margin ? -1 : 1;
    return (left->query > right->query) - (left->query < right->query);
}

/* The nearest gallery row of the query's place, lower rows first among equals. */
static void find_right(const struct search *search, const struct sky_match *match, struct sky_retrieval *retrieval)
{
    const struct sky_features *query = search->query, *gallery = search->gallery;
    const int64_t class = match->query_class[retrieval->query];
    retrieval->right = -1, retrieval->right_distance = INFINITY;
    for (int64_t i = class < 0 ? 0 : match->first_item[class]; class >= 0 && i < match->first_item[class + 1]; i++) {
        const int64_t row = match->class_items[i];
        const double distance =
            sqrt(sky_squared_distance(query->rows + retrieval->query * query->dimensions, gallery->rows + row * gallery->dimensions, query->dimensions));
        if (distance < retrieval->right_distance) retrieval->right = row, retrieval->right_distance = distance;
    }
}

static struct sky_retrieval look_up(const struct search *search, const struct sky_match *match, int64_t query)
{
    struct sky_retrieval retrieval = {.query = query};
    memcpy(retrieval.top, search->indices + query * SKY_RETRIEVAL_TOP, sizeof retrieval.top);
    memcpy(retrieval.distance, search->distances + query * SKY_RETRIEVAL_TOP, sizeof retrieval.distance);
    find_right(search, match, &retrieval);
    return retrieval;
}

static sky_status choose(struct sky_retrievals *out, const struct search *search, const struct sky_match *match, int64_t samples, int64_t failures)
{
    const int64_t queries = search->query->count;
    struct miss *misses = NULL;
    int64_t missed = 0;
    sky_status status = SKY_OK;
    if (samples > queries) samples = queries;
    SKY_TRY_DONE(sky_alloc(&misses, (size_t)queries, sizeof *misses, "retrievals"));
    for (int64_t q = 0; q < queries; q++) {
        const int64_t first = search->indices[q * SKY_RETRIEVAL_TOP];
        if (first < 0 || search->gallery->labels[first] == search->query->labels[q]) continue;
        const struct sky_retrieval retrieval = look_up(search, match, q);
        if (retrieval.right >= 0) misses[missed++] = (struct miss){retrieval.right_distance - retrieval.distance[0], q};
    }
    qsort(misses, (size_t)missed, sizeof *misses, compare_misses);
    if (failures > missed) failures = missed;
    if (samples) SKY_TRY_DONE(sky_alloc(&out->samples, (size_t)samples, sizeof *out->samples, "retrievals"));
    if (failures) SKY_TRY_DONE(sky_alloc(&out->failures, (size_t)failures, sizeof *out->failures, "retrievals"));
    while (out->sample_count < samples) out->samples[out->sample_count] = look_up(search, match, out->sample_count * queries / samples), out->sample_count++;
    while (out->failure_count < failures) out->failures[out->failure_count] = look_up(search, match, misses[out->failure_count].query), out->failure_count++;
done:
    free(misses);
    return status;
}

sky_status sky_retrievals_choose(struct sky_retrievals *out, const struct sky_features *query, const struct sky_features *gallery, int64_t samples, int64_t failures, int threads)
{
    struct sky_match match = {0};
    int64_t *indices = NULL;
    double *distances = NULL;
    sky_status status = SKY_OK;
    memset(out, 0, sizeof *out);
    SKY_TRY_DONE(sky_match_make(&match, query->labels, query->count, gallery->labels, gallery->count));
    SKY_TRY_DONE(sky_alloc(&indices, (size_t)query->count * SKY_RETRIEVAL_TOP, sizeof *indices, "retrievals"));
    SKY_TRY_DONE(sky_alloc(&distances, (size_t)query->count * SKY_RETRIEVAL_TOP, sizeof *distances, "retrievals"));
    SKY_TRY_DONE(sky_rank_top(query, gallery, SKY_RETRIEVAL_TOP, threads, indices, distances));
    status = choose(out, &(struct search){query, gallery, indices, distances}, &match, samples, failures);
done:
    if (status != SKY_OK) sky_retrievals_free(out);
    sky_match_free(&match);
    free(indices);
    free(distances);
    return status;
}

void sky_retrievals_free(struct sky_retrievals *retrievals)
{
    free(retrievals->samples);
    free(retrievals->failures);
    memset(retrievals, 0, sizeof *retrievals);
}

static void write_list(struct sky_json_writer *w, const char *name, const struct sky_retrieval *list, int64_t count, const struct sky_image_set *query,
                       const struct sky_image_set *gallery)
{
    sky_json_begin_array(w, name);
    for (int64_t i = 0; i < count; i++) {
        const struct sky_retrieval *r = &list[i];
        sky_json_begin_object(w, NULL);
        sky_json_string(w, "query", query->paths[r->query]);
        sky_json_int(w, "place", query->labels[r->query]);
        sky_json_string(w, "right", r->right < 0 ? NULL : gallery->paths[r->right]);
        sky_json_double(w, "right_distance", r->right_distance);
        sky_json_begin_array(w, "found");
        for (int k = 0; k < SKY_RETRIEVAL_TOP && r->top[k] >= 0; k++) {
            sky_json_begin_object(w, NULL);
            sky_json_string(w, "path", gallery->paths[r->top[k]]);
            sky_json_int(w, "place", gallery->labels[r->top[k]]);
            sky_json_double(w, "distance", r->distance[k]);
            sky_json_end_object(w);
        }
        sky_json_end_array(w);
        sky_json_end_object(w);
    }
    sky_json_end_array(w);
}

void sky_retrievals_json(struct sky_json_writer *w, const char *direction, const struct sky_retrievals *retrievals, const struct sky_image_set *query,
                         const struct sky_image_set *gallery)
{
    sky_json_begin_object(w, NULL);
    sky_json_string(w, "direction", direction);
    write_list(w, "samples", retrievals->samples, retrievals->sample_count, query, gallery);
    write_list(w, "failures", retrievals->failures, retrievals->failure_count, query, gallery);
    sky_json_end_object(w);
}
