/*
 * A small strict JSON reader and writer: safetensors headers, metrics.jsonl, --json output. UTF-8 is passed through; the reader refuses
 * trailing text, duplicate keys, bad escapes and nesting deeper than 64.
 */
#ifndef SKY_BASE_JSON_H
#define SKY_BASE_JSON_H

#include "str.h"

enum sky_json_kind { SKY_JSON_NULL, SKY_JSON_BOOL, SKY_JSON_NUMBER, SKY_JSON_STRING, SKY_JSON_ARRAY, SKY_JSON_OBJECT };

/* One value of a parsed document; children are a linked list in file order. Owned by the document. */
struct sky_json {
    enum sky_json_kind kind;
    bool boolean;
    double number;
    bool is_integer;
    int64_t integer;           /* exact, when is_integer */
    const char *string;        /* decoded text of a string */
    const char *name;          /* key, when the parent is an object */
    const struct sky_json *first, *next;
    int64_t count;             /* children */
};

struct sky_json_document;
/* Parses length bytes. SKY_FORMAT names `where` and the byte offset. Free with sky_json_free. */
sky_status sky_json_parse(const char *text, size_t length, const char *where, struct sky_json_document **out);
const struct sky_json *sky_json_root(const struct sky_json_document *document);
void sky_json_free(struct sky_json_document *document);
const struct sky_json *sky_json_get(const struct sky_json *object, const char *name); /* NULL when absent or not an object */
double sky_json_number(const struct sky_json *object, const char *name);    /* NaN when absent or no number */
const char *sky_json_text(const struct sky_json *object, const char *name); /* NULL when absent or no string */

/* A whole file, at most max_bytes long. Free with sky_json_free. */
sky_status sky_json_read(const char *path, size_t max_bytes, struct sky_json_document **out);

/*
 * Writer: commas are placed by itself. Objects take a name before each value (NULL inside arrays and for the root). Bytes that are no UTF-8, as file names may
 * have them, are written as \udc80 to \udcff, which Python's os.fsencode and the reader here turn back into these bytes.
 */
struct sky_json_writer {
    struct sky_text *out;
    bool need_comma;
};
void sky_json_begin_object(struct sky_json_writer *w, const char *name);
void sky_json_end_object(struct sky_json_writer *w);
void sky_json_begin_array(struct sky_json_writer *w, const char *name);
void sky_json_end_array(struct sky_json_writer *w);
void sky_json_string(struct sky_json_writer *w, const char *name, const char *value); /* NULL value: null */
void sky_json_int(struct sky_json_writer *w, const char *name, int64_t value);
void sky_json_double(struct sky_json_writer *w, const char *name, double value); /* full precision; NaN and Inf become null */
void sky_json_float(struct sky_json_writer *w, const char *name, float value);   /* 9 significant digits at most */
void sky_json_bool(struct sky_json_writer *w, const char *name, bool value);

#endif
