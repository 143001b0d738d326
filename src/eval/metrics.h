/*
 * R@K, R@1 % and AP as the field's scripts print them, from exact ranks.
 *
 * Every query counts in the divisor, also one without a right row. AP is the trapezoid of the field (not scikit-learn's). R@1 % uses
 * round(gallery rows / 100), halves to even, directly as a zero-based index, as the reference does: 951 rows give what others would call R@11.
 */
#ifndef SKY_EVAL_METRICS_H
#define SKY_EVAL_METRICS_H

#include "base/json.h"
#include "rank.h"

struct sky_scores {
    enum sky_protocol protocol;
    int64_t queries, gallery /* ranked rows */, distractors /* rows whose class has no query */, junk /* rows labelled -1 */;
    int64_t queries_without_match, tied_queries;
    double r1, r5, r10, r1_percent, ap; /* percent */
};

/* Scores for each protocol asked for (enum sky_protocol; one or two), from one pass over the distances. threads 0: all cores. */
sky_status sky_score(const struct sky_features *query, const struct sky_features *gallery, const int *protocols, int protocol_count, int threads,
                     struct sky_scores *out);
/* The same scores, with the counting done by a device that can (rank.h); NULL: none. */
struct sky_device;
sky_status sky_score_on(const struct sky_features *query, const struct sky_features *gallery, const int *protocols, int protocol_count, int threads, struct sky_device *device,
                        struct sky_scores *out);

/* The same scores from given distances, asked for some queries at a time: [count, gallery rows]. The features' labels are used, their rows are not. */
typedef sky_status (*sky_distance_source)(void *context, int64_t first, int64_t count, float *distances);
sky_status sky_score_distances(const struct sky_features *query, const struct sky_features *gallery, sky_distance_source source, void *context,
                               const int *protocols, int protocol_count, int threads, struct sky_scores *out);

/* Trapezoid AP of one query, 0 .. 1, from its zero-based ascending ranks; 0 when there are none. */
double sky_average_precision(const int64_t *ranks, int64_t count);

/* The zero-based rank up to which R@1 % counts, in a gallery of `rows` rows. */
int64_t sky_one_percent_index(int64_t rows);

const char *sky_protocol_name(enum sky_protocol protocol); /* "full", "no-distractors" */

/* The fields of one result, into an object the caller has begun, so that it can add its own. */
void sky_scores_json(struct sky_json_writer *w, const char *direction, const struct sky_scores *scores);

#endif
