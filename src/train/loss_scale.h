/*
 * Dynamic loss scaling for f16 maps: the losses' gradients are multiplied by a power of two, so that small ones do not vanish in half precision, and divided by
 * it in the update. An overflow halves it and leaves the update out; many good steps in a row double it. A pure function of the outcomes of the steps, so it is
 * part of a checkpoint.
 */
#ifndef SKY_TRAIN_LOSS_SCALE_H
#define SKY_TRAIN_LOSS_SCALE_H

#include "base/dtype.h"

#include <stdbool.h>
#include <stdint.h>

struct sky_loss_scale {
    double value;   /* 1 where maps are not f16 */
    int64_t streak; /* good steps since it last changed */
    bool moves;     /* f16 maps */
};

struct sky_loss_scale sky_loss_scale_start(enum sky_dtype map_dtype);

/* After a step. Returns whether an update that was left out is explained by too high a scale: then it is no error. */
bool sky_loss_scale_step(struct sky_loss_scale *scale, bool overflow);

#endif
