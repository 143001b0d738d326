/*
 * The program's two streams and its log file. One console a process, so its state is one static struct; sky_log serialises the lines.
 */
#include "console.h"

#include "base/str.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLEAR "\r\x1b[K" /* back to the line's beginning, and empty to its end */

static struct {
    enum sky_log_level level; /* of stderr; the file takes everything that sky_log passes on */
    int colour;
    FILE *file;
    atomic_bool passing; /* a line that passes stands on the terminal: written by one thread, taken away by any that logs */
    struct sky_error said; /* the last error that was printed */
} console = {SKY_LOG_INFO, 0, NULL, false, {SKY_OK, "", "", ""}};

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static const char *const level_colours[] = {"\x1b[2m", "", "\x1b[33m", "\x1b[31m"};

static void write_to_file(enum sky_log_level level, const char *line)
{
    char date[32];
    struct tm parts;
    const time_t now = time(NULL);
    if (!console.file) return;
    localtime_r(&now, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S%z", &parts);
    fprintf(console.file, "%s %s: %s\n", date, level_names[level], line);
    fflush(console.file);
}

/* What has to be written before a line that stays. */
static const char *take_away(void) { return atomic_exchange(&console.passing, false) ? CLEAR : ""; }

static void sink(void *context, enum sky_log_level level, const char *line)
{
    (void)context;
    write_to_file(level, line);
    if (level < console.level) return;
    const char *const name = level == SKY_LOG_INFO ? "" : level_names[level];
    const char *const start = console.colour ? level_colours[level] : "", *const end = console.colour && *start ? "\x1b[0m" : "";
    fprintf(stderr, "%s%s%s%s%s%s\n", take_away(), start, name, *name ? ": " : "", end, line);
}

static void set_sink(void)
{
    const enum sky_log_level file_level = console.level < SKY_LOG_INFO ? console.level : SKY_LOG_INFO;
    sky_log_set_sink(sink, NULL, console.file ? file_level : console.level);
}

void sky_console_open(enum sky_log_level level)
{
    const char *no_colour = getenv("NO_COLOR");
    console.level = level;
    console.colour = isatty(STDERR_FILENO) && !(no_colour && *no_colour);
    set_sink();
}

sky_status sky_console_log_file(const char *path)
{
    FILE *file = fopen(path, "ae");
    if (!file) return sky_fail_errno(path, "cannot open");
    if (console.file) fclose(console.file);
    console.file = file;
    set_sink();
    return SKY_OK;
}

/* In one piece, because several processes may share the stream. Several lines (a config with several errors) start on their own, indented. */
static void print_error(FILE *to, const char *label, const struct sky_error *error)
{
    const int several = strchr(error->what, '\n') != NULL;
    struct sky_text text = {0};
    sky_text_format(&text, "%s%s%s", label, error->where, *error->where ? ":" : "");
    for (const char *line = error->what; *line;) {
        const size_t length = strcspn(line, "\n");
        sky_text_format(&text, "%s%.*s", several ? "\n  " : *error->where ? " " : "", (int)length, line);
        line += length + (line[length] == '\n');
    }
    sky_text_append(&text, "\n");
    if (*error->hint) sky_text_format(&text, "hint: %s\n", error->hint);
    if (text.text && !text.failed) fwrite(text.text, 1, text.length, to);
    else fprintf(to, "%s%s: %s\n", label, error->where, error->what);
    sky_text_free(&text);
}

void sky_console_error(const struct sky_error *error)
{
    const char *const red = console.colour ? "\x1b[1;31m" : "", *const end = console.colour ? "\x1b[0m" : "";
    char label[32];
    if (error->status == console.said.status && !strcmp(error->where, console.said.where) && !strcmp(error->what, console.said.what)) return;
    console.said = *error;
    snprintf(label, sizeof label, "%s%serror: %s", take_away(), red, end);
    fflush(stdout);
    print_error(stderr, label, error);
    if (!console.file) return;
    print_error(console.file, "error: ", error);
    fflush(console.file);
}

void sky_console_passing(const char *line)
{
    if (!line) fputs(take_away(), stderr);
    else fprintf(stderr, CLEAR "%s", line), console.passing = true;
    fflush(stderr);
}

sky_status sky_console_close(void)
{
    sky_status status = SKY_OK;
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) status = errno ? sky_fail_errno("stdout", "cannot write") : sky_fail(SKY_IO, "stdout", "cannot write");
    sky_log_set_sink(NULL, NULL, SKY_LOG_INFO);
    if (console.file) fclose(console.file);
    console.file = NULL;
    return status;
}
