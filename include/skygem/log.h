/*
 * Messages for people. The library never writes to a stream itself: it hands each line to one sink, which the program sets
 * (the command line: stderr and the run folder's log.txt). Without a sink lines are dropped. Thread-safe; one call, one line.
 */
#ifndef SKYGEM_LOG_H
#define SKYGEM_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

enum sky_log_level { SKY_LOG_DEBUG, SKY_LOG_INFO, SKY_LOG_WARNING, SKY_LOG_ERROR };

typedef void (*sky_log_sink)(void *context, enum sky_log_level level, const char *line /* without newline */);

/* Sets the one sink (NULL: drop). Lines below `level` never reach it. */
void sky_log_set_sink(sky_log_sink sink, void *context, enum sky_log_level level);

/* One line, as printf would format it; what goes beyond 2047 bytes is cut. */
void sky_log(enum sky_log_level level, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#ifdef __cplusplus
}
#endif
#endif
