/*
 * The reference back end's table: plain host memory, one function an operation (all of them: a missing one does not link), nothing to prepare but some scratch.
 */
#include "ref.h"

#include "backend/host.h"

#include <stdio.h>

static sky_status ref_open(struct sky_device *device)
{
    device->state = NULL;
    return SKY_OK;
}

static void ref_close(struct sky_device *device)
{
    (void)device;
}

static const char *ref_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    (void)node;
    return graph->dtype == SKY_F32 || graph->dtype == SKY_F64 ? NULL : "the reference back end computes in f32 and f64 only";
}

static sky_status ref_prepare(struct sky_kernel *kernel)
{
    kernel->work_bytes = ref_conv_work_bytes(kernel) + ref_se_work_bytes(kernel) + ref_similarity_work_bytes(kernel);
    snprintf(kernel->implementation, sizeof kernel->implementation, "ref");
    return SKY_OK;
}

static const struct sky_operation ref_operations[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) [SKY_OP_##name] = {.supports = ref_supports, .prepare = ref_prepare, .run = ref_##name},
#include "ops/ops.def"
#undef SKY_OP
};

const struct sky_backend sky_backend_ref = {
    .name = "ref",
    .description = "plain C, double accumulation, f32 and f64",
    .open = ref_open,
    .close = ref_close,
    .arena_alloc = sky_host_arena_alloc,
    .arena_free = sky_host_arena_free,
    .copy_in = sky_host_copy,
    .copy_out = sky_host_copy,
    .copy_within = sky_host_copy,
    .to_bf16 = sky_host_to_bf16,
    .from_bf16 = sky_host_from_bf16,
    .synchronize = sky_host_synchronize,
    .ceilings = sky_host_ceilings,
    .operations = ref_operations,
};
