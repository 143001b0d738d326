/*
 * Retrieval lists to sheets: HTML with the pictures inside, or a page of pictures. Owns the pictures it reads, one at a time. JSON of another form than
 * eval/retrievals.h writes is SKY_FORMAT.
 */
#include "sheet.h"

#include "chart.h"
#include "picture_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 6, JPEG_QUALITY = 82 };

/* Where the pictures of lists are. */
struct source {
    const char *root;
    enum sky_exif exif;
    struct sky_thumbnails thumbnails;
};

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

static sky_status append_tile(struct source *source, const char *kind, const char *path, const char *caption, struct sky_text *out)
{
    bool there = false;
    char *jpeg = NULL;
    size_t bytes = 0;
    if (!path) return bad_list();
    SKY_TRY(sky_thumbnails_read(&source->thumbnails, source->root, path, source->exif, &there));
    sky_text_format(out, "<figure class='%s'>", kind);
    if (there) {
        SKY_TRY(sky_image_encode_jpeg(source->thumbnails.tile.pixels, SKY_SHEET_TILE, SKY_SHEET_TILE, JPEG_QUALITY, &jpeg, &bytes));
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

static sky_status append_row(struct source *source, const struct sky_json *item, struct sky_text *out)
{
    const int64_t place = place_of(item);
    const double right = sky_json_number(item, "right_distance");
    const struct sky_json *found = sky_json_get(item, "found");
    char caption[120];
    if (!found || found->kind != SKY_JSON_ARRAY) return bad_list();
    if (isfinite(right)) snprintf(caption, sizeof caption, "query, place %lld; its nearest right one at %.3f", (long long)place, right);
    else snprintf(caption, sizeof caption, "query, place %lld; none in the gallery", (long long)place);
    sky_text_append(out, "<div class='sheet'>");
    SKY_TRY(append_tile(source, "query", sky_json_text(item, "query"), caption, out));
    for (const struct sky_json *row = found->first; row; row = row->next) {
        snprintf(caption, sizeof caption, "%.3f, place %lld", sky_json_number(row, "distance"), (long long)place_of(row));
        SKY_TRY(append_tile(source, place_of(row) == place ? "right" : "wrong", sky_json_text(row, "path"), caption, out));
    }
    sky_text_append(out, "</div>\n");
    return SKY_OK;
}

static sky_status append_list(struct source *source, const char *title, const char *direction, const struct sky_json *list, struct sky_text *out)
{
    char shown[64];
    if (!list || list->kind != SKY_JSON_ARRAY || !direction) return bad_list();
    if (!list->count) return SKY_OK;
    sky_text_append(out, "<h2>");
    sky_html_escape(out, title);
    sky_print_direction(direction, shown);
    sky_text_append(out, ", ");
    sky_html_escape(out, shown);
    sky_text_append(out, "</h2>\n");
    for (const struct sky_json *item = list->first; item; item = item->next) SKY_TRY(append_row(source, item, out));
    return SKY_OK;
}

sky_status sky_sheet_html(const struct sky_json *lists, const char *data_root, enum sky_exif exif, struct sky_text *out, int64_t *missing)
{
    struct source source = {.root = data_root, .exif = exif, .thumbnails = {.side = SKY_SHEET_TILE}};
    sky_status status = lists->kind == SKY_JSON_ARRAY ? SKY_OK : bad_list();
    for (const struct sky_json *list = lists->first; list && status == SKY_OK; list = list->next) {
        status = append_list(&source, "Retrievals, some queries", sky_json_text(list, "direction"), sky_json_get(list, "samples"), out);
        if (status == SKY_OK) status = append_list(&source, "Hardest failures", sky_json_text(list, "direction"), sky_json_get(list, "failures"), out);
    }
    sky_thumbnails_free(&source.thumbnails);
    *missing = source.thumbnails.missing;
    return status;
}

/* ---- PNG ---- */

static sky_status draw(struct sky_picture_page *page, int column, const struct source *source, enum sky_picture_kind kind, const char *path, const char *first, const char *second)
{
    const struct sky_page_picture picture = {.root = source->root, .name = path, .exif = source->exif, .kind = kind, .lines = {first, second}};
    return path ? sky_picture_page_add(page, column, &picture) : bad_list();
}

static sky_status draw_list(const struct source *source, struct sky_picture_page *page, const struct sky_json *list)
{
    for (const struct sky_json *item = list->first; item; item = item->next) {
        const struct sky_json *found = sky_json_get(item, "found");
        const double right = sky_json_number(item, "right_distance");
        char place[32], distance[32] = "no right one";
        int column = 1;
        if (!found || found->kind != SKY_JSON_ARRAY) return bad_list();
        snprintf(place, sizeof place, "place %lld", (long long)place_of(item));
        if (isfinite(right)) snprintf(distance, sizeof distance, "right one at %.3f", right);
        SKY_TRY(sky_picture_page_row(page));
        SKY_TRY(draw(page, 0, source, SKY_PICTURE_QUERY, sky_json_text(item, "query"), place, distance));
        for (const struct sky_json *one = found->first; one && column < COLUMNS; one = one->next, column++) {
            const enum sky_picture_kind kind = place_of(one) == place_of(item) ? SKY_PICTURE_RIGHT : SKY_PICTURE_WRONG;
            snprintf(place, sizeof place, "place %lld", (long long)place_of(one));
            snprintf(distance, sizeof distance, "%.3f", sky_json_number(one, "distance"));
            SKY_TRY(draw(page, column, source, kind, sky_json_text(one, "path"), place, distance));
        }
    }
    return SKY_OK;
}

sky_status sky_sheet_png(const struct sky_json *lists, const char *data_root, enum sky_exif exif, const char *path, int64_t *missing)
{
    const struct source source = {.root = data_root, .exif = exif};
    struct sky_picture_page page = {.side = SKY_SHEET_TILE, .columns = COLUMNS, .lines = 2, .scale = 1};
    const struct sky_json *first = lists->kind == SKY_JSON_ARRAY ? lists->first : NULL, *samples = sky_json_get(first, "samples"), *failures = sky_json_get(first, "failures");
    sky_status status = SKY_OK;
    if (!samples || samples->kind != SKY_JSON_ARRAY || !failures || failures->kind != SKY_JSON_ARRAY) return bad_list();
    const int64_t rows = samples->count + failures->count;
    if (!rows || rows > 10000) return sky_fail(SKY_USAGE, path, "a sheet of %lld queries cannot be drawn", (long long)rows);
    SKY_TRY_DONE(draw_list(&source, &page, samples));
    SKY_TRY_DONE(draw_list(&source, &page, failures));
    status = sky_picture_page_write(&page, path);
done:
    *missing = page.thumbnails.missing;
    sky_picture_page_free(&page);
    return status;
}
