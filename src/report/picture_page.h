/*
 * Rows of framed pictures with lines of text under each, as one PNG. Rows are drawn as they come.
 */
#ifndef SKY_REPORT_PICTURE_PAGE_H
#define SKY_REPORT_PICTURE_PAGE_H

#include "canvas.h"
#include "thumbnail.h"

enum { SKY_PICTURE_LINES = 5 };

/* Zero-initialise but for the first line; sky_picture_page_free. */
struct sky_picture_page {
    int side, columns, lines, scale; /* of a picture in pixels; pictures a row; lines of text, at most SKY_PICTURE_LINES; pixels a dot of the letters */
    struct sky_thumbnails thumbnails; /* .missing: pictures that could not be read */
    uint8_t *pixels;
    int64_t rows, capacity;
};

enum sky_picture_kind { SKY_PICTURE_QUERY, SKY_PICTURE_PLAIN, SKY_PICTURE_RIGHT, SKY_PICTURE_WRONG }; /* grey, light, green, red and dashed */

/* A picture of a page. Lines longer than the picture is wide go on in the next; NULL ends them. One that cannot be read is drawn as an empty frame that says "missing". */
struct sky_page_picture {
    const char *root, *name; /* sky_thumbnails_read */
    enum sky_exif exif;
    enum sky_picture_kind kind;
    const char *lines[SKY_PICTURE_LINES + 1];
};

sky_status sky_picture_page_row(struct sky_picture_page *page); /* begins one */
sky_status sky_picture_page_add(struct sky_picture_page *page, int column, const struct sky_page_picture *picture); /* into the last row */
int sky_picture_page_letters(const struct sky_picture_page *page); /* in a line */
sky_status sky_picture_page_write(const struct sky_picture_page *page, const char *path);
void sky_picture_page_free(struct sky_picture_page *page);

#endif
