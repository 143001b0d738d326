/*
 * Memory services of back ends that compute in the host's own memory: arenas in huge pages, copies by memcpy, nothing to wait for.
 */
#ifndef SKY_BACKEND_HOST_H
#define SKY_BACKEND_HOST_H

#include "backend.h"

sky_status sky_host_arena_alloc(struct sky_device *device, size_t bytes, const char *what, void **out);
void sky_host_arena_free(struct sky_device *device, void *memory, size_t bytes);
sky_status sky_host_copy(struct sky_device *device, void *to, const void *from, size_t bytes);
sky_status sky_host_to_bf16(struct sky_device *device, uint16_t *to, const float *from, int64_t count);
sky_status sky_host_from_bf16(struct sky_device *device, float *to, const uint16_t *from, int64_t count);
sky_status sky_host_synchronize(struct sky_device *device);
sky_status sky_host_ceilings(struct sky_device *device, enum sky_dtype map_dtype, struct sky_ceilings *out);

#endif
