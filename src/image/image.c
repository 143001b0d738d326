/*
 * The pixel buffer, and the way from a file's bytes to a decoder: a file is what its first bytes say, whatever its name. A file that is no
 * JPEG, PNG or TIFF is refused with what it looks like, because "not an image" helps nobody to find out that a download went wrong.
 *
 * Decoding itself is in jpeg.c, png.c and tiff.c. The caller owns every sky_image; a failed decode leaves it empty (0 x 0) with its memory kept for
 * the next picture.
 */
#include "image.h"

#include "base/fs.h"
#include "base/memory.h"
#include "codec.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_MAX_PIXELS = 178956970 };

sky_status sky_image_resize_buffer(struct sky_image *image, int width, int height)
{
    size_t row_bytes, bytes;
    if (width < 1 || height < 1) return sky_fail(SKY_INTERNAL, "image buffer", "a picture of %d x %d pixels", width, height);
    if (!sky_multiply_size((size_t)width, 3, &row_bytes) || !sky_multiply_size(row_bytes, (size_t)height, &bytes))
        return sky_fail(SKY_NOMEM, "image buffer", "a picture of %d x %d pixels does not fit into memory", width, height);
    if (bytes > image->capacity) {
        uint8_t *pixels = NULL;
        SKY_TRY(sky_alloc(&pixels, bytes, 1, "pixels of a picture"));
        free(image->pixels);
        image->pixels = pixels, image->capacity = bytes;
    }
    image->width = width, image->height = height;
    return SKY_OK;
}

void sky_image_free(struct sky_image *image)
{
    free(image->pixels);
    memset(image, 0, sizeof *image);
}

enum kind { KIND_JPEG, KIND_PNG, KIND_TIFF, KIND_OTHER };

/* What a file may be instead of a picture we read. `magic` stands at `offset`. */
static const struct lookalike {
    const char *magic;
    size_t length, offset;
    const char *what, *hint;
} lookalikes[] = {
    {"version https://git-lfs", 23, 0, "is a Git LFS pointer, not the picture itself", "fetch the real files with: git lfs pull"},
    {"\x1f\x8b", 2, 0, "is a gzip file", "unpack it first: gunzip"},
    {"PK\x03\x04", 4, 0, "is a zip archive", "unpack it first: unzip"},
    {"BZh", 3, 0, "is a bzip2 file", "unpack it first: bunzip2"},
    {"\3757zXZ", 5, 0, "is an xz file", "unpack it first: unxz"},
    {"GIF8", 4, 0, "is a GIF", NULL},
    {"BM", 2, 0, "is a BMP", NULL},
    {"WEBP", 4, 8, "is a WebP", NULL},
    {"ftyp", 4, 4, "is a HEIF, AVIF or video file", NULL},
    {"\0\0\0\x0cjP  ", 8, 0, "is a JPEG 2000", NULL},
    {"\xff\x0a", 2, 0, "is a JPEG XL", NULL},
    {"\0\0\0\x0cJXL ", 8, 0, "is a JPEG XL", NULL},
    {"%PDF", 4, 0, "is a PDF", NULL},
    {"P5", 2, 0, "is a PGM", NULL},
    {"P6", 2, 0, "is a PPM", NULL},
    {"\0\0\0\0\0\0\0\0", 8, 0, "begins with zero bytes, as files do that were not written to their end", "copy or download it again"},
};

static enum kind sniff(const uint8_t *bytes, size_t count)
{
    if (count >= 2 && bytes[0] == 0xFF && bytes[1] == 0xD8) return KIND_JPEG;
    if (count >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) return KIND_PNG;
    if (count >= 4 && (!memcmp(bytes, "II*", 4) || !memcmp(bytes, "MM\0*", 4) || !memcmp(bytes, "II+", 4) || !memcmp(bytes, "MM\0+", 4))) return KIND_TIFF; /* +: BigTIFF */
    return KIND_OTHER;
}

/* True for "<html", "<!DOCTYPE" and "<?xml" behind any white space. */
static bool is_markup(const uint8_t *bytes, size_t count)
{
    static const char *const openings[] = {"<html", "<!doctype", "<?xml", "<head", "<body"};
    while (count > 0 && isspace(*bytes)) bytes++, count--;
    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        const size_t length = strlen(openings[i]);
        if (count >= length && strncasecmp((const char *)bytes, openings[i], length) == 0) return true;
    }
    return false;
}

/* Length of the printable first line, 0 when the file does not begin with one. */
static int text_length(const uint8_t *bytes, size_t count)
{
    enum { SHOWN = 40 };
    int length = 0;
    while (length < SHOWN && (size_t)length < count && isprint(bytes[length])) length++;
    return length == SHOWN || (size_t)length == count || isspace(bytes[length]) ? length : 0;
}

static sky_status refuse(const struct sky_codec_input *input)
{
    const uint8_t *bytes = input->bytes;
    const size_t count = input->count;
    if (count == 0) {
        sky_fail(SKY_DATA, input->name, "is an empty file (0 bytes)");
        return sky_hint("copy or download it again");
    }
    if (is_markup(bytes, count)) {
        sky_fail(SKY_DATA, input->name, "is a web page (HTML or XML), not a picture");
        return sky_hint("a download has probably saved the server's error page: look into the file and download it again");
    }
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
        const struct lookalike *candidate = &lookalikes[i];
        if (count < candidate->offset + candidate->length || memcmp(bytes + candidate->offset, candidate->magic, candidate->length) != 0) continue;
        sky_fail(SKY_DATA, input->name, "%s", candidate->what);
        return sky_hint("%s", candidate->hint ? candidate->hint : "convert it to JPEG or PNG");
    }
    const int length = text_length(bytes, count);
    if (length > 0) return sky_fail(SKY_DATA, input->name, "is a text file (\"%.*s\"), not a picture", length, (const char *)bytes);
    char shown[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < count; i++) snprintf(shown + 3 * i, 4, " %02x", bytes[i]);
    sky_fail(SKY_DATA, input->name, "is neither JPEG nor PNG nor TIFF (%zu bytes, beginning with%s)", count, shown);
    return sky_hint("read are %s", sky_image_formats());
}

sky_status sky_codec_check_size(const struct sky_codec_input *input, int64_t width, int64_t height)
{
    if (width < 1 || height < 1) return sky_fail(SKY_DATA, input->name, "says it has %lld x %lld pixels", (long long)width, (long long)height);
    if (height <= input->max_pixels / width) return SKY_OK;
    sky_fail(SKY_DATA, input->name, "says it has %lld x %lld pixels, more than the limit of %lld", (long long)width, (long long)height,
             (long long)input->max_pixels);
    return sky_hint("scale it down, or leave it out");
}

sky_status sky_image_decode(const uint8_t *bytes, size_t count, const char *name, const struct sky_decode_options *options, struct sky_image *out)
{
    const struct sky_codec_input input = {bytes, count, name, options->max_pixels > 0 ? options->max_pixels : DEFAULT_MAX_PIXELS,
                                          options->exif == SKY_EXIF_APPLY};
    int orientation = 1;
    sky_status status;
    switch (sniff(bytes, count)) {
    case KIND_JPEG: status = sky_jpeg_decode(&input, out, &orientation); break;
    case KIND_PNG: status = sky_png_decode(&input, out, &orientation); break;
    case KIND_TIFF: status = sky_tiff_decode(&input, out, &orientation); break;
    default: status = refuse(&input);
    }
    if (status == SKY_OK) status = sky_exif_apply(out, orientation);
    if (status != SKY_OK) out->width = out->height = 0; /* half a picture must not pass for one */
    return status;
}

sky_status sky_image_read(const char *path, const struct sky_decode_options *options, struct sky_image *out)
{
    char *bytes = NULL;
    size_t count = 0;
    sky_status status = sky_file_read(path, SKY_IMAGE_MOST_FILE_BYTES, &bytes, &count);
    if (status == SKY_OK) status = sky_image_decode((const uint8_t *)bytes, count, path, options, out);
    else out->width = out->height = 0;
    free(bytes);
    return status;
}
