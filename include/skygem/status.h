/*
 * What every fallible function returns, and where its message is kept.
 *
 * A failing leaf calls sky_fail() once, saying where and what; callers pass the status on (SKY_TRY). The message lives in
 * thread-local storage: nothing here allocates, prints or exits. Results go through out-parameters, which stay as they were on failure.
 */
#ifndef SKYGEM_STATUS_H
#define SKYGEM_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sky_status {
    SKY_OK = 0,
    SKY_USAGE,       /* wrong command line or wrong call */
    SKY_CONFIG,      /* an .ini file or --set value is wrong */
    SKY_DATA,        /* images, folders, labels, feature files */
    SKY_FORMAT,      /* a file of ours or a weights file is damaged or of another kind */
    SKY_IO,          /* the operating system refused (errno is in the message) */
    SKY_NOSPACE,     /* disk full */
    SKY_NOMEM,       /* an allocation failed */
    SKY_DEVICE,      /* a device or one of its libraries failed or is missing */
    SKY_UNSUPPORTED, /* asked for something this back end cannot do */
    SKY_NUMERIC,     /* NaN or Inf where the policy is to stop */
    SKY_PEER,        /* another rank died or stalled */
    SKY_INTERRUPTED, /* a signal asked us to stop */
    SKY_INTERNAL     /* our own logic is wrong */
} sky_status;

/* The last failure on this thread. Printed as "error: WHERE: WHAT" and "hint: HINT". Empty strings are left out. */
struct sky_error {
    sky_status status;
    char where[1024]; /* file:line, key, image path, or the operation */
    char what[2048];  /* what was wrong; several lines when several things were */
    char hint[1024];  /* what to do about it */
};

/* Records a failure on this thread (clearing an older hint) and returns `status`, so: return sky_fail(SKY_DATA, path, "..."). */
sky_status sky_fail(sky_status status, const char *where, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Adds what to do to the failure just recorded; returns its status, so: return sky_hint("..."). */
sky_status sky_hint(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/* Like sky_fail with errno's text behind the message; ENOSPC and EDQUOT become SKY_NOSPACE, ENOMEM SKY_NOMEM, the rest SKY_IO. */
sky_status sky_fail_errno(const char *where, const char *doing);

/* This thread's last failure; never NULL. */
const struct sky_error *sky_error_last(void);

/* Moves a failure between threads: a worker copies sky_error_last() out, its owner puts it back. Returns error->status. */
sky_status sky_error_set(const struct sky_error *error);

/* "ok", "config", "data", ...: short name of a status. */
const char *sky_status_name(sky_status status);

/* Exit code of the program for a status: 0 ok, 1 run time, 2 usage or config, 3 data, 4 device, 5 peer, 6 numeric, 75 interrupted. */
int sky_status_exit_code(sky_status status);

#define SKY_TRY(expression)                                                                                                       \
    do {                                                                                                                           \
        const sky_status try_status_ = (expression);                                                                               \
        if (try_status_ != SKY_OK) return try_status_;                                                                             \
    } while (0)

/* For functions with one clean-up label: sets the local `status` and jumps to `done`. */
#define SKY_TRY_DONE(expression)                                                                                                  \
    do {                                                                                                                           \
        status = (expression);                                                                                                     \
        if (status != SKY_OK) goto done;                                                                                           \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
