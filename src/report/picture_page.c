/*
 * Draws pages of pictures. Owns the page's pixels, which grow by rows.
 */
#include "picture_page.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { FRAME = 5, GAP = 6, PITCH = 2 * GAP };

static const uint8_t ink[3] = {31, 35, 40}, paper[3] = {255, 255, 255}, empty[3] = {216, 216, 216};

static int cell_side(const struct sky_picture_page *page) { return page->side + 2 * FRAME; }

int sky_picture_page_letters(const struct sky_picture_page *page) { return cell_side(page) / (SKY_LETTER_ADVANCE * page->scale); }

/* One row of the page as a canvas of its own: a gap above and below. */
static struct sky_canvas row_canvas(const struct sky_picture_page *page, int64_t row)
{
    struct sky_canvas canvas = {.width = GAP + page->columns * (cell_side(page) + GAP),
                                .height = PITCH + cell_side(page) + (page->lines ? GAP + page->lines * SKY_LETTER_LINE * page->scale : 0)};
    if (page->pixels) canvas.pixels = page->pixels + (size_t)row * (size_t)canvas.width * (size_t)canvas.height * 3;
    return canvas;
}

sky_status sky_picture_page_row(struct sky_picture_page *page)
{
    const struct sky_canvas size = row_canvas(page, 0);
    SKY_TRY(sky_grow(&page->pixels, page->rows, &page->capacity, (size_t)size.width * (size_t)size.height * 3, "a sheet"));
    const struct sky_canvas row = row_canvas(page, page->rows++);
    sky_canvas_fill(&row, 0, 0, row.width, row.height, paper);
    return SKY_OK;
}

/* Wrong ones have gaps in their frame, for those who do not see the colours. */
static void draw_frame(const struct sky_canvas *canvas, int left, int side, enum sky_picture_kind kind)
{
    static const uint8_t colours[][3] = {{90, 100, 112}, {190, 198, 208}, {26, 127, 55}, {207, 34, 46}};
    sky_canvas_fill(canvas, left, GAP, side, side, colours[kind]);
    for (int at = 4 * FRAME; kind == SKY_PICTURE_WRONG && at + FRAME < side; at += 8 * FRAME) {
        sky_canvas_fill(canvas, left + at, GAP, FRAME, FRAME, paper), sky_canvas_fill(canvas, left + at, GAP + side - FRAME, FRAME, FRAME, paper);
        sky_canvas_fill(canvas, left, GAP + at, FRAME, FRAME, paper), sky_canvas_fill(canvas, left + side - FRAME, GAP + at, FRAME, FRAME, paper);
    }
}

static void write_lines(const struct sky_picture_page *page, const struct sky_canvas *canvas, int left, const char *const *lines)
{
    int used = 0;
    for (; *lines; lines++)
        for (const char *rest = *lines; *rest && used < page->lines; used++)
            rest += sky_canvas_write(canvas, left, PITCH + cell_side(page) + used * SKY_LETTER_LINE * page->scale, page->scale, sky_picture_page_letters(page), ink, rest);
}

sky_status sky_picture_page_add(struct sky_picture_page *page, int column, const struct sky_page_picture *picture)
{
    static const char missing[] = "missing";
    const struct sky_canvas canvas = row_canvas(page, page->rows - 1);
    const int left = GAP + column * (cell_side(page) + GAP), inner = left + FRAME, width = ((int)sizeof missing - 1) * SKY_LETTER_ADVANCE * page->scale;
    bool there = false;
    page->thumbnails.side = page->side;
    SKY_TRY(sky_thumbnails_read(&page->thumbnails, picture->root, picture->name, picture->exif, &there));
    draw_frame(&canvas, left, cell_side(page), picture->kind);
    if (there) sky_canvas_paste(&canvas, inner, GAP + FRAME, page->thumbnails.tile.pixels, page->side);
    else {
        sky_canvas_fill(&canvas, inner, GAP + FRAME, page->side, page->side, empty);
        sky_canvas_write(&canvas, inner + (page->side - width) / 2, GAP + FRAME + page->side / 2, page->scale, sky_picture_page_letters(page), ink, missing);
    }
    write_lines(page, &canvas, left, picture->lines);
    return SKY_OK;
}

sky_status sky_picture_page_write(const struct sky_picture_page *page, const char *path)
{
    const struct sky_canvas row = row_canvas(page, 0);
    if (!page->rows) return sky_fail(SKY_USAGE, path, "there is no picture to draw a sheet of");
    return sky_image_write_png(path, page->pixels, row.width, row.height * (int)page->rows);
}

void sky_picture_page_free(struct sky_picture_page *page)
{
    sky_thumbnails_free(&page->thumbnails);
    free(page->pixels);
}
