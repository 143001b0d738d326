/*
 * cuBLAS, loaded when it is first wanted: merely linked, it costs every start of the program 0.2 GiB and a quarter of a second, also where there is no GPU. The rest of the CUDA
 * libraries cost next to nothing.
 */
#ifndef SKY_BACKEND_CUDA_CUBLAS_LIBRARY_H
#define SKY_BACKEND_CUDA_CUBLAS_LIBRARY_H

#include "skygem/status.h"

#include <cublas_v2.h>

/* The functions that are used, each with the type that its header gives it. */
struct sky_cublas_library {
    __typeof__(&cublasCreate_v2) create;
    __typeof__(&cublasDestroy_v2) destroy;
    __typeof__(&cublasSetStream_v2) set_stream;
    __typeof__(&cublasSetWorkspace_v2) set_workspace;
    __typeof__(&cublasSetMathMode) set_math_mode;
    __typeof__(&cublasSgemmStridedBatched) sgemm_strided_batched;
    __typeof__(&cublasGemmEx) gemm_ex;
    __typeof__(&cublasGetProperty) get_property;
    __typeof__(&cublasGetStatusString) status_string;
};

/* Stays loaded until the program ends. SKY_DEVICE when it is not there or lacks a function. */
sky_status sky_cublas_load(struct sky_cublas_library *out);

#endif
