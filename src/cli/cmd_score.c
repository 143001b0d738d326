/*
 * skygem score: R@K and AP of any features in .npy files, by exact ranks (eval/metrics.h).
 */
#include "commands.h"

#include "base/clock.h"
#include "base/str.h"
#include "eval/conditions.h"
#include "eval/rerank.h"
#include "io/npy.h"
#include "skygem/log.h"

#include <stdio.h>

enum { QUERY, GALLERY, SIDES };

static const struct sky_option options[] = {
    {"query", 0, "FILE", NULL, "query features: .npy [rows, dimensions]", false},
    {"query-labels", 0, "FILE", NULL, "their labels: .npy [rows]", false},
    {"gallery", 0, "FILE", NULL, "gallery features: .npy [rows, dimensions]", false},
    {"gallery-labels", 0, "FILE", NULL, "their labels: .npy [rows]; -1 is junk and never ranked", false},
    {"protocol", 0, "WHICH", NULL, "full or no-distractors (default: both)", false},
    {"rerank", 0, NULL, NULL, "score also after k-reciprocal re-ranking", false},
    {"k1", 0, "N", "20", "re-ranking: nearest rows that are asked for reciprocity", false},
    {"k2", 0, "N", "6", "re-ranking: nearest rows that are averaged; 1: none", false},
    {"lambda", 0, "X", "0.3", "re-ranking: share of the first distance in the last", false},
    {"threads", 't', "N", "0", "0: all cores; the digits do not depend on it", false},
    {"json", 0, NULL, NULL, "print the result as JSON: one object, or a list when both protocols or re-ranking are asked for", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* One side's two files; the features point into them. */
struct side {
    struct sky_npy rows, labels;
    struct sky_features features;
};

static sky_status open_file(const struct sky_args *args, const char *option, struct sky_npy *npy)
{
    const char *path = sky_args_text(args, option);
    if (path) return sky_npy_open(npy, path);
    sky_fail(SKY_USAGE, "skygem score", "--%s is missing", option);
    return sky_hint("--query, --query-labels, --gallery and --gallery-labels are needed; 'skygem score --help' tells what each is");
}

static sky_status check_counts(const struct side *side, int64_t labels)
{
    if (labels == side->features.count) return SKY_OK;
    return sky_fail(SKY_DATA, side->labels.path, "has %lld labels for the %lld rows of %s", (long long)labels, (long long)side->features.count,
                    side->rows.path);
}

static sky_status open_side(const struct sky_args *args, const char *rows_option, const char *labels_option, struct side *side)
{
    struct sky_features *f = &side->features;
    int64_t labels = 0;
    SKY_TRY(open_file(args, rows_option, &side->rows));
    SKY_TRY(open_file(args, labels_option, &side->labels));
    SKY_TRY(sky_npy_matrix(&side->rows, &f->count, &f->dimensions, &f->rows));
    SKY_TRY(sky_npy_labels(&side->labels, &labels, &f->labels));
    f->name = side->rows.path;
    return check_counts(side, labels);
}

static void say_counts(const struct sky_scores *s)
{
    sky_log(SKY_LOG_INFO, "%lld queries; gallery: %lld rows of classes with a query, %lld distractors, %lld junk", (long long)s->queries,
            (long long)(s->gallery - (s->protocol == SKY_PROTOCOL_FULL ? s->distractors : 0)), (long long)s->distractors, (long long)s->junk);
    if (s->queries_without_match)
        sky_log(SKY_LOG_WARNING, "%lld queries have no right row in the gallery: they count as misses", (long long)s->queries_without_match);
    if (s->tied_queries)
        sky_log(SKY_LOG_WARNING, "%s: %lld queries have a wrong row exactly as far as the best right one: the lower gallery index comes first",
                sky_protocol_name(s->protocol), (long long)s->tied_queries);
}

static const char *condition_name(int row, int plain)
{
    return sky_condition_name(row < plain ? SKY_CONDITION_PLAIN : SKY_CONDITION_RERANK);
}

/* The first `plain` rows are before re-ranking; the table says so only when there are others. */
static void print_table(const struct sky_scores *scores, int plain, int count)
{
    printf("%-15s %8s %8s %7s %7s %7s %7s %7s%s\n", "protocol", "queries", "gallery", "R@1", "R@5", "R@10", "R@1%", "AP", count > plain ? "  condition" : "");
    for (int i = 0; i < count; i++) {
        const struct sky_scores *s = &scores[i];
        printf("%-15s %8lld %8lld %7.2f %7.2f %7.2f %7.2f %7.2f%s%s\n", sky_protocol_name(s->protocol), (long long)s->queries, (long long)s->gallery, s->r1, s->r5,
               s->r10, s->r1_percent, s->ap, count > plain ? "  " : "", count > plain ? condition_name(i, plain) : "");
    }
}

static sky_status print_json(const struct sky_scores *scores, int plain, int count, const struct sky_rerank *rerank)
{
    char detail[64];
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    if (count > 1) sky_json_begin_array(&w, NULL);
    for (int i = 0; i < count; i++) {
        sky_json_begin_object(&w, NULL);
        sky_scores_json(&w, "query2gallery", &scores[i]);
        sky_json_string(&w, "condition", condition_name(i, plain));
        snprintf(detail, sizeof detail, "k1 %lld, k2 %lld, lambda %g", (long long)rerank->k1, (long long)rerank->k2, rerank->lambda);
        sky_json_string(&w, "detail", i < plain ? "" : detail);
        sky_json_end_object(&w);
    }
    if (count > 1) sky_json_end_array(&w);
    const sky_status status = sky_text_status(&text, "scores");
    if (status == SKY_OK) puts(text.text);
    sky_text_free(&text);
    return status;
}

static sky_status read_rerank(const struct sky_args *args, struct sky_rerank *out)
{
    SKY_TRY(sky_args_int(args, "k1", 1, 1000, &out->k1));
    SKY_TRY(sky_args_int(args, "k2", 1, out->k1 + 1, &out->k2));
    return sky_args_double(args, "lambda", 0, 1, &out->lambda);
}

static sky_status run_score(const struct sky_args *args)
{
    static const char *const names[] = {"full", "no-distractors"}; /* order of enum sky_protocol */
    struct side sides[SIDES] = {0};
    struct sky_scores scores[4]; /* plain, re-ranked */
    struct sky_rerank rerank = {0};
    const bool reranked = sky_args_given(args, "rerank");
    int protocols[2] = {SKY_PROTOCOL_FULL, SKY_PROTOCOL_NO_DISTRACTORS}, count = 2;
    int64_t threads = 0;
    sky_status status = SKY_OK;
    SKY_TRY(sky_args_int(args, "threads", 0, 1024, &threads));
    if (reranked) SKY_TRY(read_rerank(args, &rerank));
    if (sky_args_given(args, "protocol")) {
        SKY_TRY(sky_args_choice(args, "protocol", names, 2, &protocols[0]));
        count = 1;
    }
    SKY_TRY_DONE(open_side(args, "query", "query-labels", &sides[QUERY]));
    SKY_TRY_DONE(open_side(args, "gallery", "gallery-labels", &sides[GALLERY]));
    const double start = sky_now();
    SKY_TRY_DONE(sky_score(&sides[QUERY].features, &sides[GALLERY].features, protocols, count, (int)threads, scores));
    say_counts(&scores[0]);
    if (reranked) SKY_TRY_DONE(sky_score_reranked(&sides[QUERY].features, &sides[GALLERY].features, &rerank, protocols, count, (int)threads, scores + count));
    sky_log(SKY_LOG_DEBUG, "scored in %.3f s", sky_now() - start);
    if (sky_args_given(args, "json")) status = print_json(scores, count, reranked ? 2 * count : count, &rerank);
    else print_table(scores, count, reranked ? 2 * count : count);
done:
    for (int i = 0; i < SIDES; i++) {
        sky_npy_close(&sides[i].rows);
        sky_npy_close(&sides[i].labels);
    }
    return status;
}

const struct sky_command sky_command_score = {
    .name = "score",
    .doc = "R@1, R@5, R@10, R@1% and AP of features in .npy files, by exact ranks",
    .details = "Distance is Euclidean, smaller first, ties by lower gallery index. full ranks every gallery row but those labelled -1; no-distractors\n"
               "leaves out the rows whose class has no query. R@1% is the reference's: a zero-based index of one percent of all gallery rows.",
    .options = options,
    .run = run_score,
};
