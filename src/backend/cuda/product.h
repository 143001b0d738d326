/*
 * Batched matrix products of f32, row-major. cublas.c runs them on the device; the tests that run kernels on the host bring plain loops.
 */
#ifndef SKY_BACKEND_CUDA_PRODUCT_H
#define SKY_BACKEND_CUDA_PRODUCT_H

#include "cuda.h"

/* c [batch, rows, columns] = a [batch, rows, inner] b [batch, inner, columns] + (accumulate ? c : 0); dense, batch after batch. */
struct sky_product {
    int64_t batch, rows, columns, inner;
    const float *a, *b;
    bool a_transposed;           /* a is [batch, inner, rows] */
    bool b_transposed;           /* b is [batch, columns, inner] */
    int64_t a_stride, b_stride;  /* floats from one row of a, of b, to the next; 0: they lie one behind the other */
    float *c;
    bool accumulate;
};

sky_status sky_cuda_product(const struct sky_cuda *cuda, const char *where, const struct sky_product *product);

#endif
