/*
 * The 1,147 real and damaged files of ../shared/data/image_torture, judged by its manifest: what both other decoders read is read, with this size
 * and these means; what they refuse is refused, with a message; and nothing takes long or much memory.
 */
#include "check.h"

#include "base/memory.h"
#include "image/image.h"

#include <time.h>

enum { COLUMNS = 15, MAX_SECONDS = 2 };
enum { PATH, BYTES, SHA, MAGIC, WIDTH, HEIGHT, MODE, ORIENTATION, PROGRESSIVE, PILLOW, DJPEG, RED, GREEN, BLUE, EXPECTED };
static const size_t max_peak_bytes = (size_t)256 << 20;

/* Pillow reads these PNGs, we do not: their last data chunk is cut or fails its checksum, though all pixels could be unpacked. */
static const char *const cut_but_complete[] = {"go_fuzz/png_4930d001f211f78029c9deace8bb8671e27a5397-4.png",
                                               "go_fuzz/png_902493e2a117787bf9cd4fd1115f879f7234019b-8.png",
                                               "go_fuzz/png_96f6b7c6545f3057817a1723e2350007bc72479e-1.png",
                                               "go_fuzz/png_df6c8819922811197eb8b17369e379060099fce8-1.png",
                                               "go_fuzz/png_f90ba0941f308d9350d75649a8a8af5891677935-3.png",
                                               "go_fuzz/png_ff341f97c6db6ad42ed0c8750f072cd2e076426b-4.png",
                                               "png_bad/badcrc.png",
                                               "png_bad/huge_IDAT.png",
                                               NULL};

/* Pillow refuses these PNGs, we do not: only chunks that we never look into are bad (a text bomb, an odd profile, empty metadata). */
static const char *const bad_metadata[] = {"pillow/png_decompression_dos.png", "pillow/unknown_compression_method.png", "png_bad/empty_ancillary_chunks.png",
                                           NULL};

static int is_one_of(const char *path, const char *const *paths)
{
    for (; *paths; paths++)
        if (strcmp(path, *paths) == 0) return 1;
    return 0;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int must_decode(char *const *row)
{
    const int picture = strcmp(row[MAGIC], "jpeg") == 0 || strcmp(row[MAGIC], "png") == 0;
    const int both_read = strcmp(row[PILLOW], "ok") == 0 && (strcmp(row[DJPEG], "ok") == 0 || row[DJPEG][0] == 0);
    return picture && both_read && !is_one_of(row[PATH], cut_but_complete);
}

static int must_refuse(char *const *row)
{
    const int jpeg = strncmp(row[MAGIC], "jpeg", 4) == 0, png = strcmp(row[MAGIC], "png") == 0;
    if (!jpeg && !png) return 1; /* other formats */
    if (strcmp(row[EXPECTED], "reject") == 0 || is_one_of(row[PATH], cut_but_complete)) return 1;
    if (jpeg) return strcmp(row[DJPEG], "ok") != 0; /* with a warning too */
    return strcmp(row[PILLOW], "error") == 0 && !is_one_of(row[PATH], bad_metadata);
}

static void check_picture(char *const *row, const struct sky_image *image)
{
    const int64_t count = (int64_t)image->width * image->height;
    double sums[3] = {0};
    if (row[WIDTH][0] && row[HEIGHT][0])
        check_that(image->width == atoi(row[WIDTH]) && image->height == atoi(row[HEIGHT]), "size", __FILE__, __LINE__, row[PATH]);
    /* 16-bit gray: the manifest has the high bytes, Pillow and we the numbers cut off at 255; tests/golden has such files */
    if (!row[RED][0] || strcmp(row[MODE], "I") == 0) return;
    for (int64_t i = 0; i < count * 3; i++) sums[i % 3] += image->pixels[i];
    for (int c = 0; c < 3; c++) check_near(sums[c] / (double)count, atof(row[RED + c]), 2, row[PATH], __FILE__, __LINE__);
}

static void check_file(const char *folder, char *const *row, struct sky_image *image, int *decoded, int *refused)
{
    char path[8192];
    const struct sky_decode_options options = {.exif = SKY_EXIF_IGNORE}, turned = {.exif = SKY_EXIF_APPLY};
    const double start = seconds();
    snprintf(path, sizeof path, "%s/%s", folder, row[PATH]);
    const sky_status status = sky_image_read(path, &options, image);
    const struct sky_error error = *sky_error_last();
    check_that(seconds() - start < MAX_SECONDS, "takes little time", __FILE__, __LINE__, row[PATH]);
    if (status == SKY_OK) {
        ++*decoded;
        check_that(!must_refuse(row), "should be refused", __FILE__, __LINE__, row[PATH]);
        check_picture(row, image);
    } else {
        ++*refused;
        check_that(!must_decode(row), error.what, __FILE__, __LINE__, row[PATH]);
        check_that(status == SKY_DATA && error.what[0] && strcmp(error.where, path) == 0 && image->width == 0 && image->height == 0, "refused with a message",
                   __FILE__, __LINE__, row[PATH]);
    }
    CHECK((sky_image_read(path, &turned, image) == SKY_OK) == (status == SKY_OK));
}

int main(void)
{
    char folder[4096], name[4200], line[4096];
    const char *shared = getenv("SKY_SHARED_DATA");
    struct sky_image image = {0};
    int decoded = 0, refused = 0;
    snprintf(folder, sizeof folder, "%s/image_torture", shared && shared[0] ? shared : SKY_SOURCE_DIR "/../shared/data");
    snprintf(name, sizeof name, "%s/manifest.tsv", folder);
    FILE *manifest = fopen(name, "r");
    if (!manifest) {
        check_skip("image torture files", "set SKY_SHARED_DATA to the folder that holds image_torture");
        return check_done();
    }
    CHECK(fgets(line, sizeof line, manifest) && strncmp(line, "path\tbytes\tsha256\tmagic\twidth\theight\tpil_mode", 44) == 0);
    while (fgets(line, sizeof line, manifest)) {
        char *row[COLUMNS], *rest = line;
        for (int i = 0; i < COLUMNS; i++) {
            row[i] = strsep(&rest, "\t\n");
            if (!row[i]) row[i] = line + strlen(line); /* an empty text */
        }
        check_file(folder, row, &image, &decoded, &refused);
    }
    fclose(manifest);
    printf("%d decoded, %d refused\n", decoded, refused);
    CHECK(decoded > 350 && refused > 700);
    CHECK(sky_memory_peak_bytes() < max_peak_bytes);
    sky_image_free(&image);
    return check_done();
}
