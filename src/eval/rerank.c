/*
 * Re-ranking behind rerank.h. Owns a copy of all rows (queries, then gallery rows), their nearest rows, and one sparse encoding a row. Sums run in one order in
 * double, so the distances do not depend on the number of threads.
 */
#include "rerank.h"

#include "base/memory.h"
#include "base/str.h"
#include "similarity.h"
#include "top.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Weights of some rows, ascending by row. */
struct code {
    int64_t count;
    int32_t *rows;
    float *weights;
};

struct sky_reranker {
    struct sky_features query, gallery;
    struct sky_rerank settings;
    int threads;
    int64_t count, near; /* all rows; nearest rows kept of each, itself among them */
    float *rows;         /* [count, dimensions] */
    int64_t *nearest;    /* [count, near] */
    double *farthest;    /* [count] largest squared distance to any row */
    double *norms;       /* [count] squared */
    struct code *codes;  /* [count] */
    int64_t *first;      /* [count + 1]: the gallery rows whose code has row r are holders[first[r]] .. */
    int32_t *holders;    /* gallery row numbers, ascending */
    float *shares;       /* their weights */
    struct sky_similarity *similarity;
    double *work;     /* [threads, count] scratch, zero between uses */
    int32_t *touched; /* [threads, count] */
};

static int64_t half_of(int64_t k1) { return k1 / 2 + (k1 % 2 && k1 / 2 % 2); /* halves to even, as the paper's code rounds */ }

/* The most that may be needed; a code can hardly be that long. */
static size_t memory_bound(const struct sky_reranker *r)
{
    const double n = (double)r->count, near = (double)(r->settings.k1 + 1), threads = (double)r->threads;
    double code = near * (double)(half_of(r->settings.k1) + 2);
    if (code > n) code = n;
    double expanded = code * (double)r->settings.k2;
    if (expanded > n) expanded = n;
    const double bytes =
        n * (double)r->query.dimensions * 4 + n * near * 16 + n * threads * (near + 16) * 16 + n * threads * 24 + n * (code + 2 * expanded) * 8;
    return bytes < 1e18 ? (size_t)bytes : (size_t)1e18;
}

static sky_status check_memory(const struct sky_reranker *r)
{
    const size_t need = memory_bound(r), limit = r->settings.max_bytes ? r->settings.max_bytes : SKY_RERANK_BYTES;
    char need_text[32], limit_text[32];
    if (need <= limit) return SKY_OK;
    sky_print_bytes(need, need_text);
    sky_print_bytes(limit, limit_text);
    sky_fail(SKY_UNSUPPORTED, "re-ranking", "%lld rows of %lld values with k1 %lld and k2 %lld may need %s; the limit is %s", (long long)r->count,
             (long long)r->query.dimensions, (long long)r->settings.k1, (long long)r->settings.k2, need_text, limit_text);
    return sky_hint("lower k1 or k2, re-rank fewer rows, or leave re-ranking out");
}

static double distance_of(const struct sky_reranker *r, int64_t a, int64_t b)
{
    return sky_squared_distance(r->rows + a * r->query.dimensions, r->rows + b * r->query.dimensions, r->query.dimensions);
}

/* Relative to the farthest row of `row`, 0 .. 1. */
static double relative(const struct sky_reranker *r, int64_t row, double squared) { return r->farthest[row] > 0 ? squared / r->farthest[row] : 0; }

/* ---- neighbours ---- */

struct search {
    struct sky_reranker *reranker;
    int64_t first; /* row of the tile's query 0 */
    double *most;  /* [threads, count] */
};

static void find_farthest(void *context, const struct sky_similarity_tile *tile)
{
    const struct search *search = context;
    const struct sky_reranker *r = search->reranker;
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t row = tile->first_query + i;
        double most = search->most[tile->thread * r->count + row];
        for (int64_t j = 0; j < tile->items; j++) {
            const double squared = r->norms[row] + r->norms[tile->first_item + j] - 2 * (double)tile->products[i * tile->stride + j];
            if (squared > most) most = squared;
        }
        search->most[tile->thread * r->count + row] = most;
    }
}

static sky_status find_neighbours(struct sky_reranker *r)
{
    const int64_t dimensions = r->query.dimensions;
    int64_t *labels = NULL;
    double *distances = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&labels, (size_t)r->count, sizeof *labels, "labels"));
    SKY_TRY_DONE(sky_alloc(&distances, (size_t)(r->count * r->near), sizeof *distances, "nearest rows"));
    const struct sky_features all = {r->count, dimensions, r->rows, labels, "re-ranking"};
    SKY_TRY_DONE(sky_rank_top(&all, &all, r->near, r->threads, r->nearest, distances));
    for (int64_t i = 0; i < r->count; i++)
        for (int64_t d = 0; d < dimensions; d++) r->norms[i] += (double)r->rows[i * dimensions + d] * (double)r->rows[i * dimensions + d];
    const struct sky_rows rows = {r->rows, NULL, r->count};
    struct search search = {.reranker = r, .most = r->work};
    SKY_TRY_DONE(sky_similarity_all(r->similarity, &rows, &rows, find_farthest, &search));
    for (int thread = 0; thread < r->threads; thread++)
        for (int64_t i = 0; i < r->count; i++)
            if (r->work[thread * r->count + i] > r->farthest[i]) r->farthest[i] = r->work[thread * r->count + i];
    memset(r->work, 0, (size_t)(r->threads * r->count) * sizeof *r->work);
done:
    free(labels);
    free(distances);
    return status;
}

/* ---- codes ---- */

static bool is_near(const struct sky_reranker *r, int64_t row, int64_t of, int64_t k)
{
    for (int64_t i = 0; i < k && i < r->near; i++)
        if (r->nearest[of * r->near + i] == row) return true;
    return false;
}

/* The rows among the k nearest of `row` that have it among their k nearest. Returns how many. */
static int64_t reciprocal(const struct sky_reranker *r, int64_t row, int64_t k, int32_t *out)
{
    int64_t count = 0;
    for (int64_t i = 0; i < k && i < r->near; i++) {
        const int64_t other = r->nearest[row * r->near + i];
        if (other >= 0 && is_near(r, row, other, k)) out[count++] = (int32_t)other;
    }
    return count;
}

static int by_row(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Turns touched entries of a thread's work into a code, and the work back to zero. */
static sky_status collect(struct code *code, double *work, int32_t *touched, int64_t count, double scale)
{
    qsort(touched, (size_t)count, sizeof *touched, by_row);
    SKY_TRY(sky_alloc(&code->rows, (size_t)count, sizeof *code->rows, "an encoding"));
    SKY_TRY(sky_alloc(&code->weights, (size_t)count, sizeof *code->weights, "an encoding"));
    code->count = count;
    for (int64_t i = 0; i < count; i++) {
        code->rows[i] = touched[i];
        code->weights[i] = (float)(work[touched[i]] * scale);
        work[touched[i]] = 0;
    }
    return SKY_OK;
}

/* Reciprocal neighbours, those of neighbours that mostly agree with them added, each weighted by its nearness. members and candidates: [k1 + 1]. */
static sky_status encode(struct sky_reranker *r, int64_t row, double *work, int32_t *touched, int32_t *members, int32_t *candidates)
{
    const int64_t k = r->settings.k1 + 1, half = half_of(r->settings.k1) + 1, own = reciprocal(r, row, k, members);
    int64_t count = 0;
    double sum = 0;
    for (int64_t m = 0; m < own; m++) {
        work[members[m]] = 1;
        touched[count++] = members[m];
    }
    for (int64_t m = 0; m < own; m++) {
        const int64_t theirs = reciprocal(r, members[m], half, candidates);
        int64_t common = 0;
        for (int64_t c = 0; c < theirs; c++)
            for (int64_t i = 0; i < own; i++) common += candidates[c] == members[i];
        if (3 * common <= 2 * theirs) continue;
        for (int64_t c = 0; c < theirs; c++)
            if (work[candidates[c]] == 0) work[candidates[c]] = 1, touched[count++] = candidates[c];
    }
    qsort(touched, (size_t)count, sizeof *touched, by_row);
    for (int64_t i = 0; i < count; i++) sum += work[touched[i]] = exp(-relative(r, row, distance_of(r, row, touched[i])));
    return collect(&r->codes[row], work, touched, count, count ? 1 / sum : 0);
}

static sky_status encode_all(struct sky_reranker *r)
{
    int32_t *members = NULL;
    int64_t failures = 0;
    const int64_t k = r->settings.k1 + 1;
    SKY_TRY(sky_alloc(&members, (size_t)(r->threads * 2 * k), sizeof *members, "neighbours"));
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 64) reduction(+ : failures)
    for (int64_t row = 0; row < r->count; row++) {
        const int thread = omp_get_thread_num();
        int32_t *mine = members + thread * 2 * k;
        failures += encode(r, row, r->work + thread * r->count, r->touched + thread * r->count, mine, mine + k) != SKY_OK;
    }
    free(members);
    return failures ? sky_fail(SKY_NOMEM, "re-ranking", "no memory for the encodings") : SKY_OK;
}

/* Each row's code becomes the mean of its k2 nearest rows' codes. */
static sky_status average_codes(struct sky_reranker *r)
{
    struct code *old = r->codes;
    int64_t failures = 0;
    const int64_t k2 = r->settings.k2 < r->near ? r->settings.k2 : r->near;
    if (r->settings.k2 == 1) return SKY_OK;
    r->codes = NULL;
    sky_status status = sky_alloc(&r->codes, (size_t)r->count, sizeof *r->codes, "encodings");
    if (status == SKY_OK) {
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 64) reduction(+ : failures)
        for (int64_t row = 0; row < r->count; row++) {
            double *work = r->work + omp_get_thread_num() * r->count;
            int32_t *touched = r->touched + omp_get_thread_num() * r->count;
            int64_t count = 0;
            for (int64_t n = 0; n < k2; n++) {
                const struct code *code = &old[r->nearest[row * r->near + n]];
                for (int64_t i = 0; i < code->count; i++) {
                    if (work[code->rows[i]] == 0) touched[count++] = code->rows[i];
                    work[code->rows[i]] += (double)code->weights[i];
                }
            }
            failures += collect(&r->codes[row], work, touched, count, 1 / (double)k2) != SKY_OK;
        }
    }
    for (int64_t row = 0; row < r->count; row++) {
        free(old[row].rows);
        free(old[row].weights);
    }
    free(old);
    if (failures) status = sky_fail(SKY_NOMEM, "re-ranking", "no memory for the encodings");
    return status;
}

/* Who of the gallery has a row in its code. */
static sky_status invert(struct sky_reranker *r)
{
    const struct code *gallery = r->codes + r->query.count;
    for (int64_t g = 0; g < r->gallery.count; g++)
        for (int64_t i = 0; i < gallery[g].count; i++) r->first[gallery[g].rows[i] + 1]++;
    for (int64_t row = 0; row < r->count; row++) r->first[row + 1] += r->first[row];
    SKY_TRY(sky_alloc(&r->holders, (size_t)r->first[r->count], sizeof *r->holders, "encodings"));
    SKY_TRY(sky_alloc(&r->shares, (size_t)r->first[r->count], sizeof *r->shares, "encodings"));
    for (int64_t g = 0; g < r->gallery.count; g++)
        for (int64_t i = 0; i < gallery[g].count; i++) {
            const int64_t at = r->first[gallery[g].rows[i]]++;
            r->holders[at] = (int32_t)g, r->shares[at] = gallery[g].weights[i];
        }
    for (int64_t row = r->count; row > 0; row--) r->first[row] = r->first[row - 1]; /* each had moved to its end */
    r->first[0] = 0;
    return SKY_OK;
}

/* All distances are relative ones: a power of two changes no digit, and keeps huge rows from overflowing. */
static void copy_scaled(float *to, const struct sky_features *from, float scale)
{
    for (int64_t i = 0; i < from->count * from->dimensions; i++) to[i] = from->rows[i] * scale;
}

sky_status sky_reranker_create(struct sky_reranker **out, const struct sky_features *query, const struct sky_features *gallery,
                               const struct sky_rerank *settings, int threads)
{
    struct sky_reranker *r = NULL;
    struct sky_measure measure = {0};
    sky_status status = SKY_OK;
    const size_t row = (size_t)query->dimensions;
    SKY_TRY(sky_alloc(&r, 1, sizeof *r, "re-ranking"));
    r->query = *query, r->gallery = *gallery, r->settings = *settings, r->threads = sky_useful_threads(threads, query, gallery);
    r->count = query->count + gallery->count;
    r->near = settings->k1 + 1 < r->count ? settings->k1 + 1 : r->count;
    SKY_TRY_DONE(sky_measure_features(&measure, query, gallery, r->threads)); /* dimensions, NaN */
    SKY_TRY_DONE(check_memory(r));
    SKY_TRY_DONE(sky_alloc(&r->rows, (size_t)r->count * row, sizeof *r->rows, "features"));
    copy_scaled(r->rows, query, measure.scale);
    copy_scaled(r->rows + (size_t)query->count * row, gallery, measure.scale);
    SKY_TRY_DONE(sky_alloc(&r->nearest, (size_t)(r->count * r->near), sizeof *r->nearest, "nearest rows"));
    SKY_TRY_DONE(sky_alloc(&r->farthest, (size_t)r->count, sizeof *r->farthest, "distances"));
    SKY_TRY_DONE(sky_alloc(&r->norms, (size_t)r->count, sizeof *r->norms, "norms"));
    SKY_TRY_DONE(sky_alloc(&r->codes, (size_t)r->count, sizeof *r->codes, "encodings"));
    SKY_TRY_DONE(sky_alloc(&r->first, (size_t)r->count + 1, sizeof *r->first, "encodings"));
    SKY_TRY_DONE(sky_alloc(&r->work, (size_t)(r->threads * r->count), sizeof *r->work, "re-ranking"));
    SKY_TRY_DONE(sky_alloc(&r->touched, (size_t)(r->threads * r->count), sizeof *r->touched, "re-ranking"));
    SKY_TRY_DONE(sky_similarity_create(&r->similarity, query->dimensions, 1, r->threads));
    SKY_TRY_DONE(find_neighbours(r));
    SKY_TRY_DONE(encode_all(r));
    SKY_TRY_DONE(average_codes(r));
    SKY_TRY_DONE(invert(r));
    *out = r;
    r = NULL;
done:
    sky_measure_free(&measure);
    sky_reranker_destroy(r);
    return status;
}

void sky_reranker_destroy(struct sky_reranker *r)
{
    if (!r) return;
    for (int64_t row = 0; r->codes && row < r->count; row++) {
        free(r->codes[row].rows);
        free(r->codes[row].weights);
    }
    sky_similarity_destroy(r->similarity);
    free(r->rows);
    free(r->nearest);
    free(r->farthest);
    free(r->norms);
    free(r->codes);
    free(r->first);
    free(r->holders);
    free(r->shares);
    free(r->work);
    free(r->touched);
    free(r);
}

/* ---- final distances ---- */

struct mixing {
    const struct sky_reranker *reranker;
    int64_t first;
    float *distances;
};

static void put_first_distances(void *context, const struct sky_similarity_tile *tile)
{
    const struct mixing *mixing = context;
    const struct sky_reranker *r = mixing->reranker;
    for (int64_t i = 0; i < tile->queries; i++) {
        const int64_t query = mixing->first + tile->first_query + i;
        for (int64_t j = 0; j < tile->items; j++) {
            const double squared = r->norms[query] + r->norms[r->query.count + tile->first_item + j] - 2 * (double)tile->products[i * tile->stride + j];
            mixing->distances[(tile->first_query + i) * r->gallery.count + tile->first_item + j] = (float)relative(r, query, squared > 0 ? squared : 0);
        }
    }
}

sky_status sky_reranker_distances(void *reranker, int64_t first, int64_t count, float *distances)
{
    const struct sky_reranker *r = reranker;
    const int64_t items = r->gallery.count, dimensions = r->query.dimensions;
    const struct sky_rows queries = {r->rows + first * dimensions, NULL, count}, gallery = {r->rows + r->query.count * dimensions, NULL, items};
    struct mixing mixing = {r, first, distances};
    SKY_TRY(sky_similarity_all(r->similarity, &queries, &gallery, put_first_distances, &mixing));
#pragma omp parallel for num_threads(r->threads) schedule(dynamic, 1)
    for (int64_t q = 0; q < count; q++) {
        const struct code *code = &r->codes[first + q];
        double *common = r->work + omp_get_thread_num() * r->count; /* [gallery] what both codes have */
        for (int64_t i = 0; i < code->count; i++)
            for (int64_t at = r->first[code->rows[i]]; at < r->first[code->rows[i] + 1]; at++)
                common[r->holders[at]] += (double)(code->weights[i] < r->shares[at] ? code->weights[i] : r->shares[at]);
        for (int64_t g = 0; g < items; g++) {
            float *distance = &distances[q * items + g];
            const double jaccard = 1 - common[g] / (2 - common[g]);
            *distance = (float)(jaccard * (1 - r->settings.lambda) + (double)*distance * r->settings.lambda);
            common[g] = 0;
        }
    }
    return SKY_OK;
}

sky_status sky_score_reranked(const struct sky_features *query, const struct sky_features *gallery, const struct sky_rerank *settings, const int *protocols,
                              int protocol_count, int threads, struct sky_scores *out)
{
    struct sky_reranker *reranker = NULL;
    SKY_TRY(sky_reranker_create(&reranker, query, gallery, settings, threads));
    const sky_status status = sky_score_distances(query, gallery, sky_reranker_distances, reranker, protocols, protocol_count, threads, out);
    sky_reranker_destroy(reranker);
    return status;
}
