/*
 * The CUDA back end's own operations with their kernels run on the host: the same bindings, the same kernel sources. What NVIDIA's libraries compute (convolutions, matrix
 * products) is taken from the reference. Memory is the host's. Every device that is opened runs a block's threads in another order, so that a missing barrier shows as other bits.
 */
#include "host_backend.h"

#include "backend/cuda/cuda.h"
#include "backend/host.h"
#include "host_order.h"

#include <stdlib.h>

static sky_status host_open(struct sky_device *device)
{
    static unsigned opened;
    struct sky_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) return sky_fail(SKY_NOMEM, "cuda-host", "no memory");
    *cuda = (struct sky_cuda){.multiprocessors = 4, .workspace_cap = (size_t)1 << 30};
    device->state = cuda;
    host_exec_order(opened++); /* the first in natural order */
    return SKY_OK;
}

static void host_close(struct sky_device *device)
{
    free(device->state);
    device->state = NULL;
}

/* Weak: what no linked file defines is not implemented. */
#define SKY_OP(name, inputs, outputs, file, doc) extern const struct sky_operation sky_cuda_##name __attribute__((weak));
#include "ops/ops.def"
#undef SKY_OP

static const struct sky_operation *const own[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) &sky_cuda_##name,
#include "ops/ops.def"
#undef SKY_OP
};

static bool is_of_a_library(enum sky_op op)
{
    return op == SKY_OP_CONV || op == SKY_OP_CONV_DGRAD || op == SKY_OP_CONV_WGRAD || op == SKY_OP_LINEAR || op == SKY_OP_LINEAR_GRAD;
}

const struct sky_backend *host_cuda_backend(void)
{
    static struct sky_operation operations[SKY_OP_COUNT];
    static const struct sky_backend backend = {
        .name = "cuda-host",
        .description = "the CUDA back end's kernels on the host",
        .open = host_open,
        .close = host_close,
        .arena_alloc = sky_host_arena_alloc,
        .arena_free = sky_host_arena_free,
        .copy_in = sky_host_copy,
        .copy_out = sky_host_copy,
        .synchronize = sky_host_synchronize,
        .operations = operations,
    };
    for (int op = 0; op < SKY_OP_COUNT; op++) {
        if (is_of_a_library((enum sky_op)op)) operations[op] = sky_backend_ref.operations[op];
        else if (own[op]) operations[op] = *own[op];
    }
    return &backend;
}
