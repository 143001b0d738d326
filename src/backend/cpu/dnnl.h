/*
 * The little of oneDNN that the CPU back end uses: convolutions in three directions, with their own layouts converted from ours. It hides
 * which major version is installed: dnnl.c is common, dnnl_v2.c or dnnl_v3.c (one of them is compiled) create what the two versions create differently.
 * Nothing here owns tensor memory: packed tensors and scratch are the caller's, 64-byte aligned.
 */
#ifndef SKY_BACKEND_CPU_DNNL_H
#define SKY_BACKEND_CPU_DNNL_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sky_dnnl_direction { SKY_DNNL_FORWARD, SKY_DNNL_DGRAD, SKY_DNNL_WGRAD };
enum sky_dnnl_tensor { SKY_DNNL_X, SKY_DNNL_FILTERS, SKY_DNNL_Y, SKY_DNNL_TENSORS }; /* or their gradients */

struct sky_dnnl_problem {
    enum sky_dnnl_direction direction;
    int64_t images, height, width, channels; /* x [N,H,W,C] */
    int64_t filters, rows, columns;          /* filters [K,R,S,C] */
    int64_t out_height, out_width;           /* y [N,P,Q,K] */
    int stride, pad;
    bool filters_by_channel;              /* filters are stored [C,R,S,K] */
    bool free_layout;                     /* x and y in a layout of the library's choice, to be packed; else NHWC */
    bool inference, bias, residual, relu; /* forward only: y = relu?(conv + bias + residual) */
    bool int8;                            /* forward inference only: x u8, filters s8, y f32 = relu?(scales[k] * conv + bias + residual) */
};

struct sky_dnnl_arguments {
    const void *x, *filters, *y; /* the direction's result among them is written */
    const void *bias, *residual; /* [K], NHWC [N,P,Q,K] */
    const float *scales;         /* [K], of int8 */
    void *scratch;
};

struct sky_dnnl;      /* the library's engine and stream, and how many threads it may use */
struct sky_dnnl_conv; /* one convolution in one direction */

sky_status sky_dnnl_open(struct sky_dnnl **out, int threads);
void sky_dnnl_close(struct sky_dnnl *dnnl);

/* The largest x that int8 convolutions add up without overflow on this processor: 255, or 127 where pairs of products saturate at 16 bits (no VNNI). 0: none are fast
 * here. */
int sky_dnnl_int8_top(void);

/* *out stays NULL, with SKY_OK, when the library has nothing for this problem but its reference code. */
sky_status sky_dnnl_conv_create(struct sky_dnnl *dnnl, const struct sky_dnnl_problem *problem, struct sky_dnnl_conv **out);
void sky_dnnl_conv_destroy(struct sky_dnnl_conv *conv);
const char *sky_dnnl_conv_name(const struct sky_dnnl_conv *conv);                                 /* "brgconv:avx512_core" */
size_t sky_dnnl_conv_scratch_bytes(const struct sky_dnnl_conv *conv);                             /* for execute, pack and unpack */
size_t sky_dnnl_conv_packed_bytes(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor); /* 0: takes our layout as it is */
sky_status sky_dnnl_conv_pack(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor, const void *ours, void *packed, void *scratch);
sky_status sky_dnnl_conv_unpack(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor, const void *packed, void *ours, void *scratch);
sky_status sky_dnnl_conv_execute(const struct sky_dnnl_conv *conv, const struct sky_dnnl_arguments *arguments);

#endif
