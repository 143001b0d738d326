/*
 * Draws an augmentation and applies it. Padding, rotation, crop and flip are one read of the resized picture: each output pixel asks where it
 * comes from, so no padded or turned picture is ever stored. Colour is in jitter.c, the resize in resize.c.
 *
 * Compiled without contraction of a*b+c, so that the rotation's fixed-point coefficients round as Pillow's do.
 * The scratch owns the two pictures in between; out and in are the caller's.
 */
#include "augment.h"

#include "resize_passes.h"

#include <math.h>
#include <string.h>

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* 0 .. count-1 from one uniform number: sky_rng_below may take several, and the numbers drawn must not depend on their values. */
static int draw_below(struct sky_rng *rng, int count)
{
    const int value = (int)(sky_rng_uniform(rng) * count);
    return value < count ? value : count - 1;
}

static double draw_factor(struct sky_rng *rng, double strength)
{
    const double low = strength < 1 ? 1 - strength : 0, drawn = sky_rng_between(rng, low, 1 + strength);
    return strength > 0 ? drawn : 1;
}

/* Zhong et al.'s random erasing with the field's parameters; a rectangle has to be smaller than the picture. */
static void draw_rectangle(struct sky_rng *rng, int size, struct sky_rectangle *out)
{
    enum { TRIES = 100 };
    const double least_area = 0.02, most_area = 0.4, least_aspect = 0.3;
    for (int try = 0; try < TRIES; try++) {
        const double area = sky_rng_between(rng, least_area, most_area) * size * size, aspect = sky_rng_between(rng, least_aspect, 1 / least_aspect);
        const int height = (int)rint(sqrt(area * aspect)), width = (int)rint(sqrt(area / aspect));
        const double row = sky_rng_uniform(rng), column = sky_rng_uniform(rng);
        if (height < 1 || width < 1 || height >= size || width >= size) continue;
        *out = (struct sky_rectangle){(int32_t)(row * (size - height + 1)), (int32_t)(column * (size - width + 1)), height, width};
        return;
    }
}

void sky_augment_draw(const struct sky_augment *settings, struct sky_rng rng, struct sky_augment_draws *out)
{
    static const enum sky_jitter orders[6][SKY_JITTER_COUNT] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    memset(out, 0, sizeof *out);
    memcpy(out->jitter_order, orders[draw_below(&rng, 6)], sizeof out->jitter_order);
    out->jitter_factor[SKY_JITTER_BRIGHTNESS] = draw_factor(&rng, settings->brightness);
    out->jitter_factor[SKY_JITTER_CONTRAST] = draw_factor(&rng, settings->contrast);
    out->jitter_factor[SKY_JITTER_SATURATION] = draw_factor(&rng, settings->saturation);
    out->angle = sky_rng_between(&rng, -settings->rotation, settings->rotation);
    out->top = draw_below(&rng, 2 * settings->pad + 1);
    out->left = draw_below(&rng, 2 * settings->pad + 1);
    if (!settings->crop) out->top = out->left = settings->pad;
    out->mirrored = sky_rng_uniform(&rng) < settings->flip;
    const bool erases = sky_rng_uniform(&rng) < settings->erasing;
    if (erases) draw_rectangle(&rng, settings->size, &out->erased);
}

typedef uint8_t sixteen_bytes __attribute__((vector_size(16)));

/* count pixels from right to left: out[x] = in[-x]. Both may be touched within count pixels only. */
static void copy_mirrored(uint8_t *out, const uint8_t *in, int count)
{
    int x = 0;
    for (; x + 6 <= count; x += 5) { /* five pixels and a byte of the sixth, which the next copy overwrites */
        sixteen_bytes pixels;
        memcpy(&pixels, in - 3 * (ptrdiff_t)(x + 4) - 1, sizeof pixels);
        pixels = __builtin_shufflevector(pixels, pixels, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0);
        memcpy(out + 3 * (ptrdiff_t)x, &pixels, sizeof pixels);
    }
    for (; x < count; x++) memcpy(out + 3 * (ptrdiff_t)x, in - 3 * (ptrdiff_t)x, 3);
}

static void fill_pixels(uint8_t *out, const uint8_t *pixel, int count)
{
    for (int x = 0; x < count; x++) memcpy(out + 3 * (ptrdiff_t)x, pixel, 3);
}

/* Crop and flip of the edge-padded picture. */
static void render_crop(const struct sky_augment *settings, const struct sky_augment_draws *draws, const uint8_t *in, uint8_t *out)
{
    const int size = settings->size, shift = draws->left - settings->pad; /* column x of the crop is column x + shift of the picture */
    const int before = clamp(-shift, 0, size), behind = clamp(shift, 0, size), inside = size - before - behind; /* columns of padding, and not */
    const ptrdiff_t row_bytes = 3 * (ptrdiff_t)size;
    for (int y = 0; y < size; y++, out += row_bytes) {
        const uint8_t *row = in + clamp(y + draws->top - settings->pad, 0, size - 1) * row_bytes, *last = row + row_bytes - 3;
        if (draws->mirrored) {
            fill_pixels(out, last, behind);
            copy_mirrored(out + 3 * (ptrdiff_t)behind, last - 3 * (ptrdiff_t)before, inside);
            fill_pixels(out + 3 * (ptrdiff_t)(behind + inside), row, before);
        } else {
            fill_pixels(out, row, before);
            memcpy(out + 3 * (ptrdiff_t)before, row + 3 * (ptrdiff_t)behind, 3 * (size_t)inside);
            fill_pixels(out + 3 * (ptrdiff_t)(before + inside), last, behind);
        }
    }
}

static int32_t to_fixed(double value)
{
    return (int32_t)floor(value * 65536 + 0.5);
}

/*
 * Where a pixel (x, y) of the rotated padded picture comes from: ((xx + x*xx_x + y*xx_y) >> 16, the same for yy), Pillow's affine transform in
 * 16.16 fixed point with torchvision's matrix, about the centre of the padded picture.
 */
struct rotation {
    int32_t xx, xx_x, xx_y, yy, yy_x, yy_y;
};

static struct rotation make_rotation(double degrees, int padded_size)
{
    const double angle = degrees * (M_PI / 180), cosine = cos(angle), sine = sin(angle), centre = padded_size * 0.5;
    const double offset_x = cosine * -centre + sine * -centre + centre, offset_y = -sine * -centre + cosine * -centre + centre;
    return (struct rotation){.xx = to_fixed(offset_x + cosine * 0.5 + sine * 0.5),
                             .xx_x = to_fixed(cosine),
                             .xx_y = to_fixed(sine),
                             .yy = to_fixed(offset_y + -sine * 0.5 + cosine * 0.5),
                             .yy_x = to_fixed(-sine),
                             .yy_y = to_fixed(cosine)};
}

/* Crop and flip of the rotated edge-padded picture; what rotation brings in from outside is black. */
static void render_rotated(const struct sky_augment *settings, const struct sky_augment_draws *draws, const uint8_t *in, uint8_t *out)
{
    enum { BLOCK = 64 };
    static const uint8_t black[3] = {0, 0, 0};
    const int size = settings->size, pad = settings->pad, padded_size = size + 2 * pad;
    const struct rotation r = make_rotation(draws->angle, padded_size);
    const int first_x = draws->left + (draws->mirrored ? size - 1 : 0), direction = draws->mirrored ? -1 : 1;
    for (int y = 0; y < size; y++) {
        const int from_y = y + draws->top;
        const int32_t row_xx = r.xx + first_x * r.xx_x + from_y * r.xx_y, row_yy = r.yy + first_x * r.yy_x + from_y * r.yy_y;
        for (int x = 0; x < size; x += BLOCK) {
            const int count = size - x < BLOCK ? size - x : BLOCK;
            int32_t offsets[BLOCK]; /* of the source pixels, -1 for black; found first because compilers vectorise this loop, and not the copying */
            for (int i = 0; i < BLOCK; i++) {
                const int steps = direction * (i < count ? x + i : x);
                const int source_x = (row_xx + steps * r.xx_x) >> 16, source_y = (row_yy + steps * r.yy_x) >> 16;
                const int outside = (source_x < 0) | (source_x >= padded_size) | (source_y < 0) | (source_y >= padded_size);
                const int32_t offset = (clamp(source_y - pad, 0, size - 1) * size + clamp(source_x - pad, 0, size - 1)) * 3;
                offsets[i] = outside ? -1 : offset;
            }
            for (int i = 0; i < count; i++, out += 3) memcpy(out, offsets[i] < 0 ? black : in + offsets[i], 3);
        }
    }
}

static bool jitters(const struct sky_augment_draws *draws)
{
    for (int kind = 0; kind < SKY_JITTER_COUNT; kind++)
        if (draws->jitter_factor[kind] != 1) return true;
    return false;
}

static sky_status jitter_copy(const struct sky_augment_draws *draws, const struct sky_image *in, struct sky_image *out)
{
    SKY_TRY(sky_image_resize_buffer(out, in->width, in->height));
    memcpy(out->pixels, in->pixels, (size_t)in->width * in->height * 3);
    for (int i = 0; i < SKY_JITTER_COUNT; i++) {
        const enum sky_jitter kind = draws->jitter_order[i];
        if (draws->jitter_factor[kind] != 1) sky_image_jitter(out, kind, draws->jitter_factor[kind]);
    }
    return SKY_OK;
}

sky_status sky_augment_render(const struct sky_augment *settings, const struct sky_augment_draws *draws, const struct sky_image *in,
                              struct sky_augment_scratch *scratch, uint8_t *out)
{
    enum { MAX_PADDED_SIZE = 16384 }; /* the rotation's 16.16 numbers reach 32768, its byte offsets 2^31 */
    const int size = settings->size, pad = settings->pad;
    if (size < 1 || pad < 0 || size > MAX_PADDED_SIZE || pad > (MAX_PADDED_SIZE - size) / 2)
        return sky_fail(SKY_USAGE, "augmentation", "size %d with pad %d: the padded picture may have 1 to %d pixels a side", size, pad, MAX_PADDED_SIZE);
    if (jitters(draws)) {
        SKY_TRY(jitter_copy(draws, in, &scratch->jittered));
        in = &scratch->jittered;
    }
    const bool moves = draws->angle != 0 || draws->mirrored || draws->top != pad || draws->left != pad;
    const uint8_t *resized = in->pixels;
    if (!moves) return sky_resize_bicubic_to(&scratch->resizer, in, size, size, out);
    if (in->width != size || in->height != size) {
        SKY_TRY(sky_resize_bicubic(&scratch->resizer, in, size, size, &scratch->resized));
        resized = scratch->resized.pixels;
    }
    if (draws->angle != 0) render_rotated(settings, draws, resized, out);
    else render_crop(settings, draws, resized, out);
    return SKY_OK;
}

sky_status sky_augment_apply(const struct sky_augment *settings, struct sky_rng rng, const struct sky_image *in, struct sky_augment_scratch *scratch,
                             uint8_t *out, struct sky_rectangle *erased)
{
    struct sky_augment_draws draws;
    sky_augment_draw(settings, rng, &draws);
    SKY_TRY(sky_augment_render(settings, &draws, in, scratch, out));
    *erased = draws.erased;
    return SKY_OK;
}

void sky_augment_scratch_free(struct sky_augment_scratch *scratch)
{
    sky_resizer_free(&scratch->resizer);
    sky_image_free(&scratch->resized);
    sky_image_free(&scratch->jittered);
}
