/*
 * One launch spelling for two compilers. nvcc turns SKY_LAUNCH into a kernel launch; the host's C++ compiler runs the same kernel source on the CPU (tests/host_cuda), one
 * fiber a thread, so that kernels are tested and sanitized without a GPU. For that, kernels take shared memory through SKY_DYNAMIC_SHARED alone.
 */
#pragma once

#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define SKY_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define SKY_DYNAMIC_SHARED(type, name)                          \
    extern __shared__ __align__(16) unsigned char name##_raw[]; \
    type *name = reinterpret_cast<type *>(name##_raw)
#else
#include "host_exec.h"
#endif
