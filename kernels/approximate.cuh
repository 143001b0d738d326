/*
 * log2 and 2^x as the hardware approximates them, one instruction each. Compiled for the host they are as wrong as the hardware may be, so that tests meet its
 * errors.
 */
#pragma once

#include "launch.cuh"

namespace sky {

#ifdef __CUDACC__

/* x > 0. Off by at most 2^-22 for x in (1/2, 2), by 2^-22 of the result elsewhere. */
__device__ inline float log2_approximate(float x)
{
    float y;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Off by at most 2^-22 of the result; below 2^-126: 0. */
__device__ inline float exp2_approximate(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else

/* +1 or -1, as good as by chance */
inline float error_sign(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits * 2654435761u) >> 31 ? 1.0f : -1.0f;
}

inline float log2_approximate(float x)
{
    const float y = log2f(x);
    return y + error_sign(x) * 0x1p-22f * fmaxf(fabsf(y), 1.0f);
}

inline float exp2_approximate(float x)
{
    const float y = exp2f(x) * (1 + error_sign(x) * 0x1p-22f);
    return y < 0x1p-126f ? 0.0f : y;
}

#endif

} // namespace sky
