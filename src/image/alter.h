/*
 * What an evaluation may do to a picture before it is embedded, to see how a model bears it. Works in place on squares that are resized already.
 */
#ifndef SKY_IMAGE_ALTER_H
#define SKY_IMAGE_ALTER_H

#include "weather.h"

enum sky_shift_fill { SKY_SHIFT_BLACK, SKY_SHIFT_MIRROR };

struct sky_alteration {
    int shift; /* columns the picture moves to the right; 0: none */
    enum sky_shift_fill fill;
    enum sky_weather weather;
    uint64_t seed; /* of the weather */
    int64_t first; /* number of the set's first image, where the set is a share of a larger one: weather is drawn by the number in the whole */
};

/* The whole alteration, in place. index: which image of its set, from 0, for the weather's draws. spare: scratch. */
sky_status sky_image_alter(const struct sky_alteration *alteration, int64_t index, uint8_t *pixels /* [size][size][3] */, int size, struct sky_image *spare);

/* Moves the picture to the right: the strip that opens is black (FSRA's padded queries) or the mirror image of what stood there (SUES-200's). shift <= size. */
void sky_image_shift(uint8_t *pixels /* [size][size][3] */, int size, int shift, enum sky_shift_fill fill);

#endif
