/*
 * An index that several have: ranks that choose the candidates of one search together, and processes of which one writes what another has opened.
 */
#include "data_tree.h"
#include "index_file.h"

#include "base/str.h"
#include "retrieve/search.h"
#include "retrieve/shard.h"
#include "retrieve/sketch.h"

enum { TILES = 300, DIMENSIONS = 70 };

static float features[TILES][DIMENSIONS], query[DIMENSIONS];

static void random_values(float *out, uint32_t seed)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 31, 0);
    for (int64_t i = 0; i < DIMENSIONS; i++) out[i] = (float)(0.1 * sky_rng_normal(&rng));
}

/* TILES tiles without places, in the file "w". */
static void write_index(double radius, int64_t sketch_length)
{
    static double nowhere[TILES];
    static int64_t numbers[TILES], starts[TILES];
    struct sky_text paths = {0};
    for (uint32_t i = 0; i < TILES; i++) {
        char name[32];
        random_values(features[i], i);
        nowhere[i] = NAN, starts[i] = (int64_t)paths.length;
        snprintf(name, sizeof name, "t/%04u.png", i);
        sky_text_append_bytes(&paths, name, strlen(name) + 1);
    }
    const struct sky_rows_stored rows = {SKY_STORE_FLOAT32, TILES, DIMENSIONS, (const unsigned char *)features, NULL};
    const struct index_file file = {rows, nowhere, nowhere, nowhere, numbers, starts, &paths, sketch_length, radius, NULL};
    index_file_write(in_folder("w"), &file, 1);
    sky_text_free(&paths);
}

static struct sky_index *open_index(void)
{
    struct sky_index *index = NULL;
    CHECK_OK(sky_index_open(&index, in_folder("w"), NULL));
    return index;
}

/* What each share's search chooses when all have agreed on a threshold, as shards do: together the candidates of one search. */
static void test_shared_candidates(void)
{
    enum { SIZE = 7, CANDIDATES = 20 };
    struct sky_search *alone = NULL, *parts[SIZE] = {NULL};
    float all[SIZE * CANDIDATES], best[CANDIDATES];
    int64_t first, count, differing = 0, chosen = 0, gathered = 0;
    const float *some;
    write_index(0, 8);
    struct sky_index *index = open_index();
    if (!index || !CHECK_OK(sky_search_open(&alone, index, 4, 1)) || !CHECK_OK(sky_search_set_candidates(alone, CANDIDATES))) return;
    sky_search_scan(alone, query);
    for (int rank = 0; rank < SIZE; rank++) {
        sky_shard_range(TILES, rank, SIZE, &first, &count);
        if (!CHECK_OK(sky_search_open_part(&parts[rank], index, first, count, 4, 1)) || !CHECK_OK(sky_search_set_candidates(parts[rank], CANDIDATES))) return;
        sky_search_look(parts[rank], query, &some, &count);
        CHECK(count == CANDIDATES);
        for (int64_t i = 0; i < count; i++) all[gathered++] = some[i];
    }
    const float threshold = sky_search_threshold(all, gathered, best, CANDIDATES);
    for (int rank = 0; rank < SIZE; rank++) {
        sky_shard_range(TILES, rank, SIZE, &first, &count);
        sky_search_compare(parts[rank], query, threshold);
        for (int64_t i = 0; i < count; i++) differing += sky_search_similarities(parts[rank])[i] != sky_search_similarities(alone)[first + i];
        for (int64_t i = 0; i < count; i++) chosen += sky_search_similarities(parts[rank])[i] > -INFINITY;
        sky_search_close(parts[rank]);
    }
    CHECK(differing == 0 && chosen == CANDIDATES);
    CHECK(sky_search_threshold(all, 3, best, 4) == -INFINITY && sky_search_threshold(all, 3, best, 0) == -INFINITY);
    CHECK(sky_search_threshold(all, 1, best, 1) == all[0]);
    sky_search_close(alone);
    sky_index_close(index);
}

/* Two processes: who opened the index first and writes last must not undo what the other has done. */
static void test_written_meanwhile(void)
{
    write_index(0, 0);
    struct sky_index *index = open_index();
    if (!index) return;
    CHECK_OK(sky_index_check_current(index));
    write_index(5, 0);
    CHECK_FAILS(sky_index_check_current(index), SKY_USAGE, "written or removed it meanwhile");
    CHECK_FAILS(sky_index_rewrite(in_folder("w"), index, "1 2 30 20"), SKY_USAGE, "meanwhile");
    sky_index_close(index);
    if (!(index = open_index())) return;
    CHECK(index->info.place_radius == 5 && !index->info.calibrated);
    CHECK_OK(sky_index_rewrite(in_folder("w"), index, "1 2 30 20"));
    sky_index_close(index);
    if (!(index = open_index())) return;
    CHECK(index->info.calibrated);
    CHECK(unlink(in_folder("w")) == 0);
    CHECK_FAILS(sky_index_check_current(index), SKY_USAGE, "removed");
    sky_index_close(index);
}

int main(void)
{
    folder_make();
    random_values(query, 1000);
    test_shared_candidates();
    test_written_meanwhile();
    folder_remove(folder);
    return check_done();
}
