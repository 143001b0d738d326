/*
 * The CUDA back end as seen by a program that may have been built without it: one of cuda/device.c and without_cuda.c is compiled.
 */
#ifndef SKY_BACKEND_WITH_CUDA_H
#define SKY_BACKEND_WITH_CUDA_H

#include "backend.h"

/* NULL in a program built without CUDA. */
const struct sky_backend *sky_cuda_backend(void);
/* The same for a GPU that is only described (options.description): graphs are prepared, nothing can run. */
const struct sky_backend *sky_cuda_described_backend(void);

/* SKY_OK when device `index` can be used now; else SKY_DEVICE with the reason: not compiled in, no driver, an older driver, no such device, one too old. */
sky_status sky_cuda_find(int index);

/* The libraries compiled and loaded, for reports: CUDA run time, driver, cuDNN, cuBLAS; 0 of them in a program built without CUDA. */
struct sky_cuda_library {
    const char *name, *file; /* "cuDNN", "libcudnn": how its file's name begins */
    char compiled[32], loaded[32];
};
int sky_cuda_libraries(struct sky_cuda_library out[4]);

/* "NVIDIA H200, sm_90, 139.8 GiB"; false when there is no device of this index. */
bool sky_cuda_describe(int index, char out[160]);

#endif
