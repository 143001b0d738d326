/*
 * Scores with the counting done by the CUDA back end's kernels (run on the host) against scores counted on the CPU: random problems with exact and near ties,
 * junk, distractors, several right rows a query, tiny and huge features. Every number must be the same.
 */
#include "base/rng.h"
#include "check.h"
#include "eval/metrics.h"
#include "host_backend.h"
#include "skygem/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct problem {
    float *query_rows, *gallery_rows;
    int64_t *query_labels, *gallery_labels;
    struct sky_features query, gallery;
};

/* `grain` rounds features, so that rows coincide; `spread` is how far rows are from one common row. */
static struct problem make(uint64_t seed, int64_t queries, int64_t items, int64_t dimensions, int64_t classes, double grain, double spread, double size)
{
    struct problem p = {malloc((size_t)(queries * dimensions) * sizeof(float)),
                        malloc((size_t)(items * dimensions) * sizeof(float)),
                        malloc((size_t)queries * 8),
                        malloc((size_t)items * 8),
                        {0},
                        {0}};
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 1, 2);
    if (!p.query_rows || !p.gallery_rows || !p.query_labels || !p.gallery_labels) abort();
    for (int set = 0; set < 2; set++) {
        const int64_t count = set ? items : queries;
        for (int64_t i = 0; i < count; i++) {
            const int64_t label = (int64_t)sky_rng_below(&rng, (uint32_t)(set ? classes + classes / 2 : classes));
            (set ? p.gallery_labels : p.query_labels)[i] = set && sky_rng_below(&rng, 20) == 0 ? -1 : label;
            for (int64_t d = 0; d < dimensions; d++) {
                const double value = 1 + spread * (sin((double)(label * 7 + d)) + 0.5 * sky_rng_normal(&rng));
                (set ? p.gallery_rows : p.query_rows)[i * dimensions + d] = (float)(size * (grain > 0 ? floor(value / grain + 0.5) * grain : value));
            }
            if (set && i > 4 && i % 5 == 0)
                memcpy(p.gallery_rows + i * dimensions, p.gallery_rows + (i - 3) * dimensions, (size_t)dimensions * sizeof(float)); /* equal rows */
        }
    }
    p.query = (struct sky_features){queries, dimensions, p.query_rows, p.query_labels, NULL};
    p.gallery = (struct sky_features){items, dimensions, p.gallery_rows, p.gallery_labels, NULL};
    return p;
}

static void compare(struct sky_device *device, struct problem p, const char *what)
{
    static const int both[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS};
    struct sky_scores here[2], there[2];
    memset(here, 0, sizeof here);
    memset(there, 0, sizeof there);
    CHECK_OK(sky_score(&p.query, &p.gallery, both, 2, 2, here));
    CHECK_OK(sky_score_on(&p.query, &p.gallery, both, 2, 2, device, there));
    for (int i = 0; i < 2; i++) {
        const bool same = here[i].r1 == there[i].r1 && here[i].r5 == there[i].r5 && here[i].r10 == there[i].r10 && here[i].r1_percent == there[i].r1_percent &&
                          here[i].ap == there[i].ap && here[i].tied_queries == there[i].tied_queries && here[i].gallery == there[i].gallery &&
                          here[i].queries_without_match == there[i].queries_without_match;
        if (!same)
            printf("%s: R@1 %.9g and %.9g, AP %.12g and %.12g, tied %lld and %lld\n", what, here[i].r1, there[i].r1, here[i].ap, there[i].ap,
                   (long long)here[i].tied_queries, (long long)there[i].tied_queries);
        CHECK(same);
    }
    free(p.query_rows);
    free(p.gallery_rows);
    free(p.query_labels);
    free(p.gallery_labels);
}

int main(void)
{
    struct sky_device device = {.backend = host_cuda_backend(), .options = {.threads = 1}};
    CHECK_OK(device.backend->open(&device));
    for (uint64_t seed = 1; seed <= 12; seed++) {
        compare(&device, make(seed, 20 + (int64_t)seed, 150, 24, 9, 0, 1, 1), "plain");
        compare(&device, make(seed, 30, 90, 3, 5, 0.5, 1, 1), "many ties");
        compare(&device, make(seed, 12, 300, 700, 4, 0, 1e-4, 1), "rows that nearly coincide");
        compare(&device, make(seed, 12, 64, 40, 30, 0, 1, seed % 2 ? 1e-18 : 1e18), "tiny and huge");
    }
    compare(&device, make(3, 5, 400, 2, 1, 1, 1, 1), "one class, so many right rows that all is near");
    compare(&device, make(4, 1, 1, 1, 1, 0, 1, 1), "one row");
    device.backend->close(&device);
    return check_done();
}
