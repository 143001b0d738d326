/*
 * Reads and shrinks. Owns the last picture, as read and as drawn.
 */
#include "thumbnail.h"

#include "base/fs.h"

#include <stdlib.h>

void sky_thumbnails_free(struct sky_thumbnails *thumbnails)
{
    sky_resizer_free(&thumbnails->resizer);
    sky_image_free(&thumbnails->image);
    sky_image_free(&thumbnails->tile);
}

sky_status sky_thumbnails_read(struct sky_thumbnails *thumbnails, const char *root, const char *name, enum sky_exif exif, bool *there)
{
    const struct sky_decode_options options = {.exif = exif};
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, root ? root : ".", name));
    *there = sky_image_read(path, &options, &thumbnails->image) == SKY_OK;
    free(path);
    if (*there) return sky_resize_bicubic(&thumbnails->resizer, &thumbnails->image, thumbnails->side, thumbnails->side, &thumbnails->tile);
    thumbnails->missing++;
    return SKY_OK;
}
