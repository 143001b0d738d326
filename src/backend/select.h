/*
 * The choice of a back end by configuration.
 */
#ifndef SKY_BACKEND_SELECT_H
#define SKY_BACKEND_SELECT_H

#include "backend.h"
#include "skygem/config.h"

/*
 * precision: that of the training or of the evaluation (enum sky_precision). SKY_DEVICE when the back end asked for is not in this program or finds no device,
 * SKY_CONFIG when it cannot compute in this precision.
 */
sky_status sky_backend_choose(const struct sky_config *config, int precision, const struct sky_backend **backend, struct sky_device_options *options);

/*
 * The CUDA back end on a GPU that is only described, in cuDNN's JSON form (tests/plans/h200.json; borrowed until the devices opened with it are closed): graphs
 * can be planned and prepared, not run. SKY_DEVICE in a program without CUDA.
 */
sky_status sky_backend_describe(const struct sky_config *config, int precision, const char *description, const struct sky_backend **backend, struct sky_device_options *options);

#endif
