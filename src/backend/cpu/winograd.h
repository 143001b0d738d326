/*
 * 3x3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3) on NHWC maps: a quarter of the multiplications, for an error of about 1.5e-6 instead
 * of 3e-7 (relative rms). The data gradient is such a convolution too, with the filters turned round; the filter gradient has its own form.
 */
#ifndef SKY_BACKEND_CPU_WINOGRAD_H
#define SKY_BACKEND_CPU_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* y [N,P,Q,K] from x [N,H,W,C] with zero padding; P = H + 2 pad - 2. For a data gradient x is dy, y is dx, and pad is 2 less the convolution's. */
struct sky_winograd {
    int64_t images, height, width, channels; /* N, H, W, C */
    int64_t out_height, out_width, filters;  /* P, Q, K */
    int64_t pad;
    int threads;
};

bool sky_winograd_is_fast(void); /* on this build: else a library's direct convolution is the better choice */

size_t sky_winograd_filter_bytes(const struct sky_winograd *shape);  /* transformed filters */
size_t sky_winograd_forward_bytes(const struct sky_winograd *shape); /* scratch */
size_t sky_winograd_wgrad_bytes(const struct sky_winograd *shape);

/* w [K,3,3,C], or, turned round for the data gradient, w [C,3,3,K] of the convolution whose gradient this is. */
void sky_winograd_filters(const struct sky_winograd *shape, const float *w, bool turned, float *filters);

/* y = relu?(conv + bias + residual); bias [K] and residual [N,P,Q,K] may be NULL. All memory aligned to 64 bytes. */
struct sky_winograd_output {
    const float *bias, *residual;
    bool relu;
    float *y;
};
void sky_winograd_forward(const struct sky_winograd *shape, const float *x, const float *filters, const struct sky_winograd_output *output, void *work);

/* dw [K,3,3,C] = or += the gradient by the filters */
void sky_winograd_wgrad(const struct sky_winograd *shape, const float *x, const float *dy, bool accumulate, float *dw, void *work);

#endif
