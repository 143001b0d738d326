/*
 * Draws heat maps over a picture. Owns its canvas while it runs.
 */
#include "overlay.h"

#include "base/memory.h"
#include "image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 6, STEPS = 5 };

/* Dark blue, violet, red, orange, yellow: rising in lightness, as colour-blind readers need it. */
static const float ramp[STEPS][3] = {{13, 8, 135}, {126, 3, 168}, {204, 71, 120}, {248, 149, 64}, {240, 249, 33}};

static void colour_of(float heat, float out[3])
{
    const float at = heat * (STEPS - 1);
    const int step = at >= STEPS - 1 ? STEPS - 2 : (int)at;
    for (int c = 0; c < 3; c++) out[c] = ramp[step][c] + (at - (float)step) * (ramp[step + 1][c] - ramp[step][c]);
}

/* The map's value at the middle of a pixel of the picture, between the four nearest middles of its own. */
static float sample(const float *map, int64_t height, int64_t width, float y, float x)
{
    const float row = fminf(fmaxf(y * (float)height - 0.5f, 0), (float)height - 1), column = fminf(fmaxf(x * (float)width - 0.5f, 0), (float)width - 1);
    const int64_t top = (int64_t)row, left = (int64_t)column, bottom = top + 1 < height ? top + 1 : top, right = left + 1 < width ? left + 1 : left;
    const float down = row - (float)top, across = column - (float)left;
    const float above = map[top * width + left] * (1 - across) + map[top * width + right] * across;
    const float below = map[bottom * width + left] * (1 - across) + map[bottom * width + right] * across;
    return above * (1 - down) + below * down;
}

static void draw_map(const uint8_t *image, int side, const float *map, int64_t height, int64_t width, uint8_t *out, size_t stride)
{
    float most = 0;
    for (int64_t i = 0; i < height * width; i++) most = fmaxf(most, map[i]);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const uint8_t *from = image + ((size_t)y * (size_t)side + (size_t)x) * 3;
            const float heat = most > 0 ? sample(map, height, width, ((float)y + 0.5f) / (float)side, ((float)x + 0.5f) / (float)side) / most : 0,
                        cover = heat > 0 ? 0.25f + 0.5f * heat : 0;
            float colour[3];
            colour_of(heat, colour);
            for (int c = 0; c < 3; c++) out[(size_t)y * stride + (size_t)x * 3 + (size_t)c] = (uint8_t)((1 - cover) * (float)from[c] + cover * colour[c] + 0.5f);
        }
}

sky_status sky_overlay_png(const char *path, const uint8_t *image, int side, const float *maps, int64_t count, int64_t height, int64_t width)
{
    const int whole = (int)(count + 1) * (side + GAP) + GAP, tall = side + 2 * GAP;
    const size_t stride = (size_t)whole * 3, cell = (size_t)(side + GAP) * 3;
    uint8_t *canvas = NULL;
    SKY_TRY(sky_alloc(&canvas, (size_t)tall, stride, "heat maps"));
    memset(canvas, 255, stride * (size_t)tall);
    uint8_t *first = canvas + GAP * stride + (size_t)GAP * 3;
    for (int y = 0; y < side; y++) memcpy(first + (size_t)y * stride, image + (size_t)y * (size_t)side * 3, (size_t)side * 3);
    for (int64_t m = 0; m < count; m++) draw_map(image, side, maps + m * height * width, height, width, first + (size_t)(m + 1) * cell, stride);
    const sky_status status = sky_image_write_png(path, canvas, whole, tall);
    free(canvas);
    return status;
}
