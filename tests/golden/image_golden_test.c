/*
 * Pixels equal to Pillow's and torchvision's: decoding, EXIF turning, resizing, colour, and whole augmentations of the small pictures in
 * tests/golden/image, judged by the checksums that make_image_golden.py wrote beside them.
 */
#include "check.h"

#include "image/augment.h"

static const char folder[] = SKY_SOURCE_DIR "/tests/golden/image/";

/* zlib's CRC-32, bit by bit: the pictures are small. */
static uint32_t crc32_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static void check_pixels(const uint8_t *pixels, int width, int height, unsigned want, const char *line)
{
    check_that(crc32_of(pixels, (size_t)width * height * 3) == want, "pixels equal the golden ones", __FILE__, __LINE__, line);
}

static int read_picture(const char *name, enum sky_exif exif, struct sky_image *out)
{
    char path[4096];
    const struct sky_decode_options options = {.exif = exif};
    snprintf(path, sizeof path, "%s%s", folder, name);
    return CHECK_OK(sky_image_read(path, &options, out));
}

static void check_decode(const char *line, struct sky_image *image)
{
    char name[64], how[16];
    int width, height;
    unsigned want;
    if (!CHECK(sscanf(line, "decode\t%63s\t%15s\t%d\t%d\t%u", name, how, &width, &height, &want) == 5)) return;
    const enum sky_exif exif = strcmp(how, "apply") == 0 ? SKY_EXIF_APPLY : SKY_EXIF_IGNORE;
    if (!read_picture(name, exif, image)) return;
    CHECK(image->width == width && image->height == height);
    check_pixels(image->pixels, image->width, image->height, want, line);
}

static void check_resize(const char *line, struct sky_image *image, struct sky_resizer *resizer)
{
    char name[64];
    int width, height;
    unsigned want;
    struct sky_image resized = {0};
    if (!CHECK(sscanf(line, "resize\t%63s\t%d\t%d\t%u", name, &width, &height, &want) == 4)) return;
    if (!read_picture(name, SKY_EXIF_IGNORE, image)) return;
    if (CHECK_OK(sky_resize_bicubic(resizer, image, width, height, &resized))) {
        CHECK(resized.width == width && resized.height == height);
        check_pixels(resized.pixels, width, height, want, line);
    }
    sky_image_free(&resized);
}

static void check_jitter(const char *line, struct sky_image *image)
{
    char name[64];
    int kind;
    double factor;
    unsigned want;
    if (!CHECK(sscanf(line, "jitter\t%63s\t%d\t%lf\t%u", name, &kind, &factor, &want) == 4)) return;
    if (!read_picture(name, SKY_EXIF_IGNORE, image)) return;
    sky_image_jitter(image, (enum sky_jitter)kind, factor);
    check_pixels(image->pixels, image->width, image->height, want, line);
}

static void check_augment(const char *line, struct sky_image *image, struct sky_augment_scratch *scratch)
{
    char name[64];
    struct sky_augment settings = {0};
    struct sky_augment_draws draws = {0};
    int mirrored, order[3];
    unsigned want;
    const int read =
        sscanf(line, "augment\t%63s\t%d\t%d\t%lf\t%d\t%d\t%d\t%d\t%d\t%d\t%lf\t%lf\t%lf\t%u", name, &settings.size, &settings.pad, &draws.angle, &draws.top,
               &draws.left, &mirrored, &order[0], &order[1], &order[2], &draws.jitter_factor[0], &draws.jitter_factor[1], &draws.jitter_factor[2], &want);
    if (!CHECK(read == 14)) return;
    draws.mirrored = mirrored;
    for (int i = 0; i < 3; i++) draws.jitter_order[i] = (enum sky_jitter)order[i];
    if (!read_picture(name, SKY_EXIF_IGNORE, image)) return;
    uint8_t *out = malloc((size_t)settings.size * settings.size * 3);
    if (CHECK(out) && CHECK_OK(sky_augment_render(&settings, &draws, image, scratch, out))) check_pixels(out, settings.size, settings.size, want, line);
    free(out);
}

int main(void)
{
    char path[4096], line[1024];
    struct sky_image image = {0};
    struct sky_resizer resizer = {0};
    struct sky_augment_scratch scratch = {0};
    int decoded = 0, resized = 0, jittered = 0, augmented = 0;
    if (!sky_image_reads_tiff()) check_skip("TIFF", "built without libtiff");
    snprintf(path, sizeof path, "%sgolden.tsv", folder);
    FILE *file = fopen(path, "r");
    while (CHECK(file) && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strstr(line, ".tif\t") && !sky_image_reads_tiff()) continue;
        if (strncmp(line, "decode", 6) == 0) check_decode(line, &image), decoded++;
        else if (strncmp(line, "resize", 6) == 0) check_resize(line, &image, &resizer), resized++;
        else if (strncmp(line, "jitter", 6) == 0) check_jitter(line, &image), jittered++;
        else if (strncmp(line, "augment", 7) == 0) check_augment(line, &image, &scratch), augmented++;
        else CHECK(line[0] == '#');
    }
    if (file) fclose(file);
    CHECK(decoded >= 100 && resized >= 100 && jittered >= 30 && augmented >= 200);
    sky_image_free(&image);
    sky_resizer_free(&resizer);
    sky_augment_scratch_free(&scratch);
    return check_done();
}
