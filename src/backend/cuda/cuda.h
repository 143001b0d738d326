/*
 * What the files of the CUDA back end share. No CUDA header is needed here: files that only call launchers (bind_*.c) are also compiled for the tests that run
 * kernels on the host.
 */
#ifndef SKY_BACKEND_CUDA_CUDA_H
#define SKY_BACKEND_CUDA_CUDA_H

#include "backend/backend.h"
#include "kernels.h"

struct cudnnContext;
struct cublasContext;
struct sky_cublas_library; /* cublas_library.h */
struct sky_plan_cache;     /* cudnn_plan.h */

/* An opened device (sky_device.state). */
struct sky_cuda {
    sky_stream stream;                         /* everything runs here, in order */
    sky_stream copies;                         /* batches on their way (staging) */
    struct CUevent_st *filled[2], *used[2];    /* cudaEvent_t, by slot */
    struct CUevent_st *reported[2];            /* likewise: a step's results have been copied back */
    struct cudnnContext *cudnn;                /* cudnnHandle_t */
    struct cublasContext *cublas;              /* cublasHandle_t */
    struct sky_cublas_library *cublas_library; /* its functions */
    void *cublas_workspace;
    struct sky_plan_cache *plans; /* convolutions planned so far */
    bool tf32;                    /* f32 products may round their factors to 10 bits */
    size_t workspace_cap;         /* most scratch that a convolution or a product may ask for */
    struct CUevent_st **marks; /* [mark_count] cudaEvent_t, made when first wanted */
    int64_t mark_count;
};

static inline struct sky_cuda *sky_cuda_of(const struct sky_kernel *kernel) { return kernel->device->state; }

static inline const struct sky_tensor *sky_cuda_in(const struct sky_kernel *kernel, int index) { return sky_graph_get(kernel->graph, kernel->node->in[index]); }

static inline const struct sky_tensor *sky_cuda_out(const struct sky_kernel *kernel, int index)
{
    return sky_graph_get(kernel->graph, kernel->node->out[index]);
}

/* Which half of a statistic over several ranks a run is. */
static inline struct sky_cuda_share sky_cuda_share_of(const struct sky_run *run) { return (struct sky_cuda_share){run->mine, run->all, run->all ? run->ranks : 1}; }

/* A launcher's result as a status that names the node. */
sky_status sky_cuda_launched(const struct sky_kernel *kernel, int error);

/* The whole table (operations.c). */
extern const struct sky_operation sky_cuda_operations[SKY_OP_COUNT];

/* The back end's to_bf16 and from_bf16. */
sky_status sky_cuda_to_bf16(struct sky_device *device, uint16_t *to, const float *from, int64_t count);
sky_status sky_cuda_from_bf16(struct sky_device *device, float *to, const uint16_t *from, int64_t count);

/* One row an operation of ops.def, each in its family's file. */
#define SKY_OP(name, inputs, outputs, file, doc) extern const struct sky_operation sky_cuda_##name;
#include "ops/ops.def"
#undef SKY_OP

#endif
