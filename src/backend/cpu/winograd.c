/*
 * Winograd convolutions: pixels and filters are transformed, the 36 products of each tile become 36 matrix products over channels, and these are transformed
 * back. Where tiles are many and channels few each thread takes blocks of tiles from beginning to end in its own cache; else all tiles go through each stage
 * together, so that the large transformed filters are read once. Every result is summed by one thread in one order. Planes of the 36 products are padded apart:
 * equal powers of two would fall on the same cache lines.
 */
#include "winograd.h"

#include "stream.h"
#include "winograd_transform.h"

#include <omp.h>

enum { POINTS = 36, TILE = 4, WINDOW = 6, LANES = SKY_PANEL_LANES, PLANE_PAD = 16, CHUNK = SKY_PANEL_ROWS };

static int64_t round_up(int64_t count, int64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

static int64_t minimum(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tiles of 4x4 results. */
struct tiling {
    int64_t down, across, count;
};

static struct tiling tiling_of(const struct sky_winograd *shape)
{
    const int64_t down = (shape->out_height + TILE - 1) / TILE, across = (shape->out_width + TILE - 1) / TILE;
    return (struct tiling){down, across, shape->images * down * across};
}

struct tile {
    int64_t image, top, left; /* of the first result */
};

static struct tile tile_at(const struct tiling *tiling, int64_t index)
{
    const int64_t in_image = index % (tiling->down * tiling->across);
    return (struct tile){index / (tiling->down * tiling->across), in_image / tiling->across * TILE, in_image % tiling->across * TILE};
}

bool sky_winograd_is_fast(void)
{
    return SKY_PANEL_IS_FAST;
}

static inline __attribute__((always_inline)) void load_some(const float *from, int64_t count, sky_lanes *to)
{
    if (count >= LANES) {
        *to = *(const sky_lanes_at *)from;
        return;
    }
    float part[LANES] = {0};
    memcpy(part, from, (size_t)count * sizeof *part);
    memcpy(to, part, sizeof *to);
}

static inline __attribute__((always_inline)) void store_some(const sky_lanes *from, int64_t count, float *to)
{
    if (count >= LANES) *(sky_lanes_at *)to = *from;
    else memcpy(to, from, (size_t)count * sizeof *to);
}

/* A size x size window of a map [H,W,C] of one image, zero outside of it, for up to LANES channels. */
static inline __attribute__((always_inline)) void load_window(const float *map, int64_t height, int64_t width, int64_t channels, int64_t top, int64_t left,
                                                              const int size, int64_t count, sky_lanes *window)
{
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            const int64_t h = top + i, w = left + j;
            if (h >= 0 && h < height && w >= 0 && w < width) load_some(map + (h * width + w) * channels, count, &window[i * size + j]);
            else memset(&window[i * size + j], 0, sizeof *window);
        }
}

/* The 36 factors of one tile's pixels, for channels first .. first + count - 1. */
static inline __attribute__((always_inline)) void pixels_of_tile(const struct sky_winograd *shape, const float *x, struct tile tile, int64_t first,
                                                                 sky_lanes factors[POINTS])
{
    sky_lanes window[POINTS], half[POINTS];
    load_window(x + tile.image * shape->height * shape->width * shape->channels + first, shape->height, shape->width, shape->channels, tile.top - shape->pad,
                tile.left - shape->pad, WINDOW, minimum(LANES, shape->channels - first), window);
    for (int j = 0; j < WINDOW; j++) sky_pixels_line(window + j, WINDOW, half + j, WINDOW);
    for (int i = 0; i < WINDOW; i++) sky_pixels_line(half + i * WINDOW, 1, factors + i * WINDOW, 1);
}

/* ---- forward, and the data gradient ---- */

/* Sizes of the forward pass: pixels v [36,rows,v_stride], products m [36,rows,m_stride], filters [36,panels,C,COLUMNS]. */
struct forward_plan {
    struct tiling tiling;
    int64_t rows;  /* tiles a block has, a multiple of SKY_PANEL_ROWS */
    bool together; /* one block of all tiles, all threads on it; else a block a thread */
    int64_t v_stride, m_stride, v_plane, m_plane, panels, filter_plane;
};

static struct forward_plan forward_plan_of(const struct sky_winograd *shape)
{
    /* Of v and m: what a core's second-level cache holds beside the filters of one product. */
    enum { FEW_FLOATS = 1 << 18, MANY_FLOATS = 1 << 19, FEWEST_ROWS = 7 * SKY_PANEL_ROWS };
    struct forward_plan plan = {.tiling = tiling_of(shape)};
    plan.v_stride = round_up(shape->channels, LANES), plan.m_stride = round_up(shape->filters, SKY_PANEL_COLUMNS);
    plan.panels = plan.m_stride / SKY_PANEL_COLUMNS;
    plan.filter_plane = plan.panels * shape->channels * SKY_PANEL_COLUMNS + PLANE_PAD;
    const int64_t row_floats = POINTS * (plan.v_stride + plan.m_stride);
    plan.rows = FEW_FLOATS / row_floats / SKY_PANEL_ROWS * SKY_PANEL_ROWS;
    if (plan.rows < FEWEST_ROWS) plan.rows = FEWEST_ROWS;
    plan.together = plan.rows * row_floats > MANY_FLOATS;
    if (plan.together || plan.rows > plan.tiling.count) plan.rows = round_up(plan.tiling.count, SKY_PANEL_ROWS);
    plan.v_plane = plan.rows * plan.v_stride + PLANE_PAD, plan.m_plane = plan.rows * plan.m_stride + PLANE_PAD;
    return plan;
}

static int64_t block_floats(const struct forward_plan *plan)
{
    return POINTS * (plan->v_plane + plan->m_plane);
}

size_t sky_winograd_filter_bytes(const struct sky_winograd *shape)
{
    return (size_t)(POINTS * forward_plan_of(shape).filter_plane) * sizeof(float);
}

size_t sky_winograd_forward_bytes(const struct sky_winograd *shape)
{
    const struct forward_plan plan = forward_plan_of(shape);
    return (size_t)(block_floats(&plan) * (plan.together ? 1 : shape->threads)) * sizeof(float);
}

enum { TAPS = 9, CHANNEL_RUN = 16 };

/* Taps of LANES filters from k on, for a run of channels from c on: w is [K,3,3,C], or turned [C,3,3,K]. */
static void load_taps(const struct sky_winograd *shape, const float *w, bool turned, int64_t c, int64_t channels, int64_t k, sky_lanes taps[CHANNEL_RUN][TAPS])
{
    const int64_t count = minimum(LANES, shape->filters - k);
    if (turned) {
        for (int64_t r = 0; r < channels; r++)
            for (int j = 0; j < TAPS; j++) load_some(w + ((c + r) * TAPS + TAPS - 1 - j) * shape->filters + k, count, &taps[r][j]);
        return;
    }
    float *numbers = (float *)taps;
    memset(taps, 0, CHANNEL_RUN * TAPS * sizeof(sky_lanes));
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < TAPS; j++)
            for (int64_t r = 0; r < channels; r++) numbers[(r * TAPS + j) * LANES + i] = w[((k + i) * TAPS + j) * shape->channels + c + r];
}

void sky_winograd_filters(const struct sky_winograd *shape, const float *w, bool turned, float *filters)
{
    const struct forward_plan plan = forward_plan_of(shape);
    const int64_t depth = shape->channels, runs = (depth + CHANNEL_RUN - 1) / CHANNEL_RUN;
    const bool stream = LANES == 16 && sky_streams(sky_winograd_filter_bytes(shape), LANES);
#pragma omp parallel for num_threads(shape->threads) schedule(static)
    for (int64_t i = 0; i < plan.panels * SKY_PANEL_VECTORS * runs; i++) {
        const int64_t vector = i / runs, first = i % runs * CHANNEL_RUN, channels = minimum(CHANNEL_RUN, depth - first), k = vector * LANES;
        if (k >= shape->filters) continue;
        sky_lanes taps[CHANNEL_RUN][TAPS], half[WINDOW * 3], factors[POINTS];
        load_taps(shape, w, turned, first, channels, k, taps);
        for (int64_t c = 0; c < channels; c++) {
            for (int s = 0; s < 3; s++) sky_taps_line(taps[c] + s, 3, half + s, 3);
            for (int r = 0; r < WINDOW; r++) sky_taps_line(half + r * 3, 1, factors + r * WINDOW, 1);
            float *to = filters + (vector / SKY_PANEL_VECTORS * depth + first + c) * SKY_PANEL_COLUMNS + vector % SKY_PANEL_VECTORS * LANES;
            for (int p = 0; p < POINTS; p++) {
                if (stream) sky_stream_line(to + p * plan.filter_plane, (const float *)&factors[p]);
                else *(sky_lanes *)(to + p * plan.filter_plane) = factors[p];
            }
        }
        if (stream) sky_stream_end();
    }
}

/* Stage 1: factors of tiles first .. first + count - 1, as rows from `row` on. */
static void transform_pixels(const struct sky_winograd *shape, const struct forward_plan *plan, const float *x, int64_t first, int64_t count, int64_t row,
                             float *v)
{
    for (int64_t t = 0; t < count; t++)
        for (int64_t c = 0; c < shape->channels; c += LANES) {
            sky_lanes factors[POINTS];
            pixels_of_tile(shape, x, tile_at(&plan->tiling, first + t), c, factors);
            for (int p = 0; p < POINTS; p++) *(sky_lanes *)(v + p * plan->v_plane + (row + t) * plan->v_stride + c) = factors[p];
        }
}

/* Stage 2: for `rows` rows the products of one point and one panel of filters. */
static void multiply(const struct sky_winograd *shape, const struct forward_plan *plan, const float *v, const float *filters, int64_t rows, int64_t point,
                     int64_t panel, float *m)
{
    const float *right = filters + point * plan->filter_plane + panel * shape->channels * SKY_PANEL_COLUMNS;
    for (int64_t row = 0; row < rows; row += SKY_PANEL_ROWS)
        sky_panel_tile(v + point * plan->v_plane + row * plan->v_stride, plan->v_stride, 1, right, shape->channels, false,
                       m + point * plan->m_plane + row * plan->m_stride + panel * SKY_PANEL_COLUMNS, plan->m_stride);
}

/* Stage 3: one tile's results, for LANES filters from k on. */
static inline void store_results(const struct sky_winograd *shape, const struct sky_winograd_output *output, struct tile tile, int64_t k,
                                 const sky_lanes results[TILE * TILE])
{
    const int64_t lanes = minimum(LANES, shape->filters - k), height = minimum(TILE, shape->out_height - tile.top),
                  width = minimum(TILE, shape->out_width - tile.left);
    sky_lanes bias = {0}, residual = {0};
    if (output->bias) load_some(output->bias + k, lanes, &bias);
    for (int64_t i = 0; i < height; i++)
        for (int64_t j = 0; j < width; j++) {
            const int64_t at = ((tile.image * shape->out_height + tile.top + i) * shape->out_width + tile.left + j) * shape->filters + k;
            if (output->residual) load_some(output->residual + at, lanes, &residual);
            sky_lanes value = results[i * TILE + j] + bias + residual;
            for (int l = 0; l < LANES && output->relu; l++) value[l] = value[l] < 0 ? 0 : value[l];
            store_some(&value, lanes, output->y + at);
        }
}

static void transform_results(const struct sky_winograd *shape, const struct forward_plan *plan, const float *m, int64_t first, int64_t count, int64_t row,
                              const struct sky_winograd_output *output)
{
    for (int64_t t = 0; t < count; t++)
        for (int64_t k = 0; k < shape->filters; k += LANES) {
            sky_lanes products[POINTS], half[TILE * WINDOW], results[TILE * TILE];
            for (int p = 0; p < POINTS; p++) products[p] = *(const sky_lanes *)(m + p * plan->m_plane + (row + t) * plan->m_stride + k);
            for (int j = 0; j < WINDOW; j++) sky_results_line(products + j, WINDOW, half + j, WINDOW);
            for (int i = 0; i < TILE; i++) sky_results_line(half + i * WINDOW, 1, results + i * TILE, 1);
            store_results(shape, output, tile_at(&plan->tiling, first + t), k, results);
        }
}

static void forward_together(const struct sky_winograd *shape, const struct forward_plan *plan, const float *x, const float *filters,
                             const struct sky_winograd_output *output, float *v, float *m)
{
#pragma omp parallel num_threads(shape->threads)
    {
#pragma omp for schedule(static)
        for (int64_t t = 0; t < plan->tiling.count; t += CHUNK) transform_pixels(shape, plan, x, t, minimum(CHUNK, plan->tiling.count - t), t, v);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < POINTS * plan->panels; i++) multiply(shape, plan, v, filters, plan->rows, i / plan->panels, i % plan->panels, m);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < plan->tiling.count; t += CHUNK) transform_results(shape, plan, m, t, minimum(CHUNK, plan->tiling.count - t), t, output);
    }
}

static void forward_block(const struct sky_winograd *shape, const struct forward_plan *plan, const float *x, const float *filters,
                          const struct sky_winograd_output *output, int64_t first, float *v, float *m)
{
    const int64_t count = minimum(plan->rows, plan->tiling.count - first), rows = round_up(count, SKY_PANEL_ROWS);
    transform_pixels(shape, plan, x, first, count, 0, v);
    for (int64_t point = 0; point < POINTS; point++)
        for (int64_t panel = 0; panel < plan->panels; panel++) multiply(shape, plan, v, filters, rows, point, panel, m);
    transform_results(shape, plan, m, first, count, 0, output);
}

void sky_winograd_forward(const struct sky_winograd *shape, const float *x, const float *filters, const struct sky_winograd_output *output, void *work)
{
    const struct forward_plan plan = forward_plan_of(shape);
    float *v = work;
    if (plan.together) {
        forward_together(shape, &plan, x, filters, output, v, v + POINTS * plan.v_plane);
        return;
    }
#pragma omp parallel for num_threads(shape->threads) schedule(static)
    for (int64_t first = 0; first < plan.tiling.count; first += plan.rows) {
        float *mine = v + omp_get_thread_num() * block_floats(&plan);
        forward_block(shape, &plan, x, filters, output, first, mine, mine + POINTS * plan.v_plane);
    }
}

/* ---- filter gradient ---- */

/* Blocks of tiles: pixels v [36,panels,rows,COLUMNS], gradients g [36,rows,g_stride], and over all of them sums [36,groups * ROWS,stride]. */
struct wgrad_plan {
    struct tiling tiling;
    int64_t rows, panels, groups, stride, g_stride, v_plane, g_plane, sum_plane;
};

static struct wgrad_plan wgrad_plan_of(const struct sky_winograd *shape)
{
    /* Few rows load and store the sums more often: when these stay in the caches. */
    enum { BLOCK_FLOATS = 340 << 10, CACHED_SUMS = 1 << 20, FEW_ROWS = 64, MANY_ROWS = 256 };
    struct wgrad_plan plan = {.tiling = tiling_of(shape)};
    plan.panels = round_up(shape->channels, SKY_PANEL_COLUMNS) / SKY_PANEL_COLUMNS, plan.groups = (shape->filters + SKY_PANEL_ROWS - 1) / SKY_PANEL_ROWS;
    plan.stride = plan.panels * SKY_PANEL_COLUMNS, plan.g_stride = round_up(plan.groups * SKY_PANEL_ROWS, LANES) + PLANE_PAD;
    plan.rows = BLOCK_FLOATS / (POINTS * (plan.stride + plan.g_stride));
    const int64_t fewest = POINTS * plan.groups * SKY_PANEL_ROWS * plan.stride > CACHED_SUMS ? MANY_ROWS : FEW_ROWS;
    if (plan.rows < fewest) plan.rows = fewest;
    if (plan.rows > plan.tiling.count) plan.rows = plan.tiling.count;
    plan.v_plane = plan.panels * plan.rows * SKY_PANEL_COLUMNS + PLANE_PAD;
    plan.g_plane = plan.rows * plan.g_stride + PLANE_PAD;
    plan.sum_plane = plan.groups * SKY_PANEL_ROWS * plan.stride + PLANE_PAD;
    return plan;
}

size_t sky_winograd_wgrad_bytes(const struct sky_winograd *shape)
{
    const struct wgrad_plan plan = wgrad_plan_of(shape);
    return (size_t)(POINTS * (plan.v_plane + plan.g_plane + plan.sum_plane)) * sizeof(float);
}

/* Pixels and gradients of one tile, as row `row` of the block. */
static void transform_tile(const struct sky_winograd *shape, const struct wgrad_plan *plan, const float *x, const float *dy, int64_t index, int64_t row,
                           float *v, float *g)
{
    const struct tile tile = tile_at(&plan->tiling, index);
    sky_lanes factors[POINTS];
    for (int64_t c = 0; c < shape->channels; c += LANES) {
        pixels_of_tile(shape, x, tile, c, factors);
        float *to = v + (c / SKY_PANEL_COLUMNS * plan->rows + row) * SKY_PANEL_COLUMNS + c % SKY_PANEL_COLUMNS;
        for (int p = 0; p < POINTS; p++) *(sky_lanes *)(to + p * plan->v_plane) = factors[p];
    }
    for (int64_t k = 0; k < shape->filters; k += LANES) {
        sky_lanes window[TILE * TILE], half[WINDOW * TILE];
        load_window(dy + tile.image * shape->out_height * shape->out_width * shape->filters + k, shape->out_height, shape->out_width, shape->filters, tile.top,
                    tile.left, TILE, minimum(LANES, shape->filters - k), window);
        for (int j = 0; j < TILE; j++) sky_gradients_line(window + j, TILE, half + j, TILE);
        for (int i = 0; i < WINDOW; i++) sky_gradients_line(half + i * TILE, 1, factors + i * WINDOW, 1);
        for (int p = 0; p < POINTS; p++) *(sky_lanes *)(g + p * plan->g_plane + row * plan->g_stride + k) = factors[p];
    }
}

/* Sums of products of one point and one panel of channels, over the tiles of a block. */
static void multiply_transposed(const struct wgrad_plan *plan, const float *v, const float *g, int64_t rows, bool add, int64_t point, int64_t panel,
                                float *sums)
{
    for (int64_t group = 0; group < plan->groups; group++)
        sky_panel_tile(g + point * plan->g_plane + group * SKY_PANEL_ROWS, 1, plan->g_stride,
                       v + point * plan->v_plane + panel * plan->rows * SKY_PANEL_COLUMNS, rows, add,
                       sums + point * plan->sum_plane + group * SKY_PANEL_ROWS * plan->stride + panel * SKY_PANEL_COLUMNS, plan->stride);
}

/* The nine gradients of one filter, for LANES channels from c on. */
static void give_taps(const struct sky_winograd *shape, const struct wgrad_plan *plan, const float *sums, int64_t k, int64_t c, bool accumulate, float *dw)
{
    const int64_t count = minimum(LANES, shape->channels - c);
    sky_lanes products[POINTS], half[3 * WINDOW], taps[9];
    for (int p = 0; p < POINTS; p++) products[p] = *(const sky_lanes *)(sums + p * plan->sum_plane + k * plan->stride + c);
    for (int j = 0; j < WINDOW; j++) sky_tap_gradients_line(products + j, WINDOW, half + j, WINDOW);
    for (int i = 0; i < 3; i++) sky_tap_gradients_line(half + i * WINDOW, 1, taps + i * 3, 1);
    for (int j = 0; j < 9; j++) {
        float *to = dw + (k * 9 + j) * shape->channels + c;
        sky_lanes before = {0};
        if (accumulate) load_some(to, count, &before);
        before += taps[j];
        store_some(&before, count, to);
    }
}

void sky_winograd_wgrad(const struct sky_winograd *shape, const float *x, const float *dy, bool accumulate, float *dw, void *work)
{
    const struct wgrad_plan plan = wgrad_plan_of(shape);
    float *v = work, *g = v + POINTS * plan.v_plane, *sums = g + POINTS * plan.g_plane;
    const int64_t vectors = (shape->channels + LANES - 1) / LANES;
#pragma omp parallel num_threads(shape->threads)
    {
        for (int64_t first = 0; first < plan.tiling.count; first += plan.rows) {
            const int64_t rows = minimum(plan.rows, plan.tiling.count - first);
#pragma omp for schedule(static)
            for (int64_t t = 0; t < rows; t++) transform_tile(shape, &plan, x, dy, first + t, t, v, g);
#pragma omp for schedule(static)
            for (int64_t i = 0; i < POINTS * plan.panels; i++) multiply_transposed(&plan, v, g, rows, first > 0, i / plan.panels, i % plan.panels, sums);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < shape->filters * vectors; i++) give_taps(shape, &plan, sums, i / vectors, i % vectors * LANES, accumulate, dw);
    }
}
