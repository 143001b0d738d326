/*
 * RGB pixels to PNG and JPEG files. A file that could not be written to its end is removed. No fsync: pictures are made by the thousand and can be made
 * again. The caller owns the pixels; what the libraries allocate is released before a function returns.
 */
#include "image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <jpeglib.h>
#include <png.h>

struct picture {
    const char *path;
    FILE *file;
    const uint8_t *rgb; /* [height][width][3] */
    int width, height, quality;
};

static sky_status open_file(struct picture *picture)
{
    if (picture->width < 1 || picture->height < 1)
        return sky_fail(SKY_INTERNAL, picture->path, "a picture of %d x %d pixels cannot be written", picture->width, picture->height);
    picture->file = fopen(picture->path, "wb");
    return picture->file ? SKY_OK : sky_fail_errno(picture->path, "creating the file");
}

/* Closes; on a failure, now or before, the file goes (and never a device that stands at this path). */
static sky_status close_file(struct picture *picture, sky_status status)
{
    struct stat about;
    const bool removable = fstat(fileno(picture->file), &about) == 0 && S_ISREG(about.st_mode);
    if (status == SKY_OK && fflush(picture->file) != 0) status = sky_fail_errno(picture->path, "writing");
    if (fclose(picture->file) != 0 && status == SKY_OK) status = sky_fail_errno(picture->path, "writing");
    if (status != SKY_OK && removable) remove(picture->path);
    return status;
}

/* A library gave up: the disk is the usual reason, else its own words. */
static sky_status fail_writing(const struct picture *picture, int error, const char *message)
{
    errno = error;
    return ferror(picture->file) && error ? sky_fail_errno(picture->path, "writing") : sky_fail(SKY_INTERNAL, picture->path, "%s", message);
}

struct png_encoder {
    png_structp library;
    png_infop header;
    int error;
    char message[256];
};

static void on_png_error(png_structp library, png_const_charp text)
{
    struct png_encoder *encoder = png_get_error_ptr(library);
    encoder->error = errno;
    snprintf(encoder->message, sizeof encoder->message, "%s", text);
    png_longjmp(library, 1);
}

static void on_png_warning(png_structp library, png_const_charp text)
{
    (void)library, (void)text;
}

static sky_status encode_png(struct png_encoder *encoder, const struct picture *picture)
{
    if (setjmp(png_jmpbuf(encoder->library)) != 0) return fail_writing(picture, encoder->error, encoder->message);
    png_init_io(encoder->library, picture->file);
    png_set_user_limits(encoder->library, 0x7fffffff, 0x7fffffff);
    png_set_IHDR(encoder->library, encoder->header, (png_uint_32)picture->width, (png_uint_32)picture->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(encoder->library, encoder->header);
    for (int y = 0; y < picture->height; y++) png_write_row(encoder->library, picture->rgb + (size_t)y * picture->width * 3);
    png_write_end(encoder->library, NULL);
    return SKY_OK;
}

sky_status sky_image_write_png(const char *path, const uint8_t *rgb, int width, int height)
{
    struct picture picture = {.path = path, .rgb = rgb, .width = width, .height = height};
    struct png_encoder encoder = {0};
    SKY_TRY(open_file(&picture));
    encoder.library = png_create_write_struct(PNG_LIBPNG_VER_STRING, &encoder, on_png_error, on_png_warning);
    if (encoder.library) encoder.header = png_create_info_struct(encoder.library);
    const sky_status status = encoder.header ? encode_png(&encoder, &picture) : sky_fail(SKY_NOMEM, path, "libpng could not be started");
    png_destroy_write_struct(&encoder.library, &encoder.header);
    return close_file(&picture, status);
}

struct jpeg_encoder {
    struct jpeg_compress_struct library;
    struct jpeg_error_mgr errors;
    jmp_buf stop;
    int error;
    char message[JMSG_LENGTH_MAX];
};

static void on_jpeg_error(j_common_ptr library)
{
    struct jpeg_encoder *encoder = library->client_data;
    encoder->error = errno;
    library->err->format_message(library, encoder->message);
    longjmp(encoder->stop, 1);
}

static void on_jpeg_message(j_common_ptr library, int level)
{
    (void)library, (void)level; /* never prints */
}

static sky_status encode_jpeg(struct jpeg_encoder *encoder, const struct picture *picture)
{
    struct jpeg_compress_struct *library = &encoder->library;
    if (setjmp(encoder->stop) != 0) return fail_writing(picture, encoder->error, encoder->message);
    jpeg_create_compress(library);
    jpeg_stdio_dest(library, picture->file);
    library->image_width = (JDIMENSION)picture->width, library->image_height = (JDIMENSION)picture->height;
    library->input_components = 3, library->in_color_space = JCS_RGB;
    jpeg_set_defaults(library); /* YCbCr with the chroma halved both ways, accurate integer DCT */
    jpeg_set_quality(library, picture->quality, TRUE);
    jpeg_start_compress(library, TRUE);
    while (library->next_scanline < library->image_height) {
        JSAMPROW row =
            (JSAMPROW)(uintptr_t)(picture->rgb + (size_t)library->next_scanline * picture->width * 3); /* the library takes it without const, and only reads */
        jpeg_write_scanlines(library, &row, 1);
    }
    jpeg_finish_compress(library);
    return SKY_OK;
}

static sky_status write_jpeg(const struct picture *picture)
{
    struct jpeg_encoder encoder = {0};
    encoder.library.err = jpeg_std_error(&encoder.errors);
    encoder.errors.error_exit = on_jpeg_error;
    encoder.errors.emit_message = on_jpeg_message;
    encoder.library.client_data = &encoder;
    const sky_status status = encode_jpeg(&encoder, picture);
    jpeg_destroy_compress(&encoder.library);
    return status;
}

sky_status sky_image_write_jpeg(const char *path, const uint8_t *rgb, int width, int height, int quality)
{
    struct picture picture = {.path = path, .rgb = rgb, .width = width, .height = height, .quality = quality};
    SKY_TRY(open_file(&picture));
    return close_file(&picture, write_jpeg(&picture));
}

sky_status sky_image_encode_jpeg(const uint8_t *rgb, int width, int height, int quality, char **out, size_t *bytes)
{
    struct picture picture = {.path = "a JPEG in memory", .rgb = rgb, .width = width, .height = height, .quality = quality};
    char *memory = NULL;
    picture.file = open_memstream(&memory, bytes);
    if (!picture.file) return sky_fail_errno(picture.path, "opening");
    sky_status status = write_jpeg(&picture);
    if (fclose(picture.file) != 0 && status == SKY_OK) status = sky_fail_errno(picture.path, "writing");
    if (status == SKY_OK) *out = memory;
    else free(memory);
    return status;
}
