/*
 * cuBLAS's part of an opened device.
 */
#ifndef SKY_BACKEND_CUDA_CUBLAS_H
#define SKY_BACKEND_CUDA_CUBLAS_H

#include "cuda.h"

/* Fills cuda->cublas and cuda->cublas_workspace; after a failure close frees what was made. */
sky_status sky_cublas_open(struct sky_cuda *cuda, bool tf32);
void sky_cublas_close(struct sky_cuda *cuda);
/* Multiply-adds a second of a large square product with factors of this type, in the precision the handle was opened with. */
sky_status sky_cublas_rate(struct sky_cuda *cuda, enum sky_dtype type, double *out);
void sky_cublas_versions(char compiled[32], char loaded[32]);

#endif
