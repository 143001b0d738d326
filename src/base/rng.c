/*
 * Philox4x32-10 and the few distributions drawn from it. Pure functions; no state, no allocation. See rng.h for what keys a draw.
 */
#include "rng.h"

#include <math.h>
#include <string.h>

void sky_philox_raw(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = (uint64_t)0xD2511F53u * c0, product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void sky_philox(uint64_t seed, enum sky_rng_purpose purpose, uint32_t a, uint32_t b, uint32_t index, uint32_t out[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {index, b, a, (uint32_t)purpose};
    sky_philox_raw(key, counter, out);
}

struct sky_rng sky_rng_make(uint64_t seed, enum sky_rng_purpose purpose, uint32_t a, uint32_t b)
{
    struct sky_rng rng;
    memset(&rng, 0, sizeof rng);
    rng.seed = seed, rng.purpose = purpose, rng.a = a, rng.b = b, rng.used = 4;
    return rng;
}

uint32_t sky_rng_u32(struct sky_rng *rng)
{
    if (rng->used == 4) {
        sky_philox(rng->seed, rng->purpose, rng->a, rng->b, rng->index++, rng->block);
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

double sky_rng_uniform(struct sky_rng *rng)
{
    const uint64_t high = sky_rng_u32(rng), low = sky_rng_u32(rng);
    return (double)((high << 21) | (low >> 11)) * 0x1p-53;
}

uint32_t sky_rng_below(struct sky_rng *rng, uint32_t n)
{
    const uint32_t limit = (uint32_t)(0x100000000ull % n); /* the lowest `limit` draws would come once too often */
    uint32_t draw;
    do draw = sky_rng_u32(rng);
    while (draw < limit);
    return draw % n;
}

double sky_rng_normal(struct sky_rng *rng)
{
    const double u = 1 - sky_rng_uniform(rng), v = sky_rng_uniform(rng); /* u in (0, 1] */
    return sqrt(-2 * log(u)) * cos(6.283185307179586476925 * v);
}

double sky_rng_between(struct sky_rng *rng, double low, double high)
{
    return low + (high - low) * sky_rng_uniform(rng);
}

uint32_t sky_hash_name(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}
