/*
 * SHA-256 (FIPS 180-4): names of weights files carry its first digits. sha256("abc") = ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61
 * f20015ad.
 */
#ifndef SKY_BASE_SHA256_H
#define SKY_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sky_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    unsigned char block[64];
};

void sky_sha256_begin(struct sky_sha256 *sha);
void sky_sha256_add(struct sky_sha256 *sha, const void *bytes, size_t count);
void sky_sha256_end(struct sky_sha256 *sha, char hex[65]); /* lower case, NUL behind it */

#endif
