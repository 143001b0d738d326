/*
 * The nearest rows by the CUDA back end's kernel (run on the host): its lists against plain sorting, with the gallery in one block and in many; then indices and
 * distances against those found on the CPU: exact and near ties, junk, k beyond the gallery, rows met in the worst order.
 */
#include "base/rng.h"
#include "check.h"
#include "eval/top.h"
#include "host_backend.h"
#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUERIES = 3, MOST_ITEMS = 2600 };

struct pair {
    float key;
    int64_t item;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return (left->item > right->item) - (left->item < right->item);
}

enum order { RANDOM, FALLING, FEW_VALUES, ALL_EQUAL, ORDERS };

static float value_of(struct sky_rng *rng, enum order order, int64_t item)
{
    switch (order) {
    case FALLING: return (float)item * 0.25f; /* products rise, so keys fall: every row is nearer than all before */
    case FEW_VALUES: return (float)sky_rng_below(rng, 4) - 1.5f;
    case ALL_EQUAL: return -2;
    default: return (float)sky_rng_normal(rng);
    }
}

/* Items come in blocks of `block`. */
static void check_kernel(struct sky_rng *rng, int64_t items, int places, int64_t block, enum order order)
{
    static float products[QUERIES * MOST_ITEMS], part[QUERIES * MOST_ITEMS], half_norms[MOST_ITEMS];
    static struct pair expected[MOST_ITEMS];
    uint64_t *lists = malloc((size_t)(QUERIES * places) * sizeof *lists); /* exact bounds */
    int wrong = 0;
    if (!lists) abort();
    memset(lists, 0x5A, (size_t)(QUERIES * places) * sizeof *lists);
    for (int64_t i = 0; i < items; i++) half_norms[i] = order == RANDOM ? (float)sky_rng_below(rng, 3) * 0.125f : 0.5f;
    for (int64_t q = 0; q < QUERIES; q++)
        for (int64_t i = 0; i < items; i++) products[q * items + i] = value_of(rng, order, i);
    for (int64_t first = 0; first < items; first += block) {
        const int64_t count = items - first < block ? items - first : block;
        for (int64_t q = 0; q < QUERIES; q++) memcpy(part + q * count, products + q * items + first, (size_t)count * sizeof *part);
        const struct sky_cuda_top all = {.products = part, .half_norms = half_norms, .lists = lists, .items = count, .first_item = first, .places = places};
        struct sky_cuda_top rest = all; /* the second and third query as a block of their own */
        rest.products = part + count, rest.first_query = 1;
        CHECK(sky_cuda_top_keys(NULL, &all, 1) == 0);
        CHECK(sky_cuda_top_keys(NULL, &rest, QUERIES - 1) == 0);
    }
    for (int64_t q = 0; q < QUERIES; q++) {
        for (int64_t i = 0; i < items; i++) expected[i] = (struct pair){half_norms[i] - products[q * items + i], i};
        qsort(expected, (size_t)items, sizeof *expected, compare_pairs);
        for (int i = 0; i < places; i++) {
            const uint64_t got = lists[q * places + i];
            wrong += i < items ? (uint32_t)got != (uint32_t)expected[i].item : got != UINT64_MAX;
        }
    }
    if (wrong) printf("%lld items in blocks of %lld, %d places, order %d: %d places are wrong\n", (long long)items, (long long)block, places, (int)order, wrong);
    CHECK(wrong == 0);
    free(lists);
}

static void test_kernel(void)
{
    static const int64_t items[] = {1, 2, 31, 255, 256, 257, 900, MOST_ITEMS};
    static const int places[] = {1, 7, 26, 116, SKY_CUDA_TOP_PLACES};
    struct sky_rng rng = sky_rng_make(11, SKY_RNG_TEST, 3, 0);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++)
            for (int order = 0; order < ORDERS; order++) {
                check_kernel(&rng, items[i], places[p], items[i], (enum order)order);
                check_kernel(&rng, items[i], places[p], 1 + (items[i] + 2) / 3, (enum order)order);
            }
    check_kernel(&rng, 70, 9, 1, RANDOM);
}

static void fill(struct sky_rng *rng, float *rows, int64_t count, int64_t dimensions, double grain, double spread, double size)
{
    for (int64_t i = 0; i < count * dimensions; i++) {
        const double value = 1 + spread * sky_rng_normal(rng);
        rows[i] = (float)(size * (grain > 0 ? floor(value / grain + 0.5) * grain : value));
    }
}

/* `grain` rounds features, so that rows are equally far; `spread` is how far they are from one common row. */
static void compare(struct sky_device *device, uint64_t seed, int64_t queries, int64_t items, int64_t dimensions, int64_t k, double grain, double spread, double size)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 3, 1);
    const size_t places = (size_t)(queries * k);
    float *query_rows = malloc((size_t)(queries * dimensions) * sizeof *query_rows), *gallery_rows = malloc((size_t)(items * dimensions) * sizeof *gallery_rows);
    int64_t *labels = malloc((size_t)(queries + items) * sizeof *labels), *here = malloc(places * sizeof *here), *there = malloc(places * sizeof *there);
    double *far_here = malloc(places * sizeof *far_here), *far_there = malloc(places * sizeof *far_there);
    if (!query_rows || !gallery_rows || !labels || !here || !there || !far_here || !far_there) abort();
    fill(&rng, query_rows, queries, dimensions, grain, spread, size);
    fill(&rng, gallery_rows, items, dimensions, grain, spread, size);
    for (int64_t i = 0; i < queries + items; i++) labels[i] = (int64_t)sky_rng_below(&rng, 12) - 1; /* some junk */
    for (int64_t i = 4; i < items; i += 5) memcpy(gallery_rows + i * dimensions, gallery_rows + (i - 3) * dimensions, (size_t)dimensions * sizeof(float)); /* equal rows */
    const struct sky_features query = {queries, dimensions, query_rows, labels, NULL}, gallery = {items, dimensions, gallery_rows, labels + queries, NULL};
    CHECK_OK(sky_rank_top(&query, &gallery, k, 2, here, far_here));
    CHECK_OK(sky_rank_top_on(&query, &gallery, k, 2, device, there, far_there));
    const bool same = memcmp(here, there, places * sizeof *here) == 0 && memcmp(far_here, far_there, places * sizeof *far_here) == 0;
    if (!same) printf("seed %llu, %lld queries, %lld items, k %lld: the device finds other rows\n", (unsigned long long)seed, (long long)queries, (long long)items, (long long)k);
    CHECK(same);
    free(query_rows), free(gallery_rows), free(labels), free(here), free(there), free(far_here), free(far_there);
}

int main(void)
{
    struct sky_device device = {.backend = host_cuda_backend(), .options = {.threads = 1}};
    for (uint64_t seed = 1; seed <= 4; seed++) { /* each opening is another order of threads */
        CHECK_OK(device.backend->open(&device));
        if (seed < 3) test_kernel();
        compare(&device, seed, 13, 700, 24, 10, 0, 1, 1);                           /* plain */
        compare(&device, seed, 9, 400, 3, 100, 0.5, 1, 1);                          /* many ties */
        compare(&device, seed, 5, 300, 700, 10, 0, 1e-4, 1);                        /* rows that nearly coincide */
        compare(&device, seed, 7, 40, 17, 64, 0, 1, seed % 2 ? 1e-18 : 1e18);       /* k beyond the gallery, tiny and huge */
        compare(&device, seed, 1, 1, 1, 1, 0, 1, 1);                                /* one row */
        compare(&device, seed, 2, 500, 8, SKY_TOP_MOST_PLACES + 1, 0.25, 1, 1);     /* more than the device keeps: found here */
        device.backend->close(&device);
    }
    return check_done();
}
