/*
 * The EXIF orientation: where a camera was held other than upright, its file says so in one tag and leaves the turning to the viewer.
 * A bounded reader of just that tag (damaged EXIF is never a reason to refuse a picture: it then says nothing) and the eight transforms.
 */
#include "codec.h"

#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, DIRECTORY_ENTRY_BYTES = 12 };

struct tiff {
    const uint8_t *bytes;
    size_t count;
    bool big_endian;
};

static uint32_t read_number(const struct tiff *tiff, size_t offset, int size)
{
    uint32_t value = 0;
    for (int i = 0; i < size; i++) value = value << 8 | tiff->bytes[offset + (size_t)(tiff->big_endian ? i : size - 1 - i)];
    return value;
}

int sky_exif_orientation(const uint8_t *bytes, size_t count)
{
    struct tiff tiff = {bytes, count, false};
    if (count < 8) return 1;
    if (memcmp(bytes, "MM", 2) == 0) tiff.big_endian = true;
    else if (memcmp(bytes, "II", 2) != 0) return 1;
    if (read_number(&tiff, 2, 2) != 42) return 1;
    const size_t directory = read_number(&tiff, 4, 4);
    if (directory > count || count - directory < 2) return 1;
    size_t entries = read_number(&tiff, directory, 2);
    const size_t room = (count - directory - 2) / DIRECTORY_ENTRY_BYTES;
    if (entries > room) entries = room;
    for (size_t i = 0; i < entries; i++) {
        const size_t entry = directory + 2 + i * DIRECTORY_ENTRY_BYTES; /* tag, type, count, value: 2 + 2 + 4 + 4 bytes */
        if (read_number(&tiff, entry, 2) != TAG_ORIENTATION) continue;
        const uint32_t type = read_number(&tiff, entry + 2, 2);
        if (type != TYPE_SHORT && type != TYPE_LONG) return 1;
        const uint32_t value = read_number(&tiff, entry + 8, type == TYPE_SHORT ? 2 : 4);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

sky_status sky_exif_apply(struct sky_image *image, int orientation)
{
    /* Whether the shown row (column) comes from a stored column (row), and which stored directions run backwards. */
    static const struct {
        bool transpose, backwards_x, backwards_y;
    } turns[9] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 0}, {1, 0, 1}, {1, 1, 1}, {1, 1, 0}};
    if (orientation <= 1 || orientation > 8) return SKY_OK;
    const bool transpose = turns[orientation].transpose, backwards_x = turns[orientation].backwards_x, backwards_y = turns[orientation].backwards_y;
    const ptrdiff_t row_bytes = (ptrdiff_t)image->width * 3;
    const ptrdiff_t along_x = backwards_x ? -3 : 3, along_y = backwards_y ? -row_bytes : row_bytes; /* in the stored picture */
    const ptrdiff_t step_x = transpose ? along_y : along_x, step_y = transpose ? along_x : along_y; /* of one step in the shown picture */
    struct sky_image shown = {0};
    SKY_TRY(sky_image_resize_buffer(&shown, transpose ? image->height : image->width, transpose ? image->width : image->height));
    const uint8_t *corner = image->pixels + (backwards_x ? row_bytes - 3 : 0) + (backwards_y ? row_bytes * (image->height - 1) : 0);
    uint8_t *out = shown.pixels;
    for (int y = 0; y < shown.height; y++)
        for (int x = 0; x < shown.width; x++, out += 3) memcpy(out, corner + y * step_y + x * step_x, 3);
    sky_image_free(image);
    *image = shown;
    return SKY_OK;
}
