/*
 * How wide similarity.c's vectors and panels are on the processor it is built for.
 */
#ifndef SKY_EVAL_SIMILARITY_LANES_H
#define SKY_EVAL_SIMILARITY_LANES_H

/* Register tile: PANEL_QUERIES * 2 accumulators, two gallery vectors and one broadcast fit the vector registers. INTERLEAVE_* pick from two vectors in turn. */
#if defined(__AVX512F__)
enum { LANES = 16, PANEL_QUERIES = 14 };
#define INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif defined(__AVX__)
enum { LANES = 8, PANEL_QUERIES = 6 };
#define INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
enum { LANES = 4, PANEL_QUERIES = 6 };
#define INTERLEAVE_LOW 0, 4, 1, 5
#define INTERLEAVE_HIGH 2, 6, 3, 7
#endif

/* clang halves 512-bit vectors unless told that a function needs them. */
#if defined(__clang__)
#define WHOLE_VECTORS __attribute__((min_vector_width(32 * LANES)))
#else
#define WHOLE_VECTORS
#endif

#endif
