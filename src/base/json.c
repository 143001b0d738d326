/*
 * The strict JSON reader and the writer behind json.h. A document owns its values (in chunks, so that their addresses stay) and one buffer with
 * all decoded strings: a decoded string is never longer than its source. Recursion is bounded by the nesting limit.
 */
#include "json.h"

#include "fs.h"
#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_VALUES = 256, NESTING_LIMIT = 64, NUMBER_LIMIT = 512 };

struct chunk {
    struct chunk *next;
    int used;
    struct sky_json values[CHUNK_VALUES];
};

struct sky_json_document {
    struct chunk *chunks;
    char *strings; /* [length + 1] */
    const struct sky_json *root;
};

struct reader {
    struct sky_json_document *document;
    const char *text, *where;
    size_t length, at, strings_used;
    int depth;
};

static sky_status fail_here(const struct reader *r, const char *what)
{
    return sky_fail(SKY_FORMAT, r->where, "bad JSON at byte %zu: %s", r->at, what);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->length && (r->text[r->at] == ' ' || r->text[r->at] == '\t' || r->text[r->at] == '\n' || r->text[r->at] == '\r')) r->at++;
}

/* The byte to be read, 0 at the end: a NUL byte is valid nowhere, so both end up as errors. */
static char peek(const struct reader *r)
{
    return r->at < r->length ? r->text[r->at] : 0;
}

static sky_status value_new(struct reader *r, struct sky_json **out)
{
    struct chunk *chunk = r->document->chunks;
    if (!chunk || chunk->used == CHUNK_VALUES) {
        SKY_TRY(sky_alloc(&chunk, 1, sizeof *chunk, r->where));
        chunk->next = r->document->chunks;
        r->document->chunks = chunk;
    }
    *out = &chunk->values[chunk->used++];
    return SKY_OK;
}

static sky_status read_hex4(struct reader *r, uint32_t *out)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const char c = peek(r);
        if (c >= '0' && c <= '9') code = code * 16 + (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f') code = code * 16 + (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') code = code * 16 + (uint32_t)(c - 'A' + 10);
        else return fail_here(r, "\\u needs four hexadecimal digits");
    }
    *out = code;
    return SKY_OK;
}

static void put_utf8(struct reader *r, uint32_t code)
{
    char *to = r->document->strings + r->strings_used;
    if (code < 0x80) {
        to[0] = (char)code;
        r->strings_used += 1;
    } else if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6), to[1] = (char)(0x80 | (code & 0x3f));
        r->strings_used += 2;
    } else if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12), to[1] = (char)(0x80 | (code >> 6 & 0x3f)), to[2] = (char)(0x80 | (code & 0x3f));
        r->strings_used += 3;
    } else {
        to[0] = (char)(0xf0 | code >> 18), to[1] = (char)(0x80 | (code >> 12 & 0x3f));
        to[2] = (char)(0x80 | (code >> 6 & 0x3f)), to[3] = (char)(0x80 | (code & 0x3f));
        r->strings_used += 4;
    }
}

/* Behind "\u". */
static sky_status read_unicode(struct reader *r)
{
    uint32_t code = 0, low = 0;
    SKY_TRY(read_hex4(r, &code));
    if (code == 0) return fail_here(r, "\\u0000 is not accepted");
    if (code >= 0xdc80 && code < 0xdd00) { /* a byte that is no UTF-8: see the writer */
        r->document->strings[r->strings_used++] = (char)(code & 0xff);
        return SKY_OK;
    }
    if (code >= 0xdc00 && code < 0xe000) return fail_here(r, "second half of a surrogate pair without its first");
    if (code >= 0xd800 && code < 0xdc00) {
        if (peek(r) != '\\') return fail_here(r, "half a surrogate pair");
        r->at++;
        if (peek(r) != 'u') return fail_here(r, "half a surrogate pair");
        r->at++;
        SKY_TRY(read_hex4(r, &low));
        if (low < 0xdc00 || low >= 0xe000) return fail_here(r, "half a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(r, code);
    return SKY_OK;
}

static sky_status read_string(struct reader *r, const char **out)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char *const start = r->document->strings + r->strings_used;
    if (peek(r) != '"') return fail_here(r, "a string was expected");
    r->at++;
    for (;;) {
        const char c = peek(r);
        if (r->at >= r->length) return fail_here(r, "the string does not end");
        if ((unsigned char)c < 0x20) return fail_here(r, "a control character inside a string");
        r->at++;
        if (c == '"') break;
        if (c != '\\') {
            r->document->strings[r->strings_used++] = c;
            continue;
        }
        const char kind = peek(r);
        const char *known = kind ? strchr(escapes, kind) : NULL;
        if (!known && kind != 'u') return fail_here(r, "unknown escape");
        r->at++;
        if (known) r->document->strings[r->strings_used++] = meanings[known - escapes];
        else SKY_TRY(read_unicode(r));
    }
    r->document->strings[r->strings_used++] = 0;
    *out = start;
    return SKY_OK;
}

static size_t count_digits(const struct reader *r, size_t at)
{
    size_t count = 0;
    while (at + count < r->length && r->text[at + count] >= '0' && r->text[at + count] <= '9') count++;
    return count;
}

static sky_status read_number(struct reader *r, struct sky_json *value)
{
    char copy[NUMBER_LIMIT];
    size_t end = r->at + (peek(r) == '-');
    bool integer = true;
    const size_t whole = count_digits(r, end);
    if (!whole || (whole > 1 && r->text[end] == '0')) return fail_here(r, "a value was expected, or a number starts with 0");
    end += whole;
    if (end < r->length && r->text[end] == '.') {
        const size_t digits = count_digits(r, end + 1);
        if (!digits) return fail_here(r, "a digit must follow the decimal point");
        end += 1 + digits;
        integer = false;
    }
    if (end < r->length && (r->text[end] == 'e' || r->text[end] == 'E')) {
        const size_t sign = end + 1 < r->length && (r->text[end + 1] == '-' || r->text[end + 1] == '+');
        const size_t digits = count_digits(r, end + 1 + sign);
        if (!digits) return fail_here(r, "a digit must follow the exponent");
        end += 1 + sign + digits;
        integer = false;
    }
    if (end - r->at >= sizeof copy) return fail_here(r, "the number is too long");
    memcpy(copy, r->text + r->at, end - r->at);
    copy[end - r->at] = 0;
    value->kind = SKY_JSON_NUMBER;
    value->is_integer = integer && sky_parse_int(copy, &value->integer);
    if (!sky_parse_double(copy, &value->number)) return fail_here(r, "the number is out of range");
    r->at = end;
    return SKY_OK;
}

static sky_status read_word(struct reader *r, const char *word)
{
    const size_t length = strlen(word);
    if (r->length - r->at < length || memcmp(r->text + r->at, word, length)) return fail_here(r, "unknown word");
    r->at += length;
    return SKY_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static sky_status check_duplicates(const struct reader *r, const struct sky_json *object)
{
    sky_status status = SKY_OK;
    const char **names = NULL;
    int64_t count = 0;
    if (object->count < 2) return SKY_OK;
    SKY_TRY(sky_alloc(&names, (size_t)object->count, sizeof *names, r->where));
    for (const struct sky_json *child = object->first; child; child = child->next) names[count++] = child->name;
    qsort(names, (size_t)count, sizeof *names, compare_names);
    for (int64_t i = 1; i < count && status == SKY_OK; i++) {
        if (!strcmp(names[i - 1], names[i])) status = sky_fail(SKY_FORMAT, r->where, "bad JSON before byte %zu: the key \"%s\" comes twice", r->at, names[i]);
    }
    free(names);
    return status;
}

static sky_status read_value(struct reader *r, struct sky_json *value);

/* An array, or an object when `close` is '}'. */
static sky_status read_children(struct reader *r, struct sky_json *parent, char close)
{
    const struct sky_json **link = &parent->first;
    if (++r->depth > NESTING_LIMIT) return fail_here(r, "nested too deeply");
    r->at++;
    skip_blanks(r);
    while (peek(r) != close) {
        struct sky_json *child = NULL;
        SKY_TRY(value_new(r, &child));
        if (close == '}') {
            SKY_TRY(read_string(r, &child->name));
            skip_blanks(r);
            if (peek(r) != ':') return fail_here(r, "':' was expected");
            r->at++;
        }
        SKY_TRY(read_value(r, child));
        *link = child;
        link = &child->next;
        parent->count++;
        skip_blanks(r);
        if (peek(r) == close) break;
        if (peek(r) != ',') return fail_here(r, close == '}' ? "',' or '}' was expected" : "',' or ']' was expected");
        r->at++;
        skip_blanks(r);
        if (peek(r) == close) return fail_here(r, "a comma before the end");
    }
    r->at++;
    r->depth--;
    return close == '}' ? check_duplicates(r, parent) : SKY_OK;
}

static sky_status read_value(struct reader *r, struct sky_json *value)
{
    skip_blanks(r);
    switch (peek(r)) {
    case '{': value->kind = SKY_JSON_OBJECT; return read_children(r, value, '}');
    case '[': value->kind = SKY_JSON_ARRAY; return read_children(r, value, ']');
    case '"': value->kind = SKY_JSON_STRING; return read_string(r, &value->string);
    case 't': value->kind = SKY_JSON_BOOL; value->boolean = true; return read_word(r, "true");
    case 'f': value->kind = SKY_JSON_BOOL; return read_word(r, "false");
    case 'n': value->kind = SKY_JSON_NULL; return read_word(r, "null");
    default: return read_number(r, value);
    }
}

sky_status sky_json_parse(const char *text, size_t length, const char *where, struct sky_json_document **out)
{
    sky_status status = SKY_OK;
    struct reader r = {.text = text, .length = length, .where = where};
    struct sky_json *root = NULL;
    SKY_TRY_DONE(sky_alloc(&r.document, 1, sizeof *r.document, where));
    SKY_TRY_DONE(sky_alloc(&r.document->strings, length + 1, 1, where));
    SKY_TRY_DONE(value_new(&r, &root));
    SKY_TRY_DONE(read_value(&r, root));
    skip_blanks(&r);
    if (r.at != length) {
        status = fail_here(&r, "text behind the end");
        goto done;
    }
    r.document->root = root;
    *out = r.document;
    r.document = NULL;
done:
    sky_json_free(r.document);
    return status;
}

const struct sky_json *sky_json_root(const struct sky_json_document *document)
{
    return document->root;
}

void sky_json_free(struct sky_json_document *document)
{
    if (!document) return;
    for (struct chunk *chunk = document->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(document->strings);
    free(document);
}

const struct sky_json *sky_json_get(const struct sky_json *object, const char *name)
{
    if (!object || object->kind != SKY_JSON_OBJECT) return NULL;
    for (const struct sky_json *child = object->first; child; child = child->next) {
        if (!strcmp(child->name, name)) return child;
    }
    return NULL;
}

double sky_json_number(const struct sky_json *object, const char *name)
{
    const struct sky_json *value = sky_json_get(object, name);
    return value && value->kind == SKY_JSON_NUMBER ? value->number : NAN;
}

const char *sky_json_text(const struct sky_json *object, const char *name)
{
    const struct sky_json *value = sky_json_get(object, name);
    return value && value->kind == SKY_JSON_STRING ? value->string : NULL;
}

sky_status sky_json_read(const char *path, size_t max_bytes, struct sky_json_document **out)
{
    char *text = NULL;
    size_t bytes = 0;
    SKY_TRY(sky_file_read(path, max_bytes, &text, &bytes));
    const sky_status status = sky_json_parse(text, bytes, path, out);
    free(text);
    return status;
}

/* ---- writer ---- */

/* Bytes of the UTF-8 character that begins at `at`; 0: none does. */
static size_t utf8_length(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    const size_t length = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0; /* the NUL at the end is none either */
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90)) return 0; /* longer than need be */
    if ((at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90)) return 0; /* half a surrogate pair; beyond Unicode */
    return length;
}

static void put_quoted(struct sky_text *out, const char *value)
{
    sky_text_append(out, "\"");
    for (const char *at = value; *at;) {
        const size_t length = utf8_length(at);
        if (!length) sky_text_format(out, "\\udc%02x", (unsigned)(unsigned char)*at);
        else if (*at == '"' || *at == '\\') sky_text_format(out, "\\%c", *at);
        else if (*at == '\n') sky_text_append(out, "\\n");
        else if ((unsigned char)*at < 0x20) sky_text_format(out, "\\u%04x", (unsigned)*at);
        else sky_text_append_bytes(out, at, length);
        at += length ? length : 1;
    }
    sky_text_append(out, "\"");
}

/* What stands before a value: the comma and the name. */
static void start_value(struct sky_json_writer *w, const char *name)
{
    if (w->need_comma) sky_text_append(w->out, ", ");
    w->need_comma = true;
    if (!name) return;
    put_quoted(w->out, name);
    sky_text_append(w->out, ": ");
}

void sky_json_begin_object(struct sky_json_writer *w, const char *name)
{
    start_value(w, name);
    sky_text_append(w->out, "{");
    w->need_comma = false;
}

void sky_json_end_object(struct sky_json_writer *w)
{
    sky_text_append(w->out, "}");
    w->need_comma = true;
}

void sky_json_begin_array(struct sky_json_writer *w, const char *name)
{
    start_value(w, name);
    sky_text_append(w->out, "[");
    w->need_comma = false;
}

void sky_json_end_array(struct sky_json_writer *w)
{
    sky_text_append(w->out, "]");
    w->need_comma = true;
}

void sky_json_string(struct sky_json_writer *w, const char *name, const char *value)
{
    start_value(w, name);
    if (value) put_quoted(w->out, value);
    else sky_text_append(w->out, "null");
}

void sky_json_int(struct sky_json_writer *w, const char *name, int64_t value)
{
    start_value(w, name);
    sky_text_format(w->out, "%lld", (long long)value);
}

void sky_json_double(struct sky_json_writer *w, const char *name, double value)
{
    char text[32] = "null";
    start_value(w, name);
    if (isfinite(value)) sky_print_double(value, text);
    sky_text_append(w->out, text);
}

void sky_json_float(struct sky_json_writer *w, const char *name, float value)
{
    char text[32] = "null";
    start_value(w, name);
    if (isfinite(value)) sky_print_float(value, text);
    sky_text_append(w->out, text);
}

void sky_json_bool(struct sky_json_writer *w, const char *name, bool value)
{
    start_value(w, name);
    sky_text_append(w->out, value ? "true" : "false");
}
