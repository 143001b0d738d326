/*
 * The thread-local failure record behind status.h. It formats into fixed buffers (cutting what does not fit, never overrunning) and owns
 * no memory. It does not print: the command line does.
 */
#include "skygem/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct sky_error last_error;

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

sky_status sky_fail(sky_status status, const char *where, const char *format, ...)
{
    char what[sizeof last_error.what]; /* `where` and the arguments may point into last_error */
    char place[sizeof last_error.where];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    copy_text(place, sizeof place, where);
    last_error.status = status;
    memcpy(last_error.where, place, sizeof place);
    memcpy(last_error.what, what, sizeof what);
    last_error.hint[0] = 0;
    return status;
}

sky_status sky_hint(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error.hint, sizeof last_error.hint, format, arguments);
    va_end(arguments);
    return last_error.status;
}

sky_status sky_fail_errno(const char *where, const char *doing)
{
    const int code = errno;
    sky_status status = SKY_IO;
    if (code == ENOSPC || code == EDQUOT) status = SKY_NOSPACE;
    if (code == ENOMEM) status = SKY_NOMEM;
    return sky_fail(status, where, "%s: %s", doing, strerror(code));
}

const struct sky_error *sky_error_last(void)
{
    return &last_error;
}

sky_status sky_error_set(const struct sky_error *error)
{
    if (error != &last_error) last_error = *error;
    return last_error.status;
}

const char *sky_status_name(sky_status status)
{
    static const char *const names[] = {"ok",     "usage",       "config",  "data", "format",      "io",      "nospace",
                                        "nomem",  "device",      "unsupported", "numeric", "peer", "interrupted", "internal"};
    const unsigned index = (unsigned)status;
    return index < sizeof names / sizeof *names ? names[index] : "unknown";
}

int sky_status_exit_code(sky_status status)
{
    switch (status) {
    case SKY_OK: return 0;
    case SKY_USAGE:
    case SKY_CONFIG: return 2;
    case SKY_DATA: return 3;
    case SKY_DEVICE:
    case SKY_UNSUPPORTED: return 4;
    case SKY_PEER: return 5;
    case SKY_NUMERIC: return 6;
    case SKY_INTERRUPTED: return 75;
    case SKY_FORMAT:
    case SKY_IO:
    case SKY_NOSPACE:
    case SKY_NOMEM:
    case SKY_INTERNAL: return 1;
    }
    return 1;
}
