/*
 * Reading .npy files behind npy.h: the header is a Python dictionary of three entries, parsed as exactly that; then the length of the file must be what
 * the header promises. Owns the map and at most one converted copy.
 */
#include "npy.h"

#include "base/dtype.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC_BYTES = 6, WORD = 32 };

/* ---- the header ---- */

struct cursor {
    const struct sky_npy *npy;
    const char *at, *end;
};

static sky_status refuse(const struct sky_npy *npy, const char *what)
{
    sky_fail(SKY_DATA, npy->path, "not a .npy file that can be read: %s", what);
    return sky_hint("save it again with numpy.save(FILE, array)");
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

/* Takes the character (after blanks) if it comes next. */
static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

static sky_status take_string(struct cursor *c, char out[WORD])
{
    skip_blanks(c);
    const char quote = c->at < c->end ? *c->at : 0;
    if (quote != '\'' && quote != '"') return refuse(c->npy, "a quoted word was expected in its header (arrays of records are not read)");
    const char *start = ++c->at;
    while (c->at < c->end && *c->at != quote) c->at++;
    if (c->at == c->end || c->at - start >= WORD) return refuse(c->npy, "a word in its header does not end");
    memcpy(out, start, (size_t)(c->at - start));
    out[c->at - start] = 0;
    c->at++;
    return SKY_OK;
}

static sky_status take_boolean(struct cursor *c, bool *out)
{
    skip_blanks(c);
    const size_t room = (size_t)(c->end - c->at);
    if (room >= 4 && !memcmp(c->at, "True", 4)) *out = true, c->at += 4;
    else if (room >= 5 && !memcmp(c->at, "False", 5)) *out = false, c->at += 5;
    else return refuse(c->npy, "fortran_order is neither True nor False");
    return SKY_OK;
}

static sky_status take_shape(struct cursor *c, struct sky_npy *npy)
{
    bool comma = true;
    if (!take(c, '(')) return refuse(npy, "its shape is no tuple");
    while (!take(c, ')')) {
        int64_t size = 0;
        const char *start;
        if (!comma) return refuse(npy, "its shape is no tuple");
        if (npy->rank == SKY_NPY_RANK) return refuse(npy, "it has more than 8 dimensions");
        skip_blanks(c);
        for (start = c->at; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
            if (__builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, *c->at - '0', &size)) return refuse(npy, "its shape overflows");
        }
        if (c->at == start) return refuse(npy, "a dimension is no whole number");
        if (c->at < c->end && *c->at == 'L') c->at++; /* written by Python 2 */
        npy->shape[npy->rank++] = size;
        comma = take(c, ',');
    }
    return npy->rank == 1 && !comma ? refuse(npy, "its shape is no tuple") : SKY_OK;
}

/* "<f4": byte order, kind, size. */
static sky_status read_type(struct sky_npy *npy, const char *type)
{
    static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"};
    const bool swapped = type[0] == '>', single = type[0] && type[1] && type[2] == '1';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!type[0] || strcmp(type + 1, known[i]) != 0) continue;
        if (type[0] != '<' && !(single && (type[0] == '|' || swapped))) break;
        npy->kind = known[i][0];
        npy->item_bytes = known[i][1] - '0';
        return SKY_OK;
    }
    sky_fail(SKY_DATA, npy->path, "its elements are of type '%s'; read are little-endian floats and integers: f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8", type);
    return sky_hint(swapped ? "numpy.save(FILE, array.astype(array.dtype.newbyteorder('<')))"
                            : "numpy.save(FILE, array.astype('float32')), or 'int64' for labels");
}

static sky_status read_dictionary(struct sky_npy *npy, const char *text, size_t length)
{
    struct cursor c = {npy, text, text + length};
    char key[WORD], type[WORD] = "";
    bool descr = false, order = false, shape = false, comma = true;
    if (!take(&c, '{')) return refuse(npy, "its header is no dictionary");
    while (!take(&c, '}')) {
        if (!comma) return refuse(npy, "a comma is missing in its header");
        SKY_TRY(take_string(&c, key));
        if (!take(&c, ':')) return refuse(npy, "a colon is missing in its header");
        if (!strcmp(key, "descr") && !descr) {
            SKY_TRY(take_string(&c, type));
            descr = true;
        } else if (!strcmp(key, "fortran_order") && !order) {
            SKY_TRY(take_boolean(&c, &npy->fortran_order));
            order = true;
        } else if (!strcmp(key, "shape") && !shape) {
            SKY_TRY(take_shape(&c, npy));
            shape = true;
        } else {
            return refuse(npy, "its header has an unknown or repeated entry");
        }
        comma = take(&c, ',');
    }
    skip_blanks(&c);
    if (c.at != c.end) return refuse(npy, "something follows the dictionary in its header");
    if (!descr || !order || !shape) return refuse(npy, "its header lacks descr, fortran_order or shape");
    return read_type(npy, type);
}

static sky_status read_file(struct sky_npy *npy)
{
    const unsigned char *bytes = npy->map.bytes;
    const size_t prefix = npy->map.count > MAGIC_BYTES && bytes[MAGIC_BYTES] == 1 ? 10 : 12;
    size_t expected, items = 1, header = 0;
    if (npy->map.count < MAGIC_BYTES || memcmp(bytes, "\x93NUMPY", MAGIC_BYTES) != 0) return refuse(npy, "it does not begin with \\x93NUMPY");
    if (npy->map.count < prefix) return refuse(npy, "it ends within its header");
    if (bytes[MAGIC_BYTES] < 1 || bytes[MAGIC_BYTES] > 3 || bytes[MAGIC_BYTES + 1] != 0) return refuse(npy, "its version is not 1.0, 2.0 or 3.0");
    for (size_t i = prefix; i-- > MAGIC_BYTES + 2;) header = header << 8 | bytes[i];
    if (header > npy->map.count - prefix) return refuse(npy, "it ends within its header");
    SKY_TRY(read_dictionary(npy, (const char *)bytes + prefix, header));
    for (int i = 0; i < npy->rank; i++) {
        if (!sky_multiply_size(items, (size_t)npy->shape[i], &items)) return refuse(npy, "its shape overflows");
    }
    if (!sky_multiply_size(items, (size_t)npy->item_bytes, &expected) || expected > PTRDIFF_MAX) return refuse(npy, "its shape overflows");
    const size_t found = npy->map.count - prefix - header;
    if (found != expected) {
        sky_fail(SKY_DATA, npy->path, "has %zu bytes of data, its shape and type need %zu", found, expected);
        return sky_hint(found < expected ? "the file was cut short: copy or write it again" : "something was appended to the file: write it again");
    }
    npy->count = (int64_t)items;
    npy->data = bytes + prefix + header;
    return SKY_OK;
}

sky_status sky_npy_open(struct sky_npy *npy, const char *path)
{
    sky_status status = SKY_OK;
    memset(npy, 0, sizeof *npy);
    SKY_TRY_DONE(sky_strdup(&npy->path, path, path));
    if (!sky_path_is_file(path)) {
        status = sky_fail(SKY_DATA, path, sky_path_is_folder(path) ? "is a folder, not a .npy file" : "there is no such file");
        goto done;
    }
    SKY_TRY_DONE(sky_map_open(&npy->map, path));
    SKY_TRY_DONE(read_file(npy));
done:
    if (status != SKY_OK) sky_npy_close(npy);
    return status;
}

void sky_npy_close(struct sky_npy *npy)
{
    free(npy->converted);
    free(npy->path);
    sky_map_close(&npy->map);
    memset(npy, 0, sizeof *npy);
}

/* ---- values ---- */

/* Element `at` of the data: *whole for integers and truth values, else *real. False for an unsigned number beyond int64. */
static bool read_element(const struct sky_npy *npy, int64_t at, int64_t *whole, double *real)
{
    const unsigned char *bytes = npy->data + at * npy->item_bytes;
    uint64_t word = 0;
    memcpy(&word, bytes, (size_t)npy->item_bytes); /* little-endian, as the machine */
    if (npy->kind == 'f' && npy->item_bytes == 2) {
        *real = (double)sky_half_to_float((uint16_t)word);
    } else if (npy->kind == 'f' && npy->item_bytes == 4) {
        float value;
        memcpy(&value, bytes, sizeof value);
        *real = (double)value;
    } else if (npy->kind == 'f') {
        memcpy(real, bytes, sizeof *real);
    } else {
        const int unused = 64 - 8 * npy->item_bytes;
        *whole = npy->kind == 'i' ? (int64_t)(word << unused) >> unused : (int64_t)word; /* the shift extends the sign */
        return npy->kind == 'i' || *whole >= 0;
    }
    return true;
}

sky_status sky_npy_matrix(struct sky_npy *npy, int64_t *rows, int64_t *columns, const float **out)
{
    float *values = NULL;
    if (npy->rank != 2) {
        sky_fail(SKY_DATA, npy->path, "features must be a matrix [rows, dimensions]; this array has %d dimensions", npy->rank);
        return sky_hint("reshape it: numpy.save(FILE, array.reshape(rows, -1))");
    }
    *rows = npy->shape[0];
    *columns = npy->shape[1];
    if (npy->kind == 'f' && npy->item_bytes == 4 && !npy->fortran_order && (uintptr_t)npy->data % sizeof(float) == 0) {
        *out = (const float *)(const void *)npy->data;
        return SKY_OK;
    }
    SKY_TRY(sky_alloc(&values, (size_t)npy->count, sizeof *values, npy->path));
    for (int64_t row = 0; row < *rows && npy->count; row++) { /* nothing to do for many rows of no columns */
        for (int64_t column = 0; column < *columns; column++) {
            int64_t whole = 0;
            double real = 0;
            const bool fits = read_element(npy, npy->fortran_order ? column * *rows + row : row * *columns + column, &whole, &real);
            values[row * *columns + column] = npy->kind == 'f' ? (float)real : fits ? (float)whole : (float)(uint64_t)whole;
        }
    }
    free(npy->converted);
    npy->converted = values;
    *out = values;
    return SKY_OK;
}

sky_status sky_npy_labels(struct sky_npy *npy, int64_t *count, const int64_t **out)
{
    sky_status status = SKY_OK;
    int64_t *labels = NULL;
    if (npy->rank != 1 && !(npy->rank == 2 && (npy->shape[0] == 1 || npy->shape[1] == 1)))
        return sky_fail(SKY_DATA, npy->path, "labels must be a vector, one a row; this array has %d dimensions", npy->rank);
    *count = npy->count;
    if (npy->kind == 'i' && npy->item_bytes == 8 && (uintptr_t)npy->data % sizeof(int64_t) == 0) {
        *out = (const int64_t *)(const void *)npy->data;
        return SKY_OK;
    }
    SKY_TRY(sky_alloc(&labels, (size_t)npy->count, sizeof *labels, npy->path));
    for (int64_t i = 0; i < npy->count; i++) {
        double real = 0;
        if (!read_element(npy, i, &labels[i], &real)) {
            status = sky_fail(SKY_DATA, npy->path, "label %lld (counted from 0) does not fit 63 bits", (long long)i);
            goto done;
        }
        if (npy->kind != 'f') continue;
        if (!(real > -0x1p63 && real < 0x1p63) || (double)(int64_t)real != real) {
            sky_fail(SKY_DATA, npy->path, "label %lld (counted from 0) is %g, not a whole number", (long long)i, real);
            status = sky_hint("are features and labels exchanged?");
            goto done;
        }
        labels[i] = (int64_t)real;
    }
    free(npy->converted);
    npy->converted = labels;
    *out = labels;
    labels = NULL;
done:
    free(labels);
    return status;
}
