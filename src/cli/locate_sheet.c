/*
 * Lays out what locate found as a page of pictures. Owns the page. Tiles are looked for where the index found them.
 */
#include "locate_sheet.h"

#include "skygem/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 256, LINES = 4, SCALE = 2, MOST_PHOTOS = 25, MOST_TILES = 10 };

/* The end of a path that does not fit two lines, which tells more than its beginning. */
static void shorten(const struct sky_picture_page *page, const char *path, char out[128])
{
    const size_t room = 2 * (size_t)sky_picture_page_letters(page), length = strlen(path);
    const char *from = length > room ? path + length - (room - 3) : path;
    while ((*from & 0xC0) == 0x80) from++; /* not within a character */
    snprintf(out, 128, "%s%s", length > room ? "..." : "", from);
}

static sky_status add_photo(struct sky_locate_sheet *sheet, const struct sky_locator *locator, const char *name, const struct sky_answer *answer)
{
    char path[128], margin[48], confidence[48];
    struct sky_page_picture picture = {.name = name, .exif = locator->exif, .kind = SKY_PICTURE_QUERY, .lines = {path, margin, confidence}};
    shorten(&sheet->page, name, path);
    if (isnan(answer->margin)) snprintf(margin, sizeof margin, "no other place");
    else snprintf(margin, sizeof margin, "margin %.4f", answer->margin);
    if (isnan(answer->confidence)) snprintf(confidence, sizeof confidence, "uncalibrated");
    else snprintf(confidence, sizeof confidence, "confidence %.1f %%", 100 * answer->confidence);
    return sky_picture_page_add(&sheet->page, 0, &picture);
}

static sky_status add_tile(struct sky_locate_sheet *sheet, const struct sky_locator *locator, int rank, const struct sky_candidate *candidate)
{
    const struct sky_index *index = locator->index;
    char path[128], similarity[48], place[48] = "place not known";
    struct sky_tile tile;
    SKY_TRY(sky_index_tile(index, candidate->tile, &tile));
    shorten(&sheet->page, tile.path, path);
    snprintf(similarity, sizeof similarity, "%d: %.4f", rank, (double)candidate->similarity);
    if (!isnan(tile.latitude)) snprintf(place, sizeof place, "%.5f, %.5f", tile.latitude, tile.longitude);
    const struct sky_page_picture picture = {.root = index->texts.root,
                                             .name = tile.path,
                                             .exif = strcmp(index->texts.exif, "apply") ? SKY_EXIF_IGNORE : SKY_EXIF_APPLY,
                                             .kind = SKY_PICTURE_PLAIN,
                                             .lines = {similarity, place, path}};
    const int64_t missing = sheet->page.thumbnails.missing;
    SKY_TRY(sky_picture_page_add(&sheet->page, rank, &picture));
    sheet->tiles++, sheet->missing += sheet->page.thumbnails.missing - missing;
    return SKY_OK;
}

sky_status sky_locate_sheet_add(struct sky_locate_sheet *sheet, const struct sky_locator *locator, const char *name, const struct sky_located *located)
{
    const struct sky_answer *answer = &located->answer;
    const int shown = answer->count < MOST_TILES ? (int)answer->count : MOST_TILES; /* the same for every photo */
    if (sheet->page.rows == MOST_PHOTOS) return sheet->left_out++, SKY_OK;
    sheet->page.side = SIDE, sheet->page.columns = 1 + shown, sheet->page.lines = LINES, sheet->page.scale = SCALE;
    SKY_TRY(sky_picture_page_row(&sheet->page));
    SKY_TRY(add_photo(sheet, locator, name, answer));
    for (int i = 0; i < shown; i++) SKY_TRY(add_tile(sheet, locator, i + 1, &answer->candidates[i]));
    return SKY_OK;
}

sky_status sky_locate_sheet_write(const struct sky_locate_sheet *sheet, const struct sky_locator *locator, const char *path)
{
    const int64_t rows = sheet->page.rows, each = rows ? sheet->tiles / rows : 0;
    if (!rows) {
        sky_log(SKY_LOG_WARNING, "%s is not written: no picture was located", path);
        return SKY_OK;
    }
    SKY_TRY(sky_picture_page_write(&sheet->page, path));
    sky_log(SKY_LOG_INFO, "%s: %lld pictures, each with the %lld tiles it is most like", path, (long long)rows, (long long)each);
    if (sheet->left_out) sky_log(SKY_LOG_WARNING, "%s: %lld pictures more are left out of the sheet", path, (long long)sheet->left_out);
    if (sheet->missing)
        sky_log(SKY_LOG_WARNING, "%s: %lld of %lld tiles cannot be read below %s; if they have moved: skygem index -o INDEX --update FOLDER", path,
                (long long)sheet->missing, (long long)sheet->tiles, locator->index->texts.root);
    return SKY_OK;
}

void sky_locate_sheet_free(struct sky_locate_sheet *sheet) { sky_picture_page_free(&sheet->page); }
