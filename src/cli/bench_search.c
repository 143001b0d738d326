/*
 * Times exact search over as many random features as asked for, in each way of storing them, and says what storing them smaller loses: how often a tile's noisy
 * copy still finds it, and how many of float32's ten nearest are among the ten found. With --sketch also a first look through sketches. The floor is reading
 * every feature once from memory. Owns all it makes; refuses what does not fit.
 */
#include "bench.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/threads.h"
#include "retrieve/search.h"
#include "retrieve/sketch.h"
#include "skygem/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64, NEAREST = 10 };

struct gallery {
    int64_t tiles, dimensions, queries, sketch, candidates;
    int threads;
    float *query;           /* [queries, dimensions] */
    float *prepared;        /* [queries, sky_query_floats]: for float32 */
    float *reference;       /* [queries, tiles]: float32 similarities */
    int64_t *truth;         /* [queries] the tile that each is a copy of */
    struct sky_index index; /* made here instead of opened */
    double *nowhere;        /* [tiles] NaN */
    float *scales;
    void *values;
    size_t values_bytes;
};

static void normalise(float *row, int64_t dimensions)
{
    double squares = 0;
    for (int64_t d = 0; d < dimensions; d++) squares += (double)row[d] * (double)row[d];
    for (int64_t d = 0; d < dimensions; d++) row[d] *= (float)(1 / sqrt(squares));
}

static void random_row(float *row, int64_t dimensions, uint32_t stream, int64_t number)
{
    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, stream, (uint32_t)number);
    for (int64_t d = 0; d < dimensions; d++) row[d] = (float)((double)(sky_rng_u32(&rng) >> 8) * 0x1p-24 - 0.5);
    normalise(row, dimensions);
}

/* Copies of tiles spread over the gallery, each with as much noise as signal times `noise`. */
static void make_queries(struct gallery *g, double noise)
{
    for (int64_t q = 0; q < g->queries; q++) {
        float *row = g->query + q * g->dimensions;
        struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, 12, (uint32_t)q);
        g->truth[q] = q * (g->tiles / g->queries);
        random_row(row, g->dimensions, 11, g->truth[q]);
        const double size = noise * sqrt(12 / (double)g->dimensions); /* uniform numbers of this width have length `noise` together */
        for (int64_t d = 0; d < g->dimensions; d++) row[d] += (float)(size * ((double)(sky_rng_u32(&rng) >> 8) * 0x1p-24 - 0.5));
        normalise(row, g->dimensions);
        sky_query_prepare(SKY_STORE_FLOAT32, row, g->dimensions, g->prepared + q * sky_query_floats(g->dimensions));
    }
}

/* Makes every feature, stores it, and (the first time) notes how similar it is to each query before it is stored. A job is a share of the tiles. */
struct filling {
    struct gallery *g;
    enum sky_store store;
    bool first;
    float *buffers; /* [threads][BLOCK][dimensions] */
};

static sky_status fill_share(void *context, int worker, int64_t job, int slot)
{
    const struct filling *f = context;
    struct gallery *g = f->g;
    const size_t row_bytes = sky_store_row_bytes(f->store, g->dimensions);
    float *rows = f->buffers + worker * BLOCK * g->dimensions;
    (void)slot;
    for (int64_t at = g->tiles * job / g->threads, end = g->tiles * (job + 1) / g->threads; at < end; at += BLOCK) {
        const int64_t count = end - at < BLOCK ? end - at : BLOCK;
        const struct sky_rows_stored plain = {SKY_STORE_FLOAT32, count, g->dimensions, (unsigned char *)rows, NULL};
        for (int64_t i = 0; i < count; i++) {
            random_row(rows + i * g->dimensions, g->dimensions, 11, at + i);
            sky_row_encode(f->store, rows + i * g->dimensions, g->dimensions, (unsigned char *)g->values + (size_t)(at + i) * row_bytes, &g->scales[at + i]);
        }
        for (int64_t q = 0; f->first && q < g->queries; q++)
            sky_rows_products(&plain, 0, count, g->prepared + q * sky_query_floats(g->dimensions), g->reference + q * g->tiles + at);
    }
    return SKY_OK;
}

static sky_status fill(struct gallery *g, enum sky_store store)
{
    struct filling filling = {.g = g, .store = store, .first = !g->reference};
    struct sky_pool *pool = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&filling.buffers, (size_t)(g->threads * BLOCK * g->dimensions), sizeof *filling.buffers, "benchmark features"));
    if (filling.first) SKY_TRY_DONE(sky_alloc(&g->reference, (size_t)(g->queries * g->tiles), sizeof *g->reference, "benchmark similarities"));
    SKY_TRY_DONE(sky_pool_create(&pool, g->threads, g->threads, 0, g->threads, fill_share, &filling));
    for (int i = 0; i < g->threads; i++) {
        int64_t job;
        int slot;
        SKY_TRY_DONE(sky_pool_next(pool, &job, &slot));
        sky_pool_release(pool, slot);
    }
done:
    sky_pool_destroy(pool);
    free(filling.buffers);
    return status;
}

/* How many of the found tiles have a float32 similarity no worse than float32's NEAREST-th: equal to the overlap of both lists. */
static int64_t overlap(const struct gallery *g, int64_t q, const struct sky_answer *answer)
{
    int64_t good = 0;
    const float *all = g->reference + q * g->tiles;
    for (int64_t c = 0; c < answer->count; c++) {
        int64_t better = 0;
        for (int64_t t = 0; t < g->tiles; t++) better += all[t] > all[answer->candidates[c].tile];
        good += better < NEAREST;
    }
    return good;
}

static sky_status measure(struct gallery *g, enum sky_store store, int64_t candidates, int64_t runs, struct sky_bench_list *list, struct sky_text *notes)
{
    struct sky_search *search = NULL;
    struct sky_answer answer;
    double *seconds = NULL;
    int64_t right = 0, same = 0, asked = 0;
    char what[128], bytes[32], how[64] = "";
    sky_status status = SKY_OK;
    if (candidates) snprintf(how, sizeof how, ", sketches of %lld, %lld candidates", (long long)g->sketch, (long long)candidates);
    SKY_TRY_DONE(sky_alloc(&seconds, (size_t)(runs * g->queries), sizeof *seconds, "benchmark samples"));
    SKY_TRY_DONE(sky_search_open(&search, &g->index, NEAREST, g->threads));
    SKY_TRY_DONE(sky_search_set_candidates(search, candidates));
    SKY_TRY_DONE(sky_search_run(search, g->query, &answer)); /* warm */
    for (int64_t run = 0; run < runs; run++)
        for (int64_t q = 0; q < g->queries; q++) {
            const double start = sky_now();
            SKY_TRY_DONE(sky_search_run(search, g->query + q * g->dimensions, &answer));
            seconds[asked++] = sky_now() - start;
            if (run) continue;
            right += answer.candidates[0].tile == g->truth[q];
            same += overlap(g, q, &answer);
        }
    snprintf(what, sizeof what, "%lld tiles, %lld-d, %s, %d threads%s", (long long)g->tiles, (long long)g->dimensions, sky_store_name(store), g->threads, how);
    struct sky_bench_row *row = sky_bench_add(list, "search", what);
    if (!row) {
        status = SKY_NOMEM;
        goto done;
    }
    sky_bench_samples(row, seconds, (int)asked);
    const double read_bytes = candidates ? (double)g->tiles * (double)g->sketch : (double)g->values_bytes;
    row->rate = read_bytes / 1e9 / (row->median_ms / 1e3);
    snprintf(row->unit, sizeof row->unit, "GB");
    sky_print_bytes(sky_index_memory_bytes(store, g->tiles, g->dimensions, candidates ? g->sketch : 0), bytes);
    sky_text_format(notes, "%s%s: %s; R@1 of %lld noisy copies %.1f %%, %.2f of float32's %d nearest\n", sky_store_name(store), how, bytes, (long long)g->queries,
                    100 * (double)right / (double)g->queries, (double)same / (double)g->queries, NEAREST);
done:
    free(seconds);
    sky_search_close(search);
    return status;
}

/* The same features again, through sketches. */
static sky_status measure_sketches(struct gallery *g, enum sky_store store, int64_t runs, struct sky_bench_list *list, struct sky_text *notes)
{
    struct sky_sketch sketch = {.axes = NULL};
    sky_status status = sky_sketch_make(&sketch, &g->index.table.rows, g->sketch, g->threads);
    g->index.table.sketches = sketch.rows, g->index.table.sketch_axes = sketch.axes;
    if (status == SKY_OK) status = measure(g, store, g->candidates, runs, list, notes);
    sky_sketch_free(&sketch);
    return status;
}

static sky_status run_store(struct gallery *g, enum sky_store store, int64_t runs, struct sky_bench_list *list, struct sky_text *notes)
{
    sky_status status = SKY_OK;
    const size_t memory = sky_index_memory_bytes(store, g->tiles, g->dimensions, 0);
    if (sky_index_check_memory(sky_store_name(store), memory) != SKY_OK) {
        sky_text_format(notes, "%s: left out: %s\n", sky_store_name(store), sky_error_last()->what);
        return SKY_OK;
    }
    g->values_bytes = (size_t)g->tiles * sky_store_row_bytes(store, g->dimensions);
    SKY_TRY(sky_block_alloc(&g->values, g->values_bytes, "benchmark features"));
    SKY_TRY_DONE(fill(g, store));
    g->index = (struct sky_index){.table = {.rows = {store, g->tiles, g->dimensions, g->values, g->scales}, .latitude = g->nowhere, .longitude = g->nowhere},
                                  .info = {.tiles = g->tiles, .dimensions = g->dimensions}};
    SKY_TRY_DONE(measure(g, store, 0, runs, list, notes));
    if (g->sketch) SKY_TRY_DONE(measure_sketches(g, store, runs, list, notes));
done:
    sky_block_free(g->values, g->values_bytes);
    g->values = NULL;
    return status;
}

sky_status sky_bench_search(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct gallery g = {.tiles = 100000, .dimensions = 3584, .queries = 20, .candidates = 1000};
    int64_t runs = 3, threads = 0;
    double noise = 2;
    sky_status status = SKY_OK;
    SKY_TRY(sky_args_int(args, "tiles", NEAREST, UINT32_MAX, &g.tiles));
    SKY_TRY(sky_args_int(args, "dimensions", 1, 1 << 20, &g.dimensions));
    SKY_TRY(sky_args_int(args, "queries", 1, 10000, &g.queries));
    SKY_TRY(sky_args_int(args, "sketch", 0, g.dimensions, &g.sketch));
    SKY_TRY(sky_args_int(args, "candidates", NEAREST, UINT32_MAX, &g.candidates));
    SKY_TRY(sky_args_int(args, "runs", 1, 1000, &runs));
    SKY_TRY(sky_args_int(args, "threads", 0, 1024, &threads));
    SKY_TRY(sky_args_double(args, "noise", 0, 1e6, &noise));
    if (g.queries > g.tiles) g.queries = g.tiles;
    g.threads = threads ? (int)threads : sky_thread_count_default();
    SKY_TRY_DONE(sky_alloc(&g.query, (size_t)(g.queries * g.dimensions), sizeof *g.query, "benchmark queries"));
    SKY_TRY_DONE(sky_alloc(&g.prepared, (size_t)(g.queries * sky_query_floats(g.dimensions)), sizeof *g.prepared, "benchmark queries"));
    SKY_TRY_DONE(sky_alloc(&g.truth, (size_t)g.queries, sizeof *g.truth, "benchmark queries"));
    SKY_TRY_DONE(sky_alloc(&g.nowhere, (size_t)g.tiles, sizeof *g.nowhere, "benchmark tiles"));
    SKY_TRY_DONE(sky_alloc(&g.scales, (size_t)g.tiles, sizeof *g.scales, "benchmark tiles"));
    for (int64_t i = 0; i < g.tiles; i++) g.nowhere[i] = NAN;
    make_queries(&g, noise);
    for (int s = 0; s < SKY_STORE_COUNT; s++) SKY_TRY_DONE(run_store(&g, (enum sky_store)s, runs, list, notes));
done:
    free(g.query);
    free(g.prepared);
    free(g.reference);
    free(g.truth);
    free(g.nowhere);
    free(g.scales);
    return status;
}
