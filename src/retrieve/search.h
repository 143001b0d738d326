/*
 * What tracking and shards need of a search beyond skygem/retrieval.h.
 */
#ifndef SKY_RETRIEVE_SEARCH_H
#define SKY_RETRIEVE_SEARCH_H

#include "index.h"

/* A part of the tiles, first .. first + count: a rank's share. sky_search_open takes them all. */
sky_status sky_search_open_part(struct sky_search **out, const struct sky_index *index, int64_t first, int64_t count, int64_t k, int threads);

/* The steps of sky_search_run: all similarities of the part; its k best; the best similarity at another place than tile `first`'s (-INFINITY: there is none).
 */
void sky_search_scan(struct sky_search *search, const float *feature);
int64_t sky_search_best(struct sky_search *search, const struct sky_candidate **out);
double sky_search_elsewhere(const struct sky_search *search, int64_t tile);

/* Of the last scan: [tiles of the part]. */
const float *sky_search_similarities(const struct sky_search *search);

/* 1 / (1 + exp(-(offset + slope * margin))), or NaN without calibration or margin. */
double sky_index_confidence(const struct sky_index *index, double margin);

#endif
