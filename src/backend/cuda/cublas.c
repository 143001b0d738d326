/*
 * cuBLAS: its handle with a workspace of our own (so that the same product gives the same bits whatever ran before) and the one product that heads and
 * similarity need. True f32 unless the device was opened with tf32.
 */
#include "cublas.h"

#include "cublas_library.h"
#include "product.h"

#include "base/memory.h"

#include <cuda_runtime.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKSPACE_BYTES = 32 << 20 };

static sky_status check(const struct sky_cuda *cuda, cublasStatus_t status, const char *where, const char *what)
{
    if (status == CUBLAS_STATUS_SUCCESS) return SKY_OK;
    return sky_fail(SKY_DEVICE, where, "%s: cuBLAS: %s", what, cuda->cublas_library->status_string(status));
}

sky_status sky_cublas_open(struct sky_cuda *cuda, bool tf32)
{
    cuda->tf32 = tf32;
    SKY_TRY(sky_alloc(&cuda->cublas_library, 1, sizeof *cuda->cublas_library, "cuBLAS"));
    SKY_TRY(sky_cublas_load(cuda->cublas_library));
    SKY_TRY(check(cuda, cuda->cublas_library->create(&cuda->cublas), "cuda", "cublasCreate"));
    const cudaError_t error = cudaMalloc(&cuda->cublas_workspace, WORKSPACE_BYTES);
    if (error != cudaSuccess) return sky_fail(SKY_DEVICE, "cuda", "a workspace of %d MiB: %s", WORKSPACE_BYTES >> 20, cudaGetErrorString(error));
    SKY_TRY(check(cuda, cuda->cublas_library->set_stream(cuda->cublas, cuda->stream), "cuda", "cublasSetStream"));
    SKY_TRY(check(cuda, cuda->cublas_library->set_workspace(cuda->cublas, cuda->cublas_workspace, WORKSPACE_BYTES), "cuda", "cublasSetWorkspace"));
    return check(cuda, cuda->cublas_library->set_math_mode(cuda->cublas, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH), "cuda", "cublasSetMathMode");
}

void sky_cublas_close(struct sky_cuda *cuda)
{
    if (cuda->cublas) cuda->cublas_library->destroy(cuda->cublas);
    cudaFree(cuda->cublas_workspace);
    free(cuda->cublas_library);
    cuda->cublas = NULL, cuda->cublas_workspace = NULL, cuda->cublas_library = NULL;
}

void sky_cublas_versions(char compiled[32], char loaded[32])
{
    struct sky_cublas_library library;
    int part[3] = {0, 0, 0};
    snprintf(compiled, 32, "%d.%d.%d", CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH);
    snprintf(loaded, 32, "none");
    if (sky_cublas_load(&library) != SKY_OK) return;
    for (int i = 0; i < 3; i++) library.get_property((libraryPropertyType)(MAJOR_VERSION + i), &part[i]);
    snprintf(loaded, 32, "%d.%d.%d", part[0], part[1], part[2]);
}

enum { RATE_SIZE = 8192, RATE_RUNS = 10 };

/* On zeros a GPU may clock higher than on data, so the factors are filled with a byte pattern that is a small finite number in every type. */
static sky_status measure_rate(struct sky_cuda *cuda, cudaDataType type, void *const matrix[3], cudaEvent_t const event[2], double *out)
{
    const float one = 1, zero = 0;
    float ms = 0;
    for (int run = -3; run < RATE_RUNS; run++) {
        if (run == 0) cudaEventRecord(event[0], cuda->stream);
        const cublasComputeType_t compute = type == CUDA_R_32F && cuda->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
        SKY_TRY(check(cuda,
                      cuda->cublas_library->gemm_ex(cuda->cublas, CUBLAS_OP_T, CUBLAS_OP_N, RATE_SIZE, RATE_SIZE, RATE_SIZE, &one, matrix[0], type, RATE_SIZE,
                                                    matrix[1], type, RATE_SIZE, &zero, matrix[2], type, RATE_SIZE, compute, CUBLAS_GEMM_DEFAULT),
                      "cuda", "a matrix product"));
    }
    cudaEventRecord(event[1], cuda->stream);
    const cudaError_t error = cudaEventSynchronize(event[1]);
    if (error != cudaSuccess) return sky_fail(SKY_DEVICE, "cuda", "a matrix product: %s", cudaGetErrorString(error));
    cudaEventElapsedTime(&ms, event[0], event[1]);
    *out = (double)RATE_SIZE * RATE_SIZE * RATE_SIZE * RATE_RUNS / (ms * 1e-3);
    return SKY_OK;
}

sky_status sky_cublas_rate(struct sky_cuda *cuda, enum sky_dtype type, double *out)
{
    const size_t bytes = (size_t)RATE_SIZE * RATE_SIZE * sky_dtype_bytes(type);
    void *matrix[3] = {NULL, NULL, NULL};
    cudaEvent_t event[2] = {NULL, NULL};
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < 3 && error == cudaSuccess; i++) error = cudaMalloc(&matrix[i], bytes);
    for (int i = 0; i < 3 && error == cudaSuccess; i++) error = cudaMemsetAsync(matrix[i], 0x3c, bytes, cuda->stream);
    for (int i = 0; i < 2 && error == cudaSuccess; i++) error = cudaEventCreate(&event[i]);
    sky_status status = error == cudaSuccess ? SKY_OK : sky_fail(SKY_DEVICE, "cuda", "a benchmark of %zu MiB: %s", 3 * bytes >> 20, cudaGetErrorString(error));
    if (status == SKY_OK) status = measure_rate(cuda, type == SKY_BF16 ? CUDA_R_16BF : type == SKY_F16 ? CUDA_R_16F : CUDA_R_32F, matrix, event, out);
    cudaStreamSynchronize(cuda->stream);
    for (int i = 0; i < 3; i++) cudaFree(matrix[i]);
    for (int i = 0; i < 2; i++)
        if (event[i]) cudaEventDestroy(event[i]);
    return status;
}

/* cuBLAS counts columns first: what is row-major [r, c] here is [c, r] to it, so it computes the transposed product with the factors exchanged. */
sky_status sky_cuda_product(const struct sky_cuda *cuda, const char *where, const struct sky_product *p)
{
    const float one = 1, beta = p->accumulate ? 1 : 0;
    if (p->rows > INT_MAX || p->columns > INT_MAX || p->inner > INT_MAX || p->batch > INT_MAX)
        return sky_fail(SKY_UNSUPPORTED, where, "a matrix product with more than %d rows or columns", INT_MAX);
    const int a_step = (int)(p->a_stride       ? p->a_stride
                             : p->a_transposed ? p->rows
                                               : p->inner),
              b_step = (int)(p->b_stride       ? p->b_stride
                             : p->b_transposed ? p->inner
                                               : p->columns);
    return check(cuda,
                 cuda->cublas_library->sgemm_strided_batched(cuda->cublas, p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                                                             p->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, (int)p->columns, (int)p->rows, (int)p->inner, &one,
                                                             p->b, b_step, p->inner * p->columns, p->a, a_step, p->rows * p->inner, &beta, p->c,
                                                             (int)p->columns, p->rows * p->columns, (int)p->batch),
                 where, "a matrix product");
}
