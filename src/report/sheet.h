/*
 * Retrieval sheets: a query and its nearest rows, right ones framed green, wrong ones red (and dashed, for those who do not see the colours). From the lists
 * that an evaluation leaves (eval/retrievals.h), as HTML with the pictures inside, or as one PNG.
 */
#ifndef SKY_REPORT_SHEET_H
#define SKY_REPORT_SHEET_H

#include "base/json.h"
#include "base/str.h"
#include "image/image.h"

/* `lists` is an array of what sky_retrievals_json writes. A picture that cannot be read leaves its place empty and is counted in *missing. */
sky_status sky_sheet_html(const struct sky_json *lists, const char *data_root, enum sky_exif exif, struct sky_text *out, int64_t *missing);

/* The samples, then the failures, of the first list: a row a query, SKY_SHEET_TILE pixels a picture. */
enum { SKY_SHEET_TILE = 128 };
sky_status sky_sheet_png(const struct sky_json *lists, const char *data_root, enum sky_exif exif, const char *path, int64_t *missing);

#endif
