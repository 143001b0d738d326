/*
 * Parameters as files hold them: one named f32 tensor a slice, filters in OIHW, SE matrices as 1x1 convolutions; and their initial values, which depend on seed and
 * name alone. Works on host memory that the caller gives; reads and writes no files.
 */
#include "model.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

int64_t sky_model_slice_count(const struct sky_model *model)
{
    int64_t count = 0;
    for (int64_t p = 0; p < model->graph.parameter_count; p++) count += model->graph.parameters[p].slice_count;
    return count;
}

struct sky_slice sky_model_slice(const struct sky_model *model, int64_t number)
{
    struct sky_slice slice = {0};
    const struct sky_graph *graph = &model->graph;
    while (number >= graph->parameters[slice.parameter].slice_count) number -= graph->parameters[slice.parameter++].slice_count;
    const struct sky_parameter *parameter = &graph->parameters[slice.parameter];
    const struct sky_tensor *tensor = &graph->tensors[parameter->value];
    slice.index = (int)number;
    slice.name = parameter->slice_names[number];
    slice.count = tensor->count / parameter->slice_count;
    /* tensors of heads have the heads as their first dimension */
    const bool sliced = strncmp(slice.name, "classifier", 10) == 0;
    slice.rank = tensor->rank - sliced;
    for (int i = 0; i < slice.rank; i++) slice.dim[i] = tensor->dim[i + sliced];
    if (parameter->is_filter) {
        const int64_t krsc[4] = {slice.dim[0], slice.dim[1], slice.dim[2], slice.dim[3]};
        slice.dim[1] = krsc[3], slice.dim[2] = krsc[1], slice.dim[3] = krsc[2];
    }
    if (parameter->file_rank_2_as_4) slice.rank = 4, slice.dim[2] = slice.dim[3] = 1;
    return slice;
}

/* Index in the tensor (KRSC) of element i of the file's order (OIHW). */
static int64_t tensor_index(const struct sky_parameter *parameter, const struct sky_slice *slice, int64_t i)
{
    if (!parameter->is_filter) return i;
    const int64_t channels = slice->dim[1], rows = slice->dim[2], columns = slice->dim[3];
    const int64_t s = i % columns, r = i / columns % rows, c = i / (columns * rows) % channels, k = i / (columns * rows * channels);
    return ((k * rows + r) * columns + s) * channels + c;
}

void sky_slice_export(const struct sky_model *model, const struct sky_slice *slice, const void *tensor, float *out)
{
    const struct sky_parameter *parameter = &model->graph.parameters[slice->parameter];
    const int64_t start = slice->index * slice->count;
    const bool wide = model->graph.dtype == SKY_F64;
    for (int64_t i = 0; i < slice->count; i++) {
        const int64_t at = start + tensor_index(parameter, slice, i);
        out[i] = wide ? (float)((const double *)tensor)[at] : ((const float *)tensor)[at];
    }
}

void sky_slice_import(const struct sky_model *model, const struct sky_slice *slice, const float *in, void *tensor)
{
    const struct sky_parameter *parameter = &model->graph.parameters[slice->parameter];
    const int64_t start = slice->index * slice->count;
    const bool wide = model->graph.dtype == SKY_F64;
    for (int64_t i = 0; i < slice->count; i++) {
        const int64_t at = start + tensor_index(parameter, slice, i);
        if (wide) ((double *)tensor)[at] = in[i];
        else ((float *)tensor)[at] = in[i];
    }
}

void sky_slice_initial(const struct sky_model *model, const struct sky_slice *slice, uint64_t seed, float *out)
{
    const struct sky_parameter *parameter = &model->graph.parameters[slice->parameter];
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_INIT, sky_hash_name(slice->name), 0);
    double fan_out = (double)slice->dim[0];
    for (int i = 2; i < slice->rank; i++) fan_out *= (double)slice->dim[i];
    const double kaiming = sqrt(2 / fan_out), bound = parameter->deviation > 0 ? 1 / sqrt(parameter->deviation) : 0;
    for (int64_t i = 0; i < slice->count; i++) switch (parameter->init) {
        case SKY_INIT_CONSTANT: out[i] = (float)parameter->value_init; break;
        case SKY_INIT_NORMAL: out[i] = (float)(parameter->value_init + parameter->deviation * sky_rng_normal(&rng)); break;
        case SKY_INIT_KAIMING_FAN_OUT: out[i] = (float)(kaiming * sky_rng_normal(&rng)); break;
        case SKY_INIT_UNIFORM_FAN_IN: out[i] = (float)sky_rng_between(&rng, -bound, bound); break;
        }
}
