/*
 * Times ranking with all metrics at the two sizes of University-1652's test, on random unit vectors. The floor is the matrix product's multiply-adds.
 */
#include "bench.h"

#include "backend/with_cuda.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/threads.h"
#include "eval/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Features whose classes hold `each` rows; junk-free. */
static sky_status random_features(struct sky_features *out, int64_t count, int64_t dimensions, int64_t each, uint32_t stream)
{
    float *rows = NULL;
    int64_t *labels = NULL;
    SKY_TRY(sky_alloc(&rows, (size_t)(count * dimensions), sizeof *rows, "benchmark features"));
    const sky_status status = sky_alloc(&labels, (size_t)count, sizeof *labels, "benchmark labels");
    *out = (struct sky_features){.count = count, .dimensions = dimensions, .rows = rows, .labels = labels};
    if (status != SKY_OK) return status;
    for (int64_t i = 0; i < count; i++) {
        struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, stream, (uint32_t)i);
        double squares = 0;
        labels[i] = i / each;
        for (int64_t d = 0; d < dimensions; d++) {
            rows[i * dimensions + d] = (float)((double)(sky_rng_u32(&rng) >> 8) * 0x1p-24 - 0.5);
            squares += (double)rows[i * dimensions + d] * (double)rows[i * dimensions + d];
        }
        for (int64_t d = 0; d < dimensions; d++) rows[i * dimensions + d] *= (float)(1 / sqrt(squares));
    }
    return SKY_OK;
}

static void free_features(struct sky_features *features)
{
    free((float *)features->rows); /* ours: made above */
    free((int64_t *)features->labels);
}

static sky_status time_size(const struct sky_args *args, struct sky_bench_list *list, struct sky_device *device, const char *name, int64_t queries,
                            int64_t query_each, int64_t items, int64_t item_each)
{
    static const int protocols[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS};
    struct sky_features query = {0}, gallery = {0};
    struct sky_ceilings ceilings;
    struct sky_scores scores[2];
    double *seconds = NULL;
    int64_t dimensions = 2560, runs = 3, threads = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_int(args, "dimensions", 1, 1 << 20, &dimensions));
    SKY_TRY_DONE(sky_args_int(args, "runs", 1, 1000, &runs));
    SKY_TRY_DONE(sky_args_int(args, "threads", 0, 1024, &threads));
    if (!threads) threads = sky_thread_count_default();
    SKY_TRY_DONE(sky_alloc(&seconds, (size_t)runs, sizeof *seconds, "benchmark samples"));
    SKY_TRY_DONE(random_features(&query, queries, dimensions, query_each, 1));
    SKY_TRY_DONE(random_features(&gallery, items, dimensions, item_each, 2));
    if (device) SKY_TRY_DONE(device->backend->ceilings(device, SKY_F32, &ceilings));
    else SKY_TRY_DONE(sky_ceilings_measure((int)threads, &ceilings));
    for (int64_t i = -1; i < runs; i++) {
        const double start = sky_now();
        SKY_TRY_DONE(sky_score_on(&query, &gallery, protocols, 2, (int)threads, device, scores));
        if (i >= 0) seconds[i] = sky_now() - start;
    }
    char what[96];
    snprintf(what, sizeof what, "%s %lld x %lld, %lld-d, %s%lld threads", name, (long long)queries, (long long)items, (long long)dimensions, device ? "cuda, " : "",
             (long long)threads);
    struct sky_bench_row *row = sky_bench_add(list, "score", what);
    if (!row) {
        status = sky_error_last()->status;
        goto done;
    }
    sky_bench_samples(row, seconds, (int)runs);
    const double multiply_adds = (double)queries * (double)items * (double)dimensions;
    row->floor_ms = 1e3 * multiply_adds / ceilings.multiply_adds_per_second;
    row->rate = 2 * multiply_adds / 1e9 / (row->median_ms / 1e3);
    snprintf(row->unit, sizeof row->unit, "GFLOP");
done:
    free(seconds);
    free_features(&query);
    free_features(&gallery);
    return status;
}

sky_status sky_bench_score(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct sky_device device = {.backend = sky_args_given(args, "cuda") ? sky_cuda_backend() : NULL, .options = {.threads = 1, .deterministic = true}};
    sky_status status = SKY_OK;
    (void)notes;
    if (sky_args_given(args, "cuda")) SKY_TRY(sky_cuda_find(0));
    if (device.backend) SKY_TRY(device.backend->open(&device));
    struct sky_device *const used = device.backend ? &device : NULL;
    SKY_TRY_DONE(time_size(args, list, used, "drone2satellite", 37855, 54, 951, 1));
    SKY_TRY_DONE(time_size(args, list, used, "satellite2drone", 701, 1, 51355, 54));
done:
    if (device.backend) device.backend->close(&device);
    return status;
}
