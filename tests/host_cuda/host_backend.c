/*
 * The CUDA back end's own operations with their kernels run on the host: the same bindings, the same kernel sources. Convolutions, which cuDNN computes, are
 * taken from the reference; matrix products, which cuBLAS computes, are plain loops. Memory is the host's. Every device that is opened runs a block's threads
 * in another order, so that a missing barrier shows as other bits.
 */
#include "host_backend.h"

#include "backend/cuda/bind_ranking.h"
#include "backend/cuda/product.h"
#include "backend/host.h"
#include "host_order.h"

#include <pthread.h>
#include <stdlib.h>

static sky_status host_open(struct sky_device *device)
{
    static unsigned opened;
    struct sky_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda) return sky_fail(SKY_NOMEM, "cuda-host", "no memory");
    *cuda = (struct sky_cuda){.workspace_cap = (size_t)1 << 30};
    device->state = cuda;
    host_exec_order(opened++); /* the first in natural order */
    return SKY_OK;
}

static void host_close(struct sky_device *device)
{
    free(device->state);
    device->state = NULL;
}

/* cuDNN's part. */
static sky_status reference_prepare(struct sky_kernel *kernel)
{
    return sky_backend_ref.operations[kernel->node->op].prepare(kernel);
}

static sky_status reference_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return sky_backend_ref.operations[kernel->node->op].run(kernel, run);
}

const struct sky_operation sky_cuda_CONV = {.prepare = reference_prepare, .run = reference_run};
const struct sky_operation sky_cuda_CONV_DGRAD = {.prepare = reference_prepare, .run = reference_run};
const struct sky_operation sky_cuda_CONV_WGRAD = {.prepare = reference_prepare, .run = reference_run};
const struct sky_operation sky_cuda_BN_CONV = {.prepare = reference_prepare, .run = reference_run};
const struct sky_operation sky_cuda_BN_CONV_DGRAD = {.prepare = reference_prepare, .run = reference_run};
const struct sky_operation sky_cuda_BN_CONV_WGRAD = {.prepare = reference_prepare, .run = reference_run};

static const struct sky_operation *const rows[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) &sky_cuda_##name,
#include "ops/ops.def"
#undef SKY_OP
};

sky_status sky_cuda_product(const struct sky_cuda *cuda, const char *where, const struct sky_product *p)
{
    (void)cuda, (void)where;
    for (int64_t i = 0; i < p->batch * p->rows * p->columns; i++) {
        const int64_t batch = i / (p->rows * p->columns), row = i / p->columns % p->rows, column = i % p->columns;
        const float *a = p->a + batch * p->rows * p->inner, *b = p->b + batch * p->inner * p->columns;
        const int64_t a_stride = p->a_stride ? p->a_stride : p->a_transposed ? p->rows : p->inner, b_stride = p->b_stride ? p->b_stride : p->b_transposed ? p->inner : p->columns;
        double sum = p->accumulate ? (double)p->c[i] : 0;
        for (int64_t k = 0; k < p->inner; k++)
            sum += (double)a[p->a_transposed ? k * a_stride + row : row * a_stride + k] * (double)b[p->b_transposed ? column * b_stride + k : k * b_stride + column];
        p->c[i] = (float)sum;
    }
    return SKY_OK;
}

static struct sky_operation operations[SKY_OP_COUNT];

static void fill_operations(void)
{
    for (int op = 0; op < SKY_OP_COUNT; op++) operations[op] = *rows[op];
}

const struct sky_backend *host_cuda_backend(void)
{
    static pthread_once_t filled = PTHREAD_ONCE_INIT; /* ranks may be threads */
    static const struct sky_backend backend = {
        .name = "cuda-host",
        .description = "the CUDA back end's kernels on the host",
        .open = host_open,
        .close = host_close,
        .arena_alloc = sky_host_arena_alloc,
        .arena_free = sky_host_arena_free,
        .copy_in = sky_host_copy,
        .copy_out = sky_host_copy,
        .copy_within = sky_host_copy,
        .synchronize = sky_host_synchronize,
        .ceilings = sky_host_ceilings,
        .count_keys = sky_cuda_rank,
        .top_keys = sky_cuda_top,
        .operations = operations,
    };
    pthread_once(&filled, fill_operations);
    return &backend;
}
