/*
 * Writes that go past the caches: a large map written in one pass is out of them again before anyone reads it, and an ordinary store would first read what it
 * overwrites. Rows are made in a small buffer and then streamed out. Where the processor has no such store, or rows are not whole cache lines, everything is
 * written as usual.
 */
#ifndef SKY_BACKEND_CPU_STREAM_H
#define SKY_BACKEND_CPU_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SKY_STREAM_ROW = 2048 }; /* the longest row, in floats */

/* 64 bytes from anywhere to a 64-byte boundary; and the order of such stores before whatever follows. */
#if defined(__AVX512F__)
#include <immintrin.h>
enum { SKY_STREAM_LEAST_BYTES = 24 << 20 };
static inline void sky_stream_line(float *to, const float *from)
{
    _mm512_stream_ps(to, _mm512_loadu_ps(from));
}
static inline void sky_stream_end(void)
{
    _mm_sfence();
}
#elif defined(__AVX__)
#include <immintrin.h>
enum { SKY_STREAM_LEAST_BYTES = 24 << 20 };
static inline void sky_stream_line(float *to, const float *from)
{
    _mm256_stream_ps(to, _mm256_loadu_ps(from));
    _mm256_stream_ps(to + 8, _mm256_loadu_ps(from + 8));
}
static inline void sky_stream_end(void)
{
    _mm_sfence();
}
#else
#include <string.h>
enum { SKY_STREAM_LEAST_BYTES = INT32_MAX };
static inline void sky_stream_line(float *to, const float *from)
{
    memcpy(to, from, 64);
}
static inline void sky_stream_end(void)
{
}
#endif

/* Whether a map of that size should be streamed. */
static inline bool sky_streams(size_t bytes, int64_t channels)
{
    return bytes >= SKY_STREAM_LEAST_BYTES && channels % 16 == 0 && channels <= SKY_STREAM_ROW;
}

static inline void sky_stream_row(float *to, const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i += 16) sky_stream_line(to + i, row + i);
}

#endif
