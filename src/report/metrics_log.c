/*
 * Appends a line a step with one write each, so a reader (or a crash) never sees half a line in the middle of the file. Owns the descriptor and the path.
 */
#include "metrics_log.h"

#include "base/fs.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_before(const char *line, size_t length, int64_t next_step)
{
    struct sky_json_document *document = NULL;
    if (sky_json_parse(line, length, "metrics.jsonl", &document) != SKY_OK) return false; /* a torn last line */
    const struct sky_json *step = sky_json_get(sky_json_root(document), "step");
    const bool keep = step && step->is_integer && step->integer < next_step;
    sky_json_free(document);
    return keep;
}

static sky_status drop_later_steps(const char *path, int64_t next_step)
{
    char *text = NULL;
    size_t bytes = 0, kept = 0;
    if (!sky_path_is_file(path)) return SKY_OK;
    SKY_TRY(sky_file_read(path, (size_t)4 << 30, &text, &bytes));
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t length = end ? (size_t)(end - (text + at)) : bytes - at;
        if (end && is_before(text + at, length, next_step)) {
            memmove(text + kept, text + at, length + 1);
            kept += length + 1;
        }
        at += length + 1;
    }
    const sky_status status = kept == bytes ? SKY_OK : sky_file_write_atomic(path, text, kept);
    free(text);
    return status;
}

sky_status sky_metrics_open(struct sky_metrics_log *log, const char *folder, int64_t next_step)
{
    SKY_TRY(sky_path_join(&log->path, folder, "metrics.jsonl"));
    sky_status status = drop_later_steps(log->path, next_step);
    if (status == SKY_OK) {
        log->fd_plus_one = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) + 1;
        if (!log->fd_plus_one) status = sky_fail_errno(log->path, "opening");
    }
    if (status != SKY_OK) sky_metrics_close(log);
    return status;
}

sky_status sky_metrics_write(struct sky_metrics_log *log, const struct sky_step_report *report)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_json_begin_object(&w, NULL);
    sky_json_int(&w, "step", report->step);
    sky_json_int(&w, "epoch", report->epoch);
    sky_json_float(&w, "loss", (float)report->loss);
    sky_json_float(&w, "loss_ce", (float)report->loss_ce);
    sky_json_float(&w, "loss_kl", (float)report->loss_kl);
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "loss_%s", sky_pair_loss_name(i));
        if (report->has_pairs[i]) sky_json_float(&w, name, (float)report->loss_pairs[i]);
    }
    sky_json_begin_object(&w, "lr");
    sky_json_float(&w, "backbone", (float)report->lr_backbone);
    sky_json_float(&w, "head", (float)report->lr_head);
    sky_json_float(&w, "gem", (float)report->lr_gem);
    sky_json_end_object(&w);
    sky_json_float(&w, "grad_norm", (float)report->gradient_norm);
    sky_json_float(&w, "img_per_s", (float)((double)report->images / report->step_seconds));
    sky_json_float(&w, "step_ms", (float)(1e3 * report->step_seconds));
    sky_json_float(&w, "data_ms", (float)(1e3 * report->data_seconds));
    sky_json_float(&w, "comm_ms", (float)(1e3 * report->exchange_seconds));
    sky_json_int(&w, "skipped", report->skipped_updates);
    sky_json_int(&w, "skipped_images", report->skipped_images);
    sky_json_int(&w, "gem_clamped", report->clamped);
    sky_json_end_object(&w);
    sky_status status = sky_text_status(&text, "a line of metrics.jsonl");
    if (status == SKY_OK) status = sky_file_append_line(log->fd_plus_one - 1, log->path, text.text);
    sky_text_free(&text);
    return status;
}

void sky_metrics_close(struct sky_metrics_log *log)
{
    if (log->fd_plus_one) close(log->fd_plus_one - 1);
    free(log->path);
    memset(log, 0, sizeof *log);
}
