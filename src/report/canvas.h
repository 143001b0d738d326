/*
 * A white canvas of RGB pixels to fill, paste pictures on and write on, in letters of our own. What lies outside it is not drawn.
 */
#ifndef SKY_REPORT_CANVAS_H
#define SKY_REPORT_CANVAS_H

#include <stdint.h>

/* Letters are 5 x 9 dots (two of them below the line), and so far from one to the next and from line to line. */
enum { SKY_LETTER_ADVANCE = 6, SKY_LETTER_LINE = 11 };

struct sky_canvas {
    uint8_t *pixels; /* [height][width][3], the caller's */
    int width, height;
};

void sky_canvas_fill(const struct sky_canvas *canvas, int left, int top, int width, int height, const uint8_t colour[3]);
void sky_canvas_paste(const struct sky_canvas *canvas, int left, int top, const uint8_t *rgb /* [side][side][3] */, int side);

/* One line of at most `columns` letters, each dot `scale` pixels wide. UTF-8; what is not ASCII becomes a box. Returns how many bytes of the text it took. */
int sky_canvas_write(const struct sky_canvas *canvas, int left, int top, int scale, int columns, const uint8_t colour[3], const char *text);

#endif
