/*
 * Pictures as 8-bit RGB, rows from the top: decoding (JPEG, PNG, and TIFF where libtiff is there) to the pixels that Pillow's convert("RGB") gives, Pillow's antialiased
 * bicubic resize bit for bit, and writing. Files are recognised by content, not by name. Nothing here knows data sets or tensors.
 */
#ifndef SKY_IMAGE_IMAGE_H
#define SKY_IMAGE_IMAGE_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; reused from picture to picture, growing as needed; free with sky_image_free. */
struct sky_image {
    int width, height;
    uint8_t *pixels; /* [height][width][3], owned */
    size_t capacity; /* bytes behind pixels */
};

sky_status sky_image_resize_buffer(struct sky_image *image, int width, int height); /* sets the size, keeps no pixels */
void sky_image_free(struct sky_image *image);

enum { SKY_IMAGE_MOST_FILE_BYTES = 1 << 30 }; /* larger files are no pictures */

enum sky_exif { SKY_EXIF_IGNORE, SKY_EXIF_APPLY };

struct sky_decode_options {
    enum sky_exif exif;
    int64_t max_pixels; /* refused before anything is allocated; 0: 178,956,970 (Pillow's limit) */
};

/*
 * `name` is for messages. A JPEG with decoder warnings (cut, corrupt) is refused like a broken one: SKY_DATA with the reason. A failure leaves
 * `out` empty, 0 x 0.
 */
sky_status sky_image_decode(const uint8_t *bytes, size_t count, const char *name, const struct sky_decode_options *options, struct sky_image *out);
sky_status sky_image_read(const char *path, const struct sky_decode_options *options, struct sky_image *out);

bool sky_image_reads_tiff(void); /* false: built without libtiff; TIFF files are then SKY_DATA */
const char *sky_image_formats(void); /* what is read, for messages: "JPEG, PNG and TIFF" */

/* Scratch for resizing: coefficient tables and the intermediate rows, kept between calls of equal shape. Zero-initialise. */
struct sky_resizer {
    void *state;
};
/* Pillow's Image.resize((width, height), BICUBIC) (a = -0.5, support 2*max(1,scale), 22 fractional bits, two rounded passes). */
sky_status sky_resize_bicubic(struct sky_resizer *resizer, const struct sky_image *in, int width, int height, struct sky_image *out);
sky_status sky_resize_bicubic_to(struct sky_resizer *resizer, const struct sky_image *in, int width, int height, uint8_t *out /* [height][width][3] */);
void sky_resizer_free(struct sky_resizer *resizer);

sky_status sky_image_write_png(const char *path, const uint8_t *rgb /* [height][width][3] */, int width, int height);
sky_status sky_image_write_jpeg(const char *path, const uint8_t *rgb /* [height][width][3] */, int width, int height, int quality /* 4:2:0 */);
sky_status sky_image_encode_jpeg(const uint8_t *rgb, int width, int height, int quality, char **out /* the caller frees */, size_t *bytes);

#endif
