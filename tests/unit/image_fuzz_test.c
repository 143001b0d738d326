/*
 * Seeded damage to the small pictures of tests/golden/image: bits flipped, bytes replaced, pieces cut out, repeated or swapped between files. Run under the
 * sanitizers it finds wild reads and leaks; everywhere it checks that each file is either read or refused with a message, in bounded time.
 */
#include "check.h"

#include "base/fs.h"
#include "base/rng.h"
#include "image/image.h"

#include <time.h>

enum { ROUNDS = 18000, MAX_SEEDS = 120, MAX_SECONDS = 2 };

struct file {
    char *bytes;
    size_t count;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int load_seeds(struct file *seeds)
{
    const char *const folder = SKY_SOURCE_DIR "/tests/golden/image";
    struct sky_listing listing = {0};
    int count = 0;
    CHECK_OK(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count && count < MAX_SEEDS; i++) {
        char path[4096];
        const char *ending = strrchr(listing.entries[i].name, '.');
        if (!ending || (strcmp(ending, ".jpg") != 0 && strcmp(ending, ".png") != 0 && (strcmp(ending, ".tif") != 0 || !sky_image_reads_tiff()))) continue;
        snprintf(path, sizeof path, "%s/%s", folder, listing.entries[i].name);
        if (CHECK_OK(sky_file_read(path, 1 << 20, &seeds[count].bytes, &seeds[count].count))) count++;
    }
    sky_listing_free(&listing);
    return count;
}

/* A damaged copy in a block of exactly its size. */
static struct file damage(const struct file *seed, const struct file *other, struct sky_rng *rng)
{
    struct file out = {malloc(seed->count), seed->count};
    if (!out.bytes) return (struct file){NULL, 0};
    memcpy(out.bytes, seed->bytes, seed->count);
    for (uint32_t times = 1 + sky_rng_below(rng, 4); times > 0; times--) {
        const size_t at = sky_rng_below(rng, (uint32_t)out.count), length = 1 + sky_rng_below(rng, 16), room = out.count - at;
        const size_t piece = length < room ? length : room;
        switch (sky_rng_below(rng, 6)) {
        case 0: out.bytes[at] = (char)(out.bytes[at] ^ (1 << sky_rng_below(rng, 8))); break;
        case 1: out.bytes[at] = (char)sky_rng_u32(rng); break;
        case 2:
            out.bytes[sky_rng_below(rng, (uint32_t)(out.count < 200 ? out.count : 200))] = (char)(sky_rng_below(rng, 2) ? 0xFF : sky_rng_u32(rng));
            break; /* headers come first */
        case 3: memmove(out.bytes + at, out.bytes + sky_rng_below(rng, (uint32_t)(out.count - piece + 1)), piece); break;
        case 4: memcpy(out.bytes + at, other->bytes + sky_rng_below(rng, (uint32_t)other->count), 1); break;
        default:
            if (sky_rng_below(rng, 4) == 0 && out.count > 8) out.count = 1 + at;
        }
    }
    char *exact = realloc(out.bytes, out.count);
    if (exact) out.bytes = exact;
    return out;
}

int main(void)
{
    static struct file seeds[MAX_SEEDS];
    const int count = load_seeds(seeds);
    struct sky_image image = {0};
    int read = 0, refused = 0;
    if (!CHECK(count >= 40)) return check_done();
    for (int i = 0; i < ROUNDS; i++) {
        struct sky_rng rng = sky_rng_make(2024, SKY_RNG_TEST, 9, (uint32_t)i);
        const struct file *seed = &seeds[i % count], *other = &seeds[sky_rng_below(&rng, (uint32_t)count)];
        struct file damaged = damage(seed, other, &rng);
        const struct sky_decode_options options = {.exif = i & 1 ? SKY_EXIF_APPLY : SKY_EXIF_IGNORE};
        char detail[64];
        snprintf(detail, sizeof detail, "round %d", i);
        const double start = seconds();
        const sky_status status = sky_image_decode((const uint8_t *)damaged.bytes, damaged.count, detail, &options, &image);
        const double taken = seconds() - start;
        if (status == SKY_OK) read++;
        else refused++;
        const int good = status == SKY_OK ? image.width > 0 && image.height > 0 : status == SKY_DATA && image.width == 0 && sky_error_last()->what[0];
        if (!good || taken > MAX_SECONDS) check_that(0, sky_error_last()->what, __FILE__, __LINE__, detail);
        free(damaged.bytes);
    }
    printf("%d read, %d refused\n", read, refused);
    CHECK(read > ROUNDS / 20 && refused > ROUNDS / 4);
    for (int i = 0; i < count; i++) free(seeds[i].bytes);
    sky_image_free(&image);
    return check_done();
}
