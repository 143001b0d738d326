/*
 * TensorBoard event files (events.out.tfevents.*): scalars, histograms, PNG images. The format is TensorFlow's record file (length, masked CRC-32C, bytes,
 * masked CRC-32C) around Event messages of protocol buffers, written by hand: no library of theirs is needed.
 */
#ifndef SKY_REPORT_EVENT_FILE_H
#define SKY_REPORT_EVENT_FILE_H

#include "base/str.h"
#include "skygem/status.h"

#include <stdint.h>

struct sky_event_file {
    int fd_plus_one; /* 0: closed; writing then does nothing */
    char *path;
    struct sky_text record; /* scratch of one event */
};

/* A new file in `folder`; TensorBoard forgets what earlier files of the folder say of steps >= next_step. Zero-initialise. */
sky_status sky_event_file_open(struct sky_event_file *file, const char *folder, int64_t next_step);
void sky_event_file_close(struct sky_event_file *file);

struct sky_event_scalar {
    const char *tag; /* "train/loss": one chart a tag, grouped by what stands before '/' */
    double value;    /* NaN is left out */
};
/* One event with all values, in one write. */
sky_status sky_event_file_scalars(struct sky_event_file *file, int64_t step, const struct sky_event_scalar *scalars, int count);
/* Thirty buckets of equal width between the smallest and the largest value. */
sky_status sky_event_file_histogram(struct sky_event_file *file, int64_t step, const char *tag, const float *values, int64_t count);
sky_status sky_event_file_png(struct sky_event_file *file, int64_t step, const char *tag, int width, int height, const void *png, size_t bytes);

#endif
