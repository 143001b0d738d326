/*
 * What libjpeg-turbo and libpng say of themselves. libjpeg's interface does not tell the version that is loaded.
 */
#include "library.h"

#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

/* LIBJPEG_TURBO_VERSION is 2.1.5 without quotes. */
#define QUOTE_VALUE(value) #value
#define QUOTE(name) QUOTE_VALUE(name)

void sky_image_libraries(struct sky_library *jpeg, struct sky_library *png)
{
    const unsigned loaded = (unsigned)png_access_version_number(); /* 10639 is 1.6.39 */
    *jpeg = (struct sky_library){.name = "libjpeg-turbo", .compiled = QUOTE(LIBJPEG_TURBO_VERSION)};
    *png = (struct sky_library){.name = "libpng", .compiled = PNG_LIBPNG_VER_STRING};
    snprintf(png->loaded, sizeof png->loaded, "%u.%u.%u", loaded / 10000, loaded / 100 % 100, loaded % 100);
}
