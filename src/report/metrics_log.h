/*
 * metrics.jsonl: one JSON object a step, floats with 9 digits.
 */
#ifndef SKY_REPORT_METRICS_LOG_H
#define SKY_REPORT_METRICS_LOG_H

#include "skygem/trainer.h"

struct sky_metrics_log {
    int fd_plus_one; /* 0: closed */
    char *path;
};

/* Opens FOLDER/metrics.jsonl for appending; lines of steps >= next_step (of a run that died after its last checkpoint) are removed first. Zero-initialise. */
sky_status sky_metrics_open(struct sky_metrics_log *log, const char *folder, int64_t next_step);
sky_status sky_metrics_write(struct sky_metrics_log *log, const struct sky_step_report *report);
void sky_metrics_close(struct sky_metrics_log *log);

#endif
