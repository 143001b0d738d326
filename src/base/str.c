/*
 * Text helpers behind str.h. Numbers are read and printed in the "C" locale whatever the embedding program has set: the thread's locale is
 * switched around the C library's conversions, which round correctly. Owns no memory but what a sky_text holds for its caller.
 */
#include "str.h"

#include <ctype.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Switches this thread to the "C" locale; give the result to uselocale to go back. glibc's "C" object is static: nothing to free. */
static locale_t enter_c_locale(void)
{
    return uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
}

static bool text_reserve(struct sky_text *t, size_t more)
{
    if (t->failed) return false;
    const size_t needed = t->length + more + 1;
    if (needed <= t->capacity) return true;
    const size_t capacity = needed < t->capacity * 2 ? t->capacity * 2 : needed < 64 ? 64 : needed;
    char *grown = needed > more ? realloc(t->text, capacity) : NULL;
    if (!grown) return t->failed = true, false;
    t->text = grown;
    t->capacity = capacity;
    return true;
}

void sky_text_append_bytes(struct sky_text *t, const char *bytes, size_t count)
{
    if (!text_reserve(t, count)) return;
    memcpy(t->text + t->length, bytes, count);
    t->length += count;
    t->text[t->length] = 0;
}

void sky_text_append(struct sky_text *t, const char *text)
{
    sky_text_append_bytes(t, text, strlen(text));
}

void sky_text_format(struct sky_text *t, const char *format, ...)
{
    va_list arguments, again;
    const locale_t previous = enter_c_locale();
    va_start(arguments, format);
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    if (length < 0) t->failed = true;
    else if (text_reserve(t, (size_t)length)) {
        vsnprintf(t->text + t->length, (size_t)length + 1, format, again);
        t->length += (size_t)length;
    }
    va_end(again);
    va_end(arguments);
    uselocale(previous);
}

void sky_text_separate(struct sky_text *t, int64_t index, int64_t count, const char *last)
{
    sky_text_append(t, index == 0 ? "" : index + 1 < count ? ", " : last);
}

sky_status sky_text_status(const struct sky_text *t, const char *what)
{
    return t->failed ? sky_fail(SKY_NOMEM, what, "cannot grow a text of %zu bytes", t->length) : SKY_OK;
}

void sky_text_free(struct sky_text *t)
{
    free(t->text);
    memset(t, 0, sizeof *t);
}

bool sky_parse_int(const char *text, int64_t *out)
{
    const bool negative = *text == '-';
    int64_t value = 0;
    if (*text == '-' || *text == '+') text++;
    if (!*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        const int64_t digit = *text - '0';
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, negative ? -digit : digit, &value)) return false;
    }
    *out = value;
    return true;
}

static const char *skip_digits(const char *text)
{
    while (*text >= '0' && *text <= '9') text++;
    return text;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the point: what strtod takes beyond that is refused. */
static bool looks_decimal(const char *text)
{
    if (*text == '-' || *text == '+') text++;
    const char *end = skip_digits(text);
    int64_t digits = end - text;
    if (*end == '.') {
        text = end + 1;
        end = skip_digits(text);
        digits += end - text;
    }
    if (!digits) return false;
    if (*end == 'e' || *end == 'E') {
        text = end + 1 + (end[1] == '-' || end[1] == '+');
        end = skip_digits(text);
        if (end == text) return false;
    }
    return !*end;
}

bool sky_parse_double(const char *text, double *out)
{
    if (!looks_decimal(text)) return false;
    const locale_t previous = enter_c_locale();
    const double value = strtod(text, NULL);
    uselocale(previous);
    if (!isfinite(value)) return false;
    *out = value;
    return true;
}

/* The digits every decimal survives come first; "%g" drops trailing zeros, so that is the shortest unless the number is subnormal. */
void sky_print_double(double value, char out[32])
{
    const locale_t previous = enter_c_locale();
    for (int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    uselocale(previous);
}

void sky_print_float(float value, char out[32])
{
    const locale_t previous = enter_c_locale();
    for (int digits = fabsf(value) < FLT_MIN ? 1 : FLT_DIG; digits <= FLT_DECIMAL_DIG; digits++) {
        snprintf(out, 32, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value) break;
    }
    uselocale(previous);
}

/* One case, and '-' equals '_': neither is a spelling mistake worth a point of distance. */
static int fold(char c)
{
    return c == '-' ? '_' : tolower((unsigned char)c);
}

enum { NAME_LIMIT = 64 };

/* Insertions, deletions, replacements and swaps of neighbours. Both lengths at most NAME_LIMIT. */
static int edit_distance(const char *a, int a_length, const char *b, int b_length)
{
    int rows[3][NAME_LIMIT + 1]; /* the two rows before and the current one, by turns */
    for (int j = 0; j <= b_length; j++) rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *now = rows[i % 3], *before = rows[(i + 2) % 3], *before_that = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= b_length; j++) {
            const bool same = fold(a[i - 1]) == fold(b[j - 1]);
            int best = before[j - 1] + !same;
            if (before[j] + 1 < best) best = before[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            const bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped && before_that[j - 2] + 1 < best) best = before_that[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a_length % 3][b_length];
}

int sky_nearest(const char *name, const char *const *candidates, int count)
{
    const size_t length = strlen(name);
    int nearest = -1, smallest = 0;
    if (!length || length > NAME_LIMIT) return -1;
    const int limit = (int)(length + 2) / 3; /* a third of the name may be wrong */
    for (int i = 0; i < count; i++) {
        const size_t other = strlen(candidates[i]);
        if (other > NAME_LIMIT) continue;
        int distance = edit_distance(name, (int)length, candidates[i], (int)other);
        const bool shortened = length >= 3 && length < other && edit_distance(name, (int)length, candidates[i], (int)length) == 0;
        if (shortened && distance > limit) distance = limit; /* "batch" for "batch_size" */
        if (distance <= limit && distance < (int)other && (nearest < 0 || distance < smallest)) nearest = i, smallest = distance;
    }
    return nearest;
}

sky_status sky_strdup(char **out, const char *text, const char *what)
{
    char *copy = strdup(text);
    if (!copy) return sky_fail(SKY_NOMEM, what, "cannot copy a text of %zu bytes", strlen(text));
    *out = copy;
    return SKY_OK;
}

void sky_print_bytes(size_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    int unit = 0;
    size_t size = 1; /* bytes of one unit */
    while (unit < 6 && bytes / size >= 1000) unit++, size *= 1024;
    const size_t whole = bytes / size, tenths = size == 1 ? 0 : (bytes % size * 10 + size / 2) / size;
    if (unit == 0) snprintf(out, 32, "%zu B", bytes);
    else if (whole * 10 + tenths < 100) snprintf(out, 32, "%zu.%zu %s", (whole * 10 + tenths) / 10, (whole * 10 + tenths) % 10, units[unit]);
    else snprintf(out, 32, "%zu %s", whole + (bytes % size >= size / 2), units[unit]);
}
