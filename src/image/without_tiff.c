/*
 * A program built without libtiff: TIFF files are known and refused. See tiff.c.
 */
#include "codec.h"
#include "geotiff.h"
#include "library.h"

static sky_status refuse(sky_status status, const char *name)
{
    sky_fail(status, name, "is a TIFF, and this program is built without libtiff");
    return sky_hint("build with libtiff 4.5 or newer (apt install libtiff-dev, cmake -DSKY_TIFF=ON), or convert it to PNG");
}

sky_status sky_tiff_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    (void)out, (void)orientation;
    return refuse(SKY_DATA, input->name);
}

sky_status sky_geotiff_read(const char *path, struct sky_geotiff *out)
{
    (void)out;
    return refuse(SKY_UNSUPPORTED, path);
}

bool sky_image_reads_tiff(void) { return false; }

const char *sky_image_formats(void) { return "JPEG and PNG (TIFF not: this program is built without libtiff)"; }

bool sky_tiff_library(struct sky_library *out)
{
    (void)out;
    return false;
}
