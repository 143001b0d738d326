/*
 * Which queries are shown: samples spread over all, failures by how far the right row lies behind, and the JSON that reports read.
 */
#include "check.h"

#include "base/str.h"
#include "eval/retrievals.h"

#include <math.h>

/* Points on a line: the gallery stands at 0, 10, 20 .., places 0, 1, 2 ..; a last row is junk. */
enum { ITEMS = 7, QUERIES = 6 };
static const float gallery_rows[ITEMS] = {0, 10, 20, 30, 40, 50, 0.5f};
static const int64_t gallery_labels[ITEMS] = {0, 1, 2, 3, 4, 5, -1};
static const float query_rows[QUERIES] = {1, 19, 21, 8, 49, 3};
static const int64_t query_labels[QUERIES] = {0, 1, 2, 0, 1, 9}; /* right, wrong by 8, right, wrong by 6, wrong by 38, no right row at all */
static const struct sky_features gallery = {ITEMS, 1, gallery_rows, gallery_labels, "gallery"};
static const struct sky_features query = {QUERIES, 1, query_rows, query_labels, "query"};

static void test_choice(void)
{
    struct sky_retrievals r = {0};
    CHECK_OK(sky_retrievals_choose(&r, &query, &gallery, 3, 2, 1));
    CHECK(r.sample_count == 3 && r.samples[0].query == 0 && r.samples[1].query == 2 && r.samples[2].query == 4);
    CHECK(r.failure_count == 2 && r.failures[0].query == 4 && r.failures[1].query == 1);
    CHECK(r.failures[0].top[0] == 5 && r.failures[0].right == 1);
    CHECK_NEAR(r.failures[0].distance[0], 1, 1e-12);
    CHECK_NEAR(r.failures[0].right_distance, 39, 1e-12);
    CHECK(r.samples[0].top[0] == 0 && r.samples[0].top[4] == 4 && r.samples[0].right == 0); /* the junk row is nearer, and not shown */
    sky_retrievals_free(&r);

    CHECK_OK(sky_retrievals_choose(&r, &query, &gallery, 100, 100, 2));
    CHECK(r.sample_count == QUERIES && r.failure_count == 3 && r.failures[2].query == 3);
    CHECK(r.samples[5].right == -1 && isinf(r.samples[5].right_distance));
    sky_retrievals_free(&r);
    CHECK_OK(sky_retrievals_choose(&r, &query, &gallery, 0, 0, 1));
    CHECK(r.sample_count == 0 && r.failure_count == 0);
    sky_retrievals_free(&r);
}

static void test_few_rows(void)
{
    struct sky_retrievals r = {0};
    const struct sky_features two = {2, 1, gallery_rows, gallery_labels, "two"};
    CHECK_OK(sky_retrievals_choose(&r, &query, &two, 1, 9, 1));
    CHECK(r.samples[0].top[0] == 0 && r.samples[0].top[1] == 1 && r.samples[0].top[2] == -1);
    CHECK(r.failure_count == 1 && r.failures[0].query == 3);
    sky_retrievals_free(&r);
}

static void test_json(void)
{
    char *query_paths[] = {"q0", "q1"}, *gallery_paths[] = {"g0", "g1"};
    int32_t query_places[] = {0, 7}, gallery_places[] = {0, 1};
    const struct sky_image_set queries = {.paths = query_paths, .labels = query_places, .count = 2}, items = {.paths = gallery_paths, .labels = gallery_places, .count = 2};
    struct sky_retrieval one = {.query = 1, .top = {1, 0, -1, -1, -1}, .distance = {0.5, 2}, .right = -1, .right_distance = INFINITY};
    const struct sky_retrievals r = {.samples = &one, .sample_count = 1};
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_retrievals_json(&w, "drone2satellite", &r, &queries, &items);
    check_that(
        text.text &&
            !strcmp(
                text.text,
                "{\"direction\": \"drone2satellite\", \"samples\": [{\"query\": \"q1\", \"place\": 7, \"right\": null, \"right_distance\": null, \"found\": "
                "[{\"path\": \"g1\", \"place\": 1, \"distance\": 0.5}, {\"path\": \"g0\", \"place\": 0, \"distance\": 2}]}], \"failures\": []}"),
        "the JSON", __FILE__, __LINE__, text.text);
    sky_text_free(&text);
}

int main(void)
{
    test_choice();
    test_few_rows();
    test_json();
    return check_done();
}
