/*
 * Line charts and histograms as inline SVG. Colours come from the page's CSS variables (--s0 .. --s7, --ink, --grid), so that light and dark pages share them.
 * Nothing here reads files.
 */
#ifndef SKY_REPORT_CHART_H
#define SKY_REPORT_CHART_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { SKY_CHART_COLOURS = 8 };

struct sky_series {
    const char *name;
    const double *x, *y; /* [count]; values that are not finite are left out */
    int64_t count;
    bool points;         /* few values: a dot at each, with its value as a tooltip */
};

struct sky_chart {
    const char *title, *x_label;
    const char *unit;    /* behind values in tooltips: "%"; "" without one */
    const struct sky_series *series;
    int series_count;    /* drawn in the colours of their index, wrapped at SKY_CHART_COLOURS */
    bool logarithmic;    /* y, where every value is above 0 and they span powers of ten */
    bool from_zero;      /* y starts at 0 */
};

/* A figure with title, axes, legend (for several series) and lines; long series are drawn as means over equal spans of x. Says so where there is nothing to draw. */
void sky_chart_lines(const struct sky_chart *chart, struct sky_text *out);

/* Bars of equal width between the smallest and the largest value. */
void sky_chart_histogram(const char *title, const char *x_label, const float *values, int64_t count, struct sky_text *out);

/* "drone \xe2\x86\x92 satellite" (an arrow, UTF-8) of "drone2satellite"; a text without a 2 as it is. */
void sky_print_direction(const char *direction, char out[64]);

/* Text with <, >, &, and quotes escaped. */
void sky_html_escape(struct sky_text *out, const char *text);

#endif
