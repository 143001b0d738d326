/*
 * Exact ranks of every right gallery row, found by counting: no list is ever sorted but a query's own right rows.
 *
 * The order: Euclidean distance, smaller first; equal distances by lower gallery index. It is the order of distances in double precision: a float32
 * product of both sets decides all but the pairs too close for its rounding, and those are computed again in double. So the ranks are those of a
 * plain double-precision program that sorts, at the speed of float32; equal rows are equally far wherever they stand; no digit depends on the number
 * of threads. When all features nearly coincide (a collapsed network), nearly every pair is such a pair: still right, but tens of times slower.
 */
#ifndef SKY_EVAL_RANK_H
#define SKY_EVAL_RANK_H

#include "features.h"
#include "skygem/config.h"

#include <stdbool.h>

/* The ranks of some queries. A protocol's arrays are indexed by enum sky_protocol; those of `full` are NULL when only no-distractors is wanted. */
struct sky_ranking {
    int64_t queries;   /* 0: past the last one */
    int64_t *first;    /* [queries + 1] where a query's ranks begin; a query without right rows has none */
    int64_t *ranks[2]; /* [first[queries]] zero-based, ascending a query */
    bool *tied[2];     /* [queries] a wrong row is exactly as far as the best right one */
};
void sky_ranking_free(struct sky_ranking *ranking);

/* Borrows both feature sets. `full`: rank distractors too. threads 0: all cores. device (may be NULL, borrowed): counts where it can; the ranks are the
 * same. SKY_DATA names the row and column of a NaN or Inf. */
struct sky_device;
struct sky_ranker;
sky_status sky_ranker_create(struct sky_ranker **out, const struct sky_features *query, const struct sky_features *gallery, bool full, int threads, struct sky_device *device);
void sky_ranker_destroy(struct sky_ranker *ranker);

/* Ranks the next queries, as many as fit in bounded memory, in order; *out (zero or from the last call) is replaced. */
sky_status sky_ranker_next(struct sky_ranker *ranker, struct sky_ranking *out);

/* How the gallery splits (match.h). */
int64_t sky_ranker_known(const struct sky_ranker *ranker);
int64_t sky_ranker_distractors(const struct sky_ranker *ranker);
int64_t sky_ranker_junk(const struct sky_ranker *ranker);

#endif
