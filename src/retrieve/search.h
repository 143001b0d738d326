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

/*
 * With candidates, sky_search_scan in two steps, between which ranks agree on a threshold. The part's sketches: the similarities of its most promising ones
 * (unordered, valid until the next look), and what the least of them has. Then the exact similarities of the tiles whose sketches reach a threshold; the others'
 * become -INFINITY.
 */
float sky_search_look(struct sky_search *search, const float *feature, const float **best, int64_t *count);
void sky_search_compare(struct sky_search *search, const float *feature, float threshold);

/* What the least of the `wanted` largest values has (-INFINITY: there are not so many). best: [wanted], filled with them. */
float sky_search_threshold(const float *values, int64_t count, float *best, int64_t wanted);

/* SKY_NUMERIC: a number of the feature is infinite or none; likewise the first candidate's similarity, which is then the index's fault. */
sky_status sky_search_check(const struct sky_index *index, const float *feature);
sky_status sky_search_check_best(const struct sky_index *index, const struct sky_candidate *best);

/* Of the last scan: [tiles of the part]. */
const float *sky_search_similarities(const struct sky_search *search);

/* 1 / (1 + exp(-(offset + slope * margin))), or NaN without calibration or margin. */
double sky_index_confidence(const struct sky_index *index, double margin);

#endif
