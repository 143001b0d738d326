/*
 * The inner loops of our own matrix products: a small tile of sums kept in registers while its operands go by. The right operand is packed in panels,
 * SKY_PANEL_COLUMNS numbers a step; the left one either likewise (SKY_PANEL_ROWS a step) or as plain rows.
 */
#ifndef SKY_BACKEND_CPU_PANEL_H
#define SKY_BACKEND_CPU_PANEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { SKY_PANEL_LANES = 16, SKY_PANEL_ROWS = 8, SKY_PANEL_IS_FAST = 1 };
#elif defined(__AVX2__) && defined(__FMA__)
enum { SKY_PANEL_LANES = 8, SKY_PANEL_ROWS = 6, SKY_PANEL_IS_FAST = 1 }; /* 12 sums, 2 columns and a factor: all but one of 16 registers */
#else
enum { SKY_PANEL_LANES = 8, SKY_PANEL_ROWS = 6, SKY_PANEL_IS_FAST = 0 }; /* too few registers for the tile: right, but slower than a library */
#endif
enum { SKY_PANEL_VECTORS = 2, SKY_PANEL_COLUMNS = SKY_PANEL_LANES * SKY_PANEL_VECTORS };

typedef float sky_lanes __attribute__((vector_size(SKY_PANEL_LANES * sizeof(float)), may_alias));
typedef float sky_lanes_at __attribute__((vector_size(SKY_PANEL_LANES * sizeof(float)), aligned(sizeof(float)), may_alias)); /* at any float's address */

/* sum [ROWS,COLUMNS] of row length `stride` = or += a b with a(i,d) = a[i * row + d * step], b [depth,COLUMNS]; b and sum aligned to a vector. */
static inline __attribute__((always_inline)) void sky_panel_tile(const float *a, int64_t row, int64_t step, const float *b, int64_t depth, bool add, float *sum,
                                                                 int64_t stride)
{
    sky_lanes tile[SKY_PANEL_ROWS][SKY_PANEL_VECTORS];
    memset(tile, 0, sizeof tile);
    for (int i = 0; i < SKY_PANEL_ROWS && add; i++)
        for (int v = 0; v < SKY_PANEL_VECTORS; v++) tile[i][v] = *(const sky_lanes *)(sum + i * stride + v * SKY_PANEL_LANES);
    for (int64_t d = 0; d < depth; d++, a += step, b += SKY_PANEL_COLUMNS) {
        sky_lanes column[SKY_PANEL_VECTORS];
        for (int v = 0; v < SKY_PANEL_VECTORS; v++) column[v] = *(const sky_lanes *)(b + v * SKY_PANEL_LANES);
        for (int i = 0; i < SKY_PANEL_ROWS; i++)
            for (int v = 0; v < SKY_PANEL_VECTORS; v++) tile[i][v] += a[i * row] * column[v];
    }
    for (int i = 0; i < SKY_PANEL_ROWS; i++)
        for (int v = 0; v < SKY_PANEL_VECTORS; v++) *(sky_lanes *)(sum + i * stride + v * SKY_PANEL_LANES) = tile[i][v];
}

#endif
