/*
 * Draws retrieval sheets. Owns the pictures it reads, one at a time. JSON of another form than eval/retrievals.h writes is SKY_FORMAT.
 */
#include "sheet.h"

#include "base/fs.h"
#include "base/memory.h"
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME = 5, GAP = 6, COLUMNS = 6, JPEG_QUALITY = 82 };

/* What reading pictures needs, kept from one to the next. */
struct reader {
    const char *root;
    enum sky_exif exif;
    struct sky_resizer resizer;
    struct sky_image image, tile; /* tile: [SKY_SHEET_TILE][SKY_SHEET_TILE][3] */
    int64_t missing;
};

static void close_reader(struct reader *reader)
{
    sky_resizer_free(&reader->resizer);
    sky_image_free(&reader->image);
    sky_image_free(&reader->tile);
}

/* The picture as a square tile; *there = false, and counted, when it cannot be read. */
static sky_status read_tile(struct reader *reader, const char *relative, bool *there)
{
    const struct sky_decode_options options = {.exif = reader->exif};
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, reader->root, relative));
    *there = sky_image_read(path, &options, &reader->image) == SKY_OK;
    free(path);
    if (*there) return sky_resize_bicubic(&reader->resizer, &reader->image, SKY_SHEET_TILE, SKY_SHEET_TILE, &reader->tile);
    reader->missing++;
    return SKY_OK;
}

static void append_base64(struct sky_text *out, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        const size_t left = count - i;
        const unsigned bits = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0);
        const char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=', left > 2 ? digits[bits & 63] : '='};
        sky_text_append_bytes(out, four, 4);
    }
}

static int64_t place_of(const struct sky_json *object)
{
    const struct sky_json *value = sky_json_get(object, "place");
    return value && value->is_integer ? value->integer : -1;
}

static sky_status bad_list(void)
{
    sky_fail(SKY_FORMAT, "the retrieval lists", "are not of the form that an evaluation writes");
    return sky_hint("run 'skygem eval' again");
}

/* ---- HTML ---- */

static sky_status append_tile(struct reader *reader, const char *kind, const char *path, const char *caption, struct sky_text *out)
{
    bool there = false;
    char *jpeg = NULL;
    size_t bytes = 0;
    if (!path) return bad_list();
    SKY_TRY(read_tile(reader, path, &there));
    sky_text_format(out, "<figure class='%s'>", kind);
    if (there) {
        SKY_TRY(sky_image_encode_jpeg(reader->tile.pixels, SKY_SHEET_TILE, SKY_SHEET_TILE, JPEG_QUALITY, &jpeg, &bytes));
        sky_text_append(out, "<img alt='");
        sky_html_escape(out, path);
        sky_text_append(out, "' title='");
        sky_html_escape(out, path);
        sky_text_append(out, "' src='data:image/jpeg;base64,");
        append_base64(out, (const unsigned char *)jpeg, bytes);
        sky_text_append(out, "'>");
        free(jpeg);
    } else {
        sky_text_append(out, "<p class='none'>picture not there: ");
        sky_html_escape(out, path);
        sky_text_append(out, "</p>");
    }
    sky_text_append(out, "<figcaption>");
    sky_html_escape(out, caption);
    sky_text_append(out, "</figcaption></figure>");
    return SKY_OK;
}

static sky_status append_row(struct reader *reader, const struct sky_json *item, struct sky_text *out)
{
    const int64_t place = place_of(item);
    const double right = sky_json_number(item, "right_distance");
    const struct sky_json *found = sky_json_get(item, "found");
    char caption[120];
    if (!found || found->kind != SKY_JSON_ARRAY) return bad_list();
    if (isfinite(right)) snprintf(caption, sizeof caption, "query, place %lld; its nearest right one at %.3f", (long long)place, right);
    else snprintf(caption, sizeof caption, "query, place %lld; none in the gallery", (long long)place);
    sky_text_append(out, "<div class='sheet'>");
    SKY_TRY(append_tile(reader, "query", sky_json_text(item, "query"), caption, out));
    for (const struct sky_json *row = found->first; row; row = row->next) {
        snprintf(caption, sizeof caption, "%.3f, place %lld", sky_json_number(row, "distance"), (long long)place_of(row));
        SKY_TRY(append_tile(reader, place_of(row) == place ? "right" : "wrong", sky_json_text(row, "path"), caption, out));
    }
    sky_text_append(out, "</div>\n");
    return SKY_OK;
}

static sky_status append_list(struct reader *reader, const char *title, const char *direction, const struct sky_json *list, struct sky_text *out)
{
    if (!list || list->kind != SKY_JSON_ARRAY || !direction) return bad_list();
    if (!list->count) return SKY_OK;
    sky_text_append(out, "<h2>");
    sky_html_escape(out, title);
    sky_text_append(out, !strcmp(direction, "drone2satellite") ? ", drone \xe2\x86\x92 satellite" : !strcmp(direction, "satellite2drone") ? ", satellite \xe2\x86\x92 drone" : "");
    sky_text_append(out, "</h2>\n");
    for (const struct sky_json *item = list->first; item; item = item->next) SKY_TRY(append_row(reader, item, out));
    return SKY_OK;
}

sky_status sky_sheet_html(const struct sky_json *lists, const char *data_root, enum sky_exif exif, struct sky_text *out, int64_t *missing)
{
    struct reader reader = {.root = data_root, .exif = exif};
    sky_status status = lists->kind == SKY_JSON_ARRAY ? SKY_OK : bad_list();
    for (const struct sky_json *list = lists->first; list && status == SKY_OK; list = list->next) {
        status = append_list(&reader, "Retrievals, some queries", sky_json_text(list, "direction"), sky_json_get(list, "samples"), out);
        if (status == SKY_OK) status = append_list(&reader, "Hardest failures", sky_json_text(list, "direction"), sky_json_get(list, "failures"), out);
    }
    close_reader(&reader);
    *missing = reader.missing;
    return status;
}

/* ---- PNG ---- */

struct canvas {
    uint8_t *pixels; /* [height][width][3] */
    int width, height;
};

static void fill(struct canvas *canvas, int left, int top, int size, const uint8_t colour[3])
{
    for (int y = top; y < top + size; y++)
        for (int x = left; x < left + size; x++) memcpy(canvas->pixels + ((size_t)y * (size_t)canvas->width + (size_t)x) * 3, colour, 3);
}

/* A framed picture; wrong ones have gaps in their frame. */
static sky_status draw_tile(struct reader *reader, struct canvas *canvas, int column, int row, const char *path, const uint8_t colour[3], bool dashed)
{
    static const uint8_t paper[3] = {255, 255, 255}, empty[3] = {200, 200, 200};
    const int cell = SKY_SHEET_TILE + 2 * FRAME, left = GAP + column * (cell + GAP), top = GAP + row * (cell + GAP);
    bool there = false;
    if (!path) return bad_list();
    SKY_TRY(read_tile(reader, path, &there));
    fill(canvas, left, top, cell, colour);
    for (int at = 4 * FRAME; dashed && at + FRAME < cell; at += 8 * FRAME) {
        fill(canvas, left + at, top, FRAME, paper), fill(canvas, left + at, top + cell - FRAME, FRAME, paper);
        fill(canvas, left, top + at, FRAME, paper), fill(canvas, left + cell - FRAME, top + at, FRAME, paper);
    }
    fill(canvas, left + FRAME, top + FRAME, SKY_SHEET_TILE, empty);
    for (int y = 0; there && y < SKY_SHEET_TILE; y++)
        memcpy(canvas->pixels + ((size_t)(top + FRAME + y) * (size_t)canvas->width + (size_t)(left + FRAME)) * 3, reader->tile.pixels + (size_t)y * SKY_SHEET_TILE * 3,
               (size_t)SKY_SHEET_TILE * 3);
    return SKY_OK;
}

static sky_status draw_list(struct reader *reader, struct canvas *canvas, const struct sky_json *list, int *row)
{
    static const uint8_t grey[3] = {90, 100, 112}, green[3] = {26, 127, 55}, red[3] = {207, 34, 46};
    for (const struct sky_json *item = list->first; item; item = item->next, ++*row) {
        const struct sky_json *found = sky_json_get(item, "found");
        int column = 1;
        if (!found || found->kind != SKY_JSON_ARRAY) return bad_list();
        SKY_TRY(draw_tile(reader, canvas, 0, *row, sky_json_text(item, "query"), grey, false));
        for (const struct sky_json *one = found->first; one && column < COLUMNS; one = one->next, column++) {
            const bool right = place_of(one) == place_of(item);
            SKY_TRY(draw_tile(reader, canvas, column, *row, sky_json_text(one, "path"), right ? green : red, !right));
        }
    }
    return SKY_OK;
}

sky_status sky_sheet_png(const struct sky_json *lists, const char *data_root, enum sky_exif exif, const char *path, int64_t *missing)
{
    struct reader reader = {.root = data_root, .exif = exif};
    struct canvas canvas = {0};
    const struct sky_json *first = lists->kind == SKY_JSON_ARRAY ? lists->first : NULL, *samples = sky_json_get(first, "samples"), *failures = sky_json_get(first, "failures");
    const int cell = SKY_SHEET_TILE + 2 * FRAME + GAP;
    sky_status status = SKY_OK;
    int row = 0;
    if (!samples || samples->kind != SKY_JSON_ARRAY || !failures || failures->kind != SKY_JSON_ARRAY) return bad_list();
    const int64_t rows = samples->count + failures->count;
    if (!rows || rows > 10000) return sky_fail(SKY_USAGE, path, "a sheet of %lld queries cannot be drawn", (long long)rows);
    canvas.width = GAP + COLUMNS * cell, canvas.height = GAP + (int)rows * cell;
    SKY_TRY_DONE(sky_alloc(&canvas.pixels, (size_t)canvas.width * (size_t)canvas.height, 3, "a sheet"));
    memset(canvas.pixels, 255, (size_t)canvas.width * (size_t)canvas.height * 3);
    SKY_TRY_DONE(draw_list(&reader, &canvas, samples, &row));
    SKY_TRY_DONE(draw_list(&reader, &canvas, failures, &row));
    status = sky_image_write_png(path, canvas.pixels, canvas.width, canvas.height);
done:
    close_reader(&reader);
    free(canvas.pixels);
    *missing = reader.missing;
    return status;
}
