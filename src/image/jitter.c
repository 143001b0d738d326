/*
 * Brightness, contrast and saturation as Pillow's ImageEnhance does them, which torchvision's ColorJitter calls: the picture is blended with
 * black, with its mean gray, or with its own gray; in float, cut off to a whole number. In place; allocates nothing.
 *
 * Compiled without contraction of a*b+c: a fused multiply-add gives another last bit, and cutting off makes a whole level of it.
 */
#include "augment.h"

/* ITU-R 601 luma in 16-bit fixed point. */
static int gray_of(const uint8_t *rgb)
{
    return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
}

static uint8_t blend(int degenerate, int value, float factor)
{
    const int mixed = (int)((float)degenerate + factor * (float)(value - degenerate));
    return (uint8_t)(mixed < 0 ? 0 : mixed > 255 ? 255 : mixed);
}

static void blend_all(struct sky_image *image, int degenerate, float factor)
{
    const int64_t count = (int64_t)image->width * image->height * 3;
    uint8_t *pixels = image->pixels;
    for (int64_t i = 0; i < count; i++) pixels[i] = blend(degenerate, pixels[i], factor);
}

/* The gray of count pixels. rgb: [count][3] */
static void find_grays(const uint8_t *rgb, int64_t count, int32_t *grays)
{
    for (int64_t i = 0; i < count; i++) grays[i] = gray_of(rgb + 3 * i);
}

enum { BLOCK = 256 }; /* pixels */

static int mean_gray(const struct sky_image *image)
{
    const int64_t count = (int64_t)image->width * image->height;
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i += BLOCK) {
        const int64_t here = count - i < BLOCK ? count - i : BLOCK;
        int32_t grays[BLOCK];
        find_grays(image->pixels + 3 * i, here, grays);
        for (int64_t k = 0; k < here; k++) sum += grays[k];
    }
    return (int)((double)sum / (double)count + 0.5);
}

static void saturate(struct sky_image *image, float factor)
{
    const int64_t count = (int64_t)image->width * image->height;
    for (int64_t i = 0; i < count; i += BLOCK) {
        const int64_t here = count - i < BLOCK ? count - i : BLOCK;
        uint8_t *rgb = image->pixels + 3 * i;
        int32_t grays[BLOCK];
        find_grays(rgb, here, grays);
        for (int64_t k = 0; k < here; k++)
            for (int c = 0; c < 3; c++) rgb[3 * k + c] = blend(grays[k], rgb[3 * k + c], factor);
    }
}

void sky_image_jitter(struct sky_image *image, enum sky_jitter kind, double factor)
{
    switch (kind) {
    case SKY_JITTER_BRIGHTNESS: blend_all(image, 0, (float)factor); break;
    case SKY_JITTER_CONTRAST: blend_all(image, mean_gray(image), (float)factor); break;
    case SKY_JITTER_SATURATION: saturate(image, (float)factor); break;
    case SKY_JITTER_COUNT: break;
    }
}
