/*
 * Element types of tensors and files: sizes, names, half precision and bfloat16 to single and back. f64 exists for the reference back end and its gradient checks.
 */
#ifndef SKY_BASE_DTYPE_H
#define SKY_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum sky_dtype { SKY_F32, SKY_F64, SKY_BF16, SKY_F16, SKY_U8, SKY_I32, SKY_I64, SKY_DTYPE_COUNT };

size_t sky_dtype_bytes(enum sky_dtype dtype);
const char *sky_dtype_name(enum sky_dtype dtype); /* "f32", ... */
float sky_half_to_float(uint16_t half);            /* IEEE binary16; exact */
uint16_t sky_float_to_half(float value);           /* nearest, ties to even; overflow is infinite, NaN stays NaN */
float sky_bf16_to_float(uint16_t bits);            /* exact */
uint16_t sky_float_to_bf16(float value);           /* nearest, ties to even; NaN stays NaN */

#endif
