/*
 * Heap memory with a status instead of a NULL to forget, and the large blocks behind arenas (huge pages asked for).
 */
#ifndef SKY_BASE_MEMORY_H
#define SKY_BASE_MEMORY_H

#include "skygem/status.h"

#include <stddef.h>
#include <stdint.h>

/* count * size bytes, zeroed, in *out (a pointer to a pointer). SKY_NOMEM names `what`, the count and the size. */
sky_status sky_alloc(void *out, size_t count, size_t size, const char *what);

/* Grows *array (count items held, *capacity room) so that one more item fits. */
sky_status sky_grow(void *array, int64_t count, int64_t *capacity, size_t size, const char *what);

/* One large zeroed block, 2 MiB aligned, MADV_HUGEPAGE. Free with sky_block_free(block, bytes). */
sky_status sky_block_alloc(void **out, size_t bytes, const char *what);
void sky_block_free(void *block, size_t bytes);

/* a * b into *out; SKY_INTERNAL-free: returns 0 when the product does not fit, 1 when it does. */
int sky_multiply_size(size_t a, size_t b, size_t *out);

/* Peak resident memory of this process in bytes (VmHWM), 0 if unknown. */
size_t sky_memory_peak_bytes(void);

/* What this machine (and the control group this process is in) can still give without taking from others, in bytes; 0 if unknown. Pages of mapped files count as free. */
size_t sky_memory_available_bytes(void);

#endif
