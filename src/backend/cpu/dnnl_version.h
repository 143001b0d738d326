/*
 * What oneDNN's v2 and v3 create differently; dnnl_v2.c or dnnl_v3.c implements it. A memory descriptor is passed as a plain pointer (v2: to the library's open
 * struct, v3: an opaque handle), valid as long as what it was asked from.
 */
#ifndef SKY_BACKEND_CPU_DNNL_VERSION_H
#define SKY_BACKEND_CPU_DNNL_VERSION_H

#include "dnnl.h"

#include <oneapi/dnnl/dnnl.h>

static inline dnnl_data_type_t sky_dnnl_type(const struct sky_dnnl_problem *problem, enum sky_dnnl_tensor tensor)
{
    if (!problem->int8 || tensor == SKY_DNNL_Y) return dnnl_f32;
    return tensor == SKY_DNNL_X ? dnnl_u8 : dnnl_s8;
}

/*
 * The layout of a number for each channel of y, [1,K,1,1], as int8's scales and bias have it; freed by sky_dnnl_plain_free. Both are binary operations behind the sum,
 * before the residual and ReLU: oneDNN 2.6 has no fast code for scales that are known only at execution.
 */
sky_status sky_dnnl_channels_make(const struct sky_dnnl_problem *problem, void **out);

/* Our own layouts: NHWC activations, KRSC filters; freed by sky_dnnl_plain_free. */
sky_status sky_dnnl_plain_make(const struct sky_dnnl_problem *problem, enum sky_dnnl_tensor tensor, void **out);
void sky_dnnl_plain_free(void *descriptor);

/* dnnl_unimplemented when the library has nothing for it. Scratch memory is the user's. */
dnnl_status_t sky_dnnl_describe_conv(dnnl_engine_t engine, const struct sky_dnnl_problem *problem, dnnl_primitive_desc_t *out);
dnnl_status_t sky_dnnl_describe_reorder(dnnl_engine_t engine, const void *from, const void *to, dnnl_primitive_desc_t *out);

#endif
