/*
 * What the tests of models share: a configuration by overrides, its model, and a parameter of it by the name it has in files.
 */
#ifndef SKY_TESTS_MODELS_H
#define SKY_TESTS_MODELS_H

#include "check.h"

#include "model/model.h"

#include <stdarg.h>

/* A configuration with `count` overrides ("model.width=0.5"), which must be right. */
static inline struct sky_config configure(int count, ...)
{
    struct sky_config config = {0};
    const char *overrides[16];
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++) overrides[i] = va_arg(list, const char *);
    va_end(list);
    CHECK_OK(sky_config_read(&config, NULL, overrides, count));
    return config;
}

static inline void build(struct sky_model *model, const struct sky_config *config, enum sky_model_mode mode, int64_t places)
{
    CHECK_OK(sky_model_build(model, config, mode, places, mode == SKY_MODEL_TRAIN ? 701 : 0, SKY_VIEW_SATELLITE, SKY_F32, NULL));
}

static inline struct sky_slice find_slice(const struct sky_model *model, const char *name)
{
    struct sky_slice found = {0};
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        if (strcmp(slice.name, name) == 0) found = slice;
    }
    return found;
}

#endif
