/*
 * The back end "cuda-host": the CUDA back end's bindings and kernels, run by host_exec.
 */
#ifndef SKY_TESTS_HOST_BACKEND_H
#define SKY_TESTS_HOST_BACKEND_H

#include "backend/backend.h"

const struct sky_backend *host_cuda_backend(void);

#endif
