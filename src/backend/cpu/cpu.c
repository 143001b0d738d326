/*
 * The CPU back end: opening, arenas (host memory in huge pages), plain copies, and the table of operations. Convolutions run on oneDNN, everything else on our
 * own OpenMP code. Single precision only.
 */
#include "cpu.h"

#include "backend/host.h"
#include "base/memory.h"

#include <stdlib.h>

static sky_status cpu_open(struct sky_device *device)
{
    struct sky_cpu *cpu = NULL;
    if (device->options.threads < 1) return sky_fail(SKY_INTERNAL, "cpu", "%d threads", device->options.threads);
    SKY_TRY(sky_alloc(&cpu, 1, sizeof *cpu, "the CPU back end"));
    const sky_status status = sky_dnnl_open(&cpu->dnnl, device->options.threads);
    if (status == SKY_OK) device->state = cpu;
    else free(cpu);
    return status;
}

static void cpu_close(struct sky_device *device)
{
    struct sky_cpu *cpu = device->state;
    if (!cpu) return;
    sky_dnnl_close(cpu->dnnl);
    free(cpu);
    device->state = NULL;
}

/* Each file of this folder gives its operations as rows; the back end's table goes through these four functions. */
static const struct sky_operation *const rows[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) &sky_cpu_##name,
#include "ops/ops.def"
#undef SKY_OP
};

static const char *cpu_supports(const struct sky_graph *graph, const struct sky_node *node)
{
    if (graph->dtype != SKY_F32 || graph->map_dtype != SKY_F32) return "it computes in f32 only";
    return rows[node->op]->run ? NULL : "it has no convolutions fused with batch norm (leave [device] fusion = auto)";
}

static sky_status cpu_prepare(struct sky_kernel *kernel)
{
    const struct sky_operation *row = rows[kernel->node->op];
    return row->prepare ? row->prepare(kernel) : SKY_OK;
}

static sky_status cpu_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return rows[kernel->node->op]->run(kernel, run);
}

/* All five operations that may be asked for it have it. */
static sky_status cpu_share(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return rows[kernel->node->op]->share(kernel, run);
}

static void cpu_destroy(struct sky_kernel *kernel)
{
    const struct sky_operation *row = rows[kernel->node->op];
    if (row->destroy) row->destroy(kernel);
}

static const struct sky_operation operations[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) [SKY_OP_##name] = {.supports = cpu_supports, .prepare = cpu_prepare, .run = cpu_run, .share = cpu_share, .destroy = cpu_destroy},
#include "ops/ops.def"
#undef SKY_OP
};

const struct sky_backend sky_backend_cpu = {
    .name = "cpu",
    .description = "oneDNN for convolutions, own OpenMP code for the rest, f32",
    .open = cpu_open,
    .close = cpu_close,
    .arena_alloc = sky_host_arena_alloc,
    .arena_free = sky_host_arena_free,
    .copy_in = sky_host_copy,
    .copy_out = sky_host_copy,
    .copy_within = sky_host_copy,
    .to_bf16 = sky_host_to_bf16,
    .from_bf16 = sky_host_from_bf16,
    .synchronize = sky_host_synchronize,
    .ceilings = sky_host_ceilings,
    .operations = operations,
};
