/*
 * The small transforms of F(4x4, 3x3), each of one vector of channels: 6x6 pixels, 4x4 results and 3x3 taps to and from the 36 products. Interpolation points
 * 0, +-sqrt(1/2), +-sqrt(2) and infinity: their squares are exact, and the error is less than half of that with the usual +-1, +-2. Every transform is applied
 * down the columns, then along the rows.
 */
#ifndef SKY_BACKEND_CPU_WINOGRAD_TRANSFORM_H
#define SKY_BACKEND_CPU_WINOGRAD_TRANSFORM_H

#include "panel.h"

#define SKY_POINT_A 0.70710678118654752f
#define SKY_POINT_B 1.41421356237309505f

/* Six pixels to six factors. */
static inline __attribute__((always_inline)) void sky_pixels_line(const sky_lanes *x, int xs, sky_lanes *y, int ys)
{
    const sky_lanes x0 = x[0], x1 = x[xs], x2 = x[2 * xs], x3 = x[3 * xs], x4 = x[4 * xs], x5 = x[5 * xs];
    const sky_lanes even_a = x4 - 2.0f * x2, odd_a = SKY_POINT_A * (x3 - 2.0f * x1), even_b = x4 - 0.5f * x2, odd_b = SKY_POINT_B * (x3 - 0.5f * x1);
    y[0] = x0 + (x4 - 2.5f * x2);
    y[ys] = even_a + odd_a;
    y[2 * ys] = even_a - odd_a;
    y[3 * ys] = even_b + odd_b;
    y[4 * ys] = even_b - odd_b;
    y[5 * ys] = x1 + (x5 - 2.5f * x3);
}

/* Six products to four results. */
static inline __attribute__((always_inline)) void sky_results_line(const sky_lanes *m, int ms, sky_lanes *y, int ys)
{
    const sky_lanes even_a = m[ms] + m[2 * ms], odd_a = SKY_POINT_A * (m[ms] - m[2 * ms]), even_b = m[3 * ms] + m[4 * ms],
                    odd_b = SKY_POINT_B * (m[3 * ms] - m[4 * ms]);
    y[0] = m[0] + (even_a + even_b);
    y[ys] = odd_a + odd_b;
    y[2 * ys] = 0.5f * even_a + 2.0f * even_b;
    y[3 * ys] = m[5 * ms] + (0.5f * odd_a + 2.0f * odd_b);
}

/* Four gradients of results to six factors: the transpose of sky_results_line. */
static inline __attribute__((always_inline)) void sky_gradients_line(const sky_lanes *x, int xs, sky_lanes *y, int ys)
{
    const sky_lanes x0 = x[0], x1 = x[xs], x2 = x[2 * xs], x3 = x[3 * xs];
    const sky_lanes even_a = x0 + 0.5f * x2, odd_a = SKY_POINT_A * (x1 + 0.5f * x3), even_b = x0 + 2.0f * x2, odd_b = SKY_POINT_B * (x1 + 2.0f * x3);
    y[0] = x0;
    y[ys] = even_a + odd_a;
    y[2 * ys] = even_a - odd_a;
    y[3 * ys] = even_b + odd_b;
    y[4 * ys] = even_b - odd_b;
    y[5 * ys] = x3;
}

/* Three taps to six factors. */
static inline __attribute__((always_inline)) void sky_taps_line(const sky_lanes *w, int ws, sky_lanes *y, int ys)
{
    const float share_a = -2.0f / 3, share_b = 1.0f / 6;
    const sky_lanes w0 = w[0], w1 = w[ws], w2 = w[2 * ws];
    const sky_lanes even_a = share_a * (w0 + 0.5f * w2), odd_a = (share_a * SKY_POINT_A) * w1, even_b = share_b * (w0 + 2.0f * w2),
                    odd_b = (share_b * SKY_POINT_B) * w1;
    y[0] = w0;
    y[ys] = even_a + odd_a;
    y[2 * ys] = even_a - odd_a;
    y[3 * ys] = even_b + odd_b;
    y[4 * ys] = even_b - odd_b;
    y[5 * ys] = w2;
}

/* Six sums of products to three gradients of taps: the transpose of sky_taps_line. */
static inline __attribute__((always_inline)) void sky_tap_gradients_line(const sky_lanes *g, int gs, sky_lanes *w, int ws)
{
    const float share_a = -2.0f / 3, share_b = 1.0f / 6;
    const sky_lanes even_a = share_a * (g[gs] + g[2 * gs]), odd_a = (share_a * SKY_POINT_A) * (g[gs] - g[2 * gs]);
    const sky_lanes even_b = share_b * (g[3 * gs] + g[4 * gs]), odd_b = (share_b * SKY_POINT_B) * (g[3 * gs] - g[4 * gs]);
    w[0] = g[0] + (even_a + even_b);
    w[ws] = odd_a + odd_b;
    w[2 * ws] = g[5 * gs] + (0.5f * even_a + 2.0f * even_b);
}

#endif
