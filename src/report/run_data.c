/*
 * Reads a run folder. A line of metrics.jsonl that cannot be read (a run that was killed while writing) is counted, not fatal; everything else that is damaged is an error.
 */
#include "run_data.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MOST_BYTES = (size_t)4 << 30;

static int64_t whole(const struct sky_json *object, const char *name)
{
    const struct sky_json *value = sky_json_get(object, name);
    return value && value->is_integer ? value->integer : 0;
}

static void copy_text(const struct sky_json *object, const char *name, char out[24])
{
    const char *text = sky_json_text(object, name);
    snprintf(out, 24, "%s", text ? text : "");
}

static void add_step(struct sky_run_data *run, const struct sky_json *line)
{
    static const char *const names[SKY_CURVE_COUNT] = {"loss", "loss_ce", "loss_kl", NULL, "grad_norm", "img_per_s"};
    const int64_t at = run->step_count++;
    const double milliseconds = sky_json_number(line, "step_ms");
    run->steps[at] = sky_json_number(line, "step"), run->last_epoch = whole(line, "epoch");
    for (int c = 0; c < SKY_CURVE_COUNT; c++) run->curves[c][at] = c == SKY_CURVE_LR ? sky_json_number(sky_json_get(line, "lr"), "head") : sky_json_number(line, names[c]);
    if (milliseconds > 0) run->seconds += milliseconds / 1e3;
    run->skipped_updates = whole(line, "skipped"), run->skipped_images = whole(line, "skipped_images");
}

/* The file's text, or NULL where it is not there. */
static sky_status read_text(const struct sky_run_data *run, const char *name, char **out, size_t *bytes)
{
    char *path = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_path_join(&path, run->path, name));
    if (sky_path_is_file(path)) status = sky_file_read(path, MOST_BYTES, out, bytes);
    free(path);
    return status;
}

static sky_status read_metrics(struct sky_run_data *run)
{
    char *text = NULL;
    size_t bytes = 0, lines = 1;
    sky_status status = SKY_OK;
    SKY_TRY(read_text(run, "metrics.jsonl", &text, &bytes));
    if (!text) return SKY_OK;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    SKY_TRY_DONE(sky_alloc(&run->steps, lines, sizeof *run->steps, "curves"));
    for (int c = 0; c < SKY_CURVE_COUNT; c++) SKY_TRY_DONE(sky_alloc(&run->curves[c], lines, sizeof *run->curves[c], "curves"));
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t length = end ? (size_t)(end - (text + at)) : bytes - at;
        struct sky_json_document *document = NULL;
        if (length && sky_json_parse(text + at, length, "metrics.jsonl", &document) == SKY_OK && isfinite(sky_json_number(sky_json_root(document), "step")))
            add_step(run, sky_json_root(document));
        else run->damaged_lines += length > 0;
        sky_json_free(document);
        at += length + 1;
    }
done:
    free(text);
    return status;
}

static sky_status add_score(struct sky_run_data *run, int64_t step, const struct sky_json *item)
{
    struct sky_run_score *grown = realloc(run->scores, (size_t)(run->score_count + 1) * sizeof *grown);
    if (!grown) return sky_fail(SKY_NOMEM, "a report", "no memory for its scores");
    run->scores = grown;
    struct sky_run_score *score = &grown[run->score_count++];
    const struct sky_json *flip = sky_json_get(item, "flip");
    *score = (struct sky_run_score){.step = step, .flip = flip && flip->boolean, .queries = whole(item, "queries"), .gallery = whole(item, "gallery"),
                                    .r1 = sky_json_number(item, "r1"), .r5 = sky_json_number(item, "r5"), .r10 = sky_json_number(item, "r10"),
                                    .r1_percent = sky_json_number(item, "r1pct"), .ap = sky_json_number(item, "ap")};
    copy_text(item, "direction", score->direction);
    copy_text(item, "protocol", score->protocol);
    copy_text(item, "condition", score->condition);
    if (!*score->condition) snprintf(score->condition, sizeof score->condition, "plain");
    return SKY_OK;
}

static sky_status read_evaluation(struct sky_run_data *run, int64_t step, const char *path)
{
    struct sky_json_document *document = NULL;
    sky_status status = sky_json_read(path, MOST_BYTES, &document);
    const struct sky_json *root = document ? sky_json_root(document) : NULL;
    if (status == SKY_OK && (root->kind != SKY_JSON_ARRAY || !root->first)) status = sky_fail(SKY_FORMAT, path, "is not a list of scores");
    for (const struct sky_json *item = root ? root->first : NULL; item && status == SKY_OK; item = item->next) status = add_score(run, step, item);
    if (status == SKY_FORMAT) sky_hint("remove this file; 'skygem train %s --resume' scores the last step again", run->path);
    sky_json_free(document);
    return status;
}

/* eval/step-NNNNNNNNN.json, in the order of the steps. */
static sky_status read_evaluations(struct sky_run_data *run)
{
    struct sky_listing listing = {0};
    char *folder = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_path_join(&folder, run->path, "eval"));
    if (sky_path_is_folder(folder)) status = sky_folder_list(folder, &listing);
    for (int64_t i = 0; i < listing.count && status == SKY_OK; i++) {
        long long step = 0;
        char end[8] = "", *path = NULL;
        if (sscanf(listing.entries[i].name, "step-%lld.%7s", &step, end) != 2 || strcmp(end, "json") != 0) continue;
        status = sky_path_join(&path, folder, listing.entries[i].name);
        if (status == SKY_OK) status = read_evaluation(run, step, path);
        free(path);
    }
    sky_listing_free(&listing);
    free(folder);
    return status;
}

static sky_status name_run(struct sky_run_data *run, const char *path)
{
    char *absolute = realpath(path, NULL);
    if (!absolute) return sky_fail_errno(path, "opening");
    run->path = absolute;
    return sky_strdup(&run->name, sky_path_base(absolute), "a run's name");
}

sky_status sky_run_data_read(struct sky_run_data *run, const char *path)
{
    size_t bytes = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(name_run(run, path));
    SKY_TRY_DONE(read_text(run, "run.ini", &run->ini, &bytes));
    if (!run->ini) {
        sky_fail(SKY_USAGE, path, "is not a run folder: it has no run.ini");
        SKY_TRY_DONE(sky_hint("'skygem train' makes run folders; by default they are runs/NAME"));
    }
    SKY_TRY_DONE(read_text(run, "env.json", &run->environment, &bytes));
    SKY_TRY_DONE(read_metrics(run));
    SKY_TRY_DONE(read_evaluations(run));
done:
    if (status != SKY_OK) sky_run_data_free(run);
    return status;
}

void sky_run_data_free(struct sky_run_data *run)
{
    for (int c = 0; c < SKY_CURVE_COUNT; c++) free(run->curves[c]);
    free(run->steps);
    free(run->scores);
    free(run->ini), free(run->environment), free(run->path), free(run->name);
    memset(run, 0, sizeof *run);
}

const struct sky_run_score *sky_run_data_score(const struct sky_run_data *run, int64_t step, const char *direction, const char *protocol)
{
    const struct sky_run_score *found = NULL;
    for (int64_t i = 0; i < run->score_count; i++) {
        const struct sky_run_score *score = &run->scores[i];
        if (strcmp(score->condition, "plain") != 0) continue;
        if ((step >= 0 && score->step != step) || strcmp(score->direction, direction) != 0 || strcmp(score->protocol, protocol) != 0) continue;
        if (!found || score->step > found->step || (score->step == found->step && score->flip)) found = score;
    }
    return found;
}
