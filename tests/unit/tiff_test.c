/*
 * TIFF files that are cut, lie about themselves or are of kinds that are not read: each is refused with what is wrong, and libtiff prints nothing. Made from the small files of
 * tests/golden/image by changing one tag. Without libtiff: that it is said.
 */
#include "check.h"

#include "base/fs.h"
#include "image/image.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct sky_decode_options defaults = {0};

static size_t read_file(const char *name, uint8_t **bytes)
{
    char path[4096];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/tests/golden/image/%s", SKY_SOURCE_DIR, name);
    return CHECK_OK(sky_file_read(path, 1 << 20, (char **)bytes, &count)) ? count : 0;
}

static unsigned number(const uint8_t *bytes, int count)
{
    unsigned value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* The entry of a tag in the first directory of a little-endian file: tag, type, count, value (2, 2, 4, 4 bytes). */
static uint8_t *find_entry(uint8_t *bytes, unsigned tag)
{
    uint8_t *directory = bytes + number(bytes + 4, 4);
    for (unsigned i = 0; i < number(directory, 2); i++)
        if (number(directory + 2 + 12 * i, 2) == tag) return directory + 2 + 12 * i;
    return NULL;
}

/* The same file with another value of a tag (or, kept_tag 0, the tag itself gone). */
static void check_changed(const char *name, unsigned tag, unsigned kept_tag, unsigned value, const char *said)
{
    uint8_t *bytes = NULL;
    struct sky_image out = {0};
    const size_t count = read_file(name, &bytes);
    uint8_t *entry = count ? find_entry(bytes, tag) : NULL;
    if (CHECK(entry != NULL)) {
        entry[0] = (uint8_t)(kept_tag ? kept_tag : 0xfe), entry[1] = (uint8_t)((kept_tag ? kept_tag : 0xfefe) >> 8);
        if (kept_tag) memcpy(entry + 8, (uint8_t[]){(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)}, 4);
        char detail[96];
        snprintf(detail, sizeof detail, "%s, tag %u is %u", name, kept_tag, value);
        CHECK_FAILS(sky_image_decode(bytes, count, "some.tif", &defaults, &out), SKY_DATA, said);
        check_that(out.width == 0, "it is refused", __FILE__, __LINE__, detail);
        CHECK(!strcmp(sky_error_last()->where, "some.tif") && out.width == 0);
    }
    sky_image_free(&out);
    free(bytes);
}

static void test_lies(void)
{
    check_changed("rgb8.tif", 256, 256, 0x7fffffff, "more than the limit");
    check_changed("rgb8.tif", 257, 257, 0xffffffff, "damaged");
    check_changed("rgb8.tif", 256, 256, 0, "damaged");
    check_changed("rgb8.tif", 256, 0, 0, "damaged");
    check_changed("rgb8.tif", 257, 257, 5000, "damaged");     /* fewer strips than rows */
    check_changed("rgb8.tif", 256, 256, 3300, "damaged");     /* strips shorter than their rows */
    check_changed("rgb8.tif", 277, 277, 2, "fewer bands");
    check_changed("rgb8.tif", 262, 262, 5, "neither gray nor RGB");
    check_changed("rgb8.tif", 262, 262, 6, "YCbCr without JPEG");
    check_changed("rgb8.tif", 259, 259, 0x7777, "damaged");   /* a compression that nobody knows */
    check_changed("rgb8_deflate_tiles.tif", 322, 322, 1 << 20, "damaged");
    check_changed("rgb8_deflate_tiles.tif", 322, 322, 0x7ffffff0, "more than the limit");
    check_changed("rgb8_deflate_tiles.tif", 322, 0, 0, "TIFF");
    check_changed("palette4.tif", 320, 0, 0, "damaged"); /* a palette that is not there */
    check_changed("gray8.tif", 258, 258, 32, "unusual number of bits");
    check_changed("gray8.tif", 258, 258, 12, "unusual number of bits");
    check_changed("gray8.tif", 284, 339, 3, "signed or floating-point");
    check_changed("rgb8_jpeg.tif", 259, 259, 6, "TIFF");
}

/* Every cut is refused: the directory of these files comes last. */
static void test_cuts(void)
{
    static const char *const names[] = {"rgb8.tif", "gray8.tif", "palette4.tif", "rgb8_deflate_tiles.tif", "rgb8_bigtiff.tif"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        uint8_t *bytes = NULL;
        struct sky_image out = {0};
        const size_t count = read_file(names[n], &bytes);
        for (size_t kept = 4; kept < count - 400 && kept < 1200; kept += 3) {
            uint8_t *exact = malloc(kept); /* a sanitizer sees a byte read too many */
            memcpy(exact, bytes, kept);
            if (!CHECK(sky_image_decode(exact, kept, "cut.tif", &defaults, &out) == SKY_DATA && strstr(sky_error_last()->what, "TIFF")))
                printf("  %s cut at %zu\n", names[n], kept);
            free(exact);
        }
        sky_image_free(&out);
        free(bytes);
    }
}

/* Directories that name themselves as the next one: the first is the picture. */
static void test_cycle(void)
{
    uint8_t *bytes = NULL;
    struct sky_image out = {0};
    const size_t count = read_file("rgb8.tif", &bytes);
    if (!CHECK(count > 8)) return;
    uint8_t *directory = bytes + number(bytes + 4, 4), *next = directory + 2 + 12 * number(directory, 2);
    memcpy(next, bytes + 4, 4);
    CHECK_OK(sky_image_decode(bytes, count, "cycle.tif", &defaults, &out));
    CHECK(out.width == 33 && out.height == 21);
    memcpy(bytes + 4, (uint8_t[]){0, 0, 0, 0}, 4); /* no directory at all */
    CHECK_FAILS(sky_image_decode(bytes, count, "cycle.tif", &defaults, &out), SKY_DATA, "damaged or cut TIFF");
    sky_image_free(&out);
    free(bytes);
}

int main(void)
{
    struct sky_image out = {0};
    FILE *said = tmpfile();
    struct stat about;
    const int stderr_copy = dup(STDERR_FILENO);
    if (!sky_image_reads_tiff()) {
        CHECK_FAILS(sky_image_decode((const uint8_t *)"II*\0\x08\0\0\0", 8, "a.tif", &defaults, &out), SKY_DATA, "built without libtiff");
        check_skip("TIFF", "built without libtiff");
        return check_done();
    }
    if (!CHECK(said && stderr_copy >= 0 && dup2(fileno(said), STDERR_FILENO) >= 0)) return check_done();
    test_lies();
    test_cuts();
    test_cycle();
    dup2(stderr_copy, STDERR_FILENO);
    CHECK(fstat(fileno(said), &about) == 0 && about.st_size == 0); /* libtiff has printed nothing */
    fclose(said);
    return check_done();
}
