/*
 * Training augmentation, as the field's reference code does it (domain.md 2.1, in that order): colour jitter, resize, edge pad, rotation
 * (nearest, black), crop, flip, erasing. Each call is a pure function of the picture and (seed, epoch, item, view).
 */
#ifndef SKY_IMAGE_AUGMENT_H
#define SKY_IMAGE_AUGMENT_H

#include "base/rng.h"
#include "image.h"

#include <stdbool.h>

struct sky_augment {
    int size;               /* side of the square result */
    int pad;                /* pixels of edge padding on each side */
    bool crop;              /* random crop back to `size`; otherwise the centre */
    double flip;            /* probability of a mirror image */
    double rotation;        /* degrees: uniform in [-rotation, rotation]; 0 draws nothing */
    double erasing;         /* probability of erasing a rectangle */
    double brightness, contrast, saturation; /* torchvision ColorJitter's factors; 0 = off */
};

/* The erased rectangle, applied after normalisation (value 0 there), so it travels beside the pixels. height 0: none. */
struct sky_rectangle {
    int32_t top, left, height, width;
};

/* Scratch of one worker thread. Zero-initialise; free with sky_augment_scratch_free. */
struct sky_augment_scratch {
    struct sky_resizer resizer;
    struct sky_image resized, padded, jittered;
};

/* in: the decoded picture (only read; a pack hands it over resized already). out: [size][size][3]. */
sky_status sky_augment_apply(const struct sky_augment *settings, struct sky_rng rng, const struct sky_image *in, struct sky_augment_scratch *scratch,
                             uint8_t *out /* [size][size][3] */, struct sky_rectangle *erased);
void sky_augment_scratch_free(struct sky_augment_scratch *scratch);

#endif
