/*
 * Puts the page together: header, tiles, scores, charts, exponents, sheets, settings. Every text from a file is escaped. Owns only what it makes while it runs.
 */
#include "page.h"

#include "base/fs.h"
#include "base/memory.h"
#include "chart.h"
#include "page_style.h"
#include "skygem/config.h"
#include "skygem/skygem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_tile(struct sky_text *out, const char *value, const char *what)
{
    sky_text_append(out, "<div class='tile'><b>");
    sky_html_escape(out, value);
    sky_text_append(out, "</b><span>");
    sky_html_escape(out, what);
    sky_text_append(out, "</span></div>");
}

static void print_duration(double seconds, char out[32])
{
    const long long minutes = (long long)(seconds / 60 + 0.5);
    if (seconds < 100) snprintf(out, 32, "%.0f s", seconds);
    else if (minutes < 100) snprintf(out, 32, "%lld min", minutes);
    else snprintf(out, 32, "%lld h %02lld min", minutes / 60, minutes % 60);
}

static void add_tiles(const struct sky_run_data *run, struct sky_text *out)
{
    char value[32], what[96], direction[64];
    sky_text_append(out, "<div class='tiles'>");
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        const struct sky_run_score *score = sky_run_data_score(run, -1, sky_direction_name(d), "full");
        if (!score) continue;
        sky_print_direction(score->direction, direction);
        snprintf(value, sizeof value, "%.2f %%", score->r1), snprintf(what, sizeof what, "R@1 %s", direction);
        add_tile(out, value, what);
        snprintf(value, sizeof value, "%.2f %%", score->ap), snprintf(what, sizeof what, "AP %s", direction);
        add_tile(out, value, what);
    }
    if (run->step_count) {
        const double last = run->curves[SKY_CURVE_LOSS][run->step_count - 1];
        snprintf(value, sizeof value, "%.4g", last), add_tile(out, value, "loss of the last step");
        snprintf(value, sizeof value, "%.0f", run->steps[run->step_count - 1] + 1), add_tile(out, value, "steps");
        print_duration(run->seconds, value), add_tile(out, value, "in training steps");
    }
    if (run->skipped_updates) snprintf(value, sizeof value, "%lld", (long long)run->skipped_updates), add_tile(out, value, "updates left out: gradients not finite");
    if (run->skipped_images) snprintf(value, sizeof value, "%lld", (long long)run->skipped_images), add_tile(out, value, "broken images replaced");
    sky_text_append(out, "</div>\n");
}

static void add_score_row(const char *name, const struct sky_run_score *score, struct sky_text *out)
{
    char direction[64];
    sky_text_append(out, "<tr><td class='t'>");
    sky_html_escape(out, name);
    sky_text_append(out, "</td><td class='t'>");
    sky_print_direction(score->direction, direction);
    sky_html_escape(out, direction);
    sky_text_append(out, "</td><td class='t'>");
    sky_html_escape(out, score->protocol);
    if (strcmp(score->condition, "plain") != 0) sky_text_append(out, ", "), sky_html_escape(out, score->condition);
    sky_text_format(out, "</td><td class='t'>%s</td><td>%lld</td><td>%lld</td><td>%lld</td><td><b>%.2f</b></td><td>%.2f</td><td>%.2f</td><td>%.2f</td>"
                         "<td><b>%.2f</b></td></tr>\n",
                    score->flip ? "yes" : "no", (long long)score->step, (long long)score->queries, (long long)score->gallery, score->r1, score->r5, score->r10,
                    score->r1_percent, score->ap);
}

/* A run alone shows every line of its newest evaluation; several show what is compared: the full gallery, with the mirrored pass. */
static void add_scores(const struct sky_run_data *runs, int count, struct sky_text *out)
{
    int64_t rows = 0;
    for (int r = 0; r < count; r++) rows += runs[r].score_count;
    sky_text_append(out, "<h2>Scores, percent</h2>\n");
    if (!rows) {
        sky_text_append(out, "<p class='none'>not evaluated yet</p>\n");
        return;
    }
    sky_text_append(out, "<div class='wide'><table><tr><th class='t'>run</th><th class='t'>direction</th><th class='t'>gallery</th>"
                         "<th class='t'>mirror pass</th><th>after step</th><th>queries</th>"
                         "<th>ranked</th><th>R@1</th><th>R@5</th><th>R@10</th><th>R@1%</th><th>AP</th></tr>\n");
    for (int64_t i = 0; count == 1 && i < runs->score_count; i++)
        if (runs->scores[i].step == runs->scores[runs->score_count - 1].step) add_score_row(runs->name, &runs->scores[i], out);
    for (int d = 0; count > 1 && d < SKY_SINGLE_DIRECTIONS; d++)
        for (int r = 0; r < count; r++) {
            const struct sky_run_score *score = sky_run_data_score(&runs[r], -1, sky_direction_name(d), "full");
            if (score) add_score_row(runs[r].name, score, out);
        }
    sky_text_append(out, "</table></div>\n");
}

/* One chart of a curve, a series a run; a run alone may show several curves in it. */
static sky_status add_curves(const struct sky_run_data *runs, int count, const char *title, const enum sky_curve *curves, const char *const *names,
                             int curve_count, bool logarithmic, struct sky_text *out)
{
    struct sky_series *series = NULL;
    const int shown = count > 1 ? 1 : curve_count;
    SKY_TRY(sky_alloc(&series, (size_t)(count * shown), sizeof *series, "a chart"));
    for (int r = 0; r < count; r++)
        for (int c = 0; c < shown; c++)
            series[r * shown + c] = (struct sky_series){count > 1 ? runs[r].name : names[c], runs[r].steps, runs[r].curves[curves[c]], runs[r].step_count, false};
    sky_chart_lines(&(struct sky_chart){.title = title, .x_label = "step", .unit = "", .series = series, .series_count = count * shown, .logarithmic = logarithmic}, out);
    free(series);
    return SKY_OK;
}

/* R@1 of a direction over the evaluations of a run. */
struct recall {
    double *steps, *values;
    int64_t count;
};

static sky_status gather_recall(const struct sky_run_data *run, const char *direction, struct recall *out)
{
    int64_t last = -1;
    SKY_TRY(sky_alloc(&out->steps, (size_t)run->score_count + 1, sizeof *out->steps, "a chart"));
    SKY_TRY(sky_alloc(&out->values, (size_t)run->score_count + 1, sizeof *out->values, "a chart"));
    for (int64_t i = 0; i < run->score_count; i++) {
        const struct sky_run_score *score = run->scores[i].step > last ? sky_run_data_score(run, run->scores[i].step, direction, "full") : NULL;
        if (!score) continue;
        last = score->step;
        out->steps[out->count] = (double)score->step, out->values[out->count++] = score->r1;
    }
    return SKY_OK;
}

/* A run alone: a line for each direction that it has scores of; several: a line a run. */
static sky_status add_recall(const struct sky_run_data *runs, int count, struct sky_text *out)
{
    struct recall *recalls = NULL;
    struct sky_series *series = NULL;
    char names[SKY_SINGLE_DIRECTIONS][64];
    int shown[SKY_SINGLE_DIRECTIONS], direction_count = 0;
    sky_status status = SKY_OK;
    for (int d = 0; d < (count > 1 ? 1 : SKY_SINGLE_DIRECTIONS); d++) {
        if (d > 0 && !sky_run_data_score(runs, -1, sky_direction_name(d), "full")) continue;
        sky_print_direction(sky_direction_name(d), names[direction_count]);
        shown[direction_count++] = d;
    }
    const int lines = count * direction_count;
    SKY_TRY_DONE(sky_alloc(&recalls, (size_t)lines, sizeof *recalls, "a chart"));
    SKY_TRY_DONE(sky_alloc(&series, (size_t)lines, sizeof *series, "a chart"));
    for (int i = 0; i < lines; i++) {
        SKY_TRY_DONE(gather_recall(&runs[i / direction_count], sky_direction_name(shown[i % direction_count]), &recalls[i]));
        series[i] = (struct sky_series){count > 1 ? runs[i / direction_count].name : names[i % direction_count], recalls[i].steps, recalls[i].values, recalls[i].count, true};
    }
    sky_chart_lines(&(struct sky_chart){.title = count > 1 ? "R@1, drone \xe2\x86\x92 satellite, percent" : "R@1, percent", .x_label = "steps done", .unit = " %", .series = series,
                                        .series_count = lines, .from_zero = true}, out);
done:
    for (int i = 0; recalls && i < lines; i++) free(recalls[i].steps), free(recalls[i].values);
    free(recalls);
    free(series);
    return status;
}

static sky_status add_charts(const struct sky_run_data *runs, const struct sky_page_extra *extras, int count, struct sky_text *out)
{
    static const enum sky_curve loss[] = {SKY_CURVE_LOSS, SKY_CURVE_CE}, divergence[] = {SKY_CURVE_KL}, rate[] = {SKY_CURVE_LR},
                                gradient[] = {SKY_CURVE_GRADIENT}, speed[] = {SKY_CURVE_SPEED};
    static const char *const names[] = {"total", "cross entropy"};
    sky_text_append(out, "<h2>Training</h2>\n<div class='charts'>\n");
    SKY_TRY(add_curves(runs, count, "Loss", loss, names, 2, false, out));
    SKY_TRY(add_recall(runs, count, out));
    SKY_TRY(add_curves(runs, count, "Divergence of the views (KL)", divergence, names, 1, true, out));
    SKY_TRY(add_curves(runs, count, "Learning rate of the heads", rate, names, 1, true, out));
    SKY_TRY(add_curves(runs, count, "Gradient norm", gradient, names, 1, true, out));
    SKY_TRY(add_curves(runs, count, "Images a second", speed, names, 1, false, out));
    for (int r = 0; extras && r < count; r++) {
        char title[400];
        if (!extras[r].exponent_count) continue;
        snprintf(title, sizeof title, "GeM exponents p after step %lld%s%.200s", (long long)extras[r].exponents_step, count > 1 ? ", " : "", count > 1 ? runs[r].name : "");
        sky_chart_histogram(title, "p", extras[r].exponents, extras[r].exponent_count, out);
    }
    sky_text_append(out, "</div>\n");
    return SKY_OK;
}

static sky_status read_settings(const struct sky_run_data *run, struct sky_config *config)
{
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, run->path, "run.ini"));
    const sky_status status = sky_config_read(config, path, NULL, 0);
    free(path);
    return status;
}

/* What later runs do not share with the first. */
static sky_status add_differences(const struct sky_run_data *runs, int count, struct sky_text *out)
{
    struct sky_config first = {0};
    sky_status status = read_settings(&runs[0], &first);
    sky_text_append(out, "<h2>Settings that differ</h2>\n<table class='settings'>\n");
    for (int r = 1; r < count && status == SKY_OK; r++) {
        struct sky_config config = {0};
        char *differences = NULL;
        status = read_settings(&runs[r], &config);
        if (status == SKY_OK) status = sky_config_differences(&config, &first, &differences);
        sky_text_append(out, "<tr><td class='t'>");
        sky_html_escape(out, runs[r].name);
        sky_text_append(out, "</td><td class='t'>");
        sky_html_escape(out, differences && *differences ? differences : "none but the seed, folders and speed");
        sky_text_append(out, "</td></tr>\n");
        free(differences);
        sky_config_free(&config);
    }
    sky_text_append(out, "</table>\n<p class='sub'>In parentheses: the value of ");
    sky_html_escape(out, runs[0].name);
    sky_text_append(out, ".</p>\n");
    sky_config_free(&first);
    return status;
}

static void add_file(const char *title, const char *text, struct sky_text *out)
{
    if (!text) return;
    sky_text_append(out, "<details><summary>");
    sky_html_escape(out, title);
    sky_text_append(out, "</summary><pre>");
    sky_html_escape(out, text);
    sky_text_append(out, "</pre></details>\n");
}

static void add_files(const struct sky_run_data *runs, int count, struct sky_text *out)
{
    char title[400];
    sky_text_append(out, "<h2>Settings and machine</h2>\n");
    for (int r = 0; r < count; r++) {
        snprintf(title, sizeof title, "%.200s: run.ini, each key with where its value came from", runs[r].name), add_file(title, runs[r].ini, out);
        snprintf(title, sizeof title, "%.200s: env.json", runs[r].name), add_file(title, runs[r].environment, out);
    }
}

static void add_header(const struct sky_run_data *runs, int count, struct sky_text *out)
{
    sky_text_append(out, "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'><title>");
    for (int r = 0; r < count; r++) sky_text_append(out, r ? ", " : ""), sky_html_escape(out, runs[r].name);
    sky_text_format(out, "</title><style>%s</style></head><body><main>\n<h1>", page_style);
    for (int r = 0; r < count; r++) sky_text_append(out, r ? ", " : ""), sky_html_escape(out, runs[r].name);
    sky_text_append(out, "</h1>\n<p class='sub'>skygem " SKYGEM_VERSION);
    for (int r = 0; r < count; r++) sky_text_append(out, r ? ", " : " \xc2\xb7 "), sky_html_escape(out, runs[r].path);
    sky_text_append(out, "</p>\n");
}

sky_status sky_page_write(const struct sky_run_data *runs, const struct sky_page_extra *extras, int count, struct sky_text *out)
{
    add_header(runs, count, out);
    if (count == 1) add_tiles(&runs[0], out);
    add_scores(runs, count, out);
    SKY_TRY(add_charts(runs, extras, count, out));
    for (int r = 0; extras && r < count; r++)
        if (extras[r].sheets) sky_text_append(out, extras[r].sheets);
    if (count > 1) SKY_TRY(add_differences(runs, count, out));
    add_files(runs, count, out);
    for (int r = 0; r < count; r++)
        if (runs[r].damaged_lines) sky_text_format(out, "<p class='sub'>%lld lines of metrics.jsonl could not be read.</p>\n", (long long)runs[r].damaged_lines);
    sky_text_append(out, "</main></body></html>\n");
    return sky_text_status(out, "a report");
}
