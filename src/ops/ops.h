/*
 * The contract of every operation: inputs, outputs, shapes, attributes, formulas. A back end implements exactly this; src/backend/ref is its plain form.
 *
 * attr.bn.across: a group's statistics are over the images of all ranks, in BN_STATS, HEAD_BN and what their gradients subtract (BN_GRAD, HEAD_BN_GRAD,
 * BLOCK_TAIL_GRAD). Such a node runs in two halves with an exchange between them (sky_run.mine and all, backend.h); gradients of gamma and beta stay those of
 * this rank's images. Alone it is the same as without.
 *
 * Letters: N images (all views in one batch: G groups of N/G images, in the order of enum sky_view), H W map, C channels, K output channels or classes, P heads/parts, D features.
 * [x] is optional (SKY_NONE). "GRADS" marks outputs in the gradient arena: a run with `accumulate` set adds to them, otherwise overwrites. T is graph->dtype,
 * or graph->map_dtype for tensors of rank 4: maps, and the filters that convolutions read (parameters' copies in SHADOW). Where these are bf16 or f16,
 * arithmetic is f32 all the same, and a result is rounded once, when it is stored; gradients of filters are T of the parameter.
 * ReLU keeps NaN in training (BN_APPLY, SE_GATE, BLOCK_TAIL), so that a broken step is seen. Maxima take the first of equal values; what they make of NaN is open.
 *
 * IMAGE_PREP       images u8 [N,H,W,3], [erased i32 [N,4] top left height width], scalars -> x T [N,H,W,3]
 *                  x = (image/255 - mean[c]) / std[c], computed as image * (1/(255 std)) - mean/std; erased pixels are 0;
 *                  scalars.mirror flips left-right (erased rectangles too).
 * CONV             x [N,H,W,C], w [K,R,S,C], [bias [K]], [residual [N,P,Q,K]] -> y [N,P,Q,K];  P = (H + 2 pad - R)/stride + 1. y = relu?(conv + bias + residual).
 * CONV_DGRAD       dy [N,P,Q,K], w -> dx [N,H,W,C] (attr.conv.height, width: of x)
 * CONV_WGRAD       x, dy -> dw GRADS [K,R,S,C]; from bf16 or f16 maps dw may be rounded to their type before it is stored or added
 * BN_STATS         z [N,H,W,C], running_mean [C], running_var [C] -> image_mean [N,C], mean [G,C], invstd [G,C]
 *                  biased variance per group over (N/G)*H*W positions; invstd = 1/sqrt(var + epsilon). When attr.bn.update: running = (1-momentum) running +
 *                  momentum * (mean | unbiased var), once a group in order, in place. Sums by merging per-image means and centred squares (no E[x^2]-E[x]^2).
 * BN_APPLY         z, mean, invstd, gamma [C], beta [C] -> y = relu?(gamma (z-mean) invstd + beta)
 * BN_GRAD          dy, z, mean, invstd, gamma, beta -> dz, dgamma GRADS [C], dbeta GRADS [C]. ReLU's mask is recomputed from z, exactly as BN_APPLY computed it.
 *                  dz may be dy's memory.
 * BN_FOLD          w [K,R,S,C], gamma, beta, running_mean, running_var [K] -> w' = w gamma/sqrt(var+eps), bias [K] = beta - gamma mean/sqrt(var+eps)
 * The next five are made by sky_graph_fuse alone, out of training graphs that have their gradient nodes already, and have no gradient rules. attr.conv.groups: G. A back end may
 * round the normed input and y to T before they are used or summed.
 * BN_CONV          x [N,H,W,C], w [K,R,S,C], [scale T of maps [G,C], shift T of maps [G,C]] -> y [N,P,Q,K] = conv(x', w), [sum [G,K], square_sum [G,K]]
 *                  over y's positions of a group. x' = relu(scale x + shift) by the image's group, or x without them; what pads x' is 0.
 * BN_CONV_WGRAD    x [N,H,W,C], dy [N,P,Q,K], scale, shift -> dw GRADS [K,R,S,C]: CONV_WGRAD of x'; from bf16 or f16 maps each group's part may be rounded to their type
 * BN_CONV_DGRAD    dy [N,P,Q,K], w, z [N,H,W,C], mean [G,C], invstd [G,C], gamma [C], beta [C] -> g [N,H,W,C], sum_g [G,C], sum_gz [G,C]
 *                  g = CONV_DGRAD(dy, w) where gamma (z-mean) invstd + beta > 0, else 0; sums over a group's positions of g and of g (z-mean) invstd
 * BN_FROM_SUMS     sum [G,C], square_sum [G,C], running_mean, running_var, [gamma, beta] -> mean [G,C], invstd [G,C], [scale T of maps [G,C], shift T of maps [G,C]]
 *                  As BN_STATS for attr.bn.positions positions a group, but from E[x^2]-E[x]^2 (in double, never below 0): sums that are good to e give a variance good to
 *                  about e (1 + 3 mean^2/var). scale = gamma invstd; shift = beta - mean scale, with scale as it is stored.
 * BN_GRAD_FROM_SUMS g [N,H,W,C], z, mean, invstd, gamma, sum_g [G,C], sum_gz [G,C] -> dz = gamma invstd (g - sum_g/k - zhat sum_gz/k), k = N/G H W; dgamma GRADS, dbeta GRADS:
 *                  the groups' sum_gz and sum_g, added. dz may be g's memory.
 * BN_SQUEEZE       image_mean [N,C], mean [G,C], invstd [G,C], gamma, beta -> squeeze [N,C] = gamma (image_mean - mean) invstd + beta
 * CHANNEL_MEAN     y [N,H,W,C] -> squeeze [N,C]
 * SE_GATE          squeeze [N,C], w1 [R,C], b1 [R], w2 [C,R], b2 [C] -> hidden [N,R] = relu(squeeze w1^T + b1), gate [N,C] = sigmoid(hidden w2^T + b2)
 * SE_GATE_GRAD     sum_g [N,C], sum_gz [N,C] (of BLOCK_TAIL_REDUCE), squeeze, hidden, gate, w1, w2, gamma [C], beta [C]
 *                  -> dsqueeze [N,C], dw1 GRADS, db1 GRADS, dw2 GRADS, db2 GRADS.   dgate = gamma sum_gz + beta sum_g
 * BLOCK_TAIL       z [N,H,W,C], [mean [G,C], invstd, gamma, beta] (all or none: z is taken as it is), [gate [N,C]], shortcut [N,H,W,C], [mean_s, invstd_s, gamma_s, beta_s] -> out
 *                  out = relu(S + gate * B) with B = BN(z), S = shortcut or BN_s(shortcut)
 * BLOCK_TAIL_REDUCE dout, [dout2], out, z, mean, invstd -> g [N,H,W,C] = (dout + dout2) [out > 0], sum_g [N,C], sum_gz [N,C] = sum g (z-mean) invstd. g may be dout's memory.
 * BLOCK_TAIL_GRAD  g, z, mean, invstd, gamma, image_mean, sum_g, sum_gz, [gate], [dsqueeze] -> dz, dgamma GRADS, dbeta GRADS:
 *                  s = gate or 1, q = dsqueeze or 0, zm = (image_mean - mean) invstd, HW = H W, k = N/G HW;  S1[n,c] = s sum_g + q, S2[n,c] = s sum_gz + q zm;
 *                  dbeta = sum_n S1, dgamma = sum_n S2;  dz = gamma invstd (s g + q/HW - S1[group]/k - zhat S2[group]/k).
 *                  g is left as it is (it is the shortcut's gradient).
 * MAX_POOL         x [N,H,W,C] -> y [N,P,Q,C], index u8 [N,P,Q,C] (r*window + s of the first maximum). attr.pool: window, stride, pad, ceil (a last, clipped
 *                  window; windows start inside).
 * MAX_POOL_GRAD    dy, index -> dx [N,H,W,C]
 * GLOBAL_MAX       x [N,H,W,C] -> y [1,N,C], index i32 [N,C] (h*W + w of the first maximum)
 * GLOBAL_MAX_GRAD  dy [1,N,C], index -> dx [N,H,W,C]
 * UPSAMPLE         x [N,H,W,C] -> y [N,attr.map.height,attr.map.width,C], bilinear with align_corners;  UPSAMPLE_GRAD dy -> dx [N,height,width,C]
 * PART_POOL        x [N,H,W,C], [p [1] or [C] or [P]] -> y [P,N,C], [index i32 [P,N,C], maximum only: position, or -1 for the zero of a hole]
 *                  gem: (sum over the part's rings of max(x,eps)^p + holes eps^p) / denominator, to the power 1/p.  avg: sum / denominator.
 *                  max: over the part, and 0 when holes > 0 and every pixel is below it.
 *                  eps = 1e-6. Pixels up to eps have no gradient by x. p absent: attr.part.p. As many parts as channels: p is by channel.
 * PART_POOL_GRAD   dy [P,N,C], x, y, [p], [index] -> dx, [dp GRADS]
 *                  dx = sum over parts holding the pixel of dy y^(1-p)/denominator x^(p-1);  dp = dy y ((mean x^p ln x)/(p S) - ln S/p^2), S = mean x^p (holes included).
 * PART_ATTENTION   x [P,N,C] -> y = x * softmax_P(x);  PART_ATTENTION_GRAD dy, x -> dx
 * CONCAT           a, b (equal but for dimension attr.concat.axis) -> both along that dimension;  CONCAT_GRAD dy -> da (its first attr.concat.first entries), db (the rest)
 * LINEAR           x [P,N,D], w [P,K,D], [b [P,K]] -> y [P,N,K] = x w^T + b, each head by itself
 * LINEAR_GRAD      dy [P,N,K], x, w -> [dx], dw GRADS, [db GRADS]
 * HEAD_BN          x [P,N,D], gamma [P,D], beta, running_mean, running_var -> y, mean [P,G,D], invstd [P,G,D]. As BN_STATS + BN_APPLY with rows as positions.
 * HEAD_BN_GRAD     dy, x, mean, invstd, gamma -> dx, dgamma GRADS, dbeta GRADS
 * HEAD_BN_INFER    x, gamma, beta, running_mean, running_var -> y
 * DROPOUT          x [P,N,D], scalars -> y. Element e of the whole batch is kept when its number u >= rate and scaled by 1/(1-rate): u = word e%4 of Philox(seed, DROPOUT, step,
 *                  attr.dropout.layer, e/4) * 2^-32. The whole batch [P,G,ranks*N/G,D] has scalars.rank's rows of a view behind those of lower ranks:
 *                  element i of x is its element i + (i/V * other_ranks + rank) V, V = N/G*D elements a view and head. Alone e = i.
 * GATHER_ROWS      x [P,N,D], labels i32 [N] -> y [P,R N,D], all_labels i32 [R N].  R = attr.gather.ranks; each view has the rows of rank 0, then those of rank 1, ...
 *                  Runs in two halves with an exchange between them, as attr.bn.across has it; alone every rank's rows are this one's.
 * GATHER_ROWS_GRAD dy [P,R N,D], scalars -> dx [P,N,D] = R times the rows of scalars.rank:
 *                  the rest is the other ranks' to give, and gradients of parameters are means over the ranks
 * LOSS_CE          logits [P,N,K], labels i32 [N], [scalars] -> loss [1], dlogits [P,N,K].  loss = sum_P sum_G mean over the group's rows of CE;
 *                  label smoothing e: (1-e) CE + e mean_k(-log p_k). attr.loss.mean: sum_P becomes mean_P.
 *                  dlogits = weight * d loss, times scalars.loss_scale where scalars is given; the reported loss is before both.
 *                  A label outside 0 .. K-1 fails the run (SKY_DATA).
 * LOSS_KL          logits [P,N,K], [scalars] -> loss [1], dlogits.  Between groups attr.loss.satellite and attr.loss.drone, of M = N/G rows; the others' gradient is 0. Per head:
 *                  T^2/M sum_n sum_k p (ln p - ln q), p = softmax(logits of the target view / T), q of the other; then as LOSS_CE over heads.
 *                  attr.loss.direction (enum sky_kl_direction: target drone, target satellite, both summed), detach: no gradient into p.
 * SIMILARITY       x [P,N,D], [t [1]] -> y [P,M,M] ([1,M,M] when attr.pairs.joint), inverse_norm [P,N] of the two views' rows.  M = N/G;
 *                  y[p,i,j] = exp(t) (1 without t) times the cosine between row i of view attr.pairs.first and row j of view attr.pairs.second;
 *                  joint: the mean over P, which is the cosine of the heads' unit rows laid end to end. A row of zeros has cosine 0.
 * SIMILARITY_GRAD  dy, x, inverse_norm, y, [t] -> dx [P,N,D] (0 in rows of other views and in rows of zeros), [dt GRADS [1]] = sum dy y
 * LOSS_CONTRASTIVE y [P,M,M] (cosines s), labels i32 [N], [scalars] -> loss [1], dy.  Distance d = sqrt(max(2 - 2 s, 1e-6)), constant where clamped.
 *                  Row i of the first view and row j of the second are a pair when their labels are equal. loss = sum_P 1/M sum_ij of 1 - s = d^2/2 for a pair,
 *                  else max(0, margin - d)^2/2. mean, weight and scalars as in LOSS_CE; likewise in the next two.
 * LOSS_TRIPLET     y, labels, [scalars] -> loss [1], dy.  Each row of either view is an anchor: d_p its farthest pair, d_n its nearest stranger in the other view
 *                  (the first of equals). loss = sum_P 1/(2M) sum over anchors of max(0, d_p - d_n + margin), or with attr.pairs.soft
 *                  ln(1 + exp(alpha (d_p - d_n))). An anchor without a pair or a stranger adds nothing.
 * LOSS_INFO_NCE    y, labels, [scalars] -> loss [1], dy.  z = y/temperature; loss = sum_P 1/(2M) (sum_i CE of z's row i + sum_j CE of column j), the target spread
 *                  evenly over the row's pairs, then smoothed by attr.pairs.smoothing over all M. A row or column without a pair adds nothing.
 * ADD              a, b -> y. y may be a's memory.
 * SUM_SQUARES      x (any shape) -> y f64 [1]. Fixed chunks, so the same for any number of threads.
 * SGD              params, grads, momentum (whole arenas, [count]), sum_squares f64 [1], scalars -> report f64 [4]: gradient norm, 1 if the update was left out,
 *                  clamped elements, 0;
 *                  [shadow T of maps (whole arena): params as they are afterwards].
 *                  g = grads * scale (gradient_scale, and clip_norm/norm when clip_norm > 0 and norm exceeds it) + weight_decay w; m = momentum m + g;
 *                  w -= lr (nesterov ? g + momentum m : m); clamp. Not finite sum, or void_update: nothing changes. attr.update.segments: one row a parameter;
 *                  padding between them stays as it is. norm = gradient_scale sqrt(sum_squares), before clipping.
 * ADAMW            params, grads, momentum, squares (whole arenas), sum_squares, scalars -> report, [shadow], as SGD's.
 *                  g = grads * scale; m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g^2; with t = scalars.update, 1 for the first:
 *                  w = (1 - lr weight_decay) w - lr m/(1-beta1^t) / (sqrt(v/(1-beta2^t)) + epsilon); clamp. Left out as SGD's;
 *                  attr.update.momentum is beta1, attr.update.squares beta2.
 * EMA              params, ema (whole arenas), scalars -> report f64 [1] (0): ema = decay ema + (1-decay) params; void_update: nothing changes
 * CAST             params (whole arena) -> shadow T of maps (whole arena)
 */
#ifndef SKY_OPS_OPS_H
#define SKY_OPS_OPS_H

#include <stdbool.h>
#include <stdint.h>

enum sky_op {
#define SKY_OP(name, inputs, outputs, file, doc) SKY_OP_##name,
#include "ops/ops.def"
#undef SKY_OP
    SKY_OP_COUNT
};

const char *sky_op_name(enum sky_op op); /* "CONV" */

#define SKY_MAX_RINGS 16
#define SKY_MAX_PARTS 32

/*
 * Nested boxes cut a map into rings: ring r is box r without box r - 1; the last box is the whole map. A part is the rings first .. last, pooled over `denominator`
 * positions of which `holes` are zeros (the inner rings of a zero-filled square).
 */
struct sky_part_table {
    int ring_count, part_count;
    int16_t box[SKY_MAX_RINGS][4]; /* top, left, bottom, right (exclusive) */
    struct {
        int16_t first, last;
        int32_t denominator, holes;
    } part[SKY_MAX_PARTS];
};

/* One parameter's range of the arenas, for SGD and ADAMW. */
struct sky_segment {
    int64_t offset, count; /* elements */
    int group;             /* enum sky_group: index of scalars.lr */
    float weight_decay;
    float low, high; /* clamp when low < high */
};

union sky_attributes {
    struct { float mean[3], std[3]; } prep;
    struct { int stride, pad; bool relu; int64_t height, width; /* of x, for CONV_DGRAD */ int rows, columns; /* R, S for CONV_WGRAD */ int groups; /* BN_CONV* */ } conv;
    struct { int groups; double epsilon, momentum; bool relu, update, across; int64_t positions; /* of a group, for BN_FROM_SUMS */ } bn; /* all with BN, BLOCK_TAIL* */
    struct { int window, stride, pad; bool ceil; int64_t height, width; /* of x, for _GRAD */ } pool;
    struct { int64_t height, width; } map; /* UPSAMPLE: of y; _GRAD: of dx; GLOBAL_MAX_GRAD: of dx */
    struct { int pooling; /* enum sky_pooling */ double p; const struct sky_part_table *table; /* owned by the graph */ } part;
    struct { int axis; int64_t first; } concat;
    struct { int groups, ranks; } gather;
    struct { double rate; uint32_t layer; int groups; } dropout;
    struct { int groups, satellite, drone /* groups, of LOSS_KL */, direction; bool mean, detach; double weight, smoothing, temperature; } loss;
    struct { int groups, first, second /* views, of SIMILARITY and its losses */; bool joint, mean, soft; double weight, margin, alpha, smoothing, temperature; } pairs;
    struct { double momentum, squares, epsilon, clip_norm; bool nesterov; const struct sky_segment *segments; /* owned by the graph */ int64_t segment_count; } update;
};

struct sky_graph;
struct sky_node;

#endif
