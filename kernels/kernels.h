/*
 * The CUDA kernels' plain C face: one launcher an operation (or a pass of one). Each enqueues its kernels on `stream` and returns a cudaError_t as int, 0 when
 * all is well; none allocates, waits or prints. Pointers are device memory; tensors are NHWC and dense. Contracts: src/ops/ops.h, whose letters are used here.
 * `map` is the element type of maps (f32, bf16, f16); everything else is f32 unless said. Results do not depend on the number of multiprocessors: sums have a
 * fixed order and no float is added atomically.
 *
 * The same sources are compiled by nvcc and, for tests, by the host's compiler (launch.cuh).
 */
#ifndef SKY_KERNELS_KERNELS_H
#define SKY_KERNELS_KERNELS_H

#include "base/dtype.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st *sky_stream; /* cudaStream_t */

/* The text of a launcher's result. */
const char *sky_cuda_error_text(int error);

/* A map [images, positions, channels], its images in `groups` groups (views). */
struct sky_cuda_map {
    int64_t images, positions, channels;
    int groups;
};

/* What batch norm applies: statistics a group, parameters a channel. All NULL: no norm. */
struct sky_cuda_norm {
    const float *mean, *invstd; /* [G,C] */
    const float *gamma, *beta;  /* [C] */
};

/*
 * Statistics over several ranks (ops.h, attr.bn.across), in two launches of one launcher: `mine` set, it writes what this rank says of each statistic,
 * [..,G,2,C], and gradients of gamma and beta; `all` set, it does the rest with what all ranks have said, [ranks][..,G,2,C], both in device memory. Both NULL,
 * ranks 1: alone, everything in one launch.
 */
struct sky_cuda_share {
    double *mine;
    const double *all;
    int ranks;
};

/* batch_norm.cu. Scratch is counted in floats. */
int64_t sky_cuda_bn_stats_floats(int64_t images, int64_t positions, int64_t channels);
int sky_cuda_bn_stats(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, float *image_mean, float *mean, float *invstd, float *running_mean,
                      float *running_var, double momentum, double epsilon, bool update, const struct sky_cuda_share *share, float *scratch);
int sky_cuda_bn_apply(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, const struct sky_cuda_norm *norm, bool rectify, void *y);
int64_t sky_cuda_bn_grad_floats(const struct sky_cuda_map *shape);
int sky_cuda_bn_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *dy, const void *z, const struct sky_cuda_norm *norm,
                     bool rectify, void *dz, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share,
                     float *scratch); /* dz, dgamma, dbeta may be NULL; dz may be dy */
/* With sums [G,C] that a convolution gathered: gamma, beta, scale and shift (map's type) all or none; dz, dgamma, dbeta may be NULL; dz may be g. */
int sky_cuda_bn_from_sums(sky_stream stream, enum sky_dtype map, int groups, int64_t channels, int64_t positions, const float *sum, const float *square_sum,
                          const float *gamma, const float *beta, float *running_mean, float *running_var, double momentum, double epsilon, bool update,
                          float *mean, float *invstd, void *scale, void *shift);
int sky_cuda_bn_grad_from_sums(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *g, const void *z, const float *mean, const float *invstd,
                               const float *gamma, const float *sum_g, const float *sum_gz, void *dz, float *dgamma, float *dbeta, bool accumulate);
int sky_cuda_bn_fold(sky_stream stream, enum sky_dtype map, int64_t filters, int64_t taps, const float *w, const float *gamma, const float *beta,
                     const float *mean, const float *var, double epsilon, void *folded, float *bias);

/* block_tail.cu. A norm whose mean is NULL is none; gate, dout2, dsqueeze may be NULL. */
int sky_cuda_block_tail(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, const struct sky_cuda_norm *norm,
                        const float *gate, const void *shortcut, const struct sky_cuda_norm *side, void *out);
int64_t sky_cuda_block_tail_reduce_floats(const struct sky_cuda_map *shape);
int sky_cuda_block_tail_reduce(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *dout, const void *dout2, const void *out, const void *z,
                               const float *mean, const float *invstd, void *g, float *sum_g, float *sum_gz, float *scratch); /* g may be dout */
int64_t sky_cuda_block_tail_grad_floats(const struct sky_cuda_map *shape);
int sky_cuda_block_tail_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *g, const void *z, const float *mean,
                             const float *invstd, const float *gamma, const float *image_mean, const float *sum_g, const float *sum_gz, const float *gate,
                             const float *dsqueeze, void *dz, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share, float *scratch);

/* squeeze.cu */
int sky_cuda_bn_squeeze(sky_stream stream, int64_t images, int64_t channels, int groups, const float *image_mean, const struct sky_cuda_norm *norm, float *squeeze);
int64_t sky_cuda_channel_mean_floats(const struct sky_cuda_map *shape);
int sky_cuda_channel_mean(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *y, float *mean, float *scratch);
int sky_cuda_se_gate(sky_stream stream, int64_t images, int64_t channels, int64_t reduced, const float *squeeze, const float *w1, const float *b1, const float *w2, const float *b2,
                     float *hidden, float *gate);
struct sky_cuda_se_gate_grad {
    const float *sum_g, *sum_gz, *squeeze /* [N,C] */, *hidden /* [N,R] */, *gate, *w1 /* [R,C] */, *w2 /* [C,R] */, *gamma, *beta;
    float *dsqueeze, *dw1, *db1, *dw2, *db2; /* gradients of parameters may be NULL */
};
int64_t sky_cuda_se_gate_grad_floats(int64_t images, int64_t channels, int64_t reduced);
int sky_cuda_se_gate_grad(sky_stream stream, int64_t images, int64_t channels, int64_t reduced, const struct sky_cuda_se_gate_grad *p, bool accumulate, float *scratch);

/* heads.cu: tensors [P,N,D], rows in `groups` views. */
struct sky_scalars; /* graph/scalars.h, in device memory */
struct sky_cuda_heads {
    int64_t heads, rows, features;
    int groups;
};
int sky_cuda_head_bn(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, const float *gamma, const float *beta, float *running_mean,
                     float *running_var, float *y, float *mean, float *invstd, double momentum, double epsilon, bool update,
                     const struct sky_cuda_share *share);
int sky_cuda_head_bn_grad(sky_stream stream, const struct sky_cuda_heads *heads, const float *dy, const float *x, const float *mean, const float *invstd,
                          const float *gamma, float *dx, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share);
int sky_cuda_head_bn_infer(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, const float *gamma, const float *beta, const float *mean,
                           const float *var, float *y, double epsilon);
int sky_cuda_dropout(sky_stream stream, const struct sky_cuda_heads *heads, const float *x, float *y, const struct sky_scalars *scalars, uint32_t layer, double rate);

/* gather_rows.cu: of each of `ranks`, x [P,N,D] and labels [N] with rows in `groups` views. `all`: what every rank has shared, NULL: alone */
struct sky_cuda_gather {
    int64_t heads, rows, features; /* of one rank */
    int groups, ranks;
};
int sky_cuda_share_rows(sky_stream stream, const struct sky_cuda_gather *gather, const float *x, const int32_t *labels, void *mine);
int sky_cuda_gather_rows(sky_stream stream, const struct sky_cuda_gather *gather, const float *x, const int32_t *labels, const void *all, float *y, int32_t *all_labels);
int sky_cuda_own_rows(sky_stream stream, const struct sky_cuda_gather *gather, const float *dy, const struct sky_scalars *scalars, float *dx);

/* loss.cu */
struct sky_cuda_loss {
    int64_t heads, rows, classes; /* of logits [P,N,K] */
    int groups, satellite, drone; /* the last two are groups: of the divergence */
    bool mean, detach, drone_is_target, satellite_is_target;
    double weight, smoothing, temperature;
    const float *logits;
    const struct sky_scalars *scalars; /* NULL: gradients are not scaled */
    float *loss, *dlogits;             /* dlogits may be NULL */
    float *scratch;                    /* [P,N] */
};
int sky_cuda_loss_ce(sky_stream stream, const struct sky_cuda_loss *p, const int32_t *labels);
int sky_cuda_loss_kl(sky_stream stream, const struct sky_cuda_loss *p);

/* similarity.cu: cosines between the rows of two views of x [P,N,D]. */
struct sky_cuda_views {
    int64_t heads, rows, features, members; /* N of all views, M of one */
    int first, second;                      /* the two views */
    bool joint;
};
int sky_cuda_similarity(sky_stream stream, const struct sky_cuda_views *views, const float *x, const float *t, float *y, float *inverse_norm); /* t may be NULL */
int sky_cuda_similarity_grad(sky_stream stream, const struct sky_cuda_views *views, const float *dy, const float *x, const float *inverse_norm, const float *y,
                             const float *t, float *dx, float *dt, bool accumulate); /* dt may be NULL */

/* loss_pairs.cu: losses on cosines [P,M,M]. */
struct sky_cuda_pairs {
    int64_t heads, members;
    const float *similarity;
    const int32_t *first, *second; /* [M] labels of the two views */
    const struct sky_scalars *scalars; /* NULL: gradients are not scaled */
    float *loss, *gradient;            /* gradient may be NULL */
    float *scratch;                    /* sky_cuda_pairs_floats */
    bool mean, soft;
    double weight, margin, alpha, smoothing, temperature;
};
int64_t sky_cuda_pairs_floats(int64_t heads, int64_t members);
int sky_cuda_loss_contrastive(sky_stream stream, const struct sky_cuda_pairs *p);
int sky_cuda_loss_triplet(sky_stream stream, const struct sky_cuda_pairs *p);
int sky_cuda_loss_info_nce(sky_stream stream, const struct sky_cuda_pairs *p);

/* optimizer.cu */
int64_t sky_cuda_sum_squares_doubles(int64_t count);
int sky_cuda_sum_squares(sky_stream stream, const float *x, int64_t count, double *out, double *scratch); /* x 16-byte aligned */
struct sky_cuda_piece {
    int64_t offset; /* elements of the arenas */
    int32_t count, group;
    float weight_decay, low, high;
};
struct sky_cuda_update { /* what SGD and AdamW have in common */
    const struct sky_cuda_piece *pieces; /* [piece_count], in device memory */
    int64_t piece_count;
    float *params, *momenta;
    const float *grads;
    const double *sum_squares;
    const struct sky_scalars *scalars;
    enum sky_dtype shadow_type;
    void *shadow;      /* NULL: there is none */
    double *report;    /* [4] */
    unsigned *scratch; /* [piece_count] */
    double clip_norm;
};
int sky_cuda_sgd(sky_stream stream, const struct sky_cuda_update *p, double momentum, bool nesterov);
struct sky_cuda_adamw {
    float *squares;
    double beta1, beta2, epsilon;
};
int sky_cuda_adamw(sky_stream stream, const struct sky_cuda_update *p, const struct sky_cuda_adamw *adamw); /* momenta: the moving means of gradients */
int sky_cuda_ema(sky_stream stream, const float *params, float *average, int64_t count, const struct sky_scalars *scalars, double *report);

/* ranking.cu */
struct sky_cuda_count {
    const float *products;   /* [queries, items] of this block */
    const float *half_norms; /* [items] */
    const int64_t *first;    /* [all queries + 1] where a query's right rows begin */
    const float *right_keys; /* [right_count] */
    int64_t items, first_query, right_count, bounds[3]; /* stretches of the gallery: bounds[i] .. bounds[i + 1] */
    float margin;
    uint32_t *before; /* [2][right_count] items of a stretch certainly before a right row */
    uint32_t (*near)[2]; /* pairs too close to call: right row, item */
    uint32_t *near_count, near_room; /* pairs beyond the room are counted, not kept */
};
int sky_cuda_scale(sky_stream stream, float *x, int64_t count, float factor);
int sky_cuda_count_keys(sky_stream stream, const struct sky_cuda_count *p, int64_t queries, int64_t most_rights); /* most_rights: of any query */

/* top.cu: a query's list holds numbers of 64 bits, ascending: the key's bits made ascending, then the item; all ones in an empty place */
#define SKY_CUDA_TOP_PLACES 256
struct sky_cuda_top {
    const float *products;   /* [queries, items] of this block */
    const float *half_norms; /* [whole gallery] */
    uint64_t *lists;         /* [all queries, places]; merged into, except at first_item 0, where lists begin */
    int64_t items, first_item, first_query;
    int places; /* 1 .. SKY_CUDA_TOP_PLACES */
};
int sky_cuda_top_keys(sky_stream stream, const struct sky_cuda_top *p, int64_t queries);

/* elementwise.cu */
int sky_cuda_add(sky_stream stream, enum sky_dtype type, const void *a, const void *b, void *y, int64_t count); /* y may be a or b */
int sky_cuda_cast(sky_stream stream, const float *x, enum sky_dtype type, void *y, int64_t count);            /* f32 to bf16 or f16, nearest even */
int sky_cuda_cast_accumulate(sky_stream stream, enum sky_dtype type, const void *x, float *y, int64_t count, int64_t slices,
                             bool accumulate); /* y = x, or y += x, where x is the sum of x [slices, count] */

/* rows.cu */
int sky_cuda_repeat_rows(sky_stream stream, const float *row, float *y, int64_t heads, int64_t rows, int64_t columns); /* y [P,N,K] = row [P,K] */
int sky_cuda_sum_rows(sky_stream stream, const float *x, float *sum, int64_t heads, int64_t rows, int64_t columns, bool accumulate); /* sum [P,K] over N of x [P,N,K] */

/* image_prep.cu: x map [N,H,W,3]; erased i32 [N,4] or NULL */
int sky_cuda_image_prep(sky_stream stream, enum sky_dtype map, const uint8_t *images, const int32_t *erased, const struct sky_scalars *scalars,
                        const float mean[3], const float std[3], void *x, int64_t count, int64_t height, int64_t width);

/* pool.cu, upsample.cu: x [N,height,width,C] <-> y [N,out_height,out_width,C]; window, stride and pad of max pooling alone */
struct sky_cuda_window {
    int64_t images, height, width, channels, out_height, out_width;
    int window, stride, pad;
};
int sky_cuda_max_pool(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *x, void *y, uint8_t *index /* or NULL */);
int sky_cuda_max_pool_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *dy, const uint8_t *index, void *dx);
int sky_cuda_global_max(sky_stream stream, enum sky_dtype map, const void *x, float *y, int32_t *index /* or NULL */, int64_t images, int64_t positions, int64_t channels);
int sky_cuda_global_max_grad(sky_stream stream, enum sky_dtype map, const float *dy, const int32_t *index, void *dx, int64_t images, int64_t positions, int64_t channels);
int sky_cuda_upsample(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *x, void *y);
int sky_cuda_upsample_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_window *window, const void *dy, void *dx);

/* part_pool.cu, part_pool_grad.cu: x [N,H,W,C] -> y [P,N,C]; H*W up to SKY_CUDA_PART_POSITIONS */
#define SKY_CUDA_PART_POSITIONS 4096
struct sky_part_table; /* ops/ops.h */
struct sky_cuda_parts {
    const struct sky_part_table *table; /* in host memory: it travels with the launch */
    int64_t images, height, width, channels;
};
struct sky_cuda_exponents {
    const float *p; /* NULL: `fixed` */
    int64_t count;  /* 1, C or P; C where both are equal */
    float fixed;
};
int sky_cuda_part_gem(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *exponents, const void *x, float *y);
int sky_cuda_part_mean(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const void *x, float *y);
int sky_cuda_part_max(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const void *x, float *y, int32_t *index /* or NULL */);
int64_t sky_cuda_part_gem_grad_floats(const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *exponents); /* scratch when dp is wanted */
int sky_cuda_part_gem_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *exponents, const float *dy, const void *x,
                           const float *y, void *dx, float *dp, bool accumulate, float *scratch); /* dx, dp may be NULL */
int sky_cuda_part_mean_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const float *dy, void *dx);
int sky_cuda_part_max_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_parts *parts, const float *dy, const int32_t *index, void *dx);

/* part_attention.cu: [P,stride], stride = N*C */
int sky_cuda_part_attention(sky_stream stream, const float *x, float *y, int64_t parts, int64_t stride);
int sky_cuda_part_attention_grad(sky_stream stream, const float *dy, const float *x, float *dx, int64_t parts, int64_t stride);

/* clock.cu: in device memory; differences are nanoseconds */
int sky_cuda_note_time(sky_stream stream, uint64_t *nanoseconds);

/* concat.cu: rows of a, then b <-> rows of y; any type of even size */
int sky_cuda_concat(sky_stream stream, const void *a, const void *b, void *y, int64_t rows, int64_t a_bytes, int64_t b_bytes);
int sky_cuda_split(sky_stream stream, const void *y, void *a, void *b, int64_t rows, int64_t a_bytes, int64_t b_bytes);

#ifdef __cplusplus
}
#endif

#endif
