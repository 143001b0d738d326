/*
 * Reading and writing pictures: round trips, limits, what is said about files that are no pictures, damaged EXIF, the eight turns.
 * Equality with Pillow is in tests/golden/image_golden_test.c; hostile files are in image_torture_test.c and image_fuzz_test.c.
 */
#include "check.h"

#include "image/codec.h"

#include <sys/stat.h>
#include <unistd.h>

#include <jpeglib.h>

static char folder[] = "/tmp/skygem-image-XXXXXX";
static const struct sky_decode_options defaults = {0};

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void fill(struct sky_image *image, int width, int height)
{
    CHECK_OK(sky_image_resize_buffer(image, width, height));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) image->pixels[(y * width + x) * 3 + c] = (uint8_t)(120 + 100 * sin(x * 0.1 + c) * cos(y * 0.07));
}

static void test_round_trips(void)
{
    struct sky_image in = {0}, out = {0};
    fill(&in, 67, 41);
    CHECK_OK(sky_image_write_png(in_folder("a.png"), in.pixels, 67, 41));
    CHECK_OK(sky_image_read(in_folder("a.png"), &defaults, &out));
    CHECK(out.width == 67 && out.height == 41 && memcmp(in.pixels, out.pixels, 67 * 41 * 3) == 0);
    CHECK_OK(sky_image_write_jpeg(in_folder("b.jpeg"), in.pixels, 67, 41, 95));
    CHECK_OK(sky_image_read(in_folder("b.jpeg"), &defaults, &out));
    double error = 0;
    for (int i = 0; i < 67 * 41 * 3; i++) error += abs(in.pixels[i] - out.pixels[i]);
    CHECK_NEAR(error / (67 * 41 * 3), 0, 4);
    const uint8_t *block = out.pixels;
    fill(&in, 5, 4);
    CHECK_OK(sky_image_write_png(in_folder("name_says.jpg"), in.pixels, 5, 4)); /* content counts, not the name */
    CHECK_OK(sky_image_read(in_folder("name_says.jpg"), &defaults, &out));
    CHECK(out.width == 5 && out.height == 4 && out.pixels == block); /* memory is used again */
    CHECK_FAILS(sky_image_write_png("/nowhere/at/all.png", in.pixels, 5, 4), SKY_IO, "/nowhere/at/all.png");
    CHECK_FAILS(sky_image_write_jpeg("/nowhere/at/all.jpg", in.pixels, 5, 4, 90), SKY_IO, "/nowhere/at/all.jpg");
    CHECK_FAILS(sky_image_write_png(in_folder("none.png"), in.pixels, 0, 4), SKY_INTERNAL, "0 x 4");
    struct stat full;
    if (stat("/dev/full", &full) == 0) {
        CHECK_FAILS(sky_image_write_png("/dev/full", in.pixels, 5, 4), SKY_NOSPACE, "/dev/full");
        CHECK_FAILS(sky_image_write_jpeg("/dev/full", in.pixels, 5, 4, 90), SKY_NOSPACE, "/dev/full");
        CHECK(stat("/dev/full", &full) == 0); /* a device is not removed */
    } else {
        check_skip("writing to a full disk", "no /dev/full");
    }
    sky_image_free(&in), sky_image_free(&out), sky_image_free(&out);
}

static void test_lookalikes(void)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *said;
    } files[] = {
        {"", 0, "empty"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0", 54, "git lfs pull"},
        {"  \n<!DOCTYPE html><html>404</html>", 34, "web page"},
        {"<?xml version=\"1.0\"?>", 21, "web page"},
        {"<HTML><HEAD>", 12, "web page"},
        {"\x1f\x8b\x08\0\0\0\0\0", 8, "gzip"},
        {"PK\x03\x04\x14\0", 6, "zip"},
        {"GIF89a\1\0\1\0", 10, "GIF"},
        {"BM\x36\0\0\0\0\0", 8, "BMP"},
        {"RIFF\x10\0\0\0WEBPVP8 ", 16, "WebP"},
        {"II*\0\x08\0\0\0", 8, "TIFF"},
        {"MM\0*\0\0\0\x08", 8, "TIFF"},
        {"\0\0\0\x18"
         "ftypheic",
         12, "HEIF"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0", 12, "zero bytes"},
        {"P6 1 1 255 abc", 14, "PPM"},
        {"not found", 9, "not found"},
        {"\x8f\xff\x01\x02", 4, "8f ff 01 02"},
        {"\x89", 1, "89"},
        {"\xff\xd8", 2, "damaged or cut JPEG"},
        {"\xff\xd8\xff\xe0", 4, "damaged or cut JPEG"},
        {"\x89PNG", 4, "damaged or cut PNG"},
        {"\x89PNG\n\x1a\n\0\0\0\0\0", 12, "damaged or cut PNG"},
    };
    struct sky_image out = {0};
    CHECK_OK(sky_image_resize_buffer(&out, 3, 3));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        uint8_t *exact = malloc(files[i].count + !files[i].count); /* a sanitizer sees a byte read too many */
        memcpy(exact, files[i].bytes, files[i].count);
        out.width = out.height = 3;
        CHECK_FAILS(sky_image_decode(exact, files[i].count, "some file", &defaults, &out), SKY_DATA, files[i].said);
        CHECK(strcmp(sky_error_last()->where, "some file") == 0 && out.width == 0 && out.height == 0);
        free(exact);
    }
    out.width = 3;
    CHECK_FAILS(sky_image_read(in_folder("missing.jpg"), &defaults, &out), SKY_IO, "missing.jpg");
    CHECK(out.width == 0);
    sky_image_free(&out);
}

static long read_whole(const char *path, uint8_t *bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    const long count = file ? (long)fread(bytes, 1, room, file) : -1;
    if (file) fclose(file);
    return count;
}

/* Every cut of a real file is refused, and so is a picture above the limit. */
static void test_cuts_and_limits(void)
{
    static uint8_t bytes[1 << 16];
    struct sky_image in = {0}, out = {0};
    fill(&in, 40, 30);
    CHECK_OK(sky_image_write_png(in_folder("cut.png"), in.pixels, 40, 30));
    CHECK_OK(sky_image_write_jpeg(in_folder("cut.jpg"), in.pixels, 40, 30, 80));
    const char *const names[] = {"cut.png", "cut.jpg"};
    for (int i = 0; i < 2; i++) {
        const long count = read_whole(in_folder(names[i]), bytes, sizeof bytes);
        CHECK(count > 100);
        const long needed = i == 0 ? count - 12 : count; /* a PNG without its closing chunk has all its pixels */
        int refused = 0;
        for (long cut = 0; cut < needed; cut++) refused += sky_image_decode(bytes, (size_t)cut, names[i], &defaults, &out) == SKY_DATA;
        CHECK(refused == needed);
        CHECK_OK(sky_image_decode(bytes, (size_t)needed, names[i], &defaults, &out));
        CHECK_OK(sky_image_decode(bytes, (size_t)count, names[i], &(struct sky_decode_options){.max_pixels = 1200}, &out));
        CHECK_FAILS(sky_image_decode(bytes, (size_t)count, names[i], &(struct sky_decode_options){.max_pixels = 1199}, &out), SKY_DATA, "limit of 1199");
    }
    /* 12-bit: the precision byte of the frame header */
    long count = read_whole(in_folder("cut.jpg"), bytes, sizeof bytes);
    for (long i = 0; i + 4 < count; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0) bytes[i + 4] = 12;
    CHECK_FAILS(sky_image_decode(bytes, (size_t)count, "12bit", &defaults, &out), SKY_DATA, "8 bits a sample");
    /* a picture that cannot be in so few bytes is refused before anything large is allocated */
    count = read_whole(in_folder("cut.jpg"), bytes, sizeof bytes);
    for (long i = 0; i + 8 < count; i++)
        if (bytes[i] == 0xFF && bytes[i + 1] == 0xC0) bytes[i + 5] = 0x30, bytes[i + 7] = 0x30;
    CHECK_FAILS(sky_image_decode(bytes, (size_t)count, "large", &defaults, &out), SKY_DATA, "too few for");
    sky_image_free(&in), sky_image_free(&out);
}

/* A legal progressive file of a scan for each coefficient: 190 scans. out: what jpeg_mem_dest allocated. */
static size_t write_many_scans(const uint8_t *rgb, int side, unsigned char **out)
{
    struct jpeg_compress_struct library = {0};
    struct jpeg_error_mgr errors;
    jpeg_scan_info scans[190] = {{.comps_in_scan = 3, .component_index = {0, 1, 2}}};
    unsigned long count = 0;
    for (int i = 1; i < 190; i++)
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1, .component_index = {(i - 1) / 63}, .Ss = (i - 1) % 63 + 1, .Se = (i - 1) % 63 + 1};
    library.err = jpeg_std_error(&errors);
    jpeg_create_compress(&library);
    jpeg_mem_dest(&library, out, &count);
    library.image_width = library.image_height = (JDIMENSION)side, library.input_components = 3, library.in_color_space = JCS_RGB;
    jpeg_set_defaults(&library);
    library.scan_info = scans, library.num_scans = 190;
    jpeg_start_compress(&library, TRUE);
    for (int y = 0; y < side; y++) {
        JSAMPROW row = (JSAMPROW)(uintptr_t)(rgb + y * side * 3);
        jpeg_write_scanlines(&library, &row, 1);
    }
    jpeg_finish_compress(&library);
    jpeg_destroy_compress(&library);
    return count;
}

static void test_bombs(void)
{
    /* signature, IHDR of 13000 x 13000 16-bit RGBA, interlaced, and the begin of IDAT */
    static const uint8_t interlaced[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
                                         0x52, 0x00, 0x00, 0x32, 0xc8, 0x00, 0x00, 0x32, 0xc8, 0x10, 0x06, 0x00, 0x00, 0x01, 0xc5,
                                         0x35, 0x04, 0xed, 0x00, 0x00, 0x00, 0x64, 0x49, 0x44, 0x41, 0x54, 0x61, 0x62, 0x63, 0x64};
    struct sky_image in = {0}, out = {0};
    unsigned char *scans = NULL;
    CHECK_FAILS(sky_image_decode(interlaced, sizeof interlaced, "bomb", &defaults, &out), SKY_DATA, "without interlacing");
    fill(&in, 32, 32);
    const size_t count = write_many_scans(in.pixels, 32, &scans);
    CHECK_FAILS(sky_image_decode(scans, count, "scans", &defaults, &out), SKY_DATA, "More than 100 scans");
    free(scans);
    sky_image_free(&in), sky_image_free(&out);
}

static void test_exif(void)
{
    const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 2, 0, 0x0F, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0};
    const uint8_t big[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 8, 0, 0};
    CHECK(sky_exif_orientation(little, sizeof little) == 6);
    CHECK(sky_exif_orientation(big, sizeof big) == 8);
    for (size_t cut = 0; cut < sizeof big; cut++) {
        uint8_t *exact = malloc(cut + !cut);
        memcpy(exact, big, cut);
        CHECK(sky_exif_orientation(exact, cut) == 1);
        free(exact);
    }
    for (size_t at = 0; at < sizeof little; at++) { /* a damaged block says 1 to 8, whatever it holds */
        uint8_t damaged[sizeof little];
        for (int value = 0; value < 256; value++) {
            memcpy(damaged, little, sizeof little);
            damaged[at] = (uint8_t)value;
            const int orientation = sky_exif_orientation(damaged, sizeof damaged);
            if (orientation < 1 || orientation > 8) CHECK(!"orientation out of range");
        }
    }
    /* shown pixel (x, y) of the stored 3 x 2 picture 0 1 2 / 3 4 5, in rows */
    const struct {
        int width;
        uint8_t order[6];
    } shown[9] = {{0, {0}},
                  {3, {0, 1, 2, 3, 4, 5}},
                  {3, {2, 1, 0, 5, 4, 3}},
                  {3, {5, 4, 3, 2, 1, 0}},
                  {3, {3, 4, 5, 0, 1, 2}},
                  {2, {0, 3, 1, 4, 2, 5}},
                  {2, {3, 0, 4, 1, 5, 2}},
                  {2, {5, 2, 4, 1, 3, 0}},
                  {2, {2, 5, 1, 4, 0, 3}}};
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct sky_image image = {0};
        CHECK_OK(sky_image_resize_buffer(&image, 3, 2));
        for (int i = 0; i < 18; i++) image.pixels[i] = (uint8_t)(i / 3 * 10 + i % 3);
        CHECK_OK(sky_exif_apply(&image, orientation));
        CHECK(image.width == shown[orientation].width && image.height == 6 / image.width);
        for (int i = 0; i < 18; i++) CHECK(image.pixels[i] == shown[orientation].order[i / 3] * 10 + i % 3);
        sky_image_free(&image);
    }
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    test_round_trips();
    test_lookalikes();
    test_cuts_and_limits();
    test_bombs();
    test_exif();
    const char *const made[] = {"a.png", "b.jpeg", "name_says.jpg", "cut.png", "cut.jpg"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) remove(in_folder(made[i]));
    CHECK(rmdir(folder) == 0); /* failed writes left nothing behind */
    return check_done();
}
