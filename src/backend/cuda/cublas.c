/*
 * cuBLAS: its handle with a workspace of our own (so that the same product gives the same bits whatever ran before) and the one product that heads and similarity need. True f32
 * unless the device was opened with tf32.
 */
#include "cublas.h"

#include "product.h"

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <limits.h>
#include <stdio.h>

enum { WORKSPACE_BYTES = 32 << 20 };

static sky_status check(cublasStatus_t status, const char *where, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS) return SKY_OK;
    return sky_fail(SKY_DEVICE, where, "%s: cuBLAS: %s", what, cublasGetStatusString(status));
}

sky_status sky_cublas_open(struct sky_cuda *cuda, bool tf32)
{
    SKY_TRY(check(cublasCreate(&cuda->cublas), "cuda", "cublasCreate"));
    const cudaError_t error = cudaMalloc(&cuda->cublas_workspace, WORKSPACE_BYTES);
    if (error != cudaSuccess) return sky_fail(SKY_DEVICE, "cuda", "a workspace of %d MiB: %s", WORKSPACE_BYTES >> 20, cudaGetErrorString(error));
    SKY_TRY(check(cublasSetStream(cuda->cublas, cuda->stream), "cuda", "cublasSetStream"));
    SKY_TRY(check(cublasSetWorkspace(cuda->cublas, cuda->cublas_workspace, WORKSPACE_BYTES), "cuda", "cublasSetWorkspace"));
    return check(cublasSetMathMode(cuda->cublas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH), "cuda", "cublasSetMathMode");
}

void sky_cublas_close(struct sky_cuda *cuda)
{
    if (cuda->cublas) cublasDestroy(cuda->cublas);
    cudaFree(cuda->cublas_workspace);
    cuda->cublas = NULL, cuda->cublas_workspace = NULL;
}

void sky_cublas_versions(char compiled[32], char loaded[32])
{
    int part[3] = {0, 0, 0};
    for (int i = 0; i < 3; i++) cublasGetProperty((libraryPropertyType)(MAJOR_VERSION + i), &part[i]);
    snprintf(compiled, 32, "%d.%d.%d", CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH);
    snprintf(loaded, 32, "%d.%d.%d", part[0], part[1], part[2]);
}

/* cuBLAS counts columns first: what is row-major [r, c] here is [c, r] to it, so it computes the transposed product with the factors exchanged. */
sky_status sky_cuda_product(const struct sky_cuda *cuda, const char *where, const struct sky_product *p)
{
    const float one = 1, beta = p->accumulate ? 1 : 0;
    if (p->rows > INT_MAX || p->columns > INT_MAX || p->inner > INT_MAX || p->batch > INT_MAX)
        return sky_fail(SKY_UNSUPPORTED, where, "a matrix product with more than %d rows or columns", INT_MAX);
    const int a_step = (int)(p->a_transposed ? p->rows : p->inner), b_step = (int)(p->b_transposed ? p->inner : p->columns);
    return check(cublasSgemmStridedBatched(cuda->cublas, p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->columns, (int)p->rows,
                                           (int)p->inner, &one, p->b, b_step, p->inner * p->columns, p->a, a_step, p->rows * p->inner, &beta, p->c, (int)p->columns,
                                           p->rows * p->columns, (int)p->batch),
                 where, "a matrix product");
}
