/*
 * TIFF to RGB through libtiff, to the pixels of Pillow 9.4's convert("RGB"): gray, RGB and palettes of 1 to 16 bits, in strips or tiles, of any compression
 * that libtiff unpacks. Alpha is dropped (premultiplied colours are divided by it first), and so are bands beyond the third. As Pillow does, 16-bit gray is cut
 * off at 255, 16-bit colour keeps its high byte, and the tag that says which way is up is always obeyed. The first directory of a file is its picture.
 *
 * Other kinds (floating-point and signed samples, CMYK, Lab, YCbCr without JPEG) are refused by name. One block of the file is in memory at a time.
 */
#include "tiff_file.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { BANDS = 3 };

struct decoder {
    struct sky_tiff file;
    uint32_t width, height, block_width, block_height;
    uint16_t bits, bands, photometric, compression;
    bool separate, tiled, premultiplied;
    int colours; /* planes or samples that count: 1 or 3 */
    size_t row_bytes, block_bytes;
    const uint16_t *palette[BANDS]; /* [1 << bits], libtiff's */
    uint8_t *blocks;                /* [colours of separate planes, else 1][block_bytes] */
};

static sky_status refuse_kind(const struct decoder *decoder, const char *what)
{
    sky_fail(SKY_DATA, decoder->file.name, "is a TIFF of %s, which is not read", what);
    return sky_hint("convert it to 8-bit gray or RGB: gdal_translate -ot Byte -scale IN.tif OUT.tif");
}

static sky_status read_header(struct decoder *decoder)
{
    TIFF *library = decoder->file.library;
    uint16_t planar = PLANARCONFIG_CONTIG, format = SAMPLEFORMAT_UINT, extra_count = 0, *extra = NULL;
    if (!TIFFGetField(library, TIFFTAG_IMAGEWIDTH, &decoder->width) || !TIFFGetField(library, TIFFTAG_IMAGELENGTH, &decoder->height))
        return sky_fail(SKY_DATA, decoder->file.name, "is a TIFF that does not say its size");
    TIFFGetFieldDefaulted(library, TIFFTAG_BITSPERSAMPLE, &decoder->bits);
    TIFFGetFieldDefaulted(library, TIFFTAG_SAMPLESPERPIXEL, &decoder->bands);
    TIFFGetFieldDefaulted(library, TIFFTAG_COMPRESSION, &decoder->compression);
    TIFFGetFieldDefaulted(library, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(library, TIFFTAG_SAMPLEFORMAT, &format);
    TIFFGetFieldDefaulted(library, TIFFTAG_EXTRASAMPLES, &extra_count, &extra);
    if (!TIFFGetField(library, TIFFTAG_PHOTOMETRIC, &decoder->photometric)) decoder->photometric = PHOTOMETRIC_MINISWHITE;
    decoder->separate = planar == PLANARCONFIG_SEPARATE && decoder->bands > 1;
    decoder->premultiplied = extra_count && extra[0] == EXTRASAMPLE_ASSOCALPHA && decoder->bands > BANDS && decoder->photometric == PHOTOMETRIC_RGB;
    return format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID ? SKY_OK : refuse_kind(decoder, "signed or floating-point samples");
}

/* What the samples mean; sets how many of them count. */
static sky_status check_kind(struct decoder *decoder)
{
    const uint16_t bits = decoder->bits;
    const bool packed = bits == 1 || bits == 2 || bits == 4;
    decoder->colours = BANDS;
    switch (decoder->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE: decoder->colours = 1; break;
    case PHOTOMETRIC_RGB: break;
    case PHOTOMETRIC_YCBCR:
        if (decoder->compression != COMPRESSION_JPEG) return refuse_kind(decoder, "YCbCr without JPEG");
        TIFFSetField(decoder->file.library, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        break;
    default: return refuse_kind(decoder, "neither gray nor RGB nor palette colours");
    }
    if (decoder->bands < decoder->colours) return refuse_kind(decoder, "fewer bands than colours");
    if (decoder->compression == COMPRESSION_OJPEG) return refuse_kind(decoder, "the old kind of JPEG");
    if (bits != 8 && !(bits == 16 && decoder->photometric != PHOTOMETRIC_PALETTE) && !(packed && decoder->colours == 1 && decoder->bands == 1))
        return refuse_kind(decoder, "an unusual number of bits a sample");
    if (decoder->photometric != PHOTOMETRIC_PALETTE) return SKY_OK;
    uint16_t *entries[BANDS];
    if (!TIFFGetField(decoder->file.library, TIFFTAG_COLORMAP, &entries[0], &entries[1], &entries[2])) return refuse_kind(decoder, "a palette that is not there");
    for (int c = 0; c < BANDS; c++) decoder->palette[c] = entries[c];
    return SKY_OK;
}

static sky_status measure_blocks(struct decoder *decoder, const struct sky_codec_input *input)
{
    TIFF *library = decoder->file.library;
    tmsize_t row_bytes, block_bytes;
    decoder->tiled = TIFFIsTiled(library);
    decoder->block_width = decoder->width, decoder->block_height = decoder->height;
    if (decoder->tiled) {
        if (!TIFFGetField(library, TIFFTAG_TILEWIDTH, &decoder->block_width) || !TIFFGetField(library, TIFFTAG_TILELENGTH, &decoder->block_height))
            return sky_tiff_damaged(&decoder->file);
        SKY_TRY(sky_codec_check_size(input, decoder->block_width, decoder->block_height));
        row_bytes = TIFFTileRowSize(library), block_bytes = TIFFTileSize(library);
    } else {
        uint32_t rows = 0;
        TIFFGetFieldDefaulted(library, TIFFTAG_ROWSPERSTRIP, &rows);
        if (rows && rows < decoder->height) decoder->block_height = rows;
        row_bytes = TIFFScanlineSize(library), block_bytes = TIFFStripSize(library);
    }
    const uint64_t needed = ((uint64_t)decoder->block_width * decoder->bits * (decoder->separate ? 1 : decoder->bands) + 7) / 8;
    if (row_bytes < 1 || (uint64_t)row_bytes < needed || (uint64_t)block_bytes < (uint64_t)row_bytes * decoder->block_height) return sky_tiff_damaged(&decoder->file);
    decoder->row_bytes = (size_t)row_bytes, decoder->block_bytes = (size_t)block_bytes;
    return sky_alloc(&decoder->blocks, decoder->separate ? (size_t)decoder->colours + decoder->premultiplied : 1, decoder->block_bytes, "a block of a TIFF");
}

static unsigned read_sample(const uint8_t *row, size_t index, unsigned bits)
{
    uint16_t wide;
    if (bits == 8) return row[index];
    if (bits == 16) return memcpy(&wide, row + 2 * index, sizeof wide), wide;
    return row[index * bits / 8] >> (8 - bits - index * bits % 8) & ((1u << bits) - 1);
}

static uint8_t gray_of(const struct decoder *decoder, unsigned sample)
{
    if (decoder->bits == 16) return (uint8_t)(sample > 255 ? 255 : sample);
    const unsigned gray = sample * (255 / ((1u << decoder->bits) - 1));
    return (uint8_t)(decoder->photometric == PHOTOMETRIC_MINISWHITE ? 255 - gray : gray);
}

/* Colours that were multiplied by alpha, divided again. */
static uint8_t divide_by_alpha(unsigned colour, unsigned alpha)
{
    if (alpha == 0 || alpha == 255) return (uint8_t)(alpha ? colour : 0);
    const unsigned whole = colour * 255 / alpha;
    return (uint8_t)(whole > 255 ? 255 : whole);
}

/* `rows` are one row of each plane (of the one there is, with its samples side by side), of which `width` pixels go to rgb. */
static void convert_row(const struct decoder *decoder, const uint8_t *const *rows, uint32_t width, uint8_t *rgb)
{
    const unsigned bits = decoder->bits, shift = bits == 16 ? 8 : 0;
    const size_t step = decoder->separate ? 1 : decoder->bands;
    for (uint32_t x = 0; x < width; x++, rgb += 3) {
        const unsigned first = read_sample(rows[0], x * step, bits);
        for (int c = 0; c < BANDS; c++) {
            if (decoder->palette[0]) rgb[c] = (uint8_t)(decoder->palette[c][first] >> 8);
            else if (decoder->colours == 1) rgb[c] = gray_of(decoder, first);
            else rgb[c] = (uint8_t)(read_sample(rows[c], x * step + (decoder->separate ? 0 : (size_t)c), bits) >> shift);
        }
        if (!decoder->premultiplied) continue;
        const unsigned alpha = read_sample(rows[BANDS], x * step + (decoder->separate ? 0 : BANDS), bits) >> shift;
        for (int c = 0; c < BANDS; c++) rgb[c] = divide_by_alpha(rgb[c], alpha);
    }
}

/* A strip or tile that the directory places within the file: where it names none, libtiff would read the file's beginning for uncompressed pixels. */
static bool is_there(const struct sky_tiff *file, uint32_t number)
{
    const uint64_t offset = TIFFGetStrileOffset(file->library, number), bytes = TIFFGetStrileByteCount(file->library, number);
    return offset && bytes && offset < file->count && bytes <= file->count - offset;
}

/* The block whose upper left corner is x, y, of every plane that counts. */
static sky_status read_block(struct decoder *decoder, uint32_t x, uint32_t y, struct sky_image *out)
{
    TIFF *library = decoder->file.library;
    const int planes = decoder->separate ? decoder->colours + decoder->premultiplied : 1;
    const uint32_t width = decoder->width - x < decoder->block_width ? decoder->width - x : decoder->block_width;
    const uint32_t height = decoder->height - y < decoder->block_height ? decoder->height - y : decoder->block_height;
    for (int p = 0; p < planes; p++) {
        uint8_t *block = decoder->blocks + (size_t)p * decoder->block_bytes;
        const uint16_t plane = (uint16_t)p;
        const tmsize_t wanted = (tmsize_t)(decoder->row_bytes * height);
        const uint32_t number = decoder->tiled ? TIFFComputeTile(library, x, y, 0, plane) : TIFFComputeStrip(library, y, plane);
        if (!is_there(&decoder->file, number)) return sky_tiff_damaged(&decoder->file);
        const tmsize_t read = decoder->tiled ? TIFFReadEncodedTile(library, number, block, (tmsize_t)decoder->block_bytes)
                                             : TIFFReadEncodedStrip(library, number, block, wanted);
        if (read < wanted || *decoder->file.message) return sky_tiff_damaged(&decoder->file);
    }
    for (uint32_t row = 0; row < height; row++) {
        const uint8_t *rows[BANDS + 1];
        for (int p = 0; p <= BANDS; p++) rows[p] = decoder->blocks + (p < planes ? (size_t)p * decoder->block_bytes : 0) + row * decoder->row_bytes;
        convert_row(decoder, rows, width, out->pixels + (((size_t)y + row) * decoder->width + x) * 3);
    }
    return SKY_OK;
}

static int orientation_of(const struct decoder *decoder)
{
    uint16_t orientation = 1;
    return TIFFGetField(decoder->file.library, TIFFTAG_ORIENTATION, &orientation) ? orientation : 1;
}

static sky_status decode(struct decoder *decoder, const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    SKY_TRY(sky_tiff_open(&decoder->file, input->bytes, input->count, input->name));
    SKY_TRY(read_header(decoder));
    SKY_TRY(sky_codec_check_size(input, decoder->width, decoder->height));
    SKY_TRY(check_kind(decoder));
    SKY_TRY(measure_blocks(decoder, input));
    SKY_TRY(sky_image_resize_buffer(out, (int)decoder->width, (int)decoder->height));
    for (uint64_t y = 0; y < decoder->height; y += decoder->block_height)
        for (uint64_t x = 0; x < decoder->width; x += decoder->block_width) SKY_TRY(read_block(decoder, (uint32_t)x, (uint32_t)y, out));
    *orientation = orientation_of(decoder);
    return SKY_OK;
}

sky_status sky_tiff_decode(const struct sky_codec_input *input, struct sky_image *out, int *orientation)
{
    struct decoder decoder = {0};
    const sky_status status = decode(&decoder, input, out, orientation);
    sky_tiff_close(&decoder.file);
    free(decoder.blocks);
    return status;
}

bool sky_image_reads_tiff(void) { return true; }

const char *sky_image_formats(void) { return "JPEG, PNG and TIFF"; }
