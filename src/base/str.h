/*
 * Text: a growing buffer, strict number parsing (locale-free, the whole text must be consumed), nearest names.
 */
#ifndef SKY_BASE_STR_H
#define SKY_BASE_STR_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing text; zero-initialise. text is NULL while empty, else NUL-terminated. Free with sky_text_free. */
struct sky_text {
    char *text;
    size_t length, capacity;
    bool failed; /* an allocation failed: later appends do nothing; sky_text_status reports it once */
};
void sky_text_append(struct sky_text *t, const char *text);
void sky_text_append_bytes(struct sky_text *t, const char *bytes, size_t count);
void sky_text_format(struct sky_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What stands before item `index` of a list of `count` in a sentence: nothing, ", ", or `last` (" and ", " or ") before the last. */
void sky_text_separate(struct sky_text *t, int64_t index, int64_t count, const char *last);
sky_status sky_text_status(const struct sky_text *t, const char *what);
void sky_text_free(struct sky_text *t);

/* Whole-text parsing: true and *out set, or false and *out untouched. No leading or trailing blanks, no hex, no nan or inf. */
bool sky_parse_int(const char *text, int64_t *out);
bool sky_parse_double(const char *text, double *out);

/* Shortest decimal that reads back as the same double/float ("0.1", "1e-06"), independent of the locale. Buffers of 32 bytes. */
void sky_print_double(double value, char out[32]);
void sky_print_float(float value, char out[32]);

/* Index of the candidate nearest to `name` by edit distance (case-blind), or -1 when none is near enough to suggest. */
int sky_nearest(const char *name, const char *const *candidates, int count);

/* A heap copy in *out. */
sky_status sky_strdup(char **out, const char *text, const char *what);

/* "1.2 GiB", "37 MiB", "512 B". Buffer of 32 bytes. */
void sky_print_bytes(size_t bytes, char out[32]);

#endif
