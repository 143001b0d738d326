/*
 * Register tiles of 16-lane vectors: 4 x 4 accumulators, wide enough to hide the multiply-adds' latency, small enough for 32 registers. Ragged edges go through
 * the same code with smaller tiles, and through scalar loops behind the last whole vector.
 */
#include "product.h"

#include "cpu.h"

#include <string.h>

enum { LANES = 16, TILE = 4, RUN = 16 };

/* A vector in registers, and one in memory at any float's address. Vectors never cross a call: without wide registers that would have no settled convention. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef float lanes_at __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline float lanes_sum(const lanes *v)
{
    float part[LANES];
    memcpy(part, v, sizeof part);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) part[i] += part[i + half];
    return part[0];
}

static inline __attribute__((always_inline)) void nt_tile(const float *x, const float *w, const float *bias, int64_t depth, float *y, int64_t ldy,
                                                          const int rows, const int outputs)
{
    lanes sum[TILE][TILE];
    memset(sum, 0, sizeof sum);
    const int64_t whole = depth / LANES * LANES;
    for (int64_t d = 0; d < whole; d += LANES) {
        lanes column[TILE];
        for (int k = 0; k < outputs; k++) column[k] = *(const lanes_at *)(w + k * depth + d);
        for (int n = 0; n < rows; n++) {
            const lanes row = *(const lanes_at *)(x + n * depth + d);
            for (int k = 0; k < outputs; k++) sum[n][k] += row * column[k];
        }
    }
    for (int n = 0; n < rows; n++)
        for (int k = 0; k < outputs; k++) {
            float total = lanes_sum(&sum[n][k]);
            for (int64_t d = whole; d < depth; d++) total += x[n * depth + d] * w[k * depth + d];
            y[n * ldy + k] = bias ? total + bias[k] : total;
        }
}

void sky_product_nt(const float *x, const float *w, const float *bias, int64_t rows, int64_t outputs, int64_t depth, float *y, int64_t ldy)
{
    int64_t k = 0;
    for (; k + TILE <= outputs; k += TILE) {
        const float *some_bias = bias ? bias + k : NULL;
        int64_t n = 0;
        for (; n + TILE <= rows; n += TILE) nt_tile(x + n * depth, w + k * depth, some_bias, depth, y + n * ldy + k, ldy, TILE, TILE);
        for (; n < rows; n++) nt_tile(x + n * depth, w + k * depth, some_bias, depth, y + n * ldy + k, ldy, 1, TILE);
    }
    for (; k < outputs; k++)
        for (int64_t n = 0; n < rows; n++) nt_tile(x + n * depth, w + k * depth, bias ? bias + k : NULL, depth, y + n * ldy + k, ldy, 1, 1);
}

/* rows x 4 vectors of y = or += g w over a run of w's rows */
static inline __attribute__((always_inline)) void nn_tile(const float *g, const float *w, int64_t depth, int64_t run, int64_t width, bool add, float *y,
                                                          const int rows)
{
    lanes sum[TILE][TILE];
    memset(sum, 0, sizeof sum);
    for (int n = 0; n < rows && add; n++)
        for (int v = 0; v < TILE; v++) sum[n][v] = *(const lanes_at *)(y + n * width + v * LANES);
    for (int64_t k = 0; k < run; k++) {
        lanes column[TILE];
        for (int v = 0; v < TILE; v++) column[v] = *(const lanes_at *)(w + k * width + v * LANES);
        for (int n = 0; n < rows; n++)
            for (int v = 0; v < TILE; v++) sum[n][v] += g[n * depth + k] * column[v];
    }
    for (int n = 0; n < rows; n++)
        for (int v = 0; v < TILE; v++) *(lanes_at *)(y + n * width + v * LANES) = sum[n][v];
}

static void nn_edge(const float *g, const float *w, int64_t rows, int64_t columns, int64_t depth, int64_t width, float *y)
{
    for (int64_t n = 0; n < rows; n++) {
        float *restrict to = y + n * width;
        for (int64_t c = 0; c < columns; c++) to[c] = 0;
        for (int64_t k = 0; k < depth; k++) {
            const float weight = g[n * depth + k];
#pragma omp simd
            for (int64_t c = 0; c < columns; c++) to[c] += weight * w[k * width + c];
        }
    }
}

void sky_product_nn(const float *g, const float *w, int64_t rows, int64_t columns, int64_t depth, int64_t width, float *y)
{
    const int64_t whole = columns / (TILE * LANES) * (TILE * LANES);
    /* A few rows of w at a time, along all their columns: the hardware reads ahead in so many places and no more. */
    for (int64_t k = 0; k < depth; k += RUN) {
        const int64_t run = depth - k < RUN ? depth - k : RUN;
        for (int64_t c = 0; c < whole; c += TILE * LANES) {
            int64_t n = 0;
            for (; n + TILE <= rows; n += TILE) nn_tile(g + n * depth + k, w + k * width + c, depth, run, width, k > 0, y + n * width + c, TILE);
            for (; n < rows; n++) nn_tile(g + n * depth + k, w + k * width + c, depth, run, width, k > 0, y + n * width + c, 1);
        }
    }
    if (whole < columns) nn_edge(g, w + whole, rows, columns - whole, depth, width, y + whole);
}

static inline __attribute__((always_inline)) void tn_tile(const float *g, int64_t ldg, const float *x, int64_t rows, int64_t columns, bool accumulate,
                                                          float *dw, const int outputs)
{
    lanes sum[TILE][TILE];
    memset(sum, 0, sizeof sum);
    if (accumulate)
        for (int k = 0; k < outputs; k++)
            for (int v = 0; v < TILE; v++) sum[k][v] = *(const lanes_at *)(dw + k * columns + v * LANES);
    for (int64_t n = 0; n < rows; n++) {
        lanes row[TILE];
        for (int v = 0; v < TILE; v++) row[v] = *(const lanes_at *)(x + n * columns + v * LANES);
        for (int k = 0; k < outputs; k++)
            for (int v = 0; v < TILE; v++) sum[k][v] += g[n * ldg + k] * row[v];
    }
    for (int k = 0; k < outputs; k++)
        for (int v = 0; v < TILE; v++) *(lanes_at *)(dw + k * columns + v * LANES) = sum[k][v];
}

void sky_product_tn(const float *g, int64_t ldg, const float *x, int64_t rows, int64_t outputs, int64_t columns, bool accumulate, float *dw)
{
    const int64_t whole = columns / (TILE * LANES) * (TILE * LANES);
    int64_t k = 0;
    for (; k + TILE <= outputs; k += TILE)
        for (int64_t c = 0; c < whole; c += TILE * LANES) tn_tile(g + k, ldg, x + c, rows, columns, accumulate, dw + k * columns + c, TILE);
    for (; k < outputs; k++)
        for (int64_t c = 0; c < whole; c += TILE * LANES) tn_tile(g + k, ldg, x + c, rows, columns, accumulate, dw + k * columns + c, 1);
    for (k = 0; k < outputs && whole < columns; k++) {
        float *restrict to = dw + k * columns;
        if (!accumulate)
            for (int64_t c = whole; c < columns; c++) to[c] = 0;
        for (int64_t n = 0; n < rows; n++) {
            const float weight = g[n * ldg + k];
#pragma omp simd
            for (int64_t c = whole; c < columns; c++) to[c] += weight * x[n * columns + c];
        }
    }
}

void sky_column_sums(const float *rows, int64_t count, int64_t width, int64_t first, int64_t columns, bool accumulate, float *out)
{
    for (int64_t c = first; c < first + columns; c++) {
        double sum = 0;
        for (int64_t n = 0; n < count; n++) sum += (double)rows[n * width + c];
        sky_give(out, c, sum, accumulate);
    }
}
