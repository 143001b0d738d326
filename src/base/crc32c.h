/*
 * CRC-32C (Castagnoli), reflected, initial and final xor ~0: checkpoints, packs, event files. crc32c("123456789") = 0xe3069283.
 */
#ifndef SKY_BASE_CRC32C_H
#define SKY_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over more bytes. */
uint32_t sky_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
