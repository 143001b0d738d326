/*
 * Convolutions as cuDNN operation graphs, through the backend API: the only part of cuDNN's interface that is not deprecated. A problem says what is to be
 * computed, a graph is its description for the library: no device, no memory, no choice of an engine (cudnn_plan.h). Maps are NHWC, filters KRSC, sums float.
 */
#ifndef SKY_BACKEND_CUDA_CUDNN_GRAPH_H
#define SKY_BACKEND_CUDA_CUDNN_GRAPH_H

#include "graph/graph.h"

#include <cudnn.h>

/* The last four exist for f16 alone, with scale and shift [C] in f16; their statistics are those of one view, so they run a view at a time. */
enum sky_conv_form {
    SKY_CONV_FORWARD,          /* y = relu?(conv(x, w) + bias + residual), each of the three optional */
    SKY_CONV_DGRAD,            /* y's gradient, w -> x's */
    SKY_CONV_WGRAD,            /* x, y's gradient -> w's */
    SKY_CONV_FORWARD_STATS,    /* y = conv(x, w), with sum and square sum of y's channels: the next batch norm's statistics */
    SKY_CONV_BN_FORWARD_STATS, /* the same of relu(x scale + shift): batch norm applied on the way in */
    SKY_CONV_BN_WGRAD,         /* WGRAD with relu(x scale + shift) in the place of x */
    SKY_CONV_DGRAD_BN,         /* DGRAD, then batch norm's ReLU mask from its input z, then its dgamma and dbeta, and three factors [C] that give dz */
    SKY_CONV_FORM_COUNT
};

/* x [N,H,W,C], w [K,R,S,C], y [N,P,Q,K], or their gradients, all in `dtype`; bias and everything [C] or [K] but scale and shift in f32. */
struct sky_conv_problem {
    enum sky_conv_form form;
    enum sky_dtype dtype; /* f32, bf16, f16 */
    int64_t images, height, width, channels;
    int64_t filters, rows, columns;
    int64_t out_height, out_width;
    int stride, pad;
    bool bias, residual, relu;
};

/* What a graph reads and writes, and under which number (role + 1) a variant pack gives its pointer. */
enum sky_conv_tensor {
    SKY_CONV_X,
    SKY_CONV_W,
    SKY_CONV_Y,
    SKY_CONV_BIAS,       /* [K] */
    SKY_CONV_RESIDUAL,   /* [N,P,Q,K] */
    SKY_CONV_SCALE,      /* [C]: gamma invstd */
    SKY_CONV_SHIFT,      /* [C]: beta - mean gamma invstd */
    SKY_CONV_SUM,        /* [K] */
    SKY_CONV_SQUARE_SUM, /* [K] */
    SKY_CONV_Z,          /* [N,H,W,C]: the batch norm's input */
    SKY_CONV_MEAN,       /* [C], likewise below */
    SKY_CONV_INVSTD,
    SKY_CONV_GAMMA,
    SKY_CONV_BETA,
    SKY_CONV_DGAMMA,
    SKY_CONV_DBETA,
    SKY_CONV_FACTOR_G, /* dz = factor_g g + factor_z z + offset, where g is what DGRAD_BN writes as x's gradient */
    SKY_CONV_FACTOR_Z,
    SKY_CONV_OFFSET,
    SKY_CONV_TENSOR_COUNT
};

/* "fprop 16x64x64x256 -> 64x64x64, 1x1 stride 1 pad 0, bias relu", and the same with " in f16" behind it, which no other problem has. */
#define SKY_CONV_TEXT 160
void sky_conv_shape_text(const struct sky_conv_problem *problem, char out[SKY_CONV_TEXT]);
void sky_conv_problem_text(const struct sky_conv_problem *problem, char out[SKY_CONV_TEXT]);

/* The problem of a CONV, CONV_DGRAD or CONV_WGRAD node, in the type of its maps; of a BN_CONV, BN_CONV_DGRAD or BN_CONV_WGRAD node, with one group's images. */
struct sky_conv_problem sky_conv_problem_of(const struct sky_graph *graph, const struct sky_node *node);

/* Owns its descriptors. Zero-initialised is empty; freeing twice is fine. */
struct sky_cudnn_graph {
    cudnnBackendDescriptor_t graph; /* finalised */
    cudnnBackendDescriptor_t owned[48];
    int owned_count;
    uint32_t tensors; /* bit r: role r (enum sky_conv_tensor) needs a pointer */
    char where[SKY_CONV_TEXT];
    sky_status failed; /* the first failure while building: what follows does nothing */
};

/* SKY_DEVICE with the library's text when cuDNN refuses the description itself. The graph is empty after a failure. */
sky_status sky_cudnn_graph_build(struct sky_cudnn_graph *graph, const struct sky_conv_problem *problem);
void sky_cudnn_graph_free(struct sky_cudnn_graph *graph);

/* SKY_OK, or SKY_DEVICE with cuDNN's own words for what went wrong while `doing`. */
sky_status sky_cudnn_check(cudnnStatus_t status, const char *where, const char *doing);

#endif
