/*
 * Looks for the library as the loader would, then where it was when the program was built.
 */
#include "cublas_library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset; /* in struct sky_cublas_library */
} functions[] = {
    {"cublasCreate_v2", offsetof(struct sky_cublas_library, create)},
    {"cublasDestroy_v2", offsetof(struct sky_cublas_library, destroy)},
    {"cublasSetStream_v2", offsetof(struct sky_cublas_library, set_stream)},
    {"cublasSetWorkspace_v2", offsetof(struct sky_cublas_library, set_workspace)},
    {"cublasSetMathMode", offsetof(struct sky_cublas_library, set_math_mode)},
    {"cublasSgemmStridedBatched", offsetof(struct sky_cublas_library, sgemm_strided_batched)},
    {"cublasGemmEx", offsetof(struct sky_cublas_library, gemm_ex)},
    {"cublasGetProperty", offsetof(struct sky_cublas_library, get_property)},
    {"cublasGetStatusString", offsetof(struct sky_cublas_library, status_string)},
};

sky_status sky_cublas_load(struct sky_cublas_library *out)
{
    char name[32];
    snprintf(name, sizeof name, "libcublas.so.%d", CUBLAS_VER_MAJOR);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen(SKY_CUBLAS_FILE, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        sky_fail(SKY_DEVICE, name, "cannot be loaded: %s", dlerror());
        return sky_hint("install cuBLAS %d.x (part of the CUDA toolkit), or name its folder in LD_LIBRARY_PATH", CUBLAS_VER_MAJOR);
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function) return sky_fail(SKY_DEVICE, name, "has no function %s", functions[i].name);
        memcpy((char *)out + functions[i].offset, &function, sizeof function);
    }
    return SKY_OK;
}
