/*
 * What a person sees on stderr: log lines (and the run folder's log.txt), errors with their hints. Results go to stdout, written by the commands.
 */
#ifndef SKY_CLI_CONSOLE_H
#define SKY_CLI_CONSOLE_H

#include "skygem/log.h"
#include "skygem/status.h"

/* Sends sky_log's lines of this level and above to stderr; colours when that is a terminal and NO_COLOR is not set. */
void sky_console_open(enum sky_log_level level);

/* From now on every line also goes to this file, appended, with date and level. */
sky_status sky_console_log_file(const char *path);

/* Prints the failure ("error: WHERE: WHAT", "hint: HINT") to stderr and to the log file. The error printed last is not printed again. */
void sky_console_error(const struct sky_error *error);

/* A line that stays until the next one, which replaces it (a terminal only: the caller knows that stderr is one). Log lines and errors take its place. NULL takes it away. */
void sky_console_passing(const char *line);

/* Closes the log file and flushes stdout; a result that could not be written is a failure. */
sky_status sky_console_close(void);

#endif
