/*
 * The services of host.h. They keep nothing: an arena belongs to the executor that asked for it.
 */
#include "host.h"

#include "base/memory.h"

#include <string.h>

sky_status sky_host_arena_alloc(struct sky_device *device, size_t bytes, const char *what, void **out)
{
    (void)device;
    return sky_block_alloc(out, bytes, what);
}

void sky_host_arena_free(struct sky_device *device, void *memory, size_t bytes)
{
    (void)device;
    sky_block_free(memory, bytes);
}

sky_status sky_host_copy(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    memcpy(to, from, bytes);
    return SKY_OK;
}

sky_status sky_host_to_bf16(struct sky_device *device, uint16_t *to, const float *from, int64_t count)
{
    (void)device;
    for (int64_t i = 0; i < count; i++) to[i] = sky_float_to_bf16(from[i]);
    return SKY_OK;
}

sky_status sky_host_from_bf16(struct sky_device *device, float *to, const uint16_t *from, int64_t count)
{
    (void)device;
    for (int64_t i = 0; i < count; i++) to[i] = sky_bf16_to_float(from[i]);
    return SKY_OK;
}

sky_status sky_host_synchronize(struct sky_device *device)
{
    (void)device;
    return SKY_OK;
}

sky_status sky_host_ceilings(struct sky_device *device, enum sky_dtype map_dtype, struct sky_ceilings *out)
{
    (void)map_dtype;
    return sky_ceilings_measure(device->options.threads, out);
}
