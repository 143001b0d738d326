/*
 * JPEG, PNG and TIFF decoding, the resize of what came out, and the places that TIFFs name.
 */
#include "fuzz.h"

#include "image/geotiff.h"
#include "image/image.h"

enum { MOST_PIXELS = 1 << 22 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_decode_options options = {.exif = SKY_EXIF_APPLY, .max_pixels = MOST_PIXELS};
    struct sky_image image = {0}, small = {0};
    struct sky_resizer resizer = {0};
    struct sky_geotiff geotiff;
    int handle;
    const char *path = fuzz_file(bytes, count, &handle);
    sky_geotiff_read(path, &geotiff);
    fuzz_file_end(handle);
    if (sky_image_decode(bytes, count, "fuzz", &options, &image) == SKY_OK) sky_resize_bicubic(&resizer, &image, 17, 13, &small);
    sky_resizer_free(&resizer);
    sky_image_free(&small);
    sky_image_free(&image);
    return 0;
}
