/*
 * Search: every tile's similarity, then the best ones and the margin to the next place. With candidates, every sketch's similarity, then the exact one of the
 * most promising tiles; the others count as infinitely far. All memory is taken before a search runs; a tile's similarity and the order do not depend on the
 * number of threads.
 */
#include "search.h"

#include "base/memory.h"
#include "base/threads.h"
#include "sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 128 }; /* tiles handed to a thread at once */

struct sky_search {
    const struct sky_index *index; /* borrowed */
    int64_t first, count, k, found;
    int threads;
    float *similarities;              /* [count] */
    float *query;                     /* prepared for the rows' store */
    struct sky_candidate *candidates; /* [k] */
    struct first_look {               /* through the sketches; wanted 0: off */
        int64_t wanted;
        float *feature, *sketch, *query; /* prepared as float32; its sketch, plain and prepared */
        float *best;                     /* [wanted] similarities of the most promising sketches, the least first */
    } look;
};

sky_status sky_search_open_part(struct sky_search **out, const struct sky_index *index, int64_t first, int64_t count, int64_t k, int threads)
{
    struct sky_search *search = NULL;
    sky_status status = SKY_OK;
    if (k < 1) return sky_fail(SKY_USAGE, "search", "k is %lld; at least one tile must be asked for", (long long)k);
    SKY_TRY(sky_alloc(&search, 1, sizeof *search, "search"));
    search->index = index, search->first = first, search->count = count, search->k = k < index->info.tiles ? k : index->info.tiles;
    search->threads = threads > 0 ? threads : sky_thread_count_default();
    SKY_TRY_DONE(sky_alloc(&search->similarities, (size_t)count, sizeof *search->similarities, "a search"));
    SKY_TRY_DONE(sky_alloc(&search->query, (size_t)sky_query_floats(index->info.dimensions), sizeof *search->query, "a search"));
    SKY_TRY_DONE(sky_alloc(&search->candidates, (size_t)search->k, sizeof *search->candidates, "a search"));
    *out = search;
    search = NULL;
done:
    sky_search_close(search);
    return status;
}

sky_status sky_search_open(struct sky_search **out, const struct sky_index *index, int64_t k, int threads)
{
    return sky_search_open_part(out, index, 0, index->info.tiles, k, threads);
}

static void close_look(struct first_look *look)
{
    free(look->feature);
    free(look->sketch);
    free(look->query);
    free(look->best);
    *look = (struct first_look){.wanted = 0};
}

sky_status sky_search_set_candidates(struct sky_search *search, int64_t candidates)
{
    const struct sky_index_table *table = &search->index->table;
    struct first_look *look = &search->look;
    close_look(look);
    if (!candidates) return SKY_OK;
    if (!table->sketches.dimensions) {
        sky_fail(SKY_USAGE, "search", "candidates are chosen by sketches, which this index does not have");
        return sky_hint("make them: skygem index -o INDEX --update --sketch 256");
    }
    if (candidates < search->k) return sky_fail(SKY_USAGE, "search", "%lld candidates for the best %lld tiles", (long long)candidates, (long long)search->k);
    candidates = candidates < search->count ? candidates : search->count;
    sky_status status = sky_alloc(&look->feature, (size_t)sky_query_floats(table->rows.dimensions), sizeof *look->feature, "a search");
    if (status == SKY_OK) status = sky_alloc(&look->sketch, (size_t)table->sketches.dimensions, sizeof *look->sketch, "a search");
    if (status == SKY_OK) status = sky_alloc(&look->query, (size_t)sky_query_floats(table->sketches.dimensions), sizeof *look->query, "a search");
    if (status == SKY_OK) status = sky_alloc(&look->best, (size_t)candidates + !candidates, sizeof *look->best, "a search");
    if (status == SKY_OK) look->wanted = candidates;
    else close_look(look);
    return status;
}

void sky_search_close(struct sky_search *search)
{
    if (!search) return;
    free(search->similarities);
    free(search->query);
    free(search->candidates);
    close_look(&search->look);
    free(search);
}

/* The similarities of all rows of the part: of features or of sketches. */
static void scan_rows(struct sky_search *search, const struct sky_rows_stored *rows, const float *prepared)
{
    const int64_t blocks = (search->count + BLOCK - 1) / BLOCK;
    const int threads = search->threads < blocks ? search->threads : (int)blocks;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = block * BLOCK, count = search->count - first < BLOCK ? search->count - first : BLOCK;
        sky_rows_products(rows, search->first + first, count, prepared, search->similarities + first);
    }
}

float sky_search_threshold(const float *similarities, int64_t count, float *best, int64_t wanted)
{
    for (int64_t i = 0; i < wanted; i++) best[i] = -INFINITY; /* a heap whose first is the least of the best so far */
    for (int64_t i = 0; i < count && wanted; i++) {
        if (!(similarities[i] > best[0])) continue;
        int64_t at = 0, child;
        while ((child = 2 * at + 1) < wanted) {
            child += child + 1 < wanted && best[child + 1] < best[child];
            if (!(best[child] < similarities[i])) break;
            best[at] = best[child], at = child;
        }
        best[at] = similarities[i];
    }
    return wanted ? best[0] : -INFINITY;
}

float sky_search_look(struct sky_search *search, const float *feature, const float **best, int64_t *count)
{
    const struct sky_index_table *table = &search->index->table;
    const struct first_look *look = &search->look;
    sky_query_prepare(SKY_STORE_FLOAT32, feature, table->rows.dimensions, look->feature);
    sky_sketch_project(table->sketch_axes, table->sketches.dimensions, table->rows.dimensions, look->feature, look->sketch);
    sky_query_prepare(SKY_STORE_INT8, look->sketch, table->sketches.dimensions, look->query);
    scan_rows(search, &table->sketches, look->query);
    *best = look->best, *count = look->wanted;
    return sky_search_threshold(search->similarities, search->count, look->best, look->wanted);
}

void sky_search_compare(struct sky_search *search, const float *feature, float threshold)
{
    const struct sky_index_table *table = &search->index->table;
    const int threads = search->threads;
    sky_query_prepare(table->rows.store, feature, table->rows.dimensions, search->query);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < search->count; i++) {
        if (search->similarities[i] >= threshold) sky_rows_products(&table->rows, search->first + i, 1, search->query, &search->similarities[i]);
        else search->similarities[i] = -INFINITY;
    }
}

void sky_search_scan(struct sky_search *search, const float *feature)
{
    const float *best;
    int64_t count;
    if (search->look.wanted) {
        sky_search_compare(search, feature, sky_search_look(search, feature, &best, &count));
        return;
    }
    sky_query_prepare(search->index->table.rows.store, feature, search->index->info.dimensions, search->query);
    scan_rows(search, &search->index->table.rows, search->query);
}

int64_t sky_search_best(struct sky_search *search, const struct sky_candidate **out)
{
    struct sky_candidate *list = search->candidates;
    search->found = 0;
    for (int64_t i = 0; i < search->count; i++) {
        const float similarity = search->similarities[i];
        if (search->found == search->k && !(similarity > list[search->k - 1].similarity)) continue;
        int64_t at = search->found < search->k ? search->found++ : search->k - 1;
        for (; at > 0 && list[at - 1].similarity < similarity; at--) list[at] = list[at - 1];
        list[at] = (struct sky_candidate){search->first + i, similarity};
    }
    *out = list;
    return search->found;
}

double sky_search_elsewhere(const struct sky_search *search, int64_t tile)
{
    float best = -INFINITY;
    for (int64_t i = 0; i < search->count; i++) /* places are compared only for those that would be the best yet: few */
        if (search->similarities[i] > best && !sky_index_same_place(search->index, tile, search->first + i)) best = search->similarities[i];
    return (double)best;
}

const float *sky_search_similarities(const struct sky_search *search) { return search->similarities; }

double sky_index_confidence(const struct sky_index *index, double margin)
{
    return index->info.calibrated ? 1 / (1 + exp(-(index->info.offset + index->info.slope * margin))) : NAN; /* NaN for a NaN margin too */
}

sky_status sky_search_check(const struct sky_index *index, const float *feature)
{
    for (int64_t i = 0; i < index->info.dimensions; i++)
        if (!isfinite(feature[i])) return sky_fail(SKY_NUMERIC, "search", "the feature is not finite: its number %lld is %g", (long long)i, (double)feature[i]);
    return SKY_OK;
}

sky_status sky_search_check_best(const struct sky_index *index, const struct sky_candidate *best)
{
    return isfinite(best->similarity) ? SKY_OK : sky_fail(SKY_NUMERIC, index->file.path, "it holds features that are not finite");
}

sky_status sky_search_run(struct sky_search *search, const float *feature, struct sky_answer *out)
{
    SKY_TRY(sky_search_check(search->index, feature));
    sky_search_scan(search, feature);
    struct sky_answer answer = {.margin = NAN};
    answer.count = sky_search_best(search, &answer.candidates);
    SKY_TRY(sky_search_check_best(search->index, answer.candidates));
    const double elsewhere = sky_search_elsewhere(search, answer.candidates[0].tile);
    if (elsewhere > -INFINITY) answer.margin = (double)answer.candidates[0].similarity - elsewhere;
    answer.confidence = sky_index_confidence(search->index, answer.margin);
    *out = answer;
    return SKY_OK;
}
