/*
 * Pillow's antialiased bicubic resize, bit for bit: the window grows with the reduction, weights have 22 fractional bits, rows first and columns
 * second, each rounded to 8 bits. This file makes the weights, runs the passes and holds their plain form; resize_vnni.c has the fast one.
 *
 * Compiled without contraction of a*b+c: a fused multiply-add could round a weight the other way than Pillow's does.
 * The resizer owns the tables and the rows between the passes, and keeps them for the next picture.
 */
#include "base/memory.h"
#include "image.h"
#include "resize_passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double cubic(double x) /* Keys' kernel, a = -0.5 */
{
    x = fabs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
    return 0;
}

/* The window of output i: its first input and, in weights[], its normalised weights. Returns their number. */
static int window(int i, double scale, int in, int *first, double *weights)
{
    const double stretch = scale > 1 ? scale : 1, support = 2 * stretch, centre = (i + 0.5) * scale, shrink = 1 / stretch;
    int begin = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
    if (begin < 0) begin = 0;
    if (end > in) end = in;
    double sum = 0;
    for (int x = begin; x < end; x++) sum += weights[x - begin] = cubic((x - centre + 0.5) * shrink);
    if (sum != 0)
        for (int t = 0; t < end - begin; t++) weights[t] /= sum;
    *first = begin;
    return end - begin;
}

/* Three signed digits to the base 256 hold any weight here: |weight| < 2^23. */
static void split_digits(struct sky_resize_axis *axis)
{
    int8_t *digits = axis->digits;
    for (int64_t group = 0; group < (int64_t)axis->out * axis->taps / 4; group++, digits += 12)
        for (int t = 0; t < 4; t++) {
            int32_t rest = axis->weights[4 * group + t];
            for (int digit = 0; digit < 3; digit++) {
                digits[4 * digit + t] = (int8_t)(rest & 255);
                rest = (rest - digits[4 * digit + t]) / 256;
            }
        }
}

void sky_resize_axis_free(struct sky_resize_axis *axis)
{
    free(axis->start), free(axis->weights), free(axis->digits), free(axis->wide);
    memset(axis, 0, sizeof *axis);
}

sky_status sky_resize_axis_make(struct sky_resize_axis *axis, int in, int out)
{
    if (axis->in == in && axis->out == out) return SKY_OK;
    sky_resize_axis_free(axis);
    const double scale = (double)in / out;
    const int longest = 2 * (int)ceil(2 * (scale > 1 ? scale : 1)) + 1;
    double *exact = NULL;
    int *counts = NULL;
    size_t entries = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&exact, (size_t)longest, sizeof *exact, "resize weights"));
    SKY_TRY_DONE(sky_alloc(&counts, (size_t)out, sizeof *counts, "resize weights"));
    SKY_TRY_DONE(sky_alloc(&axis->start, (size_t)out, sizeof *axis->start, "resize weights"));
    for (int i = 0; i < out; i++) {
        counts[i] = window(i, scale, in, &axis->start[i], exact);
        if (counts[i] > axis->taps) axis->taps = counts[i];
    }
    axis->taps = (axis->taps + 3) / 4 * 4;
    if (!sky_multiply_size((size_t)out, (size_t)axis->taps, &entries)) entries = SIZE_MAX; /* sky_alloc then says so */
    SKY_TRY_DONE(sky_alloc(&axis->weights, entries, sizeof *axis->weights, "resize weights"));
    SKY_TRY_DONE(sky_alloc(&axis->digits, entries, 3, "resize weights"));
    SKY_TRY_DONE(sky_alloc(&axis->wide, (size_t)(in > axis->taps ? in : axis->taps) + 1, 3 * sizeof *axis->wide, "resize weights"));
    for (int i = 0; i < out; i++) {
        const int latest = in > axis->taps ? in - axis->taps : 0;
        int first;
        window(i, scale, in, &first, exact);
        axis->start[i] = first < latest ? first : latest;
        int32_t *weights = axis->weights + (int64_t)i * axis->taps + (first - axis->start[i]);
        for (int t = 0; t < counts[i]; t++) weights[t] = (int32_t)(exact[t] * (1 << SKY_RESIZE_BITS) + (exact[t] < 0 ? -0.5 : 0.5));
    }
    axis->in = in, axis->out = out;
    split_digits(axis);
done:
    free(exact), free(counts);
    if (status != SKY_OK) sky_resize_axis_free(axis);
    return status;
}

size_t sky_resize_overread_bytes(const struct sky_resize_axis *axis)
{
    const int behind = axis->taps > axis->in ? axis->taps - axis->in : 0;
    return (size_t)behind * 3 + 64; /* whole registers are read */
}

/* A pixel's colours, and whatever is next, as four sums at once: what a compiler turns into one register on any processor. */
typedef int32_t four_sums __attribute__((vector_size(16)));

static four_sums load_four(const int32_t *from)
{
    four_sums loaded;
    memcpy(&loaded, from, sizeof loaded);
    return loaded;
}

static uint8_t to_byte(int32_t sum)
{
    const int32_t value = sum >> SKY_RESIZE_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void horizontal_plain(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int rows, uint8_t *out, size_t out_stride)
{
    const int in_width = axis->in, out_width = axis->out, taps = axis->taps; /* said once: a byte written might alias the axis */
    const int *start = axis->start;
    int32_t *wide = axis->wide;
    for (int y = 0; y < rows; y++, in += in_stride, out += out_stride) {
        const int32_t *weight = axis->weights;
        for (int i = 0; i < in_width * 3; i++) wide[i] = in[i];
        for (int x = 0; x < out_width; x++) {
            const int32_t *pixel = wide + (int64_t)start[x] * 3;
            four_sums even = {SKY_RESIZE_HALF, SKY_RESIZE_HALF, SKY_RESIZE_HALF, 0}, odd = {0};
            for (int t = 0; t < taps; t += 2, pixel += 6, weight += 2) even += load_four(pixel) * weight[0], odd += load_four(pixel + 3) * weight[1];
            even += odd;
            for (int c = 0; c < 3; c++) out[3 * x + c] = to_byte(even[c]);
        }
    }
}

static void vertical_plain(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int first_row, uint8_t *out, size_t row_bytes)
{
    enum { BLOCK = 64 };
    const int out_height = axis->out, taps = axis->taps;
    for (int y = 0; y < out_height; y++, out += row_bytes) {
        const int32_t *weight = axis->weights + (int64_t)y * taps;
        const uint8_t *top = in + (size_t)(axis->start[y] - first_row) * in_stride;
        for (size_t x = 0; x < row_bytes; x += BLOCK) {
            const size_t count = row_bytes - x < BLOCK ? row_bytes - x : BLOCK;
            int32_t sums[BLOCK];
            for (int j = 0; j < BLOCK; j++) sums[j] = SKY_RESIZE_HALF;
            for (int t = 0; t < taps; t++) {
                if (weight[t] == 0) continue; /* also the rows that are not there */
                const uint8_t *row = top + (size_t)t * in_stride + x;
                if (count == BLOCK)
                    for (int j = 0; j < BLOCK; j++) sums[j] += row[j] * weight[t];
                else
                    for (size_t j = 0; j < count; j++) sums[j] += row[j] * weight[t];
            }
            for (size_t j = 0; j < count; j++) out[x + j] = to_byte(sums[j]);
        }
    }
}

const struct sky_resize_passes sky_resize_plain = {horizontal_plain, vertical_plain};

struct state {
    struct sky_resize_axis x, y;
    uint8_t *between; /* [rows used][width][3] */
    uint8_t *ending;  /* the input's last rows, with room behind each */
    size_t between_bytes, ending_bytes;
};

static sky_status grow(uint8_t **block, size_t *held_bytes, size_t rows, size_t row_bytes)
{
    size_t bytes;
    if (!sky_multiply_size(rows, row_bytes, &bytes)) return sky_fail(SKY_NOMEM, "resize", "a picture too large");
    if (bytes <= *held_bytes) return SKY_OK;
    uint8_t *larger = NULL;
    SKY_TRY(sky_alloc(&larger, bytes, 1, "rows of a resize"));
    free(*block);
    *block = larger, *held_bytes = bytes;
    return SKY_OK;
}

/* The horizontal pass over rows [0, rows) of a block of memory that must not be read behind its end: the rows near it go through a copy. */
static sky_status pass_rows(const struct sky_resize_passes *passes, struct state *state, const uint8_t *in, int rows, uint8_t *out)
{
    const size_t in_stride = (size_t)state->x.in * 3, out_stride = (size_t)state->x.out * 3, overread = sky_resize_overread_bytes(&state->x);
    const size_t near_end = (overread + in_stride - 1) / in_stride;
    const int copied = near_end < (size_t)rows ? (int)near_end : rows, safe = rows - copied;
    const size_t padded_stride = in_stride + overread;
    SKY_TRY(grow(&state->ending, &state->ending_bytes, (size_t)copied, padded_stride));
    for (int i = 0; i < copied; i++) memcpy(state->ending + (size_t)i * padded_stride, in + (size_t)(safe + i) * in_stride, in_stride);
    passes->horizontal(&state->x, in, in_stride, safe, out, out_stride);
    passes->horizontal(&state->x, state->ending, padded_stride, copied, out + (size_t)safe * out_stride, out_stride);
    return SKY_OK;
}

sky_status sky_resize_with(const struct sky_resize_passes *passes, struct sky_resizer *resizer, const uint8_t *in, int in_width, int in_height, int width,
                           int height, uint8_t *out)
{
    if (in_width < 1 || in_height < 1 || width < 1 || height < 1)
        return sky_fail(SKY_INTERNAL, "resize", "from %d x %d to %d x %d pixels", in_width, in_height, width, height);
    if (!resizer->state) SKY_TRY(sky_alloc(&resizer->state, 1, sizeof(struct state), "resize state"));
    struct state *state = resizer->state;
    const size_t in_stride = (size_t)in_width * 3, out_stride = (size_t)width * 3;
    if (in_width == width && in_height == height) {
        memcpy(out, in, out_stride * (size_t)height);
        return SKY_OK;
    }
    if (in_width != width) SKY_TRY(sky_resize_axis_make(&state->x, in_width, width));
    if (in_height != height) SKY_TRY(sky_resize_axis_make(&state->y, in_height, height));
    if (in_height == height) return pass_rows(passes, state, in, height, out);
    if (in_width == width) {
        passes->vertical(&state->y, in, in_stride, 0, out, out_stride);
        return SKY_OK;
    }
    const struct sky_resize_axis *y = &state->y;
    const int first_row = y->start[0], behind = y->start[height - 1] + y->taps, end_row = behind < in_height ? behind : in_height;
    SKY_TRY(grow(&state->between, &state->between_bytes, (size_t)(end_row - first_row), out_stride));
    SKY_TRY(pass_rows(passes, state, in + (size_t)first_row * in_stride, end_row - first_row, state->between));
    passes->vertical(y, state->between, out_stride, first_row, out, out_stride);
    return SKY_OK;
}

sky_status sky_resize_bicubic_to(struct sky_resizer *resizer, const struct sky_image *in, int width, int height, uint8_t *out)
{
    const struct sky_resize_passes *fast = sky_resize_vnni();
    return sky_resize_with(fast ? fast : &sky_resize_plain, resizer, in->pixels, in->width, in->height, width, height, out);
}

sky_status sky_resize_bicubic(struct sky_resizer *resizer, const struct sky_image *in, int width, int height, struct sky_image *out)
{
    SKY_TRY(sky_image_resize_buffer(out, width, height));
    return sky_resize_bicubic_to(resizer, in, width, height, out->pixels);
}

void sky_resizer_free(struct sky_resizer *resizer)
{
    struct state *state = resizer->state;
    if (state) {
        sky_resize_axis_free(&state->x);
        sky_resize_axis_free(&state->y);
        free(state->between);
        free(state->ending);
        free(state);
    }
    resizer->state = NULL;
}
