/*
 * What the two ways of counting share: the ranker and a range of its queries. Not for other files than rank.c and rank_device.c.
 */
#ifndef SKY_EVAL_RANKER_H
#define SKY_EVAL_RANKER_H

#include "backend/backend.h"
#include "match.h"
#include "rank.h"
#include "similarity.h"

enum { KNOWN, DISTRACTORS, STRETCHES };

struct sky_ranker {
    struct sky_features query, gallery;
    struct sky_match match;
    struct sky_measure measure;
    struct sky_similarity *similarity;
    float *half_norms; /* [ranked] in walking order */
    int stretches, threads;
    struct sky_device *device; /* NULL: everything is counted here */
    int64_t ranked, next_query;
};

struct sky_right {
    double distance; /* squared */
    int64_t item;
};

struct sky_rank_range {
    const struct sky_ranker *ranker;
    int64_t first_query, queries, count; /* count: right rows of all these queries */
    int64_t *first;                      /* [queries + 1] where a query's right rows begin */
    struct sky_right *rights;            /* [count] a query's nearest first, equal ones by gallery index */
    float *keys;                         /* [count] the same distances as keys (features.h), ascending likewise */
    uint32_t *counters; /* [threads][stretches][count + queries]: of query q, at first[q] + q: rows behind t right rows, t = 0 .. number of right rows */
    uint32_t *ties;     /* [threads][stretches][queries] rows exactly as far as the best right one, itself among them */
};

static inline uint32_t *sky_range_counters(const struct sky_rank_range *range, int thread, int stretch)
{
    return range->counters + (size_t)(thread * range->ranker->stretches + stretch) * (size_t)(range->count + range->queries);
}

static inline uint32_t *sky_range_ties(const struct sky_rank_range *range, int thread, int stretch)
{
    return range->ties + (size_t)(thread * range->ranker->stretches + stretch) * (size_t)range->queries;
}

/* Of a query of the range and a gallery row, in double. */
static inline double sky_range_distance(const struct sky_rank_range *range, int64_t query, int64_t item)
{
    const struct sky_features *all = &range->ranker->query, *gallery = &range->ranker->gallery;
    return sky_squared_distance(all->rows + (range->first_query + query) * all->dimensions, gallery->rows + item * gallery->dimensions, gallery->dimensions);
}

/* Fills thread 0's counters and ties. *done stays false, and nothing is changed, when so many pairs are close (features that nearly coincide) that the host's
 * way is the better one. */
sky_status sky_range_count_on_device(struct sky_rank_range *range, bool *done);

#endif
