/*
 * A step's numbers as TensorBoard tags. Steps count from 0, as in metrics.jsonl.
 */
#include "training_events.h"

#include <stdio.h>

sky_status sky_training_events_step(struct sky_event_file *file, const struct sky_step_report *report)
{
    const struct sky_event_scalar scalars[] = {
        {"loss/total", report->loss},
        {"loss/cross_entropy", report->loss_ce},
        {"loss/divergence", report->loss_kl},
        {"learning_rate/backbone", report->lr_backbone},
        {"learning_rate/head", report->lr_head},
        {"learning_rate/gem", report->lr_gem},
        {"training/gradient_norm", report->gradient_norm},
        {"training/skipped_updates", (double)report->skipped_updates},
        {"speed/images_per_second", (double)report->images / report->step_seconds},
        {"speed/waiting_for_data_percent", 100 * report->data_seconds / report->step_seconds},
    };
    SKY_TRY(sky_event_file_scalars(file, report->step, scalars, sizeof scalars / sizeof *scalars));
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
        char tag[32];
        snprintf(tag, sizeof tag, "loss/%s", sky_pair_loss_name(i));
        const struct sky_event_scalar pairs = {tag, report->loss_pairs[i]};
        if (report->has_pairs[i]) SKY_TRY(sky_event_file_scalars(file, report->step, &pairs, 1));
    }
    return SKY_OK;
}
