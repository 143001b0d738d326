/*
 * Draws progress lines. Keeps no memory beyond its struct; on a terminal a line has only those of its parts that fit whole.
 */
#include "progress.h"

#include "base/clock.h"
#include "base/str.h"
#include "console.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void sky_print_duration(double seconds, char out[32])
{
    const long long s = seconds < 0 ? 0 : (long long)(seconds + 0.5);
    if (s >= 3600) snprintf(out, 32, "%lld h %02lld min", s / 3600, s / 60 % 60);
    else if (s >= 60) snprintf(out, 32, "%lld min %02lld s", s / 60, s % 60);
    else snprintf(out, 32, "%lld s", s);
}

void sky_progress_begin(struct sky_progress *progress, const char *what, const char *unit, int64_t total, int64_t first)
{
    const char *terminal = getenv("TERM");
    *progress = (struct sky_progress){.what = what, .unit = unit, .total = total, .first = first, .start = sky_now()};
    progress->terminal = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    progress->interval = progress->terminal ? 0.2 : 10;
    progress->last_shown = progress->start;
}

/* Letters that fit a line without touching its end, where some terminals wrap already. */
static size_t terminal_columns(void)
{
    struct winsize window = {0};
    const char *said = getenv("COLUMNS");
    int64_t columns = 80;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col) columns = window.ws_col;
    else if (said && (!sky_parse_int(said, &columns) || columns < 1)) columns = 80;
    return (size_t)(columns > 1 ? columns - 1 : 1);
}

/* Parts are two blanks apart; those that do not fit go, from the end. */
static void shorten(char *line, size_t columns)
{
    size_t at = columns;
    if (strlen(line) <= columns) return;
    while (at && strncmp(line + at, "  ", 2) != 0) at--;
    line[at ? at : columns] = 0;
}

void sky_progress_show(struct sky_progress *progress, int64_t done, double rate_scale, const char *extra)
{
    const double now = sky_now(), spent = now - progress->start;
    if (now - progress->last_shown < progress->interval && done < progress->total) return;
    progress->last_shown = now;
    const double rate = spent > 0 ? (double)(done - progress->first) / spent : 0;
    char left[32], line[512];
    sky_print_duration(rate > 0 ? (double)(progress->total - done) / rate : 0, left);
    snprintf(line, sizeof line, "%s %lld/%lld  %.1f %s/s  ETA %s%s%s", progress->what, (long long)done, (long long)progress->total, rate * rate_scale,
             progress->unit, left, extra ? "  " : "", extra ? extra : "");
    if (!progress->terminal) {
        sky_log(SKY_LOG_INFO, "%s", line);
        return;
    }
    shorten(line, terminal_columns());
    sky_console_passing(line);
}

void sky_progress_end(struct sky_progress *progress)
{
    if (progress->terminal) sky_console_passing(NULL);
}
