/*
 * A training model and the executor that runs it, made together, because what the graph may hold depends on what the device can do.
 */
#ifndef SKY_TRAIN_BIND_H
#define SKY_TRAIN_BIND_H

#include "backend/executor.h"
#include "model/model.h"

/*
 * Builds the training graph and binds it to the back end. With [device] fusion = auto, where the device's library lacks one of the fused forms, the graph is built
 * again without any, and a warning says why. Both are empty after a failure, and to be destroyed (executor first) after success.
 */
sky_status sky_train_bind(struct sky_model *model, struct sky_executor *executor, const struct sky_config *config, const struct sky_backend *backend,
                          const struct sky_device_options *options, int64_t classes);

#endif
