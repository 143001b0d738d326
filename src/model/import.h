/*
 * Weights of other people's files under our names, and how they fit a model: what is missing, unexpected, or of another shape, by name.
 */
#ifndef SKY_MODEL_IMPORT_H
#define SKY_MODEL_IMPORT_H

#include "base/str.h"
#include "key_map.h"
#include "model.h"

/* A weights file of any kind, open, with the tensors that have a name of ours. Zero-initialise. */
struct sky_import {
    struct sky_tensor_file file;
    struct sky_key_map map;
    struct sky_file_tensor *tensors; /* [count] our names (in the map), the file's types, shapes and data */
    int64_t count;
    float **folded;                  /* [folded_count] running means with their convolutions' biases taken off */
    int64_t folded_count;
};

/* layout: SKY_LAYOUT_COUNT to find it out. SKY_FORMAT when two keys become one name. */
sky_status sky_import_open(struct sky_import *import, const char *path, enum sky_layout layout);
void sky_import_close(struct sky_import *import);

/* Tensor of a list by name; a trunk that both views share stands in for the trunk of either. NULL when there is none. */
const struct sky_file_tensor *sky_import_find(const struct sky_file_tensor *tensors, int64_t count, const char *name);

/* Equal shapes; *reshaped when they differ only by dimensions of 1 (a matrix for a 1x1 convolution). */
bool sky_import_fits(const struct sky_file_tensor *tensor, const struct sky_slice *slice, bool *reshaped);

/* Whether the model has a tensor of this name; the shared trunk ("backbone.") serves the trunks of all views. */
bool sky_import_has_place(const struct sky_model *model, const char *name);

/* How the tensors fit; each text lists names with shapes, one a line. Free with sky_import_report_free. */
struct sky_import_report {
    int64_t taken, missing, missing_trunk, other_shape, reshaped, unexpected;
    int64_t left_out[SKY_KEY_FATE_COUNT]; /* keys by fate: those but TAKEN and UNKNOWN are known not to be needed */
    struct sky_text missing_names, other_shape_names, reshaped_names, unexpected_names, left_out_names;
};

/* trunk_only: only the model's trunk is asked for, and heads in the file are taken as they are. */
sky_status sky_import_compare(const struct sky_import *import, const struct sky_model *model, bool trunk_only, struct sky_import_report *report);
void sky_import_report_free(struct sky_import_report *report);

/* "[64, 3, 7, 7]" */
void sky_import_print_shape(int rank, const int64_t *dim, char out[96]);

#endif
