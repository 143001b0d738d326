/*
 * Safetensors files that carry two checksums in their metadata, of their data ("crc32c") and of everything else they say ("crc32c_header": names, types,
 * shapes, metadata), so that any damage is noticed: checkpoints, weights, indices.
 */
#ifndef SKY_IO_SEALED_H
#define SKY_IO_SEALED_H

#include "safetensors.h"

#include <stdbool.h>

/* Adds both checksums to the texts, checks the room on the disk (SKY_NOSPACE names need and have; `what` is "a checkpoint"), writes atomically. */
sky_status sky_sealed_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count,
                            const char *what);

/* Whether the open file has a checksum of its data. */
bool sky_sealed_is(const struct sky_safetensors *file);

/* SKY_FORMAT when a checksum is missing or wrong. data: read all of the data too, at about 2 GB/s; else only the header is checked. */
sky_status sky_sealed_verify(const struct sky_safetensors *file, bool data);

#endif
