/*
 * The worked examples A to E of the field reference, given as scores: one dimension a gallery row makes any table of scores a table of distances. Then the R@1
 * % index, saturation in small galleries and the JSON of a result.
 */
#include "check.h"

#include "eval/metrics.h"

enum { ITEMS = 5 };

/*
 * Gallery row j is the unit vector j, so |q - g_j|^2 = |q|^2 + 1 - 2 q_j: the order by distance is the order by score q_j.
 */
static struct sky_scores score_table(const float *scores, int64_t queries, const int64_t *query_labels, const int64_t *gallery_labels,
                                     enum sky_protocol protocol)
{
    float gallery_rows[ITEMS * ITEMS] = {0};
    struct sky_scores out = {0};
    const int wanted = protocol;
    for (int j = 0; j < ITEMS; j++) gallery_rows[j * ITEMS + j] = 1;
    const struct sky_features query = {queries, ITEMS, scores, query_labels, NULL}, gallery = {ITEMS, ITEMS, gallery_rows, gallery_labels, NULL};
    CHECK_OK(sky_score(&query, &gallery, &wanted, 1, 1, &out));
    return out;
}

static const float table[2 * ITEMS] = {.70f, .90f, .20f, .50f, .30f, .40f, .35f, .80f, .60f, .10f};

static void test_vectors(void)
{
    const int64_t queries[2] = {1, 2}, a[ITEMS] = {1, 2, 1, 3, 2}, b[ITEMS] = {1, 2, 1, -1, 2}, unmatched[2] = {1, 9};
    struct sky_scores s = score_table(table, 2, queries, a, SKY_PROTOCOL_FULL);
    CHECK_NEAR(s.ap, 100 * 41.0 / 160, 1e-12);
    CHECK(s.r1 == 0 && s.r5 == 100 && s.r10 == 100 && s.r1_percent == 0);
    CHECK(s.gallery == 5 && s.distractors == 1 && s.junk == 0 && s.queries == 2 && s.queries_without_match == 0 && s.tied_queries == 0);

    s = score_table(table, 2, queries, b, SKY_PROTOCOL_FULL);
    CHECK_NEAR(s.ap, 31.25, 1e-12);
    CHECK(s.r1 == 0 && s.r5 == 100 && s.gallery == 4 && s.junk == 1 && s.distractors == 0);

    s = score_table(table, 2, queries, a, SKY_PROTOCOL_NO_DISTRACTORS); /* the class nobody asks for becomes junk: B again */
    CHECK_NEAR(s.ap, 31.25, 1e-12);
    CHECK(s.gallery == 4 && s.distractors == 1 && s.junk == 0);

    const float one_each[2 * ITEMS] = {.9f, .8f, .7f, .6f, .5f, .6f, .9f, .8f, .7f, .5f};
    const int64_t labels[ITEMS] = {10, 11, 12, 13, 14}, asked[2] = {12, 10};
    s = score_table(one_each, 2, asked, labels, SKY_PROTOCOL_FULL);
    CHECK_NEAR(s.ap, 100 * 7.0 / 48, 1e-12);
    CHECK(s.r1 == 0 && s.r5 == 100 && s.distractors == 3);

    s = score_table(table, 2, unmatched, a, SKY_PROTOCOL_FULL);
    CHECK_NEAR(s.ap, 14.375, 1e-12);
    CHECK(s.r5 == 50 && s.r10 == 50 && s.queries_without_match == 1 && s.queries == 2);
}

/* CMC at other depths than the printed ones, through the ranks. */
static void test_cmc(void)
{
    const int64_t queries[2] = {1, 2}, labels[2][ITEMS] = {{1, 2, 1, 3, 2}, {1, 2, 1, -1, 2}}, want[2][4] = {{1, 4, 3, 4}, {1, 3, 2, 3}};
    float gallery_rows[ITEMS * ITEMS] = {0};
    for (int j = 0; j < ITEMS; j++) gallery_rows[j * ITEMS + j] = 1;
    for (int i = 0; i < 2; i++) {
        struct sky_ranker *ranker = NULL;
        struct sky_ranking ranking = {0};
        const struct sky_features query = {2, ITEMS, table, queries, NULL}, gallery = {ITEMS, ITEMS, gallery_rows, labels[i], NULL};
        CHECK_OK(sky_ranker_create(&ranker, &query, &gallery, true, 2, NULL));
        CHECK_OK(sky_ranker_next(ranker, &ranking));
        CHECK(ranking.queries == 2 && ranking.first[1] == 2 && ranking.first[2] == 4);
        for (int t = 0; t < 4; t++) CHECK(ranking.ranks[SKY_PROTOCOL_FULL][t] == want[i][t]);
        CHECK_OK(sky_ranker_next(ranker, &ranking));
        CHECK(ranking.queries == 0);
        sky_ranking_free(&ranking);
        sky_ranker_destroy(ranker);
    }
}

static void test_average_precision(void)
{
    int64_t ranks[54];
    const int64_t none = 0;
    for (int i = 0; i < 54; i++) ranks[i] = i;
    CHECK_NEAR(sky_average_precision(ranks, 54), 1, 1e-14);
    for (int i = 0; i < 54; i++) ranks[i] = i + 1;
    CHECK_NEAR(sky_average_precision(ranks, 54), .9243607166141633, 1e-14); /* in exact fractions */
    for (int i = 0; i < 54; i++) ranks[i] = i < 27 ? i : i + 1;
    CHECK_NEAR(sky_average_precision(ranks, 54), .9874961591347046, 1e-14);
    const double one[5] = {1, .25, 1.0 / 6, .125, .1};
    for (int64_t rank = 0; rank < 5; rank++) CHECK_NEAR(sky_average_precision(&rank, 1), one[rank], 1e-15);
    CHECK(sky_average_precision(&none, 0) == 0);
}

static void test_one_percent(void)
{
    const int64_t rows[] = {1, 49, 50, 51, 150, 250, 350, 701, 951, 51355}, index[] = {0, 0, 0, 1, 2, 2, 4, 7, 10, 514};
    for (int i = 0; i < 10; i++) CHECK(sky_one_percent_index(rows[i]) == index[i]);
}

/* Equal rows, wrong and right, at every place: the lower index comes first, and each tie is counted. */
static void test_ties(void)
{
    const float query_row[1] = {0}, gallery_rows[ITEMS] = {1, 1, -1, 1, 2};
    const int64_t query_label = 1;
    for (int right = 0; right < ITEMS; right++) {
        int64_t labels[ITEMS] = {2, 2, 2, 2, 2};
        struct sky_scores s = {0};
        const int full = SKY_PROTOCOL_FULL;
        labels[right] = 1;
        const struct sky_features query = {1, 1, query_row, &query_label, NULL}, gallery = {ITEMS, 1, gallery_rows, labels, NULL};
        CHECK_OK(sky_score(&query, &gallery, &full, 1, 1, &s));
        CHECK_NEAR(s.ap, right ? 50.0 / (right + 1) : 100, 1e-12);
        CHECK(s.tied_queries == (right < 4));
    }
}

static void test_json(void)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    const struct sky_scores s = {SKY_PROTOCOL_NO_DISTRACTORS, 8, 701, 250, 3, 1, 2, 12.5, 25, 37.5, 50, 0.1};
    sky_json_begin_object(&w, NULL);
    sky_scores_json(&w, "query2gallery", &s);
    sky_json_end_object(&w);
    CHECK(text.text &&
          !strcmp(text.text,
                  "{\"direction\": \"query2gallery\", \"protocol\": \"no-distractors\", \"queries\": 8, \"gallery\": 701, \"distractors\": 250, "
                  "\"junk\": 3, \"queries_without_match\": 1, \"tied_queries\": 2, \"r1\": 12.5, \"r5\": 25, \"r10\": 37.5, \"r1pct\": 50, \"ap\": 0.1}"));
    if (text.text) printf("%s\n", text.text);
    sky_text_free(&text);
}

int main(void)
{
    test_vectors();
    test_cmc();
    test_average_precision();
    test_one_percent();
    test_ties();
    test_json();
    return check_done();
}
