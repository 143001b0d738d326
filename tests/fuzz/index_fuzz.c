/*
 * Indexes of tiles. No change of a byte survives an index's checksums, so they are made good first: what is tried is what stands behind them.
 */
#include "fuzz.h"

#include "io/sealed.h"
#include "skygem/retrieval.h"

#include <stdlib.h>
#include <string.h>

/* The file again, with sums of its own; SKY_OK when there is one to open. */
static sky_status seal(const char *path, const char *sealed)
{
    struct sky_safetensors file = {0};
    SKY_TRY(sky_safetensors_open(&file, path));
    int64_t texts = 0;
    for (int64_t i = 0; i < file.text_count; i++)
        if (strncmp(file.texts[i].key, "crc32c", 6) != 0) file.texts[texts++] = file.texts[i];
    const sky_status status = sky_sealed_write(sealed, file.tensors, file.tensor_count, file.texts, texts, "a fuzzed index");
    sky_safetensors_close(&file);
    return status;
}

/* Numbers that are none are a failure of the search, nothing else is. */
static void search_it(const struct sky_index *index, int64_t candidates)
{
    const struct sky_index_info *info = sky_index_info(index);
    struct sky_search *search = NULL;
    struct sky_answer answer;
    float *feature = calloc((size_t)info->dimensions, sizeof *feature);
    if (!feature || sky_search_open(&search, index, 1, 1) != SKY_OK || (candidates && sky_search_set_candidates(search, candidates) != SKY_OK)) abort();
    feature[0] = 1;
    if (sky_search_run(search, feature, &answer) == SKY_OK && (answer.candidates[0].tile < 0 || answer.candidates[0].tile >= info->tiles)) abort();
    sky_search_close(search);
    free(feature);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_index *index = NULL;
    char sealed[64];
    int handle;
    const char *path = fuzz_file(bytes, count, &handle);
    snprintf(sealed, sizeof sealed, "/tmp/skygem-fuzz-%d.index", (int)getpid());
    if (seal(path, sealed) == SKY_OK) {
        if (sky_index_open(&index, sealed, NULL) == SKY_OK) {
            struct sky_tile tile;
            for (int64_t i = 0; i < sky_index_info(index)->tiles; i++)
                if (sky_index_tile(index, i, &tile) != SKY_OK || strlen(tile.path) > count) abort();
            search_it(index, 0);
            if (sky_index_info(index)->sketch) search_it(index, 2);
            sky_index_close(index);
        }
        unlink(sealed);
    }
    fuzz_file_end(handle);
    return 0;
}
