/*
 * The nearest gallery rows of each query, for sheets and look-ups. The order is the one of rank.h.
 */
#ifndef SKY_EVAL_TOP_H
#define SKY_EVAL_TOP_H

#include "features.h"

/*
 * The first k gallery rows of each query, junk left out: indices [queries, k] and Euclidean distances [queries, k]; -1 and Inf where the gallery
 * has fewer. threads 0: all cores.
 */
sky_status sky_rank_top(const struct sky_features *query, const struct sky_features *gallery, int64_t k, int threads, int64_t *indices, double *distances);
/* The same indices and distances, with the search done by a device that can (k up to SKY_TOP_MOST_PLACES less a few); NULL: none. */
struct sky_device;
sky_status sky_rank_top_on(const struct sky_features *query, const struct sky_features *gallery, int64_t k, int threads, struct sky_device *device,
                           int64_t *indices, double *distances);

#endif
