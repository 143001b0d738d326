/*
 * Re-ranking against a small dense version in double that follows the paper's text, and its bounds: memory, threads, sets smaller than k1. And scores from
 * given distances against scores from features.
 */
#include "check.h"

#include "base/rng.h"
#include "eval/rerank.h"

#include <stdbool.h>

enum { QUERIES = 30, ITEMS = 50, ALL = QUERIES + ITEMS, DIMENSIONS = 12, CLASSES = 8 };

static float rows[ALL * DIMENSIONS];
static int64_t labels[ALL];

/* Classes overlap, so that neighbours are not all of one class; one row stands twice. */
static void make_rows(uint64_t seed)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 0, 0);
    float centres[CLASSES * DIMENSIONS];
    for (int i = 0; i < CLASSES * DIMENSIONS; i++) centres[i] = (float)sky_rng_normal(&rng);
    for (int i = 0; i < ALL; i++) {
        labels[i] = i % CLASSES;
        for (int d = 0; d < DIMENSIONS; d++) rows[i * DIMENSIONS + d] = centres[labels[i] * DIMENSIONS + d] + 0.8f * (float)sky_rng_normal(&rng);
    }
    memcpy(rows + (QUERIES + 3) * DIMENSIONS, rows + (QUERIES + 9) * DIMENSIONS, DIMENSIONS * sizeof *rows);
}

/* ---- the dense version: everything N x N in double ---- */

static double first_distance[ALL][ALL], code[ALL][ALL], averaged[ALL][ALL];
static int order[ALL][ALL];

static bool in_first(int row, int of, int k)
{
    for (int i = 0; i < k && i < ALL; i++)
        if (order[of][i] == row) return true;
    return false;
}

static int mutual(int row, int k, bool member[ALL])
{
    int count = 0;
    for (int j = 0; j < ALL; j++) count += member[j] = in_first(j, row, k + 1) && in_first(row, j, k + 1);
    return count;
}

static void dense(int k1, int k2, double lambda, double out[QUERIES][ITEMS])
{
    const int half = (int)nearbyint(k1 / 2.0);
    for (int i = 0; i < ALL; i++) {
        double most = 0;
        for (int j = 0; j < ALL; j++) {
            double squared = 0;
            for (int d = 0; d < DIMENSIONS; d++) {
                const double difference = (double)rows[i * DIMENSIONS + d] - (double)rows[j * DIMENSIONS + d];
                squared += difference * difference;
            }
            first_distance[i][j] = squared;
            if (squared > most) most = squared;
        }
        for (int j = 0; j < ALL; j++) first_distance[i][j] /= most;
        for (int j = 0; j < ALL; j++) {
            int place = 0;
            for (int other = 0; other < ALL; other++)
                place += first_distance[i][other] < first_distance[i][j] || (first_distance[i][other] == first_distance[i][j] && other < j);
            order[i][place] = j;
        }
    }
    for (int i = 0; i < ALL; i++) {
        bool own[ALL], widened[ALL], theirs[ALL];
        double sum = 0;
        mutual(i, k1, own);
        memcpy(widened, own, sizeof own);
        for (int j = 0; j < ALL; j++) {
            if (!own[j]) continue;
            const int count = mutual(j, half, theirs);
            int common = 0;
            for (int l = 0; l < ALL; l++) common += theirs[l] && own[l];
            for (int l = 0; l < ALL && 3 * common > 2 * count; l++) widened[l] = widened[l] || theirs[l];
        }
        for (int j = 0; j < ALL; j++) sum += code[i][j] = widened[j] ? exp(-first_distance[i][j]) : 0;
        for (int j = 0; j < ALL; j++) code[i][j] /= sum;
    }
    for (int i = 0; i < ALL; i++)
        for (int j = 0; j < ALL; j++) {
            averaged[i][j] = 0;
            for (int n = 0; n < k2; n++) averaged[i][j] += code[order[i][n]][j] / k2;
            if (k2 == 1) averaged[i][j] = code[i][j];
        }
    for (int q = 0; q < QUERIES; q++)
        for (int g = 0; g < ITEMS; g++) {
            double least = 0, most = 0;
            for (int j = 0; j < ALL; j++) {
                least += fmin(averaged[q][j], averaged[QUERIES + g][j]);
                most += fmax(averaged[q][j], averaged[QUERIES + g][j]);
            }
            out[q][g] = (1 - lambda) * (1 - least / most) + lambda * first_distance[q][QUERIES + g];
        }
}

static struct sky_features queries_of(void) { return (struct sky_features){QUERIES, DIMENSIONS, rows, labels, "queries"}; }
static struct sky_features items_of(void) { return (struct sky_features){ITEMS, DIMENSIONS, rows + QUERIES * DIMENSIONS, labels + QUERIES, "items"}; }

static void test_against_dense(void)
{
    static const struct sky_rerank settings[] = {{20, 6, 0.3, 0}, {7, 1, 0.3, 0}, {10, 11, 0, 0}, {1, 2, 0.5, 0}, {4, 3, 1, 0}};
    static double want[QUERIES][ITEMS];
    static float got[QUERIES * ITEMS], again[QUERIES * ITEMS];
    for (int i = 0; i < 5; i++) {
        struct sky_reranker *one = NULL, *three = NULL;
        double worst = 0;
        make_rows((uint64_t)i + 1);
        const struct sky_features query = queries_of(), gallery = items_of();
        dense((int)settings[i].k1, (int)settings[i].k2, settings[i].lambda, want);
        CHECK_OK(sky_reranker_create(&one, &query, &gallery, &settings[i], 1));
        CHECK_OK(sky_reranker_create(&three, &query, &gallery, &settings[i], 3));
        CHECK_OK(sky_reranker_distances(one, 0, QUERIES, got));
        CHECK_OK(sky_reranker_distances(three, 0, 7, again)); /* in pieces */
        CHECK_OK(sky_reranker_distances(three, 7, QUERIES - 7, again + 7 * ITEMS));
        CHECK(!memcmp(got, again, sizeof got));
        for (int q = 0; q < QUERIES; q++)
            for (int g = 0; g < ITEMS; g++) worst = fmax(worst, fabs((double)got[q * ITEMS + g] - want[q][g]));
        CHECK_NEAR(worst, 0, 2e-6);
        sky_reranker_destroy(one);
        sky_reranker_destroy(three);
    }
}

/* On overlapping classes the method does what it is for. */
static void test_scores(void)
{
    const struct sky_rerank settings = {8, 3, 0.3, 0};
    const int protocols[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS};
    struct sky_scores before[2], after[2];
    make_rows(3);
    const struct sky_features query = queries_of(), gallery = items_of();
    CHECK_OK(sky_score(&query, &gallery, protocols, 2, 2, before));
    CHECK_OK(sky_score_reranked(&query, &gallery, &settings, protocols, 2, 2, after));
    CHECK(after[0].ap > before[0].ap && after[0].queries == QUERIES && after[0].gallery == ITEMS);
    for (int i = 0; i < ITEMS; i += 9) labels[QUERIES + i] = -1;
    for (int i = 4; i < ITEMS; i += 9) labels[QUERIES + i] = 99;
    CHECK_OK(sky_score_reranked(&query, &gallery, &settings, protocols, 2, 2, after));
    CHECK(after[0].junk == 6 && after[0].distractors == 6 && after[0].gallery == ITEMS - 6 && after[1].gallery == ITEMS - 12 && after[1].ap >= after[0].ap);
}

/* Scores from plain distances are the scores from the features. */
static sky_status plain_distances(void *context, int64_t first, int64_t count, float *distances)
{
    (void)context;
    for (int64_t q = 0; q < count; q++)
        for (int64_t g = 0; g < ITEMS; g++)
            distances[q * ITEMS + g] = (float)sky_squared_distance(rows + (first + q) * DIMENSIONS, rows + (QUERIES + g) * DIMENSIONS, DIMENSIONS);
    return SKY_OK;
}

static void test_distances(void)
{
    const int protocols[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS};
    struct sky_scores want[2], got[2];
    make_rows(9);
    for (int i = 0; i < ITEMS; i += 7) labels[QUERIES + i] = -1;
    for (int i = 3; i < ITEMS; i += 7) labels[QUERIES + i] = 99;
    labels[0] = 1000; /* without a right row */
    const struct sky_features query = queries_of(), gallery = items_of();
    CHECK_OK(sky_score(&query, &gallery, protocols, 2, 2, want));
    CHECK_OK(sky_score_distances(&query, &gallery, plain_distances, NULL, protocols, 2, 3, got));
    for (int i = 0; i < 2; i++) {
        CHECK(got[i].gallery == want[i].gallery && got[i].junk == want[i].junk && got[i].distractors == want[i].distractors &&
              got[i].tied_queries == want[i].tied_queries);
        CHECK(got[i].queries_without_match == want[i].queries_without_match && want[i].queries_without_match == 1);
        CHECK_NEAR(got[i].r1, want[i].r1, 0);
        CHECK_NEAR(got[i].r5, want[i].r5, 0);
        CHECK_NEAR(got[i].r1_percent, want[i].r1_percent, 0);
        CHECK_NEAR(got[i].ap, want[i].ap, 1e-12);
    }
}

static void test_limits(void)
{
    const int full = SKY_PROTOCOL_FULL;
    struct sky_reranker *reranker = NULL;
    struct sky_scores s;
    make_rows(5);
    struct sky_features query = queries_of(), gallery = items_of();
    const struct sky_rerank small = {20, 6, 0.3, 10000}, wide = {1000, 6, 0.3, 0};
    CHECK_FAILS(sky_reranker_create(&reranker, &query, &gallery, &small, 1), SKY_UNSUPPORTED, "the limit is 9.8 KiB");
    query.count = 2, gallery.count = 3;
    CHECK_OK(sky_score_reranked(&query, &gallery, &wide, &full, 1, 2, &s)); /* more neighbours asked for than there are rows */
    memset(rows, 0, sizeof rows);
    CHECK_OK(sky_score_reranked(&query, &gallery, &wide, &full, 1, 2, &s)); /* all rows coincide: ties, no NaN */
    query.dimensions = 3;
    CHECK_FAILS(sky_reranker_create(&reranker, &query, &gallery, &wide, 1), SKY_DATA, "dimensions");
    CHECK(reranker == NULL);
}

int main(void)
{
    test_against_dense();
    test_scores();
    test_distances();
    test_limits();
    return check_done();
}
