/*
 * Ranks, scores and nearest rows against a plain program that computes every distance in double and sorts: exactly equal on 1,000 random problems with
 * planted equal rows, junk and distractors, in every size class and on 1 to 3 threads. Then features that nearly coincide, huge and tiny ones, and bad ones.
 */
#include "check.h"

#include "base/rng.h"
#include "eval/metrics.h"
#include "eval/top.h"

#include <stdbool.h>

static struct sky_rng rng;

struct problem {
    float *query_rows, *gallery_rows;
    int64_t *query_labels, *gallery_labels;
    bool *asked; /* [items] some query has the row's label */
    struct sky_features query, gallery;
};

enum kind { INTEGERS, NORMALS, UNIT_VECTORS, POSITIVE, COLLAPSED, KINDS };

static void fill_rows(float *rows, int64_t count, int64_t dimensions, enum kind kind)
{
    for (int64_t i = 0; i < count; i++) {
        float *row = rows + i * dimensions;
        double norm = 0;
        for (int64_t k = 0; k < dimensions; k++) {
            const float value = (float)sky_rng_normal(&rng);
            row[k] = kind == INTEGERS ? (float)sky_rng_below(&rng, 5) - 2 : kind == POSITIVE ? fabsf(value) : kind == COLLAPSED ? 1 + 1e-6f * value : value;
            norm += (double)row[k] * row[k];
        }
        if (kind == UNIT_VECTORS && norm > 0)
            for (int64_t k = 0; k < dimensions; k++) row[k] = (float)(row[k] / sqrt(norm));
    }
}

static void find_asked(struct problem *p, int64_t queries, int64_t items)
{
    for (int64_t j = 0; j < items; j++) {
        p->asked[j] = false;
        for (int64_t i = 0; i < queries && !p->asked[j]; i++) p->asked[j] = p->query_labels[i] == p->gallery_labels[j];
    }
}

static void make_problem(struct problem *p, int64_t queries, int64_t items, int64_t dimensions, uint32_t classes, enum kind kind)
{
    p->query_rows = malloc((size_t)(queries * dimensions) * sizeof(float));
    p->gallery_rows = malloc((size_t)(items * dimensions) * sizeof(float));
    p->query_labels = malloc((size_t)queries * sizeof(int64_t));
    p->gallery_labels = malloc((size_t)items * sizeof(int64_t));
    fill_rows(p->query_rows, queries, dimensions, kind);
    fill_rows(p->gallery_rows, items, dimensions, kind);
    for (int64_t i = 0; i < queries; i++) p->query_labels[i] = (int64_t)sky_rng_below(&rng, classes) * 7 - (sky_rng_below(&rng, 20) == 0);
    for (int64_t j = 0; j < items; j++) { /* half again as many classes as the queries have, some junk, some rows equal to others */
        p->gallery_labels[j] = sky_rng_below(&rng, 12) == 0 ? -1 : (int64_t)sky_rng_below(&rng, classes + classes / 2 + 1) * 7;
        if (sky_rng_below(&rng, 4) == 0) {
            const bool of_query = sky_rng_below(&rng, 4) == 0;
            const float *from = of_query ? p->query_rows + sky_rng_below(&rng, (uint32_t)queries) * dimensions
                                         : p->gallery_rows + sky_rng_below(&rng, (uint32_t)items) * dimensions;
            memmove(p->gallery_rows + j * dimensions, from, (size_t)dimensions * sizeof(float));
        }
    }
    p->asked = malloc((size_t)items);
    find_asked(p, queries, items);
    p->query = (struct sky_features){queries, dimensions, p->query_rows, p->query_labels, NULL};
    p->gallery = (struct sky_features){items, dimensions, p->gallery_rows, p->gallery_labels, NULL};
}

static void problem_free(struct problem *p)
{
    free(p->query_rows);
    free(p->gallery_rows);
    free(p->query_labels);
    free(p->gallery_labels);
    free(p->asked);
}

/* ---- the plain program ---- */

struct row {
    double distance;
    int64_t item;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    if (left->distance != right->distance) return left->distance < right->distance ? -1 : 1;
    return (left->item > right->item) - (left->item < right->item);
}

static double squared(const float *a, const float *b, int64_t dimensions)
{
    double sum = 0;
    for (int64_t k = 0; k < dimensions; k++) sum += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
    return sum;
}

/* All rows of the protocol in order; returns how many. */
static int64_t sort_gallery(const struct problem *p, int64_t query, bool full, struct row *rows)
{
    int64_t count = 0;
    for (int64_t j = 0; j < p->gallery.count; j++) {
        const int64_t label = p->gallery_labels[j];
        if (label == -1 || (!full && !p->asked[j])) continue;
        rows[count++] = (struct row){squared(p->query_rows + query * p->query.dimensions, p->gallery_rows + j * p->gallery.dimensions, p->query.dimensions), j};
    }
    qsort(rows, (size_t)count, sizeof *rows, compare_rows);
    return count;
}

static struct sky_scores score_plainly(const struct problem *p, enum sky_protocol protocol)
{
    struct sky_scores s = {.protocol = protocol, .queries = p->query.count};
    struct row *rows = malloc((size_t)p->gallery.count * sizeof *rows);
    int64_t hits[4] = {0};
    double ap = 0;
    for (int64_t j = 0; j < p->gallery.count; j++) {
        s.junk += p->gallery_labels[j] == -1;
        s.distractors += p->gallery_labels[j] != -1 && !p->asked[j];
    }
    for (int64_t i = 0; i < p->query.count; i++) {
        const int64_t label = p->query_labels[i];
        int64_t right = 0, best = -1, total = 0;
        double own = 0;
        bool tied = false;
        s.gallery = sort_gallery(p, i, protocol == SKY_PROTOCOL_FULL, rows);
        for (int64_t r = 0; r < s.gallery; r++) total += p->gallery_labels[rows[r].item] == label;
        for (int64_t r = 0; r < s.gallery; r++) {
            if (p->gallery_labels[rows[r].item] != label) continue;
            if (best < 0) best = r;
            const double before = r ? (double)right / (double)r : 1, at = (double)(right + 1) / (double)(r + 1);
            own += 1.0 / (double)total * (before + at) / 2;
            right++;
        }
        if (!total) {
            s.queries_without_match++;
            continue;
        }
        for (int64_t r = 0; r < s.gallery; r++) tied |= rows[r].distance == rows[best].distance && p->gallery_labels[rows[r].item] != label;
        s.tied_queries += tied;
        ap += own;
        hits[0] += best < 1;
        hits[1] += best < 5;
        hits[2] += best < 10;
        hits[3] += best <= (int64_t)nearbyint(0.01 * (double)p->gallery.count);
    }
    s.r1 = 100.0 * (double)hits[0] / (double)p->query.count;
    s.r5 = 100.0 * (double)hits[1] / (double)p->query.count;
    s.r10 = 100.0 * (double)hits[2] / (double)p->query.count;
    s.r1_percent = 100.0 * (double)hits[3] / (double)p->query.count;
    s.ap = 100.0 * ap / (double)p->query.count;
    free(rows);
    return s;
}

static bool same_scores(const struct sky_scores *a, const struct sky_scores *b)
{
    return a->protocol == b->protocol && a->queries == b->queries && a->gallery == b->gallery && a->distractors == b->distractors && a->junk == b->junk &&
           a->queries_without_match == b->queries_without_match && a->tied_queries == b->tied_queries && a->r1 == b->r1 && a->r5 == b->r5 && a->r10 == b->r10 &&
           a->r1_percent == b->r1_percent && a->ap == b->ap;
}

static void show(const char *what, const struct sky_scores *s)
{
    printf("%s: gallery %lld distractors %lld junk %lld unmatched %lld tied %lld r1 %.17g r5 %.17g r10 %.17g r1pct %.17g ap %.17g\n", what,
           (long long)s->gallery, (long long)s->distractors, (long long)s->junk, (long long)s->queries_without_match, (long long)s->tied_queries, s->r1, s->r5,
           s->r10, s->r1_percent, s->ap);
}

static void compare_scores(const struct problem *p, int threads)
{
    const int both[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS};
    struct sky_scores got[2], alone[2];
    CHECK_OK(sky_score(&p->query, &p->gallery, both, 2, threads, got));
    for (int i = 0; i < 2; i++) {
        const struct sky_scores want = score_plainly(p, both[i]);
        CHECK_OK(sky_score(&p->query, &p->gallery, &both[i], 1, 4 - threads, &alone[i]));
        if (!CHECK(same_scores(&got[i], &want))) show("got", &got[i]), show("want", &want);
        CHECK(same_scores(&alone[i], &want));
    }
}

static int64_t tied_in_all, unmatched_in_all;

static void test_random(int count)
{
    for (int i = 0; i < count; i++) {
        struct problem p;
        const bool large = i % 25 == 0, wide = i % 25 == 3 || i % 50 == 0; /* only the larger ones are worth threads */
        const int64_t queries = 1 + sky_rng_below(&rng, large ? 300 : 40), items = 1 + sky_rng_below(&rng, large ? 1200 : 90);
        const int64_t dimensions = 1 + sky_rng_below(&rng, wide ? 600 : 40);
        make_problem(&p, queries, items, dimensions, 1 + sky_rng_below(&rng, i % 3 ? 20 : 3), (enum kind)(i % KINDS));
        compare_scores(&p, 1 + i % 3);
        const struct sky_scores s = score_plainly(&p, SKY_PROTOCOL_FULL);
        tied_in_all += s.tied_queries;
        unmatched_in_all += s.queries_without_match;
        problem_free(&p);
    }
    CHECK(tied_in_all > 1000 && unmatched_in_all > 1000); /* the problems do ask what they are meant to ask */
}

/* One class: every row is right for every query, so many that the queries are ranked in two ranges. */
static void test_ranges(void)
{
    struct problem p;
    make_problem(&p, 1100, 1000, 4, 1, NORMALS);
    for (int64_t i = 0; i < p.query.count; i++) p.query_labels[i] = 3;
    for (int64_t j = 0; j < p.gallery.count; j++) p.gallery_labels[j] = j % 40 ? 3 : 4;
    find_asked(&p, p.query.count, p.gallery.count);
    compare_scores(&p, 2);
    problem_free(&p);
}

static void test_top(void)
{
    for (int i = 0; i < 60; i++) {
        struct problem p;
        const int64_t k = 1 + sky_rng_below(&rng, 12);
        int wrong = 0;
        make_problem(&p, 1 + sky_rng_below(&rng, 30), 1 + sky_rng_below(&rng, i % 2 ? 300 : 8), 1 + sky_rng_below(&rng, 50), 5, (enum kind)(i % KINDS));
        struct row *rows = malloc((size_t)p.gallery.count * sizeof *rows);
        int64_t *indices = malloc((size_t)(p.query.count * k) * sizeof *indices);
        double *distances = malloc((size_t)(p.query.count * k) * sizeof *distances);
        CHECK_OK(sky_rank_top(&p.query, &p.gallery, k, 1 + i % 3, indices, distances));
        for (int64_t q = 0; q < p.query.count; q++) {
            const int64_t count = sort_gallery(&p, q, true, rows);
            for (int64_t t = 0; t < k; t++) {
                const int64_t index = indices[q * k + t];
                const double distance = distances[q * k + t];
                if (t < count) wrong += index != rows[t].item || !(fabs(distance - sqrt(rows[t].distance)) <= 1e-12 * (1 + distance));
                else wrong += index != -1 || !isinf(distance);
            }
        }
        CHECK(wrong == 0);
        free(rows);
        free(indices);
        free(distances);
        problem_free(&p);
    }
}

/* Powers of two change nothing, not even for values whose squares float32 cannot hold. */
static void test_magnitudes(void)
{
    const int both[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS}, exponents[] = {-120, -60, 60, 120};
    struct problem p;
    struct sky_scores plain[2], scaled[2];
    make_problem(&p, 50, 200, 30, 20, UNIT_VECTORS);
    CHECK_OK(sky_score(&p.query, &p.gallery, both, 2, 1, plain));
    CHECK(plain[0].ap > 0 && plain[0].ap < 100);
    for (int e = 0; e < 4; e++) {
        float *q = malloc((size_t)(50 * 30) * sizeof *q), *g = malloc((size_t)(200 * 30) * sizeof *g);
        for (int i = 0; i < 50 * 30; i++) q[i] = ldexpf(p.query_rows[i], exponents[e]);
        for (int i = 0; i < 200 * 30; i++) g[i] = ldexpf(p.gallery_rows[i], exponents[e]);
        struct sky_features query = p.query, gallery = p.gallery;
        query.rows = q;
        gallery.rows = g;
        CHECK_OK(sky_score(&query, &gallery, both, 2, 1, scaled));
        CHECK(same_scores(&plain[0], &scaled[0]) && same_scores(&plain[1], &scaled[1]));
        free(q);
        free(g);
    }
    memset(p.query_rows, 0, 50 * 30 * sizeof(float));
    memset(p.gallery_rows, 0, 200 * 30 * sizeof(float));
    compare_scores(&p, 2);
    problem_free(&p);
}

static void test_bad_features(void)
{
    const int full = SKY_PROTOCOL_FULL;
    struct problem p;
    struct sky_scores scores;
    make_problem(&p, 20, 30, 25, 4, NORMALS);
    const float kept = p.query_rows[17 * 25 + 24], kept_too = p.gallery_rows[0];
    p.query_rows[17 * 25 + 24] = NAN;
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "query features: row 17, column 24 is NaN");
    p.query_rows[3 * 25] = -INFINITY;
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "query features: row 3, column 0 is Inf");
    p.query_rows[3 * 25] = 0;
    p.query_rows[17 * 25 + 24] = kept;
    p.gallery_rows[0] = NAN;
    p.gallery.name = "gallery.npy";
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "gallery.npy");
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "gallery features: row 0, column 0 is NaN");
    p.gallery_rows[0] = kept_too;
    CHECK_OK(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores));
    p.gallery.dimensions = 24;
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "gallery features have 24 dimensions, query features 25");
    p.gallery.dimensions = 25;
    p.query.count = 0;
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "no query features");
    p.query.count = 20;
    p.gallery.count = 0;
    CHECK_FAILS(sky_score(&p.query, &p.gallery, &full, 1, 2, &scores), SKY_DATA, "no gallery features");
    int64_t index;
    double distance;
    p.gallery.count = 30;
    CHECK_FAILS(sky_rank_top(&p.query, &p.gallery, 0, 1, &index, &distance), SKY_USAGE, "must be 1 to");
    problem_free(&p);
}

int main(void)
{
    rng = sky_rng_make(7, SKY_RNG_TEST, 2, 0);
    test_random(1000);
    test_ranges();
    test_top();
    test_magnitudes();
    test_bad_features();
    sky_ranker_destroy(NULL);
    return check_done();
}
