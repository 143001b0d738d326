/*
 * Draws charts. One drawing is 640 x 260 units wide and scales with the page. Owns nothing but the text it appends to.
 */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 260, LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 34, MOST_POINTS = 300, BARS = 40 };

struct range {
    double low, high;
};

struct frame {
    struct range x, y;
    bool logarithmic;
};

void sky_print_direction(const char *direction, char out[64])
{
    const char *two = strchr(direction, '2');
    if (two) snprintf(out, 64, "%.*s \xe2\x86\x92 %.24s", (int)(two - direction < 24 ? two - direction : 24), direction, two + 1);
    else snprintf(out, 64, "%.60s", direction);
}

void sky_html_escape(struct sky_text *out, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<': sky_text_append(out, "&lt;"); break;
        case '>': sky_text_append(out, "&gt;"); break;
        case '&': sky_text_append(out, "&amp;"); break;
        case '"': sky_text_append(out, "&quot;"); break;
        case '\'': sky_text_append(out, "&#39;"); break;
        default: sky_text_append_bytes(out, text, 1);
        }
}

static double place_x(const struct frame *frame, double x)
{
    return LEFT + (x - frame->x.low) / (frame->x.high - frame->x.low) * (WIDTH - LEFT - RIGHT);
}

static double scaled(const struct frame *frame, double y)
{
    return frame->logarithmic ? log10(y) : y;
}

static double place_y(const struct frame *frame, double y)
{
    return HEIGHT - BOTTOM - (scaled(frame, y) - frame->y.low) / (frame->y.high - frame->y.low) * (HEIGHT - TOP - BOTTOM);
}

/* Four figures at most: 0.00012, 3.25, 1200. */
static void print_value(double value, char out[32])
{
    snprintf(out, 32, "%.4g", value);
}

/* A step of 1, 2 or 5 times a power of ten that makes about `wanted` ticks. */
static double tick_step(struct range range, int wanted)
{
    const double rough = (range.high - range.low) / wanted, power = pow(10, floor(log10(rough))), part = rough / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static void draw_y_tick(const struct frame *frame, double at, double value, struct sky_text *out)
{
    char text[32];
    const double y = HEIGHT - BOTTOM - (at - frame->y.low) / (frame->y.high - frame->y.low) * (HEIGHT - TOP - BOTTOM);
    print_value(value, text);
    sky_text_format(out, "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/><text class='tick' x='%d' y='%.1f' text-anchor='end'>%s</text>", LEFT,
                    WIDTH - RIGHT, y, y, LEFT - 6, y + 4, text);
}

static void draw_axes(const struct frame *frame, const char *x_label, struct sky_text *out)
{
    const double y_step = frame->logarithmic ? fmax(1, tick_step(frame->y, 5)) : tick_step(frame->y, 5), x_step = tick_step(frame->x, 6);
    for (double at = ceil(frame->y.low / y_step - 1e-9) * y_step; at <= frame->y.high + 1e-9 * y_step; at += y_step)
        draw_y_tick(frame, at, frame->logarithmic ? pow(10, at) : fabs(at) < 1e-9 * y_step ? 0 : at, out);
    for (double at = ceil(frame->x.low / x_step - 1e-9) * x_step; at <= frame->x.high + 1e-9 * x_step; at += x_step) {
        char text[32];
        snprintf(text, sizeof text, "%.6g", fabs(at) < 1e-9 * x_step ? 0 : at);
        sky_text_format(out, "<text class='tick' x='%.1f' y='%d' text-anchor='middle'>%s</text>", place_x(frame, at), HEIGHT - BOTTOM + 15, text);
    }
    sky_text_format(out, "<line class='axis' x1='%d' x2='%d' y1='%d' y2='%d'/><text class='tick' x='%d' y='%d' text-anchor='end'>", LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM,
                    HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - 4);
    sky_html_escape(out, x_label);
    sky_text_append(out, "</text>");
}

static bool drawable(const struct frame *frame, double x, double y)
{
    return isfinite(x) && isfinite(y) && (!frame->logarithmic || y > 0);
}

static void widen(struct range *range, double value)
{
    if (!(range->low <= value)) range->low = value;
    if (!(range->high >= value)) range->high = value;
}

/* Powers of ten are ticks enough only for values that span some. */
static bool wants_logarithm(const struct sky_chart *chart)
{
    struct range values = {NAN, NAN};
    for (int s = 0; s < chart->series_count; s++)
        for (int64_t i = 0; i < chart->series[s].count; i++)
            if (isfinite(chart->series[s].y[i])) widen(&values, chart->series[s].y[i]);
    return chart->logarithmic && values.low > 0 && values.high > 50 * values.low;
}

/* The ranges of all values; false when there are none. */
static bool find_frame(const struct sky_chart *chart, struct frame *frame)
{
    bool any = false;
    *frame = (struct frame){{NAN, NAN}, {NAN, NAN}, wants_logarithm(chart)};
    for (int s = 0; s < chart->series_count; s++)
        for (int64_t i = 0; i < chart->series[s].count; i++) {
            const double x = chart->series[s].x[i], y = chart->series[s].y[i];
            if (!drawable(frame, x, y)) continue;
            widen(&frame->x, x), widen(&frame->y, scaled(frame, y));
            any = true;
        }
    if (!any) return false;
    if (chart->from_zero && !frame->logarithmic) widen(&frame->y, 0);
    if (!(frame->x.high > frame->x.low)) frame->x.low = fmin(0, frame->x.low), frame->x.high = fmax(frame->x.high, 1); /* one value: from the start of the run */
    const double margin = frame->y.high > frame->y.low ? 0.04 * (frame->y.high - frame->y.low) : fmax(0.5 * fabs(frame->y.high), 1e-3);
    frame->y.high += margin;
    if (!chart->from_zero || frame->logarithmic) frame->y.low -= margin;
    return true;
}

/* A long series becomes means over equal spans, so that a page of a long run stays small. */
static void draw_line(const struct frame *frame, const struct sky_series *series, int colour, struct sky_text *out)
{
    const int64_t span = (series->count + MOST_POINTS - 1) / MOST_POINTS;
    int drawn = 0;
    sky_text_format(out, "<path class='line' style='stroke:var(--s%d)' d='", colour);
    for (int64_t i = 0; i < series->count; i += span) {
        double x = 0, y = 0;
        int64_t n = 0;
        for (int64_t j = i; j < i + span && j < series->count; j++)
            if (drawable(frame, series->x[j], series->y[j])) x += series->x[j], y += series->y[j], n++;
        if (n) sky_text_format(out, "%c%.1f %.1f", drawn++ ? 'L' : 'M', place_x(frame, x / (double)n), place_y(frame, y / (double)n));
    }
    sky_text_append(out, "'/>");
}

static void draw_points(const struct sky_chart *chart, const struct frame *frame, const struct sky_series *series, int colour, struct sky_text *out)
{
    for (int64_t i = 0; i < series->count; i++) {
        char value[32];
        if (!drawable(frame, series->x[i], series->y[i])) continue;
        print_value(series->y[i], value);
        sky_text_format(out, "<circle cx='%.1f' cy='%.1f' r='4' style='fill:var(--s%d)'><title>", place_x(frame, series->x[i]), place_y(frame, series->y[i]), colour);
        sky_html_escape(out, series->name);
        sky_text_format(out, ": %s%s at %.6g</title></circle>", value, chart->unit, series->x[i]);
    }
}

static void begin_figure(const char *title, struct sky_text *out)
{
    sky_text_append(out, "<figure><figcaption>");
    sky_html_escape(out, title);
    sky_text_append(out, "</figcaption>");
}

static void begin_drawing(const char *title, struct sky_text *out)
{
    sky_text_format(out, "<svg viewBox='0 0 %d %d' role='img' aria-label='", WIDTH, HEIGHT);
    sky_html_escape(out, title);
    sky_text_append(out, "'>");
}

static void draw_legend(const struct sky_chart *chart, struct sky_text *out)
{
    sky_text_append(out, "<p class='legend'>");
    for (int s = 0; s < chart->series_count; s++) {
        sky_text_format(out, "<span><i style='background:var(--s%d)'></i>", s % SKY_CHART_COLOURS);
        sky_html_escape(out, chart->series[s].name);
        sky_text_append(out, "</span>");
    }
    sky_text_append(out, "</p>");
}

void sky_chart_lines(const struct sky_chart *chart, struct sky_text *out)
{
    struct frame frame;
    begin_figure(chart->title, out);
    if (!find_frame(chart, &frame)) {
        sky_text_append(out, "<p class='none'>nothing yet</p></figure>\n");
        return;
    }
    begin_drawing(chart->title, out);
    draw_axes(&frame, chart->x_label, out);
    for (int s = 0; s < chart->series_count; s++) {
        draw_line(&frame, &chart->series[s], s % SKY_CHART_COLOURS, out);
        if (chart->series[s].points) draw_points(chart, &frame, &chart->series[s], s % SKY_CHART_COLOURS, out);
    }
    sky_text_append(out, "</svg>");
    if (chart->series_count > 1) draw_legend(chart, out);
    sky_text_append(out, "</figure>\n");
}

void sky_chart_histogram(const char *title, const char *x_label, const float *values, int64_t count, struct sky_text *out)
{
    int64_t bars[BARS] = {0}, most = 1;
    struct frame frame = {{NAN, NAN}, {0, 1}, false};
    begin_figure(title, out);
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) widen(&frame.x, (double)values[i]);
    if (!(frame.x.low <= frame.x.high)) {
        sky_text_append(out, "<p class='none'>nothing yet</p></figure>\n");
        return;
    }
    if (!(frame.x.high > frame.x.low)) frame.x.low -= 0.5, frame.x.high += 0.5;
    const double width = (frame.x.high - frame.x.low) / BARS;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        const int bar = (int)(((double)values[i] - frame.x.low) / width);
        const int64_t n = ++bars[bar < BARS ? bar : BARS - 1];
        if (n > most) most = n;
    }
    frame.y.high = 1.05 * (double)most;
    begin_drawing(title, out);
    draw_axes(&frame, x_label, out);
    for (int b = 0; b < BARS; b++) {
        const double x = place_x(&frame, frame.x.low + b * width), right = place_x(&frame, frame.x.low + (b + 1) * width), y = place_y(&frame, (double)bars[b]);
        if (!bars[b]) continue;
        sky_text_format(out, "<rect class='bar' x='%.1f' y='%.1f' width='%.1f' height='%.1f'><title>%lld from %.4g to %.4g</title></rect>", x, y, right - x - 1,
                        HEIGHT - BOTTOM - y, (long long)bars[b], frame.x.low + b * width, frame.x.low + (b + 1) * width);
    }
    sky_text_append(out, "</svg></figure>\n");
}
