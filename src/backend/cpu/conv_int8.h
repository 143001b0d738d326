/*
 * Convolutions of inference in 8-bit integers: faster than f32, right to about 1 %.
 */
#ifndef SKY_BACKEND_CPU_CONV_INT8_H
#define SKY_BACKEND_CPU_CONV_INT8_H

#include "cpu.h"

struct sky_conv_int8;

/*
 * For a CONV node; `problem` is what it is in f32. Fills the kernel's work_bytes and implementation. *out stays NULL, with SKY_OK, where the node is better left in
 * f32: int8 is not asked for, its input may be negative, or oneDNN has no fast code for the shape.
 */
sky_status sky_conv_int8_create(struct sky_kernel *kernel, const struct sky_dnnl_problem *problem, struct sky_conv_int8 **out);
sky_status sky_conv_int8_run(struct sky_conv_int8 *conv, const struct sky_kernel *kernel, const struct sky_run *run);
void sky_conv_int8_destroy(struct sky_conv_int8 *conv); /* may be NULL */

#endif
