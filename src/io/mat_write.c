/*
 * Writing behind mat.h: the 128-byte header, then one miMATRIX element a variable: flags, dimensions, name, data, each on 8 bytes. Arrays lie column by column.
 * Owns nothing between calls.
 */
#include "mat.h"

#include "base/fs.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { MI_INT8 = 1, MI_UINT16 = 4, MI_INT32 = 5, MI_UINT32 = 6, MI_SINGLE = 7, MI_INT64 = 12, MI_MATRIX = 14 };
enum { MX_CHAR = 4, MX_SINGLE = 7, MX_INT64 = 14 };
enum { HEADER_BYTES = 128, TEXT_BYTES = 124, TAG_BYTES = 8 };

struct array {
    const char *name;
    int class, type, item_bytes;
    int64_t rows, columns;
};

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (8 * i));
}

static size_t padded(size_t bytes) { return (bytes + 7) / 8 * 8; }

static sky_status write_header(struct sky_atomic_file *file)
{
    char header[HEADER_BYTES];
    static const char text[] = "MATLAB 5.0 MAT-file, written by skygem: features, labels and paths of a retrieval";
    memset(header, ' ', TEXT_BYTES);
    memcpy(header, text, sizeof text - 1);
    memset(header + 116, 0, 8); /* no subsystem data */
    memcpy(header + TEXT_BYTES, "\x00\x01IM", 4);
    return sky_atomic_write(file, header, sizeof header);
}

/* Everything of an array in front of its data. */
static sky_status begin_array(struct sky_atomic_file *file, const char *path, const struct array *a)
{
    unsigned char head[96];
    const size_t name = strlen(a->name), name_bytes = padded(name), data = (size_t)(a->rows * a->columns) * (size_t)a->item_bytes;
    const size_t front = 16 + 16 + TAG_BYTES + name_bytes; /* flags, dimensions, name */
    if (data > (size_t)INT32_MAX - 4096) {
        sky_fail(SKY_UNSUPPORTED, path, "%s of %lld x %lld takes %zu bytes, more than the 2 GiB that a MATLAB 5 file can hold in one array", a->name,
                 (long long)a->rows, (long long)a->columns, data);
        return sky_hint("--save-features writes .npy files, which have no such limit");
    }
    memset(head, 0, sizeof head);
    put_u32(head, MI_MATRIX), put_u32(head + 4, (uint32_t)(front + TAG_BYTES + padded(data)));
    put_u32(head + 8, MI_UINT32), put_u32(head + 12, 8), put_u32(head + 16, (uint32_t)a->class);
    put_u32(head + 24, MI_INT32), put_u32(head + 28, 8), put_u32(head + 32, (uint32_t)a->rows), put_u32(head + 36, (uint32_t)a->columns);
    put_u32(head + 40, MI_INT8), put_u32(head + 44, (uint32_t)name);
    memcpy(head + 48, a->name, name);
    put_u32(head + 48 + name_bytes, (uint32_t)a->type), put_u32(head + 52 + name_bytes, (uint32_t)data);
    return sky_atomic_write(file, head, 56 + name_bytes);
}

static sky_status end_array(struct sky_atomic_file *file, const struct array *a)
{
    static const char zeros[8];
    const size_t data = (size_t)(a->rows * a->columns) * (size_t)a->item_bytes;
    return sky_atomic_write(file, zeros, padded(data) - data);
}

/* Column by column, as the format wants it, from rows. */
static sky_status write_rows(struct sky_atomic_file *file, const char *path, const char *name, const struct sky_mat_side *side)
{
    enum { COLUMNS = 16 }; /* so many at a time: each cache line of a row is read once */
    const struct array array = {name, MX_SINGLE, MI_SINGLE, 4, side->count, side->dimensions};
    float *columns = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(begin_array(file, path, &array));
    SKY_TRY_DONE(sky_alloc(&columns, (size_t)side->count * COLUMNS, sizeof *columns, "columns of features"));
    for (int64_t first = 0; first < side->dimensions; first += COLUMNS) {
        const int64_t count = side->dimensions - first < COLUMNS ? side->dimensions - first : COLUMNS;
        for (int64_t row = 0; row < side->count; row++)
            for (int64_t c = 0; c < count; c++) columns[c * side->count + row] = side->rows[row * side->dimensions + first + c];
        SKY_TRY_DONE(sky_atomic_write(file, columns, (size_t)(count * side->count) * sizeof *columns));
    }
    SKY_TRY_DONE(end_array(file, &array));
done:
    free(columns);
    return status;
}

static sky_status write_labels(struct sky_atomic_file *file, const char *path, const char *name, const struct sky_mat_side *side)
{
    const struct array array = {name, MX_INT64, MI_INT64, 8, 1, side->count};
    SKY_TRY(begin_array(file, path, &array));
    return sky_atomic_write(file, side->labels, (size_t)side->count * sizeof *side->labels);
}

/* UTF-8 as 16-bit units; what is no UTF-8 goes byte by byte. Returns how many; out may be NULL. */
static int64_t to_units(const char *text, uint16_t *out)
{
    const unsigned char *at = (const unsigned char *)text;
    int64_t count = 0;
    while (*at) {
        const int more = *at < 0xC2 ? 0 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : *at < 0xF5 ? 3 : 0;
        uint32_t code = more ? *at & (0x3Fu >> more) : *at;
        int used = 1;
        while (used <= more && (at[used] & 0xC0) == 0x80) code = code << 6 | (at[used++] & 0x3F);
        if (used <= more) code = *at, used = 1;
        at += used;
        if (code > 0xFFFF) {
            if (out) out[count] = (uint16_t)(0xD7C0 + (code >> 10)), out[count + 1] = (uint16_t)(0xDC00 + (code & 0x3FF));
            count += 2;
        } else {
            if (out) out[count] = (uint16_t)code;
            count++;
        }
    }
    return count;
}

static sky_status write_paths(struct sky_atomic_file *file, const char *path, const char *name, const struct sky_mat_side *side)
{
    int64_t longest = 1;
    uint16_t *units = NULL, *matrix = NULL;
    sky_status status = SKY_OK;
    for (int64_t i = 0; i < side->count; i++) {
        const int64_t length = to_units(side->paths[i], NULL);
        if (length > longest) longest = length;
    }
    const struct array array = {name, MX_CHAR, MI_UINT16, 2, side->count, longest};
    SKY_TRY_DONE(begin_array(file, path, &array));
    SKY_TRY_DONE(sky_alloc(&units, (size_t)longest, sizeof *units, "a path"));
    SKY_TRY_DONE(sky_alloc(&matrix, (size_t)(side->count * longest), sizeof *matrix, "paths"));
    for (int64_t i = 0; i < side->count; i++) {
        const int64_t length = to_units(side->paths[i], units);
        for (int64_t c = 0; c < longest; c++) matrix[c * side->count + i] = c < length ? units[c] : ' ';
    }
    SKY_TRY_DONE(sky_atomic_write(file, matrix, (size_t)(side->count * longest) * sizeof *matrix));
    SKY_TRY_DONE(end_array(file, &array));
done:
    free(units);
    free(matrix);
    return status;
}

sky_status sky_mat_write_result(const char *path, const struct sky_mat_side *gallery, const struct sky_mat_side *query)
{
    struct sky_atomic_file file = {0};
    sky_status status = sky_atomic_open(&file, path);
    if (status == SKY_OK) status = write_header(&file);
    for (int i = 0; i < 2 && status == SKY_OK; i++) {
        const struct sky_mat_side *side = i ? query : gallery;
        status = write_rows(&file, path, i ? "query_f" : "gallery_f", side);
        if (status == SKY_OK) status = write_labels(&file, path, i ? "query_label" : "gallery_label", side);
        if (status == SKY_OK) status = write_paths(&file, path, i ? "query_path" : "gallery_path", side);
    }
    if (status == SKY_OK) status = sky_atomic_commit(&file);
    sky_atomic_abort(&file);
    return status;
}
