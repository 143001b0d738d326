/*
 * Reads Python's pickles as data, without ever doing what they ask for: a "call" becomes a value that names the callee and holds its arguments, and only the
 * callees of a given list may be named at all. Opcodes of protocols 2 to 5 that weights files use; everything else is refused (SKY_FORMAT).
 */
#ifndef SKY_IO_PICKLE_H
#define SKY_IO_PICKLE_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sky_pickle_kind {
    SKY_PICKLE_NONE,
    SKY_PICKLE_BOOL,       /* integer 0 or 1 */
    SKY_PICKLE_INT,        /* integer */
    SKY_PICKLE_LARGE,      /* a whole number beyond 64 bits: text holds its little-endian bytes */
    SKY_PICKLE_REAL,       /* real */
    SKY_PICKLE_TEXT,       /* text, length: as in the file, without a NUL behind it; bytes likewise */
    SKY_PICKLE_TUPLE,      /* items */
    SKY_PICKLE_LIST,       /* items */
    SKY_PICKLE_DICT,       /* items: key, value, key, value ... */
    SKY_PICKLE_GLOBAL,     /* integer: index into the list of names */
    SKY_PICKLE_CALL,       /* integer: index of the callee; items: the arguments */
    SKY_PICKLE_PERSISTENT  /* items: one, what stands for an object outside the pickle */
};

struct sky_pickle_value {
    enum sky_pickle_kind kind;
    int64_t integer;
    double real;
    const char *text; /* into the pickle's bytes */
    size_t length;
    int32_t first, last, count; /* items: cells[first], then by next; -1 ends */
};

struct sky_pickle_cell {
    int32_t value, next;
};

/* Everything by index, so sharing and even circles are harmless to build; a walker must bound its own depth and steps. */
struct sky_pickle {
    struct sky_pickle_value *values;
    int64_t value_count, value_capacity;
    struct sky_pickle_cell *cells;
    int64_t cell_count, cell_capacity;
    int32_t root;
    size_t used_bytes; /* of the input, up to and with the final STOP */
};

/*
 * globals: NULL-terminated "module name" texts that may be mentioned; the first must be "collections OrderedDict", whose calls become DICT. The bytes must
 * outlive the result. Zero-initialise; free with sky_pickle_free.
 */
sky_status sky_pickle_read(struct sky_pickle *pickle, const char *path, const unsigned char *bytes, size_t count, const char *const *globals);
void sky_pickle_free(struct sky_pickle *pickle);

/* Item `number` of a tuple, list, dict, call or persistent value; NULL when there is none. */
const struct sky_pickle_value *sky_pickle_item(const struct sky_pickle *pickle, const struct sky_pickle_value *value, int number);
bool sky_pickle_text_is(const struct sky_pickle_value *value, const char *text);

#endif
