/*
 * Learning rates as pure functions of the step, so a resume cannot step a scheduler twice.
 */
#ifndef SKY_TRAIN_SCHEDULE_H
#define SKY_TRAIN_SCHEDULE_H

#include "graph/graph.h"
#include "skygem/config.h"

/* Fills lr[group] for a global step. step decays by whole epochs, as the references do; cosine falls a step at a time; warm-up ramps from a tenth. */
void sky_schedule_rates(const struct sky_config *config, int64_t step, int64_t steps_per_epoch, float lr[SKY_GROUP_COUNT]);

#endif
