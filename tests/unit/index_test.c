/*
 * Index files and searches: what features become in each store, products against sums in double, files that are damaged or of other kinds, the nearest tiles
 * against a plain sort, places, shares of ranks, several threads at once, and no memory taken by a query.
 */
#define _GNU_SOURCE /* dladdr */
#include "allocations.h"
#include "data_tree.h"
#include "index_file.h"

#include "base/memory.h"
#include "base/str.h"
#include "io/sealed.h"
#include "retrieve/search.h"
#include "retrieve/shard.h"
#include "retrieve/sketch.h"

#include <pthread.h>

enum { TILES = 300, DIMENSIONS = 70, QUERIES = 20 };

static float features[TILES][DIMENSIONS], queries[QUERIES][DIMENSIONS];
static double latitude[TILES], longitude[TILES], metres[TILES];
static int64_t numbers[TILES], starts[TILES];
static struct sky_text paths;

static void random_unit(float *out, int64_t count, uint32_t seed)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 31, 0);
    double squares = 0;
    for (int64_t i = 0; i < count; i++) {
        out[i] = (float)sky_rng_normal(&rng);
        squares += (double)out[i] * (double)out[i];
    }
    for (int64_t i = 0; i < count; i++) out[i] = (float)((double)out[i] / sqrt(squares));
}

static double product(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Tiles in a row, 100 m apart; some without a place; 7 and 8 are the same feature. */
static void make_table(void)
{
    for (uint32_t i = 0; i < TILES; i++) {
        char name[32];
        random_unit(features[i], DIMENSIONS, i);
        latitude[i] = i % 50 == 49 ? NAN : 47, longitude[i] = i % 50 == 49 ? NAN : 8 + 100 / 75917.0 * i,
        metres[i] = NAN; /* a degree at 47 north is 75,917 m */
        numbers[i] = i;
        starts[i] = (int64_t)paths.length;
        snprintf(name, sizeof name, "t/%04u.png", i);
        sky_text_append_bytes(&paths, name, strlen(name) + 1);
    }
    memcpy(features[8], features[7], sizeof features[7]);
    for (uint32_t i = 0; i < QUERIES; i++) {
        random_unit(queries[i], DIMENSIONS, 1000 + i);
        for (int d = 0; d < DIMENSIONS; d++) queries[i][d] = 0.5f * queries[i][d] + 0.5f * features[13 * i][d];
    }
}

static void write_index_with(const char *path, enum sky_store store, double radius, const char *calibration, int64_t sketch_length, int threads)
{
    static unsigned char values[TILES * DIMENSIONS * 4];
    static float scales[TILES];
    for (int i = 0; i < TILES; i++) sky_row_encode(store, features[i], DIMENSIONS, values + (size_t)i * sky_store_row_bytes(store, DIMENSIONS), &scales[i]);
    const struct index_file file = {{store, TILES, DIMENSIONS, values, scales}, latitude, longitude, metres, numbers, starts, &paths, sketch_length, radius, calibration};
    index_file_write(path, &file, threads);
}

static void write_index(const char *path, enum sky_store store, double radius, const char *calibration) { write_index_with(path, store, radius, calibration, 0, 1); }

static struct sky_index *open_index(const char *path)
{
    struct sky_index *index = NULL;
    CHECK_OK(sky_index_open(&index, path, NULL));
    return index;
}

/* ---- stored rows ---- */

static void products(const struct sky_rows_stored *rows, int64_t first, int64_t count, const float *query, float *out)
{
    float prepared[128];
    CHECK(sky_query_floats(rows->dimensions) <= 128);
    sky_query_prepare(rows->store, query, rows->dimensions, prepared);
    sky_rows_products(rows, first, count, prepared, out);
}

static void test_rows(void)
{
    static const double relative[SKY_STORE_COUNT] = {0, 5e-4, 0}, absolute[SKY_STORE_COUNT] = {0, 3e-8, 0.5 / 127};
    for (int s = 0; s < SKY_STORE_COUNT; s++)
        for (int64_t d = 1; d <= 70; d++) {
            _Alignas(64) unsigned char values[3 * 70 * 4];
            float feature[70], query[70], back[70], scales[3], out[3];
            const size_t bytes = sky_store_row_bytes((enum sky_store)s, d);
            random_unit(query, d, (uint32_t)(500 + d));
            for (uint32_t row = 0; row < 3; row++) {
                random_unit(feature, d, (uint32_t)(90 + d) + 1000 * row);
                if (row == 2) memset(feature, 0, sizeof feature);
                sky_row_encode((enum sky_store)s, feature, d, values + row * bytes, &scales[row]);
            }
            const struct sky_rows_stored rows = {(enum sky_store)s, 3, d, values, scales};
            products(&rows, 0, 3, query, out);
            for (uint32_t row = 0; row < 3; row++) {
                double error = 0, largest = 0;
                random_unit(feature, d, (uint32_t)(90 + d) + 1000 * row);
                if (row == 2) memset(feature, 0, sizeof feature);
                sky_row_decode(&rows, row, back);
                for (int64_t i = 0; i < d; i++) largest = fmax(largest, fabs((double)feature[i]));
                for (int64_t i = 0; i < d; i++)
                    error = fmax(error, fabs((double)feature[i] - (double)back[i]) - relative[s] * fabs((double)feature[i]) - absolute[s] * largest);
                CHECK(error <= 1e-7);
                if (!CHECK(fabs((double)out[row] - product(back, query, d)) <= 2e-7))
                    printf("  %s, %lld dimensions\n", sky_store_name((enum sky_store)s), (long long)d);
            }
            float one;
            products(&rows, 1, 1, query, &one);
            CHECK(one == out[1]); /* whatever is computed beside it */
        }
}

/* Every half but infinities and NaN, as a row of one value times 1. */
static void test_all_halves(void)
{
    const float one = 1;
    int wrong = 0;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        const struct sky_rows_stored rows = {SKY_STORE_FP16, 1, 1, (const unsigned char *)&half, NULL};
        float out;
        if ((bits & 0x7c00) == 0x7c00) continue;
        products(&rows, 0, 1, &one, &out);
        wrong += out != sky_half_to_float(half);
    }
    CHECK(wrong == 0);
}

/* ---- searches ---- */

static int comes_before(const float *a, const float *b, int64_t i, int64_t j) { return a[i] > b[j] || (a[i] == b[j] && i < j); }

static void test_search(void)
{
    for (int s = 0; s < SKY_STORE_COUNT; s++) {
        struct sky_search *search = NULL, *threaded = NULL;
        write_index(in_folder("i"), (enum sky_store)s, 0, NULL);
        struct sky_index *index = open_index(in_folder("i"));
        if (!index || !CHECK_OK(sky_search_open(&search, index, 10, 1)) || !CHECK_OK(sky_search_open(&threaded, index, 10, 3))) return;
        for (int q = 0; q < QUERIES; q++) {
            struct sky_answer answer, again;
            float all[TILES];
            CHECK_OK(sky_search_run(search, queries[q], &answer));
            CHECK_OK(sky_search_run(threaded, queries[q], &again));
            CHECK(answer.count == 10 && !memcmp(answer.candidates, again.candidates, 10 * sizeof *again.candidates));
            products(&index->table.rows, 0, TILES, queries[q], all);
            for (int64_t c = 0; c < 10; c++) { /* exactly c tiles come before the c-th */
                int before = 0;
                for (int64_t t = 0; t < TILES; t++) before += comes_before(all, all, t, answer.candidates[c].tile);
                CHECK(before == c && answer.candidates[c].similarity == all[answer.candidates[c].tile]);
            }
            CHECK(answer.candidates[0].tile == 13 * q);
            CHECK(answer.margin == (double)answer.candidates[0].similarity - (double)answer.candidates[1].similarity && isnan(answer.confidence));
        }
        struct sky_answer answer;
        CHECK_OK(sky_search_run(search, features[8], &answer));
        CHECK(answer.candidates[0].tile == 7 && answer.candidates[1].tile == 8 && answer.margin == 0); /* equal ones by number */
        queries[0][3] = NAN;
        CHECK_FAILS(sky_search_run(search, queries[0], &answer), SKY_NUMERIC, "finite");
        queries[0][3] = 0.1f;
        sky_search_close(search);
        sky_search_close(threaded);
        sky_index_close(index);
    }
}

/* The margin is to the best tile farther than the radius, and confidence follows it. */
/* ---- sketches ---- */

static void check_axes(const struct sky_index *index, int64_t length)
{
    for (int64_t a = 0; a < length; a++)
        for (int64_t b = 0; b <= a; b++)
            CHECK_NEAR(product(index->table.sketch_axes + a * DIMENSIONS, index->table.sketch_axes + b * DIMENSIONS, DIMENSIONS), a == b ? 1 : 0, 1e-5);
}

/* What is found is among the exact tiles and has their similarities; how many of the best ten there are in all. */
static int count_found(const struct sky_answer *answer, const struct sky_answer *exact)
{
    int found = 0;
    for (int64_t c = 0; c < answer->count; c++)
        for (int64_t e = 0; e < exact->count; e++)
            if (answer->candidates[c].tile == exact->candidates[e].tile) found += CHECK(answer->candidates[c].similarity == exact->candidates[e].similarity);
    return found;
}

static void check_sketches(enum sky_store store, int64_t length, int64_t candidates, int least_found, int all_same)
{
    struct sky_search *plain = NULL, *sketched = NULL, *threaded = NULL;
    int found = 0, right = 0;
    write_index_with(in_folder("i"), store, 110, NULL, length, 1);
    write_index_with(in_folder("j"), store, 110, NULL, length, 3);
    struct sky_index *index = open_index(in_folder("i")), *same = open_index(in_folder("j"));
    if (!index || !same || !CHECK_OK(sky_search_open(&plain, index, 10, 1)) || !CHECK_OK(sky_search_open(&sketched, index, 10, 1)) ||
        !CHECK_OK(sky_search_open(&threaded, same, 10, 3)))
        return;
    CHECK(index->info.sketch == length && index->file.map.count == same->file.map.count && !memcmp(index->file.map.bytes, same->file.map.bytes, same->file.map.count));
    check_axes(index, length);
    CHECK_OK(sky_search_set_candidates(sketched, candidates));
    CHECK_OK(sky_search_set_candidates(threaded, candidates));
    for (int q = 0; q < QUERIES; q++) {
        struct sky_answer exact, answer, again;
        CHECK_OK(sky_search_run(plain, queries[q], &exact));
        CHECK_OK(sky_search_run(sketched, queries[q], &answer));
        CHECK_OK(sky_search_run(threaded, queries[q], &again));
        CHECK(answer.count == 10 && !memcmp(answer.candidates, again.candidates, 10 * sizeof *again.candidates) && answer.margin == again.margin);
        found += count_found(&answer, &exact);
        right += answer.candidates[0].tile == 13 * q;
        if (all_same) CHECK(!memcmp(answer.candidates, exact.candidates, 10 * sizeof *exact.candidates) && answer.margin == exact.margin);
    }
    CHECK(right == QUERIES && found >= least_found);
    struct sky_answer answer = {.count = 77};
    const float kept = queries[0][3], wrong[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        queries[0][3] = wrong[i];
        CHECK_FAILS(sky_search_run(sketched, queries[0], &answer), SKY_NUMERIC, "finite");
        CHECK_FAILS(sky_search_run(plain, queries[0], &answer), SKY_NUMERIC, "its number 3 is");
    }
    CHECK(answer.count == 77); /* results stay as they were */
    queries[0][3] = kept;
    CHECK_FAILS(sky_search_set_candidates(sketched, 9), SKY_USAGE, "9 candidates for the best 10");
    CHECK_OK(sky_search_set_candidates(sketched, 0));
    sky_search_close(plain);
    sky_search_close(sketched);
    sky_search_close(threaded);
    sky_index_close(index);
    sky_index_close(same);
}

static void test_sketches(void)
{
    struct sky_search *search = NULL;
    check_sketches(SKY_STORE_FLOAT32, DIMENSIONS, 20, 190, 0); /* all dimensions: int8's rounding alone */
    check_sketches(SKY_STORE_FP16, 40, 60, 160, 0);
    check_sketches(SKY_STORE_INT8, 40, 60, 160, 0);
    check_sketches(SKY_STORE_INT8, 1, TILES, 200, 1); /* every tile is a candidate */
    check_sketches(SKY_STORE_INT8, 8, 1000000, 200, 1);
    write_index(in_folder("i"), SKY_STORE_INT8, 0, NULL);
    struct sky_index *index = open_index(in_folder("i"));
    if (!index || !CHECK_OK(sky_search_open(&search, index, 10, 1))) return;
    CHECK(index->info.sketch == 0);
    CHECK_FAILS(sky_search_set_candidates(search, 50), SKY_USAGE, "which this index does not have");
    struct sky_sketch sketch = {.axes = NULL};
    CHECK_FAILS(sky_sketch_make(&sketch, &index->table.rows, DIMENSIONS + 1, 1), SKY_USAGE, "71 numbers a tile cannot be");
    sky_search_close(search);
    sky_index_close(index);
}

static void test_places(void)
{
    struct sky_search *search = NULL;
    struct sky_answer answer;
    write_index(in_folder("i"), SKY_STORE_FLOAT32, 110, "-1 20 99 66");
    struct sky_index *index = open_index(in_folder("i"));
    if (!index || !CHECK_OK(sky_search_open(&search, index, 2, 1))) return;
    CHECK(index->info.located == TILES - 6 && index->info.calibrated && index->info.calibration_queries == 99 && index->info.calibration_right == 66);
    CHECK(sky_index_same_place(index, 7, 8) && !sky_index_same_place(index, 7, 9) && sky_index_same_place(index, 49, 49) &&
          !sky_index_same_place(index, 49, 50) && !sky_index_same_place(index, 48, 49));
    CHECK_OK(sky_search_run(search, features[8], &answer));
    float best = -2, all[TILES];
    products(&index->table.rows, 0, TILES, features[8], all);
    for (int t = 0; t < TILES; t++)
        if ((t < 6 || t > 8) && all[t] > best) best = all[t]; /* 6, 7 and 8 lie within 110 m of 7 */
    CHECK(answer.candidates[0].tile == 7 && answer.margin == (double)answer.candidates[0].similarity - (double)best);
    CHECK_NEAR(answer.confidence, 1 / (1 + exp(1 - 20 * answer.margin)), 1e-12);
    struct sky_tile tile;
    CHECK_OK(sky_index_tile(index, 12, &tile));
    CHECK(!strcmp(tile.path, "t/0012.png") && tile.latitude == 47 && isnan(tile.metres_per_pixel));
    CHECK_FAILS(sky_index_tile(index, TILES, &tile), SKY_USAGE, "no tile 300");
    float back[DIMENSIONS];
    CHECK_OK(sky_index_feature(index, 12, back));
    CHECK(!memcmp(back, features[12], sizeof back));
    sky_search_close(search);
    CHECK_OK(sky_search_open(&search, index, 1000, 1));
    CHECK_OK(sky_search_run(search, features[8], &answer));
    CHECK(answer.count == TILES);
    sky_search_close(search);
    CHECK_FAILS(sky_search_open(&search, index, 0, 1), SKY_USAGE, "at least one");
    sky_index_close(index);
    write_index(in_folder("i"), SKY_STORE_FLOAT32, 1e7, NULL); /* all but those without a place are one */
    if (!(index = open_index(in_folder("i"))) || !CHECK_OK(sky_search_open(&search, index, 1, 1))) return;
    CHECK_OK(sky_search_run(search, features[8], &answer));
    best = -2;
    for (int t = 49; t < TILES; t += 50) best = fmaxf(best, all[t]);
    CHECK(answer.margin == (double)answer.candidates[0].similarity - (double)best);
    sky_search_close(search);
    sky_index_close(index);
}

static void test_shares(void)
{
    for (int size = 1; size < 9; size++) {
        int64_t end = 0, first, count;
        for (int rank = 0; rank < size; rank++) {
            sky_shard_range(7, rank, size, &first, &count);
            CHECK(first == end && count >= 7 / size && count <= 7 / size + 1);
            end += count;
        }
        CHECK(end == 7);
    }
    struct sky_shards *shards = NULL;
    struct sky_search *search = NULL, *part = NULL;
    struct sky_answer alone, answer;
    const struct sky_candidate *some;
    struct sky_index *index = open_index(in_folder("i"));
    if (!index || !CHECK_OK(sky_shards_open(&shards, NULL, index, 4, 1)) || !CHECK_OK(sky_search_open(&search, index, 4, 1))) return;
    CHECK_OK(sky_search_run(search, queries[5], &alone));
    CHECK_OK(sky_shards_run(shards, queries[5], &answer));
    CHECK(answer.count == alone.count && !memcmp(answer.candidates, alone.candidates, 4 * sizeof *alone.candidates) && answer.margin == alone.margin);
    if (CHECK_OK(sky_search_open_part(&part, index, 60, 20, 4, 1))) {
        sky_search_scan(part, queries[5]); /* made from tile 65 */
        CHECK(sky_search_best(part, &some) == 4 && some[0].tile == 65 && some[1].tile >= 60 && some[1].tile < 80);
        CHECK(some[0].similarity == alone.candidates[0].similarity);
    }
    sky_search_close(part);
    sky_search_close(search);
    sky_shards_close(shards);
    sky_index_close(index);
}

/* ---- threads and memory ---- */

struct task {
    const struct sky_index *index;
    struct sky_candidate best[QUERIES][5];
};

static void *search_all(void *context)
{
    struct task *task = context;
    struct sky_search *search = NULL;
    struct sky_answer answer;
    if (sky_search_open(&search, task->index, 5, 1) != SKY_OK) return NULL;
    for (int round = 0; round < 20; round++)
        for (int q = 1; q < QUERIES; q++)
            if (sky_search_run(search, queries[q], &answer) == SKY_OK) memcpy(task->best[q], answer.candidates, sizeof task->best[q]);
    sky_search_close(search);
    return NULL;
}

static void test_threads(void)
{
    enum { THREADS = 4 };
    static struct task tasks[THREADS + 1];
    pthread_t threads[THREADS];
    struct sky_index *index = open_index(in_folder("i"));
    for (int i = 0; i <= THREADS; i++) tasks[i].index = index;
    search_all(&tasks[THREADS]);
    CHECK(tasks[THREADS].best[2][0].tile == 26);
    for (int i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, search_all, &tasks[i]));
    for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
    for (int i = 0; i < THREADS; i++) CHECK(!memcmp(&tasks[i], &tasks[THREADS], sizeof *tasks));
    sky_index_close(index);
}

static void test_no_memory(void)
{
    struct sky_search *search = NULL;
    struct sky_answer answer;
    struct sky_index *index = open_index(in_folder("i"));
    if (!ALLOCATIONS_COUNTED) check_skip("counting allocations", "the sanitizer has its own malloc");
    for (int threads = 1; threads <= 2; threads++) {
        allocations_start();
        if (!index || !CHECK_OK(sky_search_open(&search, index, 5, threads))) return;
        allocations_stop();
        CHECK(!ALLOCATIONS_COUNTED || allocations.seen > 0);   /* opening takes memory: the counter counts */
        CHECK_OK(sky_search_run(search, queries[1], &answer)); /* the threads' team is made at the first query */
        allocations_start();
        for (int q = 1; q < QUERIES; q++) CHECK_OK(sky_search_run(search, queries[q], &answer));
        allocations_stop();
        CHECK(allocations_own() == 0);
        sky_search_close(search);
    }
    sky_index_close(index);
}

/* ---- files ---- */

static void test_refused(void)
{
    struct sky_index *index = NULL;
    char *bytes = NULL;
    size_t count = 0;
    write_index(in_folder("i"), SKY_STORE_INT8, 0, NULL);
    CHECK_OK(sky_file_read(in_folder("i"), 1 << 24, &bytes, &count));
    int opened = 0;
    for (size_t at = 0; at < count; at += at < 3000 ? 7 : 331) { /* a changed byte anywhere */
        bytes[at] ^= 0x11;
        CHECK_OK(sky_file_write_atomic(in_folder("bad"), bytes, count));
        bytes[at] ^= 0x11;
        const sky_status status = sky_index_open(&index, in_folder("bad"), NULL);
        opened += status == SKY_OK;
        if (status == SKY_OK) sky_index_close(index);
        else if (!CHECK(status == SKY_FORMAT || status == SKY_UNSUPPORTED)) printf("  byte %zu: %s\n", at, sky_error_last()->what);
    }
    CHECK(opened == 0);
    for (size_t length = 0; length < count; length += 1 + length / 5) { /* cut anywhere */
        CHECK_OK(sky_file_write_atomic(in_folder("bad"), bytes, length));
        CHECK(sky_index_open(&index, in_folder("bad"), NULL) != SKY_OK);
    }
    free(bytes);
    CHECK_FAILS(sky_index_open(&index, in_folder("none"), NULL), SKY_USAGE, "there is no such index");
    CHECK_OK(sky_file_write_atomic(in_folder("bad"), "not an index at all", 19));
    CHECK_FAILS(sky_index_open(&index, in_folder("bad"), NULL), SKY_FORMAT, "skygem index");
    const float value[1] = {1};
    const struct sky_file_tensor tensor = {.name = "features", .dtype = SKY_F32, .rank = 2, .dim = {1, 1}, .data = value};
    struct sky_file_text text = {"format", "skygem checkpoint 1"};
    CHECK_OK(sky_sealed_write(in_folder("bad"), &tensor, 1, &text, 1, "x"));
    CHECK_FAILS(sky_index_open(&index, in_folder("bad"), NULL), SKY_FORMAT, "no index but a skygem checkpoint");
    text.value = "skygem index 2";
    CHECK_OK(sky_sealed_write(in_folder("bad"), &tensor, 1, &text, 1, "x"));
    CHECK_FAILS(sky_index_open(&index, in_folder("bad"), NULL), SKY_FORMAT, "'skygem index 2'; this program reads 'skygem index 1'");
    text.value = "skygem index 1";
    CHECK_OK(sky_sealed_write(in_folder("bad"), &tensor, 1, &text, 1, "x"));
    CHECK_FAILS(sky_index_open(&index, in_folder("bad"), NULL), SKY_FORMAT, "does not say 'model'");
    CHECK(!index || true);
}

static void test_memory(void)
{
    CHECK(sky_memory_available_bytes() > 1 << 20);
    CHECK_FAILS(sky_index_check_memory("huge", SIZE_MAX), SKY_NOMEM, "--store int8");
    CHECK_OK(sky_index_check_memory("small", 4096));
    const double million = (double)sky_index_memory_bytes(SKY_STORE_INT8, 1000000, 3584, 0);
    CHECK_NEAR(million, 3.648e9, 1e7); /* what experiments/locate/README.md says */
}

int main(void)
{
    folder_make();
    make_table();
    test_rows();
    test_all_halves();
    test_search();
    test_sketches();
    test_places();
    test_shares();
    test_threads();
    test_no_memory();
    test_refused();
    test_memory();
    sky_text_free(&paths);
    folder_remove(folder);
    return check_done();
}
