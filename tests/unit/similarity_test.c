/*
 * The similarity product: every product once, equal to the product of the same two rows computed alone (to the last bit, wherever they stand and on
 * however many threads), exact on small integers, near a double sum otherwise; all edges of panels, blocks, chunks and the resident part.
 */
#include "check.h"

#include "base/rng.h"
#include "eval/similarity.h"

static struct sky_rng rng;

struct matrix {
    float *values; /* [queries, items] */
    unsigned char *seen;
    int64_t queries, items;
    int repeated, wrong_thread, threads;
};

static void take(void *context, const struct sky_similarity_tile *tile)
{
    struct matrix *m = context;
    for (int64_t i = 0; i < tile->queries; i++) {
        for (int64_t j = 0; j < tile->items; j++) {
            const int64_t at = (tile->first_query + i) * m->items + tile->first_item + j;
            m->values[at] = tile->products[i * tile->stride + j];
            m->repeated += m->seen[at]++;
        }
    }
    m->wrong_thread += tile->thread < 0 || tile->thread >= m->threads;
}

static void multiply(struct matrix *m, const struct sky_rows *queries, const struct sky_rows *items, int64_t dimensions, float scale, int threads)
{
    struct sky_similarity *similarity = NULL;
    *m = (struct matrix){.queries = queries->count, .items = items->count, .threads = threads};
    m->values = calloc((size_t)(m->queries * m->items) + 1, sizeof(float));
    m->seen = calloc((size_t)(m->queries * m->items) + 1, 1);
    CHECK_OK(sky_similarity_create(&similarity, dimensions, scale, threads));
    CHECK_OK(sky_similarity_all(similarity, queries, items, take, m));
    sky_similarity_destroy(similarity);
}

static void matrix_free(struct matrix *m)
{
    free(m->values);
    free(m->seen);
}

static float *make_rows(int64_t count, int64_t dimensions, int integers)
{
    float *rows = malloc((size_t)(count * dimensions) * sizeof *rows);
    for (int64_t i = 0; i < count * dimensions; i++) rows[i] = integers ? (float)sky_rng_below(&rng, 17) - 8 : (float)sky_rng_normal(&rng);
    return rows;
}

static double dot(const float *a, const float *b, int64_t dimensions)
{
    double sum = 0;
    for (int64_t k = 0; k < dimensions; k++) sum += (double)a[k] * b[k];
    return sum;
}

static float product_alone(const float *a, const float *b, int64_t dimensions)
{
    struct matrix m;
    const struct sky_rows query = {a, NULL, 1}, item = {b, NULL, 1};
    multiply(&m, &query, &item, dimensions, 1, 1);
    const float product = m.values[0];
    matrix_free(&m);
    return product;
}

static void test_shape(int64_t queries, int64_t items, int64_t dimensions, int threads)
{
    for (int integers = 0; integers < 2; integers++) {
        float *q = make_rows(queries, dimensions, integers), *g = make_rows(items, dimensions, integers);
        struct matrix m;
        const struct sky_rows query_rows = {q, NULL, queries}, item_rows = {g, NULL, items};
        int missed = 0, far = 0;
        multiply(&m, &query_rows, &item_rows, dimensions, 1, threads);
        for (int64_t i = 0; i < queries; i++) {
            for (int64_t j = 0; j < items; j++) {
                const double want = dot(q + i * dimensions, g + j * dimensions, dimensions);
                const double size = sqrt(dot(q + i * dimensions, q + i * dimensions, dimensions) * dot(g + j * dimensions, g + j * dimensions, dimensions));
                missed += m.seen[i * items + j] != 1;
                far += !(fabs(m.values[i * items + j] - want) <= (integers ? 0 : 1e-6 * size));
            }
        }
        CHECK(missed == 0 && m.repeated == 0 && m.wrong_thread == 0);
        CHECK(far == 0);
        for (int probe = 0; probe < 8; probe++) {
            const int64_t i = sky_rng_below(&rng, (uint32_t)queries), j = sky_rng_below(&rng, (uint32_t)items);
            CHECK(m.values[i * items + j] == product_alone(q + i * dimensions, g + j * dimensions, dimensions));
        }
        matrix_free(&m);
        free(q);
        free(g);
    }
}

/* The same rows at other places, by other routes: an order, more threads, the other side streaming. */
static void test_places(void)
{
    enum { ROWS = 90, COPIES = 700, DIMENSIONS = 333 };
    float *rows = make_rows(ROWS, DIMENSIONS, 0);
    int64_t many[COPIES];
    struct matrix plain, spread, turned;
    int differ = 0;
    for (int i = 0; i < COPIES; i++) many[i] = sky_rng_below(&rng, ROWS);
    const struct sky_rows once = {rows, NULL, ROWS}, picked = {rows, many, COPIES};
    multiply(&plain, &once, &once, DIMENSIONS, 1, 1);
    multiply(&spread, &once, &picked, DIMENSIONS, 1, 3);
    multiply(&turned, &picked, &once, DIMENSIONS, 1, 2);
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COPIES; j++) {
            differ += spread.values[i * COPIES + j] != plain.values[i * ROWS + many[j]];
            differ += turned.values[j * ROWS + i] != plain.values[many[j] * ROWS + i];
            differ += plain.values[many[j] * ROWS + i] != plain.values[i * ROWS + many[j]];
        }
    }
    CHECK(differ == 0);
    matrix_free(&plain);
    matrix_free(&spread);
    matrix_free(&turned);
    free(rows);
}

static void test_scale(void)
{
    enum { ROWS = 5, DIMENSIONS = 40 };
    float *small = make_rows(ROWS, DIMENSIONS, 0), huge[ROWS * DIMENSIONS];
    struct matrix plain, scaled;
    const struct sky_rows a = {small, NULL, ROWS}, b = {huge, NULL, ROWS};
    int differ = 0;
    for (int i = 0; i < ROWS * DIMENSIONS; i++) huge[i] = ldexpf(small[i], 100);
    multiply(&plain, &a, &a, DIMENSIONS, 1, 1);
    multiply(&scaled, &b, &b, DIMENSIONS, 0x1p-100f, 1);
    for (int i = 0; i < ROWS * ROWS; i++) differ += plain.values[i] != scaled.values[i];
    CHECK(differ == 0);
    matrix_free(&plain);
    matrix_free(&scaled);
    free(small);
}

/* So many dimensions that the resident side is taken in several parts. */
static void test_parts(int64_t queries, int64_t items)
{
    const int64_t dimensions = 150000;
    float *q = make_rows(queries, dimensions, 1), *g = make_rows(items, dimensions, 1);
    struct matrix m;
    const struct sky_rows query_rows = {q, NULL, queries}, item_rows = {g, NULL, items};
    int missed = 0;
    multiply(&m, &query_rows, &item_rows, dimensions, 1, 1);
    for (int64_t i = 0; i < queries * items; i++) missed += m.seen[i] != 1;
    CHECK(missed == 0);
    for (int probe = 0; probe < 40; probe++) {
        const int64_t i = probe < 20 ? queries - 1 - probe % 4 : sky_rng_below(&rng, (uint32_t)queries), j = sky_rng_below(&rng, (uint32_t)items);
        CHECK(m.values[i * items + j] == dot(q + i * dimensions, g + j * dimensions, dimensions));
    }
    matrix_free(&m);
    free(q);
    free(g);
}

int main(void)
{
    rng = sky_rng_make(1, SKY_RNG_TEST, 1, 0);
    const int64_t shapes[][3] = {{1, 1, 1},      {1, 40, 3},     {40, 1, 3},     {13, 31, 127},  {14, 32, 128},  {15, 33, 129}, {6, 16, 256},  {7, 17, 300},
                                 {111, 511, 20}, {112, 512, 16}, {113, 513, 33}, {230, 70, 257}, {70, 1100, 65}, {1, 600, 640}, {500, 3, 1000}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) test_shape(shapes[i][0], shapes[i][1], shapes[i][2], 1 + (int)(i % 3));
    test_places();
    test_scale();
    test_parts(116, 117);
    struct sky_similarity *similarity = NULL;
    CHECK_FAILS(sky_similarity_create(&similarity, INT64_MAX / 4, 1, 1), SKY_NOMEM, "dimensions");
    sky_similarity_destroy(NULL);
    return check_done();
}
