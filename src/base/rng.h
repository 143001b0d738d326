/*
 * Counter-based randomness: every number is a pure function of (seed, purpose, a, b, index), by Philox4x32-10 (Salmon et al., 2011).
 * There is no generator state to save, so a resume, another number of loader threads or another number of ranks cannot change a draw.
 * `a` and `b` say what is drawn for: (epoch, sample), (step, layer), (parameter hash, 0) ...
 */
#ifndef SKY_BASE_RNG_H
#define SKY_BASE_RNG_H

#include <stdint.h>

/* Never renumber: the values are part of what a seed means. */
enum sky_rng_purpose {
    SKY_RNG_INIT = 1,    /* a: hash of the parameter's name */
    SKY_RNG_SHUFFLE = 2, /* a: epoch */
    SKY_RNG_PICK = 3,    /* a: epoch, b: item in the epoch */
    SKY_RNG_AUGMENT = 4, /* a: epoch, b: item in the epoch * views + view */
    SKY_RNG_DROPOUT = 5, /* a: step, b: layer; index: element / 4 */
    SKY_RNG_SYNTH = 6,   /* a: place, b: what */
    SKY_RNG_TEST = 7,
    SKY_RNG_WEATHER = 9, /* a: element (image/weather.h), b: image of the set */
    SKY_RNG_SKETCH = 10  /* b: axis */
};

/* Four 32-bit numbers: Philox4x32-10 with key = seed and counter = (index, b, a, purpose). */
void sky_philox(uint64_t seed, enum sky_rng_purpose purpose, uint32_t a, uint32_t b, uint32_t index, uint32_t out[4]);

/* The raw bijection, for the published test vectors. */
void sky_philox_raw(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* Reads the numbers of one (seed, purpose, a, b) one after the other. A plain value: copy it, drop it. */
struct sky_rng {
    uint64_t seed;
    enum sky_rng_purpose purpose;
    uint32_t a, b, index, used, block[4];
};

struct sky_rng sky_rng_make(uint64_t seed, enum sky_rng_purpose purpose, uint32_t a, uint32_t b);
uint32_t sky_rng_u32(struct sky_rng *rng);
double sky_rng_uniform(struct sky_rng *rng);                        /* [0, 1), 53 random bits */
uint32_t sky_rng_below(struct sky_rng *rng, uint32_t n);            /* 0 .. n-1 without bias; n >= 1 */
double sky_rng_normal(struct sky_rng *rng);                         /* mean 0, standard deviation 1 (Box-Muller) */
double sky_rng_between(struct sky_rng *rng, double low, double high);

/* 32-bit hash of a name (FNV-1a), to key a parameter's initial values by its name and not by its order. */
uint32_t sky_hash_name(const char *name);

#endif
