/*
 * A line that says how far a long job is: on a terminal it is rewritten in place, elsewhere one line goes to the log now and then. stderr only.
 */
#ifndef SKY_CLI_PROGRESS_H
#define SKY_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct sky_progress {
    const char *what; /* "embedding query_drone" */
    const char *unit; /* "img": rate is in units a second */
    int64_t total, first;
    double start, last_shown, interval;
    bool terminal;
};

/* first: how much was done before this process (a resume); rates and ETA leave it out. */
void sky_progress_begin(struct sky_progress *progress, const char *what, const char *unit, int64_t total, int64_t first);
/* extra: more text for the line, or NULL. rate_scale: units a step of `done`. */
void sky_progress_show(struct sky_progress *progress, int64_t done, double rate_scale, const char *extra);
void sky_progress_end(struct sky_progress *progress);

/* "1 h 02 min", "3 min 20 s", "12 s". Buffer of 32 bytes. */
void sky_print_duration(double seconds, char out[32]);

#endif
