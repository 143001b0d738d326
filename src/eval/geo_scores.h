/*
 * How near in metres a retrieval comes, DenseUAV's two measures for geo-tagged places:
 *
 *   SDM@K = sum over i = 1..K of (K - i + 1) exp(-5000 d_i) / sum of (K - i + 1), d_i the distance in degrees from the query to the i-th row found;
 *   MA@m  = share of the queries whose first row lies within m metres (great circle, radius 6378.137 km).
 */
#ifndef SKY_EVAL_GEO_SCORES_H
#define SKY_EVAL_GEO_SCORES_H

#include "data/geo_tags.h"
#include "features.h"

enum { SKY_SDM_COUNT = 4, SKY_MA_COUNT = 6 };
extern const int sky_sdm_depths[SKY_SDM_COUNT]; /* 1, 3, 5, 10 */
extern const int sky_ma_metres[SKY_MA_COUNT];   /* 3, 5, 10, 20, 50, 100 */

struct sky_geo_scores {
    double sdm[SKY_SDM_COUNT], ma[SKY_MA_COUNT]; /* percent */
};

/* Over the whole gallery, junk left out. Where the gallery has fewer than K rows, the ranks that are missing count as infinitely far. SKY_DATA: a label without
 * a tag. */
sky_status sky_geo_score(const struct sky_features *query, const struct sky_features *gallery, const struct sky_geo_tags *tags, int threads,
                         struct sky_geo_scores *out);

double sky_geo_degrees(const struct sky_geo_tag *a, const struct sky_geo_tag *b); /* as on a flat map, as the reference takes it */
double sky_geo_metres(const struct sky_geo_tag *a, const struct sky_geo_tag *b);

#endif
