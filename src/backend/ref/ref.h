/*
 * What the reference kernels share: a view of one tensor that reads and writes doubles whatever the stored type, so that every kernel is written once and runs
 * in f64, f32 and with bf16 or f16 maps.
 *
 * All arithmetic is double; a result is rounded once, when it is stored. One thread, no vector code, no private layouts: these files are the specification that
 * the other back ends are judged by. Views own nothing.
 */
#ifndef SKY_BACKEND_REF_REF_H
#define SKY_BACKEND_REF_REF_H

#include "backend/backend.h"

#include <math.h>

struct ref_tensor {
    void *data; /* NULL: the optional tensor is absent */
    enum sky_dtype dtype;
    const int64_t *dim; /* [SKY_MAX_RANK], 1 beyond the rank */
    int64_t count;
};

static inline struct ref_tensor ref_view(const struct sky_graph *graph, sky_value value, void *data)
{
    const struct sky_tensor *tensor = sky_graph_get(graph, value);
    if (!tensor) return (struct ref_tensor){0};
    return (struct ref_tensor){.data = data, .dtype = tensor->dtype, .dim = tensor->dim, .count = tensor->count};
}

static inline struct ref_tensor ref_in(const struct sky_kernel *kernel, const struct sky_run *run, int index)
{
    return ref_view(kernel->graph, kernel->node->in[index], run->in[index]);
}

static inline struct ref_tensor ref_out(const struct sky_kernel *kernel, const struct sky_run *run, int index)
{
    return ref_view(kernel->graph, kernel->node->out[index], run->out[index]);
}

static inline double ref_get(const struct ref_tensor *tensor, int64_t index)
{
    switch (tensor->dtype) {
    case SKY_F64: return ((const double *)tensor->data)[index];
    case SKY_BF16: return (double)sky_bf16_to_float(((const uint16_t *)tensor->data)[index]);
    case SKY_F16: return (double)sky_half_to_float(((const uint16_t *)tensor->data)[index]);
    default: return (double)((const float *)tensor->data)[index];
    }
}

static inline void ref_set(const struct ref_tensor *tensor, int64_t index, double value)
{
    switch (tensor->dtype) {
    case SKY_F64: ((double *)tensor->data)[index] = value; break;
    case SKY_BF16: ((uint16_t *)tensor->data)[index] = sky_float_to_bf16((float)value); break;
    case SKY_F16: ((uint16_t *)tensor->data)[index] = sky_float_to_half((float)value); break;
    default: ((float *)tensor->data)[index] = (float)value;
    }
}

/* For GRADS outputs: adds when the run accumulates; does nothing when the output is not wanted. */
static inline void ref_put(const struct ref_tensor *tensor, int64_t index, double value, bool accumulate)
{
    if (tensor->data) ref_set(tensor, index, accumulate ? ref_get(tensor, index) + value : value);
}

/* NaN stays NaN, so that a broken step is seen. */
static inline double ref_relu(double value)
{
    return value < 0 ? 0 : value;
}

/* Copies a tensor into doubles, for kernels that read it often. */
static inline void ref_load(double *to, const struct ref_tensor *from)
{
    for (int64_t i = 0; i < from->count; i++) to[i] = ref_get(from, i);
}

/* running = (1 - momentum) running + momentum statistic, the variance unbiased. */
static inline void ref_update_running(const struct ref_tensor *running_mean, const struct ref_tensor *running_var, int64_t index, double momentum, double mean, double squares,
                                      double positions)
{
    ref_set(running_mean, index, (1 - momentum) * ref_get(running_mean, index) + momentum * mean);
    ref_set(running_var, index, (1 - momentum) * ref_get(running_var, index) + momentum * squares / (positions - 1));
}

/* Scratch of the three families that want any; 0 for other operations. */
size_t ref_conv_work_bytes(const struct sky_kernel *kernel);
size_t ref_se_work_bytes(const struct sky_kernel *kernel);
size_t ref_similarity_work_bytes(const struct sky_kernel *kernel);

/* One function a row of ops.def: ref_CONV, ref_CONV_DGRAD, ... */
#define SKY_OP(name, inputs, outputs, file, doc) sky_status ref_##name(const struct sky_kernel *kernel, const struct sky_run *run);
#include "ops/ops.def"
#undef SKY_OP

#endif
