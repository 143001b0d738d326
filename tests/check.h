/*
 * The unit tests' few words: CHECK counts and names what failed and goes on; a test program ends with return check_done(). A test that cannot
 * run here (data that is not there) says so with check_skip(). The closing line "N passed, M failed, K skipped" is what tests/run.sh adds up.
 */
#ifndef SKY_TESTS_CHECK_H
#define SKY_TESTS_CHECK_H

#include "skygem/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_passed, check_failed, check_skipped;

#define CHECK(condition) check_that((condition) != 0, #condition, __FILE__, __LINE__, "")

/* A status that must be SKY_OK; shows the message when it is not. */
#define CHECK_OK(expression) check_status((expression), SKY_OK, NULL, #expression, __FILE__, __LINE__)

/* A failure that must have this status and a message (where, what or hint) containing `text`. */
#define CHECK_FAILS(expression, status, text) check_status((expression), (status), (text), #expression, __FILE__, __LINE__)

/* NaN fails. */
#define CHECK_NEAR(got, want, tolerance) check_near((got), (want), (tolerance), #got, __FILE__, __LINE__)

static inline int check_that(int good, const char *what, const char *file, int line, const char *detail)
{
    if (good) check_passed++;
    else check_failed++, printf("FAILED %s:%d: %s %s\n", file, line, what, detail);
    return good;
}

static inline int check_near(double got, double want, double tolerance, const char *what, const char *file, int line)
{
    char detail[160];
    snprintf(detail, sizeof detail, "is %.12g, should be %.12g (tolerance %g)", got, want, tolerance);
    return check_that(fabs(got - want) <= tolerance, what, file, line, detail);
}

static inline int check_status(sky_status got, sky_status want, const char *text, const char *what, const char *file, int line)
{
    const struct sky_error *error = sky_error_last();
    char detail[1400];
    int good = got == want;
    snprintf(detail, sizeof detail, "is %s, should be %s", sky_status_name(got), sky_status_name(want));
    if (got != SKY_OK)
        snprintf(detail, sizeof detail, "is %s, should be %s: %.300s: %.600s (%.300s)", sky_status_name(got), sky_status_name(want), error->where, error->what,
                 error->hint);
    if (good && text) good = strstr(error->where, text) || strstr(error->what, text) || strstr(error->hint, text);
    return check_that(good, what, file, line, detail);
}

static inline void check_skip(const char *what, const char *why)
{
    check_skipped++;
    printf("SKIPPED %s: %s\n", what, why);
}

static inline int check_done(void)
{
    printf("%d passed, %d failed, %d skipped\n", check_passed, check_failed, check_skipped);
    return check_failed != 0;
}

#endif
