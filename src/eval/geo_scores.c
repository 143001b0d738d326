/*
 * SDM@K and MA@m behind geo_scores.h, from the nearest rows of top.h. Sums over queries run in their order.
 */
#include "geo_scores.h"

#include "base/memory.h"
#include "top.h"

#include <math.h>
#include <stdlib.h>

enum { DEPTH = 10 };

const int sky_sdm_depths[SKY_SDM_COUNT] = {1, 3, 5, DEPTH};
const int sky_ma_metres[SKY_MA_COUNT] = {3, 5, 10, 20, 50, 100};

static const double decay = 5000, radius_metres = 6378137;

double sky_geo_degrees(const struct sky_geo_tag *a, const struct sky_geo_tag *b) { return hypot(a->longitude - b->longitude, a->latitude - b->latitude); }

/* The haversine formula. */
double sky_geo_metres(const struct sky_geo_tag *a, const struct sky_geo_tag *b)
{
    const double radians = acos(-1) / 180;
    const double up = sin((a->latitude - b->latitude) * radians / 2), across = sin((a->longitude - b->longitude) * radians / 2);
    const double chord = up * up + cos(a->latitude * radians) * cos(b->latitude * radians) * across * across;
    return 2 * radius_metres * asin(sqrt(chord < 1 ? chord : 1));
}

/* One query's share of each measure. found: [DEPTH] gallery rows, -1 behind the last. */
static sky_status add_query(const struct sky_geo_tags *tags, const struct sky_geo_tag *from, const struct sky_features *gallery, const int64_t *found,
                            struct sky_geo_scores *sums)
{
    double nearness[DEPTH] = {0}, metres = INFINITY;
    for (int i = 0; i < DEPTH && found[i] >= 0; i++) {
        const struct sky_geo_tag *to = sky_geo_tags_find(tags, gallery->labels[found[i]]);
        if (!to) return sky_fail(SKY_DATA, gallery->name ? gallery->name : "gallery", "place %lld has no geo-tag", (long long)gallery->labels[found[i]]);
        nearness[i] = exp(-decay * sky_geo_degrees(from, to));
        if (i == 0) metres = sky_geo_metres(from, to);
    }
    for (int s = 0; s < SKY_SDM_COUNT; s++) {
        const int depth = sky_sdm_depths[s];
        double sum = 0;
        for (int i = 0; i < depth; i++) sum += (depth - i) * nearness[i];
        sums->sdm[s] += sum / (depth * (depth + 1) / 2.0);
    }
    for (int m = 0; m < SKY_MA_COUNT; m++) sums->ma[m] += metres <= sky_ma_metres[m];
    return SKY_OK;
}

sky_status sky_geo_score(const struct sky_features *query, const struct sky_features *gallery, const struct sky_geo_tags *tags, int threads,
                         struct sky_geo_scores *out)
{
    struct sky_geo_scores sums = {{0}, {0}};
    int64_t *found = NULL;
    double *distances = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&found, (size_t)query->count * DEPTH, sizeof *found, "nearest rows"));
    SKY_TRY_DONE(sky_alloc(&distances, (size_t)query->count * DEPTH, sizeof *distances, "nearest rows"));
    SKY_TRY_DONE(sky_rank_top(query, gallery, DEPTH, threads, found, distances));
    for (int64_t q = 0; q < query->count; q++) {
        const struct sky_geo_tag *from = sky_geo_tags_find(tags, query->labels[q]);
        if (!from) {
            status = sky_fail(SKY_DATA, query->name ? query->name : "query", "place %lld has no geo-tag", (long long)query->labels[q]);
            goto done;
        }
        SKY_TRY_DONE(add_query(tags, from, gallery, found + q * DEPTH, &sums));
    }
    for (int s = 0; s < SKY_SDM_COUNT; s++) out->sdm[s] = 100 * sums.sdm[s] / (double)query->count;
    for (int m = 0; m < SKY_MA_COUNT; m++) out->ma[m] = 100 * sums.ma[m] / (double)query->count;
done:
    free(found);
    free(distances);
    return status;
}
