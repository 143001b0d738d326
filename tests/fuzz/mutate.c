/*
 * A driver for compilers without libFuzzer: seeds as they are, then changed at random (always the same way), each given to the target. No coverage guides it; it
 * finds what small damage to good files breaks. The input at hand is kept in a file, which is left behind when the program dies of it.
 *   NAME_fuzz RUNS SEED_FILE...
 */
#include "fuzz.h"

#include "base/fs.h"
#include "base/rng.h"

#include <string.h>

enum { MOST_BYTES = 1 << 20, MOST_SEEDS = 256, CHANGES = 4 };

struct bytes {
    uint8_t *at;
    size_t count;
};

static const uint64_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};

/* One change: a bit, a telling number over 1, 2, 4 or 8 bytes, an end cut off, a part removed, or a part of another seed put over. */
static void change(struct bytes *data, const struct bytes *other, struct sky_rng *rng)
{
    if (data->count < 9) return;
    const uint32_t at = sky_rng_below(rng, (uint32_t)data->count - 8);
    switch (sky_rng_below(rng, 5)) {
    case 0: data->at[at] ^= (uint8_t)(1u << sky_rng_below(rng, 8)); break;
    case 1: memcpy(data->at + at, &telling[sky_rng_below(rng, sizeof telling / sizeof *telling)], (size_t)1 << sky_rng_below(rng, 4)); break;
    case 2: data->count = sky_rng_below(rng, 4) ? data->count : at; break;
    case 3: {
        const size_t length = sky_rng_below(rng, (uint32_t)(data->count - at) < 64 ? (uint32_t)(data->count - at) : 64);
        memmove(data->at + at, data->at + at + length, data->count - at - length);
        data->count -= length;
        break;
    }
    default: {
        const size_t room = data->count - at, length = 1 + sky_rng_below(rng, 32);
        if (length <= room && length <= other->count) memcpy(data->at + at, other->at + sky_rng_below(rng, (uint32_t)(other->count - length) + 1), length);
    }
    }
}

static void keep(const char *path, const struct bytes *data)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data->at, 1, data->count, file) != data->count || fclose(file)) abort();
}

static int read_seeds(struct bytes *seeds, char **paths, int count)
{
    int kept = 0;
    for (int i = 0; i < count && kept < MOST_SEEDS; i++) {
        char *text = NULL;
        size_t bytes = 0;
        if (sky_file_read(paths[i], MOST_BYTES, &text, &bytes) == SKY_OK) seeds[kept++] = (struct bytes){(uint8_t *)text, bytes};
    }
    return kept;
}

int main(int argc, char **argv)
{
    static struct bytes seeds[MOST_SEEDS];
    const long runs = argc > 1 ? atol(argv[1]) : 0;
    const int count = read_seeds(seeds, argv + 2, argc - 2);
    struct bytes data = {malloc(MOST_BYTES), 0};
    char left[128];
    if (runs < 1 || count < 1 || !data.at) {
        fprintf(stderr, "usage: %s RUNS SEED_FILE...\n", argv[0]);
        return 2;
    }
    snprintf(left, sizeof left, "/tmp/%s-%d.input", strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], (int)getpid());
    for (long run = 0; run < runs; run++) {
        struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, (uint32_t)run, 0);
        const struct bytes *seed = &seeds[run % count];
        memcpy(data.at, seed->at, data.count = seed->count);
        for (uint32_t i = run < count ? 0 : 1 + sky_rng_below(&rng, CHANGES); i; i--) change(&data, &seeds[sky_rng_below(&rng, (uint32_t)count)], &rng);
        keep(left, &data);
        LLVMFuzzerTestOneInput(data.at, data.count);
    }
    remove(left);
    for (int i = 0; i < count; i++) free(seeds[i].at);
    free(data.at);
    printf("%ld passed, 0 failed, 0 skipped\n", runs);
    return 0;
}
