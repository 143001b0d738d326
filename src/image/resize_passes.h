/*
 * Inside the resize: one axis's table of weights, and the two passes that use it, as plain C and for processors with AVX-512 VNNI.
 * Both give the same bytes; resize.c takes the faster one that runs here. Internal to src/image and its tests.
 */
#ifndef SKY_IMAGE_RESIZE_PASSES_H
#define SKY_IMAGE_RESIZE_PASSES_H

#include "skygem/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Output i of an axis is the sum over t in 0 .. taps-1 of weights[i][t] * input[start[i] + t], with 22 fractional bits. taps is a multiple of 4;
 * the true window stands somewhere in it, zero weights around it. start + taps stays within the input unless the input is shorter than taps:
 * then start is 0 and the pixels behind the end are read but count nothing.
 */
struct sky_resize_axis {
    int in, out, taps;
    int *start;       /* [out] */
    int32_t *weights; /* [out][taps] */
    int8_t *digits;   /* [out][taps/4][3][4]: the weights of four taps as three digits to the base 256, lowest first */
    int32_t *wide;    /* [max(in, taps) + 1][3]: scratch of the plain horizontal pass, one row */
};

enum { SKY_RESIZE_BITS = 22, SKY_RESIZE_HALF = 1 << (SKY_RESIZE_BITS - 1) };

/* Pillow's bicubic table. Zero-initialise; remakes only what changed; free with sky_resize_axis_free. */
sky_status sky_resize_axis_make(struct sky_resize_axis *axis, int in, int out);
void sky_resize_axis_free(struct sky_resize_axis *axis);

/* Bytes that a horizontal pass may read behind the end of an input row. */
size_t sky_resize_overread_bytes(const struct sky_resize_axis *axis);

struct sky_resize_passes {
    /* in: [rows][axis->in][3], each row readable for the over-read as well; out: [rows][axis->out][3]. Strides in bytes. */
    void (*horizontal)(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int rows, uint8_t *out, size_t out_stride);
    /* in: [axis->in][row_bytes], of which the axis may ask for the rows first_row and after; in points to first_row. out: [axis->out][row_bytes]. */
    void (*vertical)(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int first_row, uint8_t *out, size_t row_bytes);
};

extern const struct sky_resize_passes sky_resize_plain;
const struct sky_resize_passes *sky_resize_vnni(void); /* NULL where this processor or build has none */

/* The whole resize to [height][width][3] with the passes given. in: [in_height][in_width][3], not read outside. */
struct sky_resizer;
sky_status sky_resize_with(const struct sky_resize_passes *passes, struct sky_resizer *resizer, const uint8_t *in, int in_width, int in_height, int width,
                           int height, uint8_t *out);

#endif
