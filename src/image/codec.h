/*
 * Between image.c, which looks at a file's first bytes, and the decoders of one format each. Internal to src/image.
 *
 * Every decoder reads memory only, checks the size in the header before it allocates, and leaves out->pixels as the one block that outlives it.
 */
#ifndef SKY_IMAGE_CODEC_H
#define SKY_IMAGE_CODEC_H

#include "image.h"

#include <stdbool.h>

struct sky_codec_input {
    const uint8_t *bytes;
    size_t count;
    const char *name;   /* for messages */
    int64_t max_pixels; /* > 0 */
    bool want_orientation;
};

/* Decodes to RGB; *orientation becomes the EXIF orientation, 1 to 8, when it is wanted and there is one. */
sky_status sky_jpeg_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation);
sky_status sky_png_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation);
sky_status sky_tiff_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation); /* the orientation whether it is wanted or not */

/* The refusal that all decoders share. */
sky_status sky_codec_check_size(const struct sky_codec_input *input, int64_t width, int64_t height);

/* Orientation, 1 to 8, out of an EXIF block (a TIFF header and its first directory). 1 when it is damaged or says nothing. */
int sky_exif_orientation(const uint8_t *tiff, size_t count);

/* Turns and mirrors the stored picture so that it is shown upright. Orientation 1 changes nothing. */
sky_status sky_exif_apply(struct sky_image *image, int orientation);

#endif
