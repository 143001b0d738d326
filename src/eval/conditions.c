/*
 * The list of conditions of an experiment. Owns nothing.
 */
#include "conditions.h"

#include <stdio.h>
#include <string.h>

/* University-1652's flights come down from the first height to the second. */
static const uint64_t weather_seed = 1652; /* not the experiment's: every model sees the same weather */
static const double first_metres = 256, last_metres = 121.5;

const char *sky_condition_name(enum sky_condition_kind kind)
{
    static const char *const names[SKY_CONDITION_KINDS] = {"plain", "rerank", "multi_query", "single_frame", "height", "query_shift", "weather"};
    return names[kind];
}

static double metres_at(int64_t frame, int64_t frames)
{
    return frames > 1 ? first_metres + (last_metres - first_metres) * (double)(frame - 1) / (double)(frames - 1) : first_metres;
}

static struct sky_condition *add(struct sky_condition *list, int *count, enum sky_condition_kind kind)
{
    struct sky_condition *condition = &list[(*count)++];
    memset(condition, 0, sizeof *condition);
    condition->kind = kind;
    return condition;
}

/* Group g of G equal parts of the frames; frames past the last (one place of University-1652 has a 55th) belong to the lowest group. */
static void add_heights(const struct sky_config *config, struct sky_condition *list, int *count)
{
    const int64_t groups = config->eval.height_groups, frames = config->eval.frames;
    for (int64_t g = 0; g < groups; g++) {
        struct sky_condition *c = add(list, count, SKY_CONDITION_HEIGHT);
        const int64_t last = (g + 1) * frames / groups;
        c->first_frame = g * frames / groups + 1, c->last_frame = g + 1 < groups ? last : INT64_MAX;
        snprintf(c->detail, sizeof c->detail, "frames %lld-%lld, %.0f to %.0f m", (long long)c->first_frame, (long long)last, metres_at(c->first_frame, frames),
                 metres_at(last, frames));
    }
}

int sky_conditions_list(const struct sky_config *config, enum sky_drone_part drone, struct sky_condition out[SKY_MAX_CONDITIONS])
{
    const bool drone_asks = drone == SKY_DRONE_ASKS;
    int count = 0;
    add(out, &count, SKY_CONDITION_PLAIN);
    if (config->eval.rerank) {
        struct sky_condition *c = add(out, &count, SKY_CONDITION_RERANK);
        snprintf(c->detail, sizeof c->detail, "k1 %lld, k2 %lld, lambda %g", (long long)config->eval.rerank_k1, (long long)config->eval.rerank_k2,
                 config->eval.rerank_lambda);
    }
    for (int i = 0; drone_asks && i < config->eval.multi_query_count; i++) {
        struct sky_condition *c = add(out, &count, SKY_CONDITION_MULTI_QUERY);
        c->count = config->eval.multi_query[i];
        snprintf(c->detail, sizeof c->detail, "%lld", (long long)c->count);
    }
    if (drone_asks && config->eval.single_frame) {
        struct sky_condition *c = add(out, &count, SKY_CONDITION_SINGLE_FRAME);
        c->first_frame = c->last_frame = config->eval.single_frame;
        snprintf(c->detail, sizeof c->detail, "%lld", (long long)config->eval.single_frame);
    }
    if (drone != SKY_DRONE_ABSENT) add_heights(config, out, &count);
    for (int i = 0; i < config->eval.query_shift_count; i++) {
        struct sky_condition *c = add(out, &count, SKY_CONDITION_SHIFT);
        c->alteration = (struct sky_alteration){.shift = (int)config->eval.query_shift[i], .fill = (enum sky_shift_fill)config->eval.shift_fill};
        snprintf(c->detail, sizeof c->detail, "%lld px, %s", (long long)config->eval.query_shift[i],
                 config->eval.shift_fill == SKY_SHIFT_BLACK ? "black" : "mirror");
    }
    for (int i = 0; drone != SKY_DRONE_ABSENT && i < config->eval.weather_count; i++) {
        struct sky_condition *c = NULL;
        if (config->eval.weather[i] == SKY_WEATHER_NONE) continue; /* the plain rows */
        c = add(out, &count, SKY_CONDITION_WEATHER);
        c->alteration = (struct sky_alteration){.weather = (enum sky_weather)config->eval.weather[i], .seed = weather_seed};
        snprintf(c->detail, sizeof c->detail, "%s", sky_weather_name(c->alteration.weather));
    }
    return count;
}

bool sky_condition_picks(enum sky_condition_kind kind)
{
    return kind == SKY_CONDITION_MULTI_QUERY || kind == SKY_CONDITION_SINGLE_FRAME || kind == SKY_CONDITION_HEIGHT;
}

sky_status sky_condition_pick(const struct sky_condition *condition, const struct sky_image_set *drone, struct sky_picks *out)
{
    if (!sky_condition_picks(condition->kind)) return sky_fail(SKY_INTERNAL, "evaluation", "condition %s picks no images", sky_condition_name(condition->kind));
    if (condition->kind == SKY_CONDITION_MULTI_QUERY) return sky_picks_means(out, drone, condition->count);
    return sky_picks_frames(out, drone, condition->first_frame, condition->last_frame);
}

sky_status sky_conditions_check(const struct sky_condition *conditions, int count, const struct sky_image_set *drone)
{
    for (int i = 0; i < count; i++) {
        struct sky_picks picks = {0};
        if (!sky_condition_picks(conditions[i].kind)) continue;
        SKY_TRY(sky_condition_pick(&conditions[i], drone, &picks));
        sky_picks_free(&picks);
    }
    return SKY_OK;
}
