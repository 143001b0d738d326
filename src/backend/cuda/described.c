/*
 * The CUDA back end for a GPU that is only described: graphs are prepared as on that GPU (which types and operations it takes, cuDNN's engines, scratch
 * memory), with no driver and no memory; nothing can run. Owns the plans it makes; the description is the caller's.
 */
#include "backend/with_cuda.h"
#include "cuda.h"
#include "cudnn_plan.h"

#include "base/memory.h"

#include <dlfcn.h>
#include <stdlib.h>

static void described_close(struct sky_device *device)
{
    struct sky_cuda *cuda = device->state;
    if (!cuda) return;
    sky_plan_cache_close(cuda->plans);
    free(cuda);
    device->state = NULL;
}

/* cuDNN loads the driver's library for plans that it compiles, and says there are none where it cannot. The toolkit's stub, loaded before, goes by the same
 * name; it is never unloaded, since cuDNN keeps it. */
static void load_driver(void)
{
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) dlopen(SKY_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL); /* without a stub its name is empty: nothing more is loaded */
}

static sky_status described_open(struct sky_device *device)
{
    const struct sky_device_options *options = &device->options;
    const struct sky_plan_rules rules = {
        .deterministic = options->deterministic, .tf32 = options->tf32, .winograd = options->winograd, .workspace_cap = SKY_PLAN_WORKSPACE_CAP};
    struct sky_cuda *cuda = NULL;
    SKY_TRY(sky_alloc(&cuda, 1, sizeof *cuda, "a described device"));
    device->state = cuda;
    load_driver();
    cuda->workspace_cap = SKY_PLAN_WORKSPACE_CAP;
    const sky_status status = sky_plan_cache_describe(&cuda->plans, options->description, &rules);
    if (status != SKY_OK) described_close(device);
    return status;
}

static sky_status described_alloc(struct sky_device *device, size_t bytes, const char *what, void **out)
{
    (void)device, (void)bytes, (void)what;
    *out = NULL;
    return SKY_OK;
}

/* Nodes upload their tables when they are prepared: here to nowhere. */
static sky_status described_copy_in(struct sky_device *device, void *to, const void *from_host, size_t bytes)
{
    (void)device, (void)to, (void)from_host, (void)bytes;
    return SKY_OK;
}

static sky_status described_synchronize(struct sky_device *device)
{
    (void)device;
    return SKY_OK;
}

const struct sky_backend *sky_cuda_described_backend(void)
{
    static const struct sky_backend backend = {.name = "cuda",
                                               .description = "a GPU that is only described",
                                               .open = described_open,
                                               .close = described_close,
                                               .arena_alloc = described_alloc,
                                               .copy_in = described_copy_in,
                                               .synchronize = described_synchronize,
                                               .operations = sky_cuda_operations};
    return &backend;
}
