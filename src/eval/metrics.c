/*
 * From ranks to scores behind metrics.h: sums over queries in their order, in double, so that a repeated evaluation gives the same digits. Owns
 * nothing beyond a call.
 */
#include "metrics.h"

#include "base/memory.h"
#include "rank_distances.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sums {
    int64_t within1, within5, within10, within_percent; /* queries whose best right row is near enough */
    int64_t without_match, tied, several;               /* several: queries with more than one right row */
    double ap, one_right_ap;                            /* one_right_ap: what AP must be if no query has several */
};

double sky_average_precision(const int64_t *ranks, int64_t count)
{
    const double step = 1.0 / (double)count;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const double before = ranks[i] ? (double)i / (double)ranks[i] : 1, at = (double)(i + 1) / (double)(ranks[i] + 1);
        sum += step * (before + at) / 2;
    }
    return sum;
}

int64_t sky_one_percent_index(int64_t rows)
{
    const double exact = 0.01 * (double)rows, down = floor(exact);
    const int64_t index = (int64_t)down;
    if (exact - down != 0.5) return exact - down > 0.5 ? index + 1 : index;
    return index % 2 ? index + 1 : index;
}

const char *sky_protocol_name(enum sky_protocol protocol) { return protocol == SKY_PROTOCOL_FULL ? "full" : "no-distractors"; }

static void add_ranking(struct sums *sums, const struct sky_ranking *ranking, enum sky_protocol protocol, int64_t percent_index)
{
    for (int64_t query = 0; query < ranking->queries; query++) {
        const int64_t count = ranking->first[query + 1] - ranking->first[query], *ranks = ranking->ranks[protocol] + ranking->first[query];
        if (!count) {
            sums->without_match++;
            continue;
        }
        sums->within1 += ranks[0] < 1;
        sums->within5 += ranks[0] < 5;
        sums->within10 += ranks[0] < 10;
        sums->within_percent += ranks[0] <= percent_index;
        sums->tied += ranking->tied[protocol][query];
        sums->several += count > 1;
        sums->ap += sky_average_precision(ranks, count);
        sums->one_right_ap += ranks[0] ? 0.5 / (double)(ranks[0] + 1) : 1;
    }
}

/* How a gallery splits (match.h). */
struct split {
    int64_t known, distractors, junk;
};

static sky_status finish(struct sky_scores *out, const struct sums *sums, enum sky_protocol protocol, int64_t queries, struct split split)
{
    const double share = 100.0 / (double)queries;
    memset(out, 0, sizeof *out);
    out->protocol = protocol;
    out->queries = queries;
    out->distractors = split.distractors;
    out->junk = split.junk;
    out->gallery = split.known + (protocol == SKY_PROTOCOL_FULL ? out->distractors : 0);
    out->queries_without_match = sums->without_match;
    out->tied_queries = sums->tied;
    out->r1 = 100.0 * (double)sums->within1 / (double)queries;
    out->r5 = 100.0 * (double)sums->within5 / (double)queries;
    out->r10 = 100.0 * (double)sums->within10 / (double)queries;
    out->r1_percent = 100.0 * (double)sums->within_percent / (double)queries;
    out->ap = 100.0 * sums->ap / (double)queries;
    /* One right row a query ties AP to the ranks: a cheap check of the sums above. */
    if (!sums->several && !(fabs(out->ap - share * sums->one_right_ap) <= 1e-9 && out->ap >= out->r1 - 1e-9))
        return sky_fail(SKY_INTERNAL, "score", "AP %.12g disagrees with the ranks (R@1 %.12g)", out->ap, out->r1);
    return SKY_OK;
}

sky_status sky_score(const struct sky_features *query, const struct sky_features *gallery, const int *protocols, int protocol_count, int threads,
                     struct sky_scores *out)
{
    return sky_score_on(query, gallery, protocols, protocol_count, threads, NULL, out);
}

sky_status sky_score_on(const struct sky_features *query, const struct sky_features *gallery, const int *protocols, int protocol_count, int threads, struct sky_device *device,
                        struct sky_scores *out)
{
    sky_status status = SKY_OK;
    struct sky_ranker *ranker = NULL;
    struct sky_ranking ranking = {0};
    struct sums sums[2] = {{0}};
    bool full = false;
    for (int i = 0; i < protocol_count; i++) full |= protocols[i] == SKY_PROTOCOL_FULL;
    const int64_t percent_index = sky_one_percent_index(gallery->count);
    SKY_TRY(sky_ranker_create(&ranker, query, gallery, full, threads, device));
    for (;;) {
        SKY_TRY_DONE(sky_ranker_next(ranker, &ranking));
        if (!ranking.queries) break;
        if (full) add_ranking(&sums[SKY_PROTOCOL_FULL], &ranking, SKY_PROTOCOL_FULL, percent_index);
        add_ranking(&sums[SKY_PROTOCOL_NO_DISTRACTORS], &ranking, SKY_PROTOCOL_NO_DISTRACTORS, percent_index);
    }
    const struct split split = {sky_ranker_known(ranker), sky_ranker_distractors(ranker), sky_ranker_junk(ranker)};
    for (int i = 0; i < protocol_count; i++) SKY_TRY_DONE(finish(&out[i], &sums[protocols[i]], protocols[i], query->count, split));
done:
    sky_ranking_free(&ranking);
    sky_ranker_destroy(ranker);
    return status;
}

sky_status sky_score_distances(const struct sky_features *query, const struct sky_features *gallery, sky_distance_source source, void *context,
                               const int *protocols, int protocol_count, int threads, struct sky_scores *out)
{
    enum { CHUNK_BYTES = 64 << 20 };
    sky_status status = SKY_OK;
    struct sky_match match = {0};
    struct sky_ranking ranking = {0};
    struct sums sums[2] = {{0}};
    float *distances = NULL;
    const int64_t percent_index = sky_one_percent_index(gallery->count), fitting = CHUNK_BYTES / ((int64_t)sizeof *distances * gallery->count);
    const int64_t chunk = fitting < 1 ? 1 : fitting < query->count ? fitting : query->count;
    SKY_TRY_DONE(sky_match_make(&match, query->labels, query->count, gallery->labels, gallery->count));
    SKY_TRY_DONE(sky_alloc(&distances, (size_t)(chunk * gallery->count), sizeof *distances, "distances"));
    for (int64_t first = 0; first < query->count; first += chunk) {
        const int64_t count = query->count - first < chunk ? query->count - first : chunk;
        SKY_TRY_DONE(source(context, first, count, distances));
        SKY_TRY_DONE(sky_rank_distances(&match, first, count, distances, gallery->count, threads, &ranking));
        add_ranking(&sums[SKY_PROTOCOL_FULL], &ranking, SKY_PROTOCOL_FULL, percent_index);
        add_ranking(&sums[SKY_PROTOCOL_NO_DISTRACTORS], &ranking, SKY_PROTOCOL_NO_DISTRACTORS, percent_index);
    }
    const struct split split = {match.known, match.distractors, match.junk};
    for (int i = 0; i < protocol_count; i++) SKY_TRY_DONE(finish(&out[i], &sums[protocols[i]], protocols[i], query->count, split));
done:
    free(distances);
    sky_ranking_free(&ranking);
    sky_match_free(&match);
    return status;
}

void sky_scores_json(struct sky_json_writer *w, const char *direction, const struct sky_scores *scores)
{
    sky_json_string(w, "direction", direction);
    sky_json_string(w, "protocol", sky_protocol_name(scores->protocol));
    sky_json_int(w, "queries", scores->queries);
    sky_json_int(w, "gallery", scores->gallery);
    sky_json_int(w, "distractors", scores->distractors);
    sky_json_int(w, "junk", scores->junk);
    sky_json_int(w, "queries_without_match", scores->queries_without_match);
    sky_json_int(w, "tied_queries", scores->tied_queries);
    sky_json_double(w, "r1", scores->r1);
    sky_json_double(w, "r5", scores->r5);
    sky_json_double(w, "r10", scores->r10);
    sky_json_double(w, "r1pct", scores->r1_percent);
    sky_json_double(w, "ap", scores->ap);
}
