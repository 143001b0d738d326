/*
 * Parameters of a model on an executor, to and from named f32 tensors.
 */
#ifndef SKY_TRAIN_PARAMETERS_H
#define SKY_TRAIN_PARAMETERS_H

#include "backend/executor.h"
#include "io/safetensors.h"
#include "model/model.h"

/* Tensors gathered for a file; owns names and data. Zero-initialise. */
struct sky_tensor_list {
    struct sky_file_tensor *tensors;
    int64_t count, capacity;
};
sky_status sky_tensor_list_add(struct sky_tensor_list *list, const char *name, int rank, const int64_t *dim, float **values /* to fill */);
void sky_tensor_list_free(struct sky_tensor_list *list);

/* Initial values from the seed, for parameters and buffers. */
sky_status sky_parameters_initialise(const struct sky_model *model, struct sky_executor *executor, uint64_t seed);

/* The moving average starts at the parameters. Does nothing when there is none. */
sky_status sky_parameters_start_average(struct sky_executor *executor);

/*
 * Every tensor PREFIX+name must be there with its shape: parameters and buffers for PARAMS, learned tensors alone for MOMENTUM ("momentum/"), GRADS and EMA
 * ("ema/"). A file of parameters with a trunk or heads that the model lacks is another model's: SKY_FORMAT.
 */
sky_status sky_parameters_read(const struct sky_model *model, struct sky_executor *executor, const struct sky_safetensors *file, enum sky_arena arena,
                               const char *prefix);

/* Replaces the learned tensors by PREFIX+name ("ema/": the averaged ones), buffers left as they are. */
sky_status sky_parameters_overlay(const struct sky_model *model, struct sky_executor *executor, const struct sky_safetensors *file, const char *prefix);

/* [model] weights, ours or anything that model/import.h reads: whatever fits by name and shape, the trunk whole and all of the file's, or SKY_FORMAT; says what was left. */
sky_status sky_parameters_load(const struct sky_model *model, struct sky_executor *executor, const struct sky_config *config, const char *path);

/* Appends every tensor of the arena as PREFIX+name. */
sky_status sky_parameters_collect(const struct sky_model *model, struct sky_executor *executor, enum sky_arena arena, const char *prefix,
                                  struct sky_tensor_list *list);

#endif
