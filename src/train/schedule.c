/*
 * The four schedules and the warm-up ramp. No state.
 */
#include "schedule.h"

#include <math.h>

static double decay(const struct sky_config *config, int64_t step, int64_t steps_per_epoch)
{
    const int64_t epoch = step / steps_per_epoch;
    switch (config->schedule.kind) {
    case SKY_SCHEDULE_STEP: return pow(config->schedule.gamma, (double)(epoch / config->schedule.step));
    case SKY_SCHEDULE_MULTISTEP: {
        int passed = 0;
        while (passed < config->schedule.milestone_count && epoch >= config->schedule.milestones[passed]) passed++;
        return pow(config->schedule.gamma, passed);
    }
    case SKY_SCHEDULE_COSINE: return 0.5 * (1 + cos(3.14159265358979323846 * (double)step / (double)(config->train.epochs * steps_per_epoch)));
    default: return 1;
    }
}

void sky_schedule_rates(const struct sky_config *config, int64_t step, int64_t steps_per_epoch, float lr[SKY_GROUP_COUNT])
{
    const double warm_steps = config->schedule.warmup_epochs * (double)steps_per_epoch;
    const double ramp = (double)step < warm_steps ? 0.1 + 0.9 * (double)step / warm_steps : 1;
    const double base = config->optimizer.lr * ramp * decay(config, step, steps_per_epoch);
    lr[SKY_GROUP_BACKBONE] = (float)(base * config->optimizer.backbone_lr_scale);
    lr[SKY_GROUP_HEAD] = (float)base;
    lr[SKY_GROUP_GEM] = (float)(base * config->optimizer.gem_lr_scale);
}
