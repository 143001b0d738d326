/*
 * What TensorBoard is shown of a training: one event a step with the numbers that metrics.jsonl has.
 */
#ifndef SKY_REPORT_TRAINING_EVENTS_H
#define SKY_REPORT_TRAINING_EVENTS_H

#include "event_file.h"
#include "skygem/trainer.h"

sky_status sky_training_events_step(struct sky_event_file *file, const struct sky_step_report *report);

#endif
