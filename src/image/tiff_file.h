/*
 * A TIFF in memory, open in libtiff: between tiff.c, which reads its pixels, and tiff_tags.c, which reads where it lies on the earth. Internal to src/image.
 */
#ifndef SKY_IMAGE_TIFF_FILE_H
#define SKY_IMAGE_TIFF_FILE_H

#include "codec.h"

#include <tiffio.h>

struct sky_tiff {
    TIFF *library;
    const uint8_t *bytes;
    size_t count, position;
    const char *name;
    char message[256]; /* what libtiff said first; "" while it is content */
};

/* Opens the first directory. The bytes are borrowed; sky_tiff_close also after a failure. */
sky_status sky_tiff_open(struct sky_tiff *tiff, const uint8_t *bytes, size_t count, const char *name);
void sky_tiff_close(struct sky_tiff *tiff);

/* SKY_DATA with what libtiff said. */
sky_status sky_tiff_damaged(const struct sky_tiff *tiff);

#endif
