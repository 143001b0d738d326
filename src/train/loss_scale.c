/*
 * The rule behind loss_scale.h, with the constants of the field's mixed-precision trainers.
 */
#include "loss_scale.h"

enum { START = 1 << 16, MOST = 1 << 24, STREAK = 2000 };

struct sky_loss_scale sky_loss_scale_start(enum sky_dtype map_dtype)
{
    return (struct sky_loss_scale){.value = map_dtype == SKY_F16 ? START : 1, .moves = map_dtype == SKY_F16};
}

bool sky_loss_scale_step(struct sky_loss_scale *scale, bool overflow)
{
    if (!scale->moves) return false;
    if (overflow) {
        const bool explained = scale->value > 1;
        if (explained) scale->value /= 2;
        scale->streak = 0;
        return explained;
    }
    if (++scale->streak >= STREAK && scale->value < MOST) scale->value *= 2, scale->streak = 0;
    return false;
}
