/*
 * The one place a library message goes through. Holds the sink behind a mutex, so lines of several threads never mix; owns no memory.
 */
#include "skygem/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static struct {
    pthread_mutex_t lock;
    sky_log_sink sink;
    void *context;
    enum sky_log_level level;
} target = {PTHREAD_MUTEX_INITIALIZER, NULL, NULL, SKY_LOG_INFO};

void sky_log_set_sink(sky_log_sink sink, void *context, enum sky_log_level level)
{
    pthread_mutex_lock(&target.lock);
    target.sink = sink;
    target.context = context;
    target.level = level;
    pthread_mutex_unlock(&target.lock);
}

void sky_log(enum sky_log_level level, const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&target.lock);
    if (target.sink && level >= target.level) target.sink(target.context, level, line);
    pthread_mutex_unlock(&target.lock);
}
