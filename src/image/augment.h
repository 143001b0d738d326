/*
 * Training augmentation, as the field's reference code does it, in this order: colour jitter, resize, edge pad, rotation
 * (nearest, black), crop, flip, erasing. Each call is a pure function of the picture and (seed, epoch, item, view).
 *
 * It has two halves: what is drawn (numbers only) and what is done with it (pixels only, no randomness), so each can be tested alone.
 */
#ifndef SKY_IMAGE_AUGMENT_H
#define SKY_IMAGE_AUGMENT_H

#include "base/rng.h"
#include "image.h"

#include <stdbool.h>

struct sky_augment {
    int size;                                /* side of the square result */
    int pad;                                 /* pixels of edge padding on each side */
    bool crop;                               /* random crop back to `size`; otherwise the centre */
    double flip;                             /* probability of a mirror image */
    double rotation;                         /* degrees: uniform in [-rotation, rotation]; 0: none */
    double erasing;                          /* probability of erasing a rectangle */
    double brightness, contrast, saturation; /* torchvision ColorJitter's: factor uniform in [max(0, 1 - value), 1 + value]; 0: none */
};

/* The erased rectangle, applied after normalisation (value 0 there), so it travels beside the pixels. height 0: none. */
struct sky_rectangle {
    int32_t top, left, height, width;
};

enum sky_jitter { SKY_JITTER_BRIGHTNESS, SKY_JITTER_CONTRAST, SKY_JITTER_SATURATION, SKY_JITTER_COUNT };

/* What one draw decided. */
struct sky_augment_draws {
    enum sky_jitter jitter_order[SKY_JITTER_COUNT];
    double jitter_factor[SKY_JITTER_COUNT]; /* by kind, not by order; 1 changes nothing */
    double angle;                           /* degrees, positive turns clockwise as torchvision's affine does; 0: no rotation */
    int top, left;                          /* of the crop in the padded picture, 0 .. 2 * pad */
    bool mirrored;
    struct sky_rectangle erased;
};

/*
 * Takes uniform numbers from rng in this order, whether an option is on or off, so that switching one on does not change what the others
 * draw: jitter order, brightness, contrast, saturation, angle, crop row, crop column, flip, erasing or not; and last, for erasing only, area, aspect,
 * row and column of up to 100 tries.
 */
void sky_augment_draw(const struct sky_augment *settings, struct sky_rng rng, struct sky_augment_draws *out);

/* Scratch of one worker thread. Zero-initialise; free with sky_augment_scratch_free. */
struct sky_augment_scratch {
    struct sky_resizer resizer;
    struct sky_image resized, jittered;
};

/* in: the decoded picture (only read; a pack hands it over resized already). out: [size][size][3]. */
sky_status sky_augment_apply(const struct sky_augment *settings, struct sky_rng rng, const struct sky_image *in, struct sky_augment_scratch *scratch,
                             uint8_t *out /* [size][size][3] */, struct sky_rectangle *erased);

/* The pixels of sky_augment_apply for draws already made (the rectangle is not applied here either). */
sky_status sky_augment_render(const struct sky_augment *settings, const struct sky_augment_draws *draws, const struct sky_image *in,
                              struct sky_augment_scratch *scratch, uint8_t *out /* [size][size][3] */);
void sky_augment_scratch_free(struct sky_augment_scratch *scratch);

/* One colour change in place, with Pillow's ImageEnhance arithmetic. */
void sky_image_jitter(struct sky_image *image, enum sky_jitter kind, double factor);

#endif
