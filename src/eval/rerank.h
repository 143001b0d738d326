/*
 * k-reciprocal re-ranking (Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding", 2017): rows that have each other among
 * their nearest count as neighbours; the share of neighbours that two rows have in common (Jaccard distance) is mixed with their first distance.
 *
 * Queries and gallery rows are neighbours of each other alike, whatever their label (junk and distractors too: a retrieval does not know them); labels matter
 * only when the new distances are scored. All pairs of all rows are compared, twice, but no table of all pairs is ever held.
 */
#ifndef SKY_EVAL_RERANK_H
#define SKY_EVAL_RERANK_H

#include "metrics.h"

#include <stddef.h>

struct sky_rerank {
    int64_t k1, k2;   /* 20 and 6 in the paper; k2 = 1: no averaging over neighbours */
    double lambda;    /* 0.3: share of the first distance in the last */
    size_t max_bytes; /* 0: SKY_RERANK_BYTES */
};

#define SKY_RERANK_BYTES ((size_t)4 << 30)

/* Opaque: neighbours and encodings of both sets. The features are borrowed. SKY_UNSUPPORTED: more memory might be needed than max_bytes; the number is named.
 */
struct sky_reranker;
sky_status sky_reranker_create(struct sky_reranker **out, const struct sky_features *query, const struct sky_features *gallery,
                               const struct sky_rerank *settings, int threads);
void sky_reranker_destroy(struct sky_reranker *reranker);

/* The final distances of queries first .. first+count-1 to every gallery row: [count, gallery]. A struct sky_reranker is the context: a sky_distance_source. */
sky_status sky_reranker_distances(void *reranker, int64_t first, int64_t count, float *distances);

/* sky_score with re-ranked distances. */
sky_status sky_score_reranked(const struct sky_features *query, const struct sky_features *gallery, const struct sky_rerank *settings, const int *protocols,
                              int protocol_count, int threads, struct sky_scores *out);

#endif
