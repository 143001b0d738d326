/*
 * JPEG to RGB through libjpeg-turbo's classic interface, with its defaults (accurate integer IDCT, fancy chroma upsampling): the pixels that
 * Pillow gives. Baseline, progressive and arithmetic coding; gray, RGB, YCbCr, CMYK and YCCK. 12-bit and lossless JPEG are refused by the library.
 *
 * The library's warnings stand for damaged data (cut files, corrupt codes); it would carry on with gray areas. Here the first one ends the
 * decoding, and the picture is refused like one with an error. Everything the library allocates is released before a function returns.
 */
#include "codec.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

enum {
    MAX_SCANS = 100,             /* real progressive files have about ten; each walks over the whole picture */
    MAX_LIBRARY_BYTES = 1 << 30, /* coefficients of a progressive picture */
    ROWS_A_CALL = 16,            /* most that the library has ready at a time */
    EXIF_MARKER = JPEG_APP0 + 1,
    EXIF_PREFIX_BYTES = 6 /* "Exif\0\0" before the TIFF header */
};

struct decoder {
    struct jpeg_decompress_struct library;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf stop;
    bool damaged; /* a warning, not an error */
    char message[JMSG_LENGTH_MAX];
};

/* Errors and warnings alike end up here; whoever calls begin_decoder has set the place to return to. */
static void stop_decoding(j_common_ptr library)
{
    struct decoder *decoder = library->client_data;
    library->err->format_message(library, decoder->message);
    longjmp(decoder->stop, 1);
}

static void on_message(j_common_ptr library, int level)
{
    struct decoder *decoder = library->client_data;
    if (level >= 0) return; /* traces */
    decoder->damaged = true;
    stop_decoding(library);
}

static void on_progress(j_common_ptr library)
{
    struct decoder *decoder = library->client_data;
    if (decoder->library.input_scan_number <= MAX_SCANS) return;
    snprintf(decoder->message, sizeof decoder->message, "More than %d scans", MAX_SCANS);
    longjmp(decoder->stop, 1);
}

static void begin_decoder(struct decoder *decoder, const struct sky_codec_input *input)
{
    decoder->library.err = jpeg_std_error(&decoder->errors);
    decoder->errors.error_exit = stop_decoding;
    decoder->errors.emit_message = on_message;
    decoder->library.client_data = decoder;
    jpeg_create_decompress(&decoder->library); /* keeps err and client_data */
    decoder->library.mem->max_memory_to_use = MAX_LIBRARY_BYTES;
    decoder->progress.progress_monitor = on_progress;
    decoder->library.progress = &decoder->progress;
    jpeg_mem_src(&decoder->library, input->bytes, (unsigned long)input->count);
    if (input->want_orientation) jpeg_save_markers(&decoder->library, EXIF_MARKER, 0xFFFF);
}

static sky_status fail_decoding(const struct decoder *decoder, const struct sky_codec_input *input)
{
    sky_fail(SKY_DATA, input->name, decoder->damaged ? "is a damaged or cut JPEG: %s" : "is a JPEG that cannot be decoded: %s", decoder->message);
    switch (decoder->errors.msg_code) {
    case JERR_BAD_PRECISION: return sky_hint("8 bits a sample are read; convert it");
    case JERR_SOF_UNSUPPORTED: return sky_hint("baseline, progressive and arithmetic JPEG are read; lossless and hierarchical ones have to be converted");
    default: return SKY_DATA;
    }
}

/* A Huffman code takes a bit at least, and every block of every component has one: a file of fewer bits is cut, or lies about its size. */
static sky_status check_plausible(const struct decoder *decoder, const struct sky_codec_input *input)
{
    const struct jpeg_decompress_struct *library = &decoder->library;
    int64_t blocks = 0;
    if (library->arith_code) return SKY_OK; /* has no such bound; the library's memory limit stands */
    for (int i = 0; i < library->num_components; i++) blocks += (int64_t)library->comp_info[i].width_in_blocks * library->comp_info[i].height_in_blocks;
    if (blocks / 8 <= (int64_t)input->count) return SKY_OK;
    return sky_fail(SKY_DATA, input->name, "is a damaged or cut JPEG: its %zu bytes are too few for the %u x %u pixels it says it has", input->count,
                    library->image_width, library->image_height);
}

static int orientation_of(const struct decoder *decoder)
{
    for (jpeg_saved_marker_ptr marker = decoder->library.marker_list; marker; marker = marker->next)
        if (marker->marker == EXIF_MARKER && marker->data_length > EXIF_PREFIX_BYTES && memcmp(marker->data, "Exif\0", EXIF_PREFIX_BYTES) == 0)
            return sky_exif_orientation(marker->data + EXIF_PREFIX_BYTES, marker->data_length - EXIF_PREFIX_BYTES);
    return 1;
}

/* Everything up to the first row. */
static sky_status start_picture(struct decoder *decoder, const struct sky_codec_input *input, struct sky_image *out)
{
    struct jpeg_decompress_struct *library = &decoder->library;
    jpeg_read_header(library, TRUE);
    SKY_TRY(sky_codec_check_size(input, library->image_width, library->image_height));
    SKY_TRY(check_plausible(decoder, input));
    switch (library->num_components) {
    case 1: /* fall through: the library repeats the gray */
    case 3: library->out_color_space = JCS_RGB; break;
    case 4: library->out_color_space = JCS_CMYK; break;
    default: return sky_fail(SKY_DATA, input->name, "is a JPEG of %d colour components; 1, 3 and 4 are read", library->num_components);
    }
    library->dct_method = JDCT_ISLOW;
    library->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(library);
    return sky_image_resize_buffer(out, (int)library->output_width, (int)library->output_height);
}

/* Rounded a * b / 255. */
static int multiply_255(int a, int b)
{
    const int product = a * b + 128;
    return (product + (product >> 8)) >> 8;
}

/*
 * Inks as such files nearly always hold them: inverted, 255 = none (Adobe's habit, which Pillow assumes without looking at the marker).
 * cmyk: [width][4], rgb: [width][3].
 */
static void convert_inks(const uint8_t *cmyk, int width, uint8_t *rgb)
{
    for (int x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int i = 0; i < 3; i++) rgb[i] = (uint8_t)(cmyk[3] - multiply_255(255 - cmyk[i], cmyk[3]));
}

static void read_inks(struct decoder *decoder, struct sky_image *out)
{
    struct jpeg_decompress_struct *library = &decoder->library;
    JSAMPARRAY row = library->mem->alloc_sarray((j_common_ptr)library, JPOOL_IMAGE, library->output_width * 4, 1); /* [1][width][4] */
    for (uint8_t *rgb = out->pixels; library->output_scanline < library->output_height; rgb += (size_t)out->width * 3) {
        jpeg_read_scanlines(library, row, 1);
        convert_inks(row[0], out->width, rgb);
    }
}

static void read_rgb(struct decoder *decoder, struct sky_image *out)
{
    struct jpeg_decompress_struct *library = &decoder->library;
    JSAMPROW rows[ROWS_A_CALL];
    while (library->output_scanline < library->output_height) {
        const unsigned first = library->output_scanline, left = library->output_height - first, count = left < ROWS_A_CALL ? left : ROWS_A_CALL;
        for (unsigned i = 0; i < count; i++) rows[i] = out->pixels + (size_t)(first + i) * out->width * 3;
        jpeg_read_scanlines(library, rows, count);
    }
}

/* The decoder lives in the caller's frame, so that what it holds is certain after a jump. */
static sky_status decode(struct decoder *decoder, const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    if (setjmp(decoder->stop) != 0) return fail_decoding(decoder, input);
    begin_decoder(decoder, input);
    SKY_TRY(start_picture(decoder, input, out));
    *orientation = orientation_of(decoder); /* now: finishing drops the markers */
    if (decoder->library.out_color_space == JCS_CMYK) read_inks(decoder, out);
    else read_rgb(decoder, out);
    jpeg_finish_decompress(&decoder->library); /* reads to the end mark: a file cut just before it is a cut file */
    return SKY_OK;
}

sky_status sky_jpeg_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    struct decoder decoder = {0};
    const sky_status status = decode(&decoder, input, out, orientation);
    jpeg_destroy_decompress(&decoder.library);
    return status;
}
