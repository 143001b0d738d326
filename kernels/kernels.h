/*
 * The CUDA kernels' plain C face: one launcher an operation (or a pass of one). Each enqueues its kernels on `stream` and returns a cudaError_t as int, 0 when all is well; none
 * allocates, waits or prints. Pointers are device memory; tensors are NHWC and dense. Contracts: src/ops/ops.h, whose letters are used here. `map` is the element type of maps (f32, bf16,
 * f16); everything else is f32 unless said. Results do not depend on the number of multiprocessors: sums have a fixed order and no float is added atomically.
 *
 * The same sources are compiled by nvcc and, for tests, by the host's compiler (launch.cuh).
 */
#ifndef SKY_KERNELS_KERNELS_H
#define SKY_KERNELS_KERNELS_H

#include "base/dtype.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *sky_stream; /* cudaStream_t */

/* The text of a launcher's result. */
const char *sky_cuda_error_text(int error);

/* elementwise.cu */
int sky_cuda_add(sky_stream stream, enum sky_dtype type, const void *a, const void *b, void *y, int64_t count); /* y may be a or b */
int sky_cuda_cast(sky_stream stream, const float *x, enum sky_dtype type, void *y, int64_t count);            /* f32 to bf16 or f16, nearest even */
int sky_cuda_cast_accumulate(sky_stream stream, enum sky_dtype type, const void *x, float *y, int64_t count, bool accumulate); /* y = x, or y += x */

/* rows.cu */
int sky_cuda_repeat_rows(sky_stream stream, const float *row, float *y, int64_t heads, int64_t rows, int64_t columns); /* y [P,N,K] = row [P,K] */
int sky_cuda_sum_rows(sky_stream stream, const float *x, float *sum, int64_t heads, int64_t rows, int64_t columns, bool accumulate); /* sum [P,K] over N of x [P,N,K] */

#ifdef __cplusplus
}
#endif

#endif
