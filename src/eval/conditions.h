/*
 * Under which conditions a model is scored beside the plain ones: fewer or averaged drone frames, shifted queries, weather, re-ranking. A list made from the
 * experiment; evaluate.c carries it out.
 */
#ifndef SKY_EVAL_CONDITIONS_H
#define SKY_EVAL_CONDITIONS_H

#include "image/alter.h"
#include "picks.h"

#include <stdbool.h>

enum sky_condition_kind {
    SKY_CONDITION_PLAIN,
    SKY_CONDITION_RERANK,
    SKY_CONDITION_MULTI_QUERY,
    SKY_CONDITION_SINGLE_FRAME,
    SKY_CONDITION_HEIGHT,
    SKY_CONDITION_SHIFT,
    SKY_CONDITION_WEATHER,
    SKY_CONDITION_KINDS
};

struct sky_condition {
    enum sky_condition_kind kind;
    int64_t count;                    /* multi query: images a query */
    int64_t first_frame, last_frame;  /* single frame, height */
    struct sky_alteration alteration; /* shift, weather */
    char detail[64];                  /* for people and JSON: "36", "frames 1-18, 256 to 213 m" */
};

enum { SKY_MAX_CONDITIONS = 96 };

/* "plain", "rerank", "multi_query", "single_frame", "height", "query_shift", "weather" */
const char *sky_condition_name(enum sky_condition_kind kind);

/* The drone's part in a direction. */
enum sky_drone_part { SKY_DRONE_ABSENT, SKY_DRONE_ASKS, SKY_DRONE_IS_ASKED };

/* The plain condition first, then those that the experiment asks for and that mean something with the drone in this part. Returns how many. */
int sky_conditions_list(const struct sky_config *config, enum sky_drone_part drone, struct sky_condition out[SKY_MAX_CONDITIONS]);

/* Conditions that take some of the drone images: which. The others: SKY_INTERNAL. */
bool sky_condition_picks(enum sky_condition_kind kind);
sky_status sky_condition_pick(const struct sky_condition *condition, const struct sky_image_set *drone, struct sky_picks *out);
/* Before hours of embedding: those of the list that take some of the drone images find them. */
sky_status sky_conditions_check(const struct sky_condition *conditions, int count, const struct sky_image_set *drone);

#endif
