/*
 * What oneDNN's v2 and v3 create differently; dnnl_v2.c or dnnl_v3.c implements it. A memory descriptor is passed as a plain pointer (v2: to the library's open
 * struct, v3: an opaque handle), valid as long as what it was asked from.
 */
#ifndef SKY_BACKEND_CPU_DNNL_VERSION_H
#define SKY_BACKEND_CPU_DNNL_VERSION_H

#include "dnnl.h"

#include <oneapi/dnnl/dnnl.h>

/* Our own layouts: NHWC activations, KRSC filters; freed by sky_dnnl_plain_free. */
sky_status sky_dnnl_plain_make(const struct sky_dnnl_problem *problem, enum sky_dnnl_tensor tensor, void **out);
void sky_dnnl_plain_free(void *descriptor);

/* dnnl_unimplemented when the library has nothing for it. Scratch memory is the user's. */
dnnl_status_t sky_dnnl_describe_conv(dnnl_engine_t engine, const struct sky_dnnl_problem *problem, dnnl_primitive_desc_t *out);
dnnl_status_t sky_dnnl_describe_reorder(dnnl_engine_t engine, const void *from, const void *to, dnnl_primitive_desc_t *out);

#endif
