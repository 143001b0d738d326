/*
 * Two loops: fused multiply-adds on independent vectors that never leave the registers, and a triad over three large arrays. The best of several runs is taken, since a
 * ceiling is what the machine reaches when nothing disturbs it.
 */
#include "ceilings.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdint.h>

/* As wide as the processor's registers, which is what compilers align the largest things to: wider ones would be kept in memory. */
enum { LANES = __BIGGEST_ALIGNMENT__ / sizeof(float) };
typedef float lanes __attribute__((vector_size(__BIGGEST_ALIGNMENT__)));

enum { CHAINS = 12, ROUNDS = 400000, RUNS = 5 };

/* 12 chains: enough to hide the latency of two FMA units. Returns a value so that nothing is optimised away. */
static __attribute__((noinline)) float multiply_in_registers(float seed)
{
    lanes sum[CHAINS], scale = {0}, shift = {0};
    scale += 0.999f, shift += 1e-3f * seed;
    for (int c = 0; c < CHAINS; c++) sum[c] = shift + (float)c;
    for (int round = 0; round < ROUNDS; round++)
        for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * scale + shift;
    lanes all = sum[0];
    for (int c = 1; c < CHAINS; c++) all += sum[c];
    float result = 0;
    for (int i = 0; i < LANES; i++) result += all[i];
    return result;
}

static double measure_arithmetic(int threads)
{
    double best = 0;
    for (int run = 0; run < RUNS; run++) {
        float sink = 0;
        const double start = sky_now();
#pragma omp parallel num_threads(threads) reduction(+ : sink)
        sink += multiply_in_registers((float)run);
        const double rate = (double)threads * ROUNDS * CHAINS * LANES / (sky_now() - start);
        if (rate > best && sink != 0) best = rate; /* sink is never zero; reading it keeps the work */
    }
    return best;
}

static sky_status measure_memory(int threads, double *out)
{
    const int64_t count = (int64_t)32 << 20; /* 128 MiB an array */
    const size_t bytes = (size_t)count * sizeof(float);
    void *blocks[3] = {0};
    sky_status status = SKY_OK;
    *out = 0;
    for (int i = 0; i < 3; i++) SKY_TRY_DONE(sky_block_alloc(&blocks[i], bytes, "a memory benchmark"));
    float *a = blocks[0], *b = blocks[1], *c = blocks[2];
    for (int run = 0; run < RUNS; run++) {
        const double start = sky_now();
#pragma omp parallel for simd num_threads(threads)
        for (int64_t i = 0; i < count; i++) a[i] = b[i] + 0.5f * c[i];
        const double rate = 3 * (double)bytes / (sky_now() - start);
        if (rate > *out) *out = rate;
    }
done:
    for (int i = 0; i < 3; i++) sky_block_free(blocks[i], bytes);
    return status;
}

sky_status sky_ceilings_measure(int threads, struct sky_ceilings *out)
{
    double memory = 0;
    SKY_TRY(measure_memory(threads, &memory));
    *out = (struct sky_ceilings){measure_arithmetic(threads), memory};
    return SKY_OK;
}
