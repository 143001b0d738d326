/*
 * Picture files as small square pictures, for sheets. One reader keeps its memory from one to the next, and counts what it could not read.
 */
#ifndef SKY_REPORT_THUMBNAIL_H
#define SKY_REPORT_THUMBNAIL_H

#include "image/image.h"

#include <stdbool.h>

/* Zero-initialise but for side; sky_thumbnails_free. */
struct sky_thumbnails {
    int side;
    struct sky_resizer resizer;
    struct sky_image image, tile; /* tile: [side][side][3], the last one */
    int64_t missing;
};

/* Leaves the picture in thumbnails->tile; *there = false, and counted, when it cannot be read. name is below root, or (root NULL) a path of its own. */
sky_status sky_thumbnails_read(struct sky_thumbnails *thumbnails, const char *root, const char *name, enum sky_exif exif, bool *there);
void sky_thumbnails_free(struct sky_thumbnails *thumbnails);

#endif
