/*
 * The runs behind one row of a table: finds them, reads each one's last scores and settings, and sums them up. Owns what it reads while it runs; results go into the row.
 */
#include "table_row.h"

#include "base/fs.h"
#include "base/json.h"
#include "skygem/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Scores of all finished runs, run by run. */
struct gathered {
    double sum[SKY_TABLE_SCORES], squares[SKY_TABLE_SCORES];
    struct sky_config first; /* settings of the first finished run */
    bool has_first;
};

/* eval/step-N.json with the largest N; *step = -1 without any. */
static sky_status newest_scores(const char *run, char **path, int64_t *step)
{
    struct sky_listing listing = {0};
    char *folder = NULL;
    sky_status status = SKY_OK;
    *step = -1;
    SKY_TRY(sky_path_join(&folder, run, "eval"));
    if (sky_path_is_folder(folder)) status = sky_folder_list(folder, &listing);
    for (int64_t i = listing.count - 1; i >= 0 && *step < 0 && status == SKY_OK; i--) {
        long long number = 0;
        char end[8] = "";
        if (sscanf(listing.entries[i].name, "step-%lld.%7s", &number, end) != 2 || strcmp(end, "json")) continue;
        *step = number;
        status = sky_path_join(path, folder, listing.entries[i].name);
    }
    sky_listing_free(&listing);
    free(folder);
    return status;
}

/* A run is over when its scores are those of its last step, and that step ends its last epoch. */
static sky_status is_finished(const char *run, const struct sky_config *config, int64_t scored, bool *finished)
{
    char *path = NULL, *text = NULL;
    size_t bytes = 0;
    SKY_TRY(sky_path_join(&path, run, "metrics.jsonl"));
    sky_status status = sky_file_read(path, (size_t)4 << 30, &text, &bytes);
    struct sky_json_document *line = NULL;
    if (status == SKY_OK) {
        size_t end = bytes;
        while (end > 0 && text[end - 1] == '\n') end--;
        size_t start = end;
        while (start > 0 && text[start - 1] != '\n') start--;
        status = sky_json_parse(text + start, end - start, path, &line);
    }
    if (status == SKY_OK) {
        const struct sky_json *step = sky_json_get(sky_json_root(line), "step"), *epoch = sky_json_get(sky_json_root(line), "epoch");
        *finished = step && epoch && step->integer + 1 == scored && epoch->integer + 1 == config->train.epochs;
    }
    sky_json_free(line);
    free(text);
    free(path);
    return status;
}

static bool is_text(const struct sky_json *object, const char *name, const char *wanted)
{
    const char *text = sky_json_text(object, name);
    return text && !strcmp(text, wanted);
}

/* The paper's numbers rank the whole gallery; the mirrored pass counts where the run has it. */
static sky_status read_scores(const char *path, double scores[SKY_TABLE_SCORES], bool *plain)
{
    static const char *const directions[2] = {"drone2satellite", "satellite2drone"};
    struct sky_json_document *document = NULL;
    SKY_TRY(sky_json_read(path, (size_t)64 << 20, &document));
    sky_status status = SKY_OK;
    for (int d = 0; d < 2 && status == SKY_OK; d++) {
        const struct sky_json *best = NULL;
        const struct sky_json *root = sky_json_root(document);
        for (const struct sky_json *item = root->kind == SKY_JSON_ARRAY ? root->first : NULL; item; item = item->next) {
            const struct sky_json *flip = sky_json_get(item, "flip");
            if (!is_text(item, "direction", directions[d]) || !is_text(item, "protocol", "full") || !flip) continue;
            if (sky_json_get(item, "condition") && !is_text(item, "condition", "plain")) continue;
            if (!best || flip->boolean) best = item, *plain = !flip->boolean;
        }
        scores[2 * d] = sky_json_number(best, "r1"), scores[2 * d + 1] = sky_json_number(best, "ap");
        if (!(scores[2 * d] >= 0) || !(scores[2 * d + 1] >= 0)) status = sky_fail(SKY_DATA, path, "has no r1 and ap of %s over the full gallery", directions[d]);
    }
    sky_json_free(document);
    return status;
}

static sky_status read_settings(const char *run, struct sky_config *config)
{
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, run, "run.ini"));
    const sky_status status = sky_config_read(config, path, NULL, 0);
    free(path);
    return status;
}

/* Keeps the first run's difference from the experiment, and what any later run does not share with the first. */
static sky_status compare_settings(struct sky_table_row *row, struct gathered *all, struct sky_config *config, const struct sky_config *experiment)
{
    if (!all->has_first) {
        all->first = *config, all->has_first = true;
        *config = (struct sky_config){0};
        return sky_config_differences(&all->first, experiment, &row->differs);
    }
    if (row->mixed && *row->mixed) return SKY_OK;
    free(row->mixed);
    row->mixed = NULL;
    return sky_config_differences(config, &all->first, &row->mixed);
}

static sky_status add_run(struct sky_table_row *row, struct gathered *all, const char *run, const struct sky_config *experiment)
{
    struct sky_config config = {0};
    double scores[SKY_TABLE_SCORES];
    char *path = NULL;
    int64_t step = -1;
    bool finished = false, plain = false;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(read_settings(run, &config));
    SKY_TRY_DONE(newest_scores(run, &path, &step));
    if (step >= 0) SKY_TRY_DONE(is_finished(run, &config, step, &finished));
    if (!finished) {
        row->unfinished++;
        goto done;
    }
    SKY_TRY_DONE(read_scores(path, scores, &plain));
    SKY_TRY_DONE(compare_settings(row, all, &config, experiment));
    for (int k = 0; k < SKY_TABLE_SCORES; k++) all->sum[k] += scores[k], all->squares[k] += scores[k] * scores[k];
    row->runs++, row->plain += plain;
done:
    sky_config_free(&config);
    free(path);
    return status;
}

static bool is_run(const char *folder)
{
    char *path = NULL;
    const bool is = sky_path_join(&path, folder, "run.ini") == SKY_OK && sky_path_is_file(path);
    free(path);
    return is;
}

static void sum_up(struct sky_table_row *row, const struct gathered *all)
{
    const double n = (double)row->runs;
    for (int k = 0; k < SKY_TABLE_SCORES && row->runs > 0; k++) {
        row->mean[k] = all->sum[k] / n;
        const double variance = row->runs > 1 ? (all->squares[k] - n * row->mean[k] * row->mean[k]) / (n - 1) : 0;
        row->deviation[k] = variance > 0 ? sqrt(variance) : 0;
    }
}

sky_status sky_table_row_gather(struct sky_table_row *row, const char *folder, const struct sky_config *experiment)
{
    struct gathered all = {0};
    struct sky_listing listing = {0};
    sky_status status = SKY_OK;
    if (is_run(folder)) SKY_TRY_DONE(add_run(row, &all, folder, experiment));
    else if (sky_path_is_folder(folder)) SKY_TRY_DONE(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count && status == SKY_OK; i++) {
        char *run = NULL;
        status = sky_path_join(&run, folder, listing.entries[i].name);
        if (status == SKY_OK && is_run(run)) status = add_run(row, &all, run, experiment);
        free(run);
    }
    sum_up(row, &all);
done:
    sky_listing_free(&listing);
    if (all.has_first) sky_config_free(&all.first);
    return status;
}
