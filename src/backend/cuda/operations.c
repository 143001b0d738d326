/*
 * The CUDA back end's table of operations: what holds for each of them, around its family's own row (bind_*.c, conv*.c).
 */
#include "cuda.h"

#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

static const struct sky_operation *const rows[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) &sky_cuda_##name,
#include "ops/ops.def"
#undef SKY_OP
};

static const char *cuda_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    if (graph->dtype != SKY_F32) return "it computes in f32, with f32, bf16 or f16 maps";
    return rows[node->op]->supports ? rows[node->op]->supports(graph, node) : NULL;
}

static sky_status cuda_prepare(struct sky_kernel *kernel) { return rows[kernel->node->op]->prepare ? rows[kernel->node->op]->prepare(kernel) : SKY_OK; }

/* Each node is a range for profilers; options.wait blames a fault of the device on its node. */
static sky_status cuda_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    nvtxRangePushA(kernel->node->name);
    const sky_status status = rows[kernel->node->op]->run(kernel, run);
    nvtxRangePop();
    if (status != SKY_OK || !kernel->device->options.wait) return status;
    const cudaError_t error = cudaStreamSynchronize(sky_cuda_of(kernel)->stream);
    if (error == cudaSuccess) return SKY_OK;
    return sky_fail(SKY_DEVICE, kernel->node->name, "%s: %s", sky_op_name(kernel->node->op), cudaGetErrorString(error));
}

static sky_status cuda_share(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_operation *row = rows[kernel->node->op];
    return row->share ? row->share(kernel, run) : sky_fail(SKY_INTERNAL, kernel->node->name, "%s has no statistics to share", sky_op_name(kernel->node->op));
}

static void cuda_destroy(struct sky_kernel *kernel)
{
    if (rows[kernel->node->op]->destroy) rows[kernel->node->op]->destroy(kernel);
}

const struct sky_operation sky_cuda_operations[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc)                                                                                                               \
    [SKY_OP_##name] = {.supports = cuda_supports, .prepare = cuda_prepare, .run = cuda_run, .share = cuda_share, .destroy = cuda_destroy},
#include "ops/ops.def"
#undef SKY_OP
};
