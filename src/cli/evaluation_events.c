/*
 * From the files of an evaluation to TensorBoard events. The sheet is also kept as eval/sheet-N.png. Owns what it reads while it runs.
 */
#include "evaluation_events.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/memory.h"
#include "report/sheet.h"
#include "train/trainer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCORES = 5 };

static sky_status read_json(const char *run_folder, const char *kind, int64_t step, struct sky_json_document **out)
{
    char name[64], *path = NULL;
    snprintf(name, sizeof name, "eval/%s-%09lld.json", kind, (long long)step);
    SKY_TRY(sky_path_join(&path, run_folder, name));
    const sky_status status = sky_path_is_file(path) ? sky_json_read(path, (size_t)64 << 20, out) : SKY_OK;
    free(path);
    return status;
}

static const char *text_of(const struct sky_json *object, const char *name)
{
    const char *text = sky_json_text(object, name);
    return text ? text : "";
}

/* One line of the scores: "drone2satellite/full/r1", and so on; what was altered and the missing mirror pass are part of the tag. */
static sky_status write_line(struct sky_event_file *events, const struct sky_json *line, int64_t step)
{
    static const char *const names[SCORES] = {"r1", "r5", "r10", "r1pct", "ap"};
    struct sky_event_scalar scalars[SCORES];
    char tags[SCORES][160];
    const struct sky_json *flip = sky_json_get(line, "flip");
    const char *condition = text_of(line, "condition");
    for (int i = 0; i < SCORES; i++) {
        snprintf(tags[i], sizeof tags[i], "%s/%s%s%s%s/%s", text_of(line, "direction"), text_of(line, "protocol"), flip && flip->boolean ? "" : ", no mirror pass",
                 *condition && strcmp(condition, "plain") != 0 ? ", " : "", strcmp(condition, "plain") != 0 ? condition : "", names[i]);
        scalars[i] = (struct sky_event_scalar){tags[i], sky_json_number(line, names[i])};
    }
    return sky_event_file_scalars(events, step, scalars, SCORES);
}

static sky_status write_scores(struct sky_event_file *events, const char *run_folder, int64_t step)
{
    struct sky_json_document *document = NULL;
    sky_status status = read_json(run_folder, "step", step, &document);
    const struct sky_json *root = document ? sky_json_root(document) : NULL;
    for (const struct sky_json *line = root && root->kind == SKY_JSON_ARRAY ? root->first : NULL; line && status == SKY_OK; line = line->next)
        status = write_line(events, line, step);
    sky_json_free(document);
    return status;
}

static sky_status write_exponents(struct sky_event_file *events, const struct sky_trainer *trainer, int64_t step)
{
    const struct sky_graph *graph = &trainer->model.graph;
    for (int64_t i = 0; i < graph->parameter_count; i++) {
        const sky_value value = graph->parameters[i].value;
        const struct sky_tensor *tensor = &graph->tensors[value];
        float *values = NULL;
        if (strcmp(tensor->name, "gem.p") != 0) continue;
        SKY_TRY(sky_alloc(&values, (size_t)tensor->count, sizeof *values, "exponents"));
        sky_status status = sky_executor_read((struct sky_executor *)&trainer->executor, value, values); /* copies out */
        if (status == SKY_OK) status = sky_event_file_histogram(events, step, "gem/p", values, tensor->count);
        free(values);
        return status;
    }
    return SKY_OK;
}

/* Width and height stand in a PNG's first chunk. */
static int png_number(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (int)((unsigned)b[0] << 24 | (unsigned)b[1] << 16 | (unsigned)b[2] << 8 | b[3]);
}

static sky_status write_sheet(struct sky_event_file *events, const struct sky_config *config, const char *run_folder, int64_t step)
{
    struct sky_json_document *document = NULL;
    char name[64], *path = NULL, *png = NULL;
    size_t bytes = 0;
    int64_t missing = 0;
    sky_status status = SKY_OK;
    snprintf(name, sizeof name, "eval/sheet-%09lld.png", (long long)step);
    SKY_TRY_DONE(read_json(run_folder, "retrievals", step, &document));
    if (!document) goto done;
    SKY_TRY_DONE(sky_path_join(&path, run_folder, name));
    SKY_TRY_DONE(sky_sheet_png(sky_json_root(document), config->data.root, (enum sky_exif)config->data.exif, path, &missing));
    SKY_TRY_DONE(sky_file_read(path, (size_t)256 << 20, &png, &bytes));
    if (bytes > 24) status = sky_event_file_png(events, step, "retrievals, then hardest failures", png_number(png + 16), png_number(png + 20), png, bytes);
done:
    sky_json_free(document);
    free(path);
    free(png);
    return status;
}

sky_status sky_evaluation_events(struct sky_event_file *events, const struct sky_config *config, const struct sky_trainer *trainer, const char *run_folder)
{
    const int64_t step = sky_trainer_next_step(trainer);
    if (!events->fd_plus_one) return SKY_OK;
    SKY_TRY(write_scores(events, run_folder, step));
    SKY_TRY(write_exponents(events, trainer, step));
    return write_sheet(events, config, run_folder, step);
}
