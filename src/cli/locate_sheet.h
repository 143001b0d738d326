/*
 * The picture that skygem locate --sheet draws: each photo, and the tiles that it is most like, with what is known of them.
 */
#ifndef SKY_CLI_LOCATE_SHEET_H
#define SKY_CLI_LOCATE_SHEET_H

#include "locate.h"
#include "report/picture_page.h"

/* Zero-initialise; sky_locate_sheet_free. A sheet has at most 25 photos, each with at most 10 tiles. */
struct sky_locate_sheet {
    struct sky_picture_page page;
    int64_t left_out, tiles, missing; /* photos beyond the page; tiles drawn, of which not there any more */
};

sky_status sky_locate_sheet_add(struct sky_locate_sheet *sheet, const struct sky_locator *locator, const char *name, const struct sky_located *located);
/* Writes it and says what it lacks. No photo at all: writes nothing, and says that. */
sky_status sky_locate_sheet_write(const struct sky_locate_sheet *sheet, const struct sky_locator *locator, const char *path);
void sky_locate_sheet_free(struct sky_locate_sheet *sheet);

#endif
