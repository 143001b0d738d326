/*
 * PNG to RGB through libpng, to the pixels of Pillow 9.4's convert("RGB"): alpha and transparent colours are dropped, not blended; gamma and
 * colour profiles are not looked at; 16-bit colour keeps its high byte, while 16-bit gray is cut off at 255 (a quirk kept on purpose: equal pixels
 * are the point, and Pillow treats such a file as numbers, not as shades). A palette index without an entry gives the gray of that index.
 *
 * libpng is asked for raw samples only and told to skip every chunk that has no say in them, so nothing in text, profiles or metadata is
 * unpacked. Its errors come back by longjmp; what it allocates is released before a function returns.
 */
#include "codec.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum {
    MAX_SIDE = 0x7fffffff, /* the pixel limit decides */
    MAX_CHUNK_BYTES = 1 << 23,
    MAX_INTERLACED_BYTES = 1 << 30, /* raw samples, which are then kept whole */
    MAX_DEFLATE_RATIO = 1032,
};

struct decoder {
    const struct sky_codec_input *input;
    size_t position;
    png_structp library;
    png_infop header;
    char message[256];
    unsigned char *rows; /* raw samples: one row, or [height][row_bytes] when interlaced */
    uint8_t palette[256][3];
    uint32_t width, height;
    int depth, color;
};

static void on_error(png_structp library, png_const_charp text)
{
    struct decoder *decoder = png_get_error_ptr(library);
    snprintf(decoder->message, sizeof decoder->message, "%s", text);
    png_longjmp(library, 1);
}

static void on_warning(png_structp library, png_const_charp text)
{
    (void)library, (void)text; /* odd metadata; damaged pixels are errors */
}

static void on_read(png_structp library, png_bytep out, size_t count)
{
    struct decoder *decoder = png_get_io_ptr(library);
    if (count > decoder->input->count - decoder->position) png_error(library, "the file ends too early");
    memcpy(out, decoder->input->bytes + decoder->position, count);
    decoder->position += count;
}

static sky_status begin_decoder(struct decoder *decoder, const struct sky_codec_input *input)
{
    decoder->input = input;
    decoder->library = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
    if (decoder->library) decoder->header = png_create_info_struct(decoder->library);
    if (!decoder->header) return sky_fail(SKY_NOMEM, input->name, "libpng could not be started");
    return SKY_OK;
}

static void end_decoder(struct decoder *decoder)
{
    png_destroy_read_struct(&decoder->library, &decoder->header, NULL);
    free(decoder->rows);
}

static void read_header(struct decoder *decoder)
{
    png_structp library = decoder->library;
    png_set_read_fn(library, decoder, on_read);
    png_set_user_limits(library, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(library, MAX_CHUNK_BYTES);
    png_set_keep_unknown_chunks(library, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* all that is not needed to decode */
    if (decoder->input->want_orientation) png_set_keep_unknown_chunks(library, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "eXIf", 1);
    png_read_info(library, decoder->header);
    png_get_IHDR(library, decoder->header, &decoder->width, &decoder->height, &decoder->depth, &decoder->color, NULL, NULL, NULL);
}

/* Entries beyond the file's stay the gray ramp that Pillow starts from. */
static void read_palette(struct decoder *decoder)
{
    png_colorp entries = NULL;
    int count = 0;
    png_get_PLTE(decoder->library, decoder->header, &entries, &count);
    for (int i = 0; i < 256; i++)
        for (int c = 0; c < 3; c++) decoder->palette[i][c] = (uint8_t)i;
    for (int i = 0; i < count && i < 256; i++)
        decoder->palette[i][0] = entries[i].red, decoder->palette[i][1] = entries[i].green, decoder->palette[i][2] = entries[i].blue;
}

/* One row of raw samples (one byte each; 16-bit gray: two) to RGB: [width][channels] to [width][3]. */
static void convert_row(const struct decoder *decoder, const unsigned char *raw, uint8_t *rgb)
{
    const size_t width = decoder->width;
    const int gray_step = 255 / ((1 << (decoder->depth < 8 ? decoder->depth : 8)) - 1);
    switch (decoder->color) {
    case PNG_COLOR_TYPE_GRAY:
        if (decoder->depth == 16)
            for (size_t x = 0; x < width; x++) memset(rgb + 3 * x, raw[2 * x] ? 255 : raw[2 * x + 1], 3);
        else
            for (size_t x = 0; x < width; x++) memset(rgb + 3 * x, raw[x] * gray_step, 3);
        break;
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        for (size_t x = 0; x < width; x++) memset(rgb + 3 * x, raw[2 * x], 3);
        break;
    case PNG_COLOR_TYPE_PALETTE:
        for (size_t x = 0; x < width; x++) memcpy(rgb + 3 * x, decoder->palette[raw[x]], 3);
        break;
    case PNG_COLOR_TYPE_RGB_ALPHA:
        for (size_t x = 0; x < width; x++) memcpy(rgb + 3 * x, raw + 4 * x, 3);
        break;
    default: memcpy(rgb, raw, 3 * width); /* RGB */
    }
}

static sky_status check_header(const struct decoder *decoder)
{
    const struct sky_codec_input *input = decoder->input;
    SKY_TRY(sky_codec_check_size(input, decoder->width, decoder->height));
    const uint64_t raw_bytes = (uint64_t)png_get_rowbytes(decoder->library, decoder->header) * decoder->height;
    if (png_get_interlace_type(decoder->library, decoder->header) != PNG_INTERLACE_NONE && raw_bytes > MAX_INTERLACED_BYTES) {
        sky_fail(SKY_DATA, input->name, "is an interlaced PNG of %u x %u pixels, too large to be put together", decoder->width, decoder->height);
        return sky_hint("save it without interlacing");
    }
    if (raw_bytes / MAX_DEFLATE_RATIO <= input->count) return SKY_OK;
    return sky_fail(SKY_DATA, input->name, "is a damaged or cut PNG: its %zu bytes are too few for the %u x %u pixels it says it has", input->count,
                    decoder->width, decoder->height);
}

static sky_status read_pixels(struct decoder *decoder, struct sky_image *out)
{
    png_structp library = decoder->library;
    const bool keep_16_bit = decoder->depth == 16 && decoder->color == PNG_COLOR_TYPE_GRAY;
    SKY_TRY(check_header(decoder));
    if (decoder->color == PNG_COLOR_TYPE_PALETTE) read_palette(decoder);
    png_set_packing(library); /* 1, 2 and 4 bits: a byte each, not scaled */
    if (!keep_16_bit) png_set_strip_16(library);
    const int passes = png_set_interlace_handling(library);
    png_read_update_info(library, decoder->header);
    const size_t row_bytes = png_get_rowbytes(library, decoder->header), kept_rows = passes > 1 ? decoder->height : 1;
    SKY_TRY(sky_alloc(&decoder->rows, kept_rows, row_bytes, "rows of a PNG"));
    SKY_TRY(sky_image_resize_buffer(out, (int)decoder->width, (int)decoder->height));
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < decoder->height; y++) {
            unsigned char *raw = decoder->rows + (passes > 1 ? y * row_bytes : 0);
            png_read_row(library, raw, NULL);
            if (pass == passes - 1) convert_row(decoder, raw, out->pixels + (size_t)y * decoder->width * 3);
        }
    return SKY_OK;
}

static int orientation_of(const struct decoder *decoder)
{
    png_bytep exif = NULL;
    png_uint_32 count = 0;
    if (!decoder->input->want_orientation || !png_get_eXIf_1(decoder->library, decoder->header, &count, &exif)) return 1;
    return sky_exif_orientation(exif, count);
}

static sky_status fail_decoding(const struct decoder *decoder)
{
    return sky_fail(SKY_DATA, decoder->input->name, "is a damaged or cut PNG: %s", decoder->message);
}

/* The decoder lives in the caller's frame, so that what it holds is certain after a jump. */
static sky_status decode(struct decoder *decoder, struct sky_image *out, int *orientation)
{
    if (setjmp(png_jmpbuf(decoder->library)) != 0) return fail_decoding(decoder);
    read_header(decoder);
    SKY_TRY(read_pixels(decoder, out));
    *orientation = orientation_of(decoder);
    return SKY_OK;
}

sky_status sky_png_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    struct decoder decoder = {0};
    sky_status status = begin_decoder(&decoder, input);
    if (status == SKY_OK) status = decode(&decoder, out, orientation);
    end_decoder(&decoder);
    return status;
}
