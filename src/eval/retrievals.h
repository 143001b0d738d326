/*
 * What a few queries found, to look at: some spread evenly over all queries, and the hardest failures, those whose best right row lies farthest behind the first row.
 */
#ifndef SKY_EVAL_RETRIEVALS_H
#define SKY_EVAL_RETRIEVALS_H

#include "base/json.h"
#include "data/dataset.h"
#include "features.h"

enum { SKY_RETRIEVAL_TOP = 5 };

struct sky_retrieval {
    int64_t query;
    int64_t top[SKY_RETRIEVAL_TOP];      /* gallery rows, nearest first; -1 where the gallery has fewer */
    double distance[SKY_RETRIEVAL_TOP];
    int64_t right;                       /* the nearest row of the query's place; -1: the gallery has none */
    double right_distance;
};

/* Owns its items. Zero-initialise; sky_retrievals_free. */
struct sky_retrievals {
    struct sky_retrieval *samples, *failures; /* failures: hardest first */
    int64_t sample_count, failure_count;
};

/* At most `samples` and `failures` of each; fewer where there are fewer. */
sky_status sky_retrievals_choose(struct sky_retrievals *out, const struct sky_features *query, const struct sky_features *gallery, int64_t samples, int64_t failures, int threads);
void sky_retrievals_free(struct sky_retrievals *retrievals);

/* {"direction", "samples": [...], "failures": [...]}, each {"query", "place", "right", "right_distance", "found": [{"path", "place", "distance"}]}; paths
 * relative to the data root. */
void sky_retrievals_json(struct sky_json_writer *w, const char *direction, const struct sky_retrievals *retrievals, const struct sky_image_set *query,
                         const struct sky_image_set *gallery);

#endif
