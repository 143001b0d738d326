/*
 * One builder an operation: sizes and options from the case's text, inputs with fitting data, one node (and its gradient nodes, appended by subject.c).
 */
#include "cases.h"

#include "skygem/config.h"

#include <math.h>

static const char *const pooling_words[] = {"gem", "avg", "max"};
static const char *const direction_words[] = {"drone", "satellite", "both"};

static void image_prep(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 8), w = ops_int(s, "w", 8);
    const union sky_attributes attr = {.prep = {{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}};
    s->scalars.mirror = (uint32_t)ops_int(s, "mirror", 0);
    const sky_value images = ops_input_of(s, "images", SKY_U8, OPS_BYTES, 0, 0, OPS_DIM(n, h, w, 3));
    const sky_value erased = ops_int(s, "erased", 0) ? ops_input_of(s, "erased", SKY_I32, OPS_ERASED, (double)h, (double)w, OPS_DIM(n, 4)) : SKY_NONE;
    ops_node(s, SKY_OP_IMAGE_PREP, &attr, OPS_IN(images, erased, s->graph.scalars));
}

static void conv(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 7), w = ops_int(s, "w", 5), c = ops_int(s, "c", 3), k = ops_int(s, "k", 4), r = ops_int(s, "r", 3);
    const int64_t columns = ops_int(s, "s", r);
    const union sky_attributes attr = {.conv = {.stride = (int)ops_int(s, "stride", 1), .pad = (int)ops_int(s, "pad", r / 2), .relu = ops_int(s, "relu", 0)}};
    const bool with_bias = ops_int(s, "bias", 0), with_residual = ops_int(s, "residual", 0);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(n, h, w, c));
    const sky_value filters = ops_filters(s, "w", OPS_NORMAL, 0, 1 / sqrt((double)(r * columns * c)), OPS_DIM(k, r, columns, c));
    const sky_value bias = with_bias ? ops_input(s, "bias", OPS_NORMAL, 0, 1, OPS_DIM(k)) : SKY_NONE;
    const int64_t p = (h + 2 * attr.conv.pad - r) / attr.conv.stride + 1, q = (w + 2 * attr.conv.pad - columns) / attr.conv.stride + 1;
    const sky_value residual = with_residual ? ops_input(s, "residual", OPS_NORMAL, 0, 1, OPS_DIM(n, p, q, k)) : SKY_NONE;
    const int64_t node = ops_node(s, SKY_OP_CONV, &attr, OPS_IN(x, filters, bias, residual));
    if (!with_bias && !with_residual && !attr.conv.relu && !s->constant) ops_output(s, ops_out(s, node, 0));
}

static union sky_attributes bn_attributes(struct ops_subject *s)
{
    return (union sky_attributes){.bn = {.groups = (int)ops_int(s, "groups", 2), .epsilon = ops_number(s, "eps", 1e-5), .momentum = ops_number(s, "momentum", 0.1),
                                         .relu = ops_int(s, "relu", 0), .update = ops_int(s, "update", 1)}};
}

static void bn_stats(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 5), w = ops_int(s, "w", 3), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s);
    const sky_value z = ops_input(s, "z", OPS_NORMAL, ops_number(s, "mean", 1), ops_number(s, "dev", 2), OPS_DIM(n, h, w, c));
    const sky_value mean = ops_buffer(s, "running_mean", OPS_NORMAL, 0, 1, OPS_DIM(c)), var = ops_buffer(s, "running_var", OPS_UNIFORM, 0.5, 2, OPS_DIM(c));
    ops_node(s, SKY_OP_BN_STATS, &attr, OPS_IN(z, mean, var));
}

static void bn_apply(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 5), w = ops_int(s, "w", 3), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s);
    const bool broken = ops_int(s, "broken", 0);
    const sky_value z = ops_input(s, "z", broken ? OPS_BROKEN : OPS_NORMAL, 1, 2, OPS_DIM(n, h, w, c));
    const sky_value mean = ops_input(s, "mean", OPS_NORMAL, 1, 0.3, OPS_DIM(attr.bn.groups, c)), invstd = ops_input(s, "invstd", OPS_UNIFORM, 0.4, 0.8, OPS_DIM(attr.bn.groups, c));
    const sky_value gamma = ops_input(s, "gamma", OPS_NORMAL, 1, 0.5, OPS_DIM(c)), beta = ops_input(s, "beta", OPS_NORMAL, 0, 0.5, OPS_DIM(c));
    ops_node(s, SKY_OP_BN_APPLY, &attr, OPS_IN(z, mean, invstd, gamma, beta));
}

static void bn_fold(struct ops_subject *s)
{
    const int64_t k = ops_int(s, "k", 5), r = ops_int(s, "r", 3), c = ops_int(s, "c", 3);
    const union sky_attributes attr = bn_attributes(s);
    const sky_value w = ops_input_of(s, "w", s->graph.dtype, OPS_NORMAL, 0, 1, OPS_DIM(k, r, r, c)), gamma = ops_input(s, "gamma", OPS_NORMAL, 1, 0.5, OPS_DIM(k));
    const sky_value beta = ops_input(s, "beta", OPS_NORMAL, 0, 1, OPS_DIM(k)), mean = ops_input(s, "mean", OPS_NORMAL, 0, 1, OPS_DIM(k));
    const sky_value var = ops_input(s, "var", OPS_UNIFORM, 0, 2, OPS_DIM(k));
    ops_node(s, SKY_OP_BN_FOLD, &attr, OPS_IN(w, gamma, beta, mean, var));
}

static void bn_squeeze(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s);
    const sky_value image_mean = ops_input(s, "image_mean", OPS_NORMAL, 1, 1, OPS_DIM(n, c)), mean = ops_input(s, "mean", OPS_NORMAL, 1, 0.3, OPS_DIM(attr.bn.groups, c));
    const sky_value invstd = ops_input(s, "invstd", OPS_UNIFORM, 0.4, 0.8, OPS_DIM(attr.bn.groups, c));
    const sky_value gamma = ops_input(s, "gamma", OPS_NORMAL, 1, 0.5, OPS_DIM(c)), beta = ops_input(s, "beta", OPS_NORMAL, 0, 0.5, OPS_DIM(c));
    ops_node(s, SKY_OP_BN_SQUEEZE, &attr, OPS_IN(image_mean, mean, invstd, gamma, beta));
}

static void channel_mean(struct ops_subject *s)
{
    const sky_value y = ops_input(s, "y", OPS_NORMAL, 1, 1, OPS_DIM(ops_int(s, "n", 2), ops_int(s, "h", 5), ops_int(s, "w", 3), ops_int(s, "c", 5)));
    ops_node(s, SKY_OP_CHANNEL_MEAN, NULL, OPS_IN(y));
}

static void se_gate(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), c = ops_int(s, "c", 8), r = ops_int(s, "r", 4);
    const sky_value squeeze = ops_input(s, "squeeze", ops_int(s, "broken", 0) ? OPS_BROKEN : OPS_NORMAL, 1, 1, OPS_DIM(n, c));
    const sky_value w1 = ops_input(s, "w1", OPS_NORMAL, 0, 1 / sqrt((double)c), OPS_DIM(r, c)), b1 = ops_input(s, "b1", OPS_NORMAL, 0, 0.5, OPS_DIM(r));
    const sky_value w2 = ops_input(s, "w2", OPS_NORMAL, 0, 1 / sqrt((double)r), OPS_DIM(c, r)), b2 = ops_input(s, "b2", OPS_NORMAL, 0, ops_number(s, "spread", 0.5), OPS_DIM(c));
    ops_node(s, SKY_OP_SE_GATE, NULL, OPS_IN(squeeze, w1, b1, w2, b2));
}

/* Every combination of the tail's optional inputs; inference leaves the statistics out. */
static void block_tail(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 5), w = ops_int(s, "w", 3), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s);
    const bool bn = ops_int(s, "bn", 1), gate = ops_int(s, "gate", 1), shortcut_bn = ops_int(s, "bns", 0), broken = ops_int(s, "broken", 0);
    sky_value in[11];
    for (int i = 0; i < 11; i++) in[i] = SKY_NONE;
    in[0] = ops_input(s, "z", broken ? OPS_BROKEN : OPS_NORMAL, 1, 2, OPS_DIM(n, h, w, c));
    if (gate) in[5] = ops_input(s, "gate", OPS_UNIFORM, 0, 1, OPS_DIM(n, c));
    in[6] = ops_input(s, "shortcut", OPS_NORMAL, 0, 1, OPS_DIM(n, h, w, c));
    for (int first = 1; first <= 7; first += 6) {
        if (first == 1 ? !bn : !shortcut_bn) continue;
        in[first] = ops_input(s, first == 1 ? "mean" : "mean_s", OPS_NORMAL, 1, 0.3, OPS_DIM(attr.bn.groups, c));
        in[first + 1] = ops_input(s, first == 1 ? "invstd" : "invstd_s", OPS_UNIFORM, 0.4, 0.8, OPS_DIM(attr.bn.groups, c));
        in[first + 2] = ops_input(s, first == 1 ? "gamma" : "gamma_s", OPS_NORMAL, 1, 0.5, OPS_DIM(c));
        in[first + 3] = ops_input(s, first == 1 ? "beta" : "beta_s", OPS_NORMAL, 0, 0.5, OPS_DIM(c));
    }
    ops_node(s, SKY_OP_BLOCK_TAIL, &attr, in, 11);
}

static void max_pool(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 7), w = ops_int(s, "w", 6), c = ops_int(s, "c", 3);
    const union sky_attributes attr = {
        .pool = {.window = (int)ops_int(s, "window", 3), .stride = (int)ops_int(s, "stride", 2), .pad = (int)ops_int(s, "pad", 0), .ceil = ops_int(s, "ceil", 0)}};
    s->rough = ops_int(s, "relu", 0); /* relu=1: many ties at zero, as behind a ReLU */
    const sky_value x = ops_wanted(s, "x", s->rough ? OPS_RELU : OPS_DISTINCT, s->rough ? 1 : -3, s->rough ? 0 : 3, OPS_DIM(n, h, w, c));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_MAX_POOL, &attr, OPS_IN(x)), 0));
}

static void global_max(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 4), w = ops_int(s, "w", 5), c = ops_int(s, "c", 3);
    s->rough = ops_int(s, "relu", 0);
    const sky_value x = ops_wanted(s, "x", s->rough ? OPS_RELU : OPS_DISTINCT, s->rough ? 1 : -3, s->rough ? 2 : 3, OPS_DIM(n, h, w, c));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_GLOBAL_MAX, NULL, OPS_IN(x)), 0));
}

static void upsample(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 4), w = ops_int(s, "w", 5), c = ops_int(s, "c", 3);
    const union sky_attributes attr = {.map = {ops_int(s, "oh", 8), ops_int(s, "ow", 8)}};
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(n, h, w, c));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_UPSAMPLE, &attr, OPS_IN(x)), 0));
}

static void concat(struct ops_subject *s)
{
    const int axis = (int)ops_int(s, "axis", 2), rank = (int)ops_int(s, "rank", 3);
    const int64_t first = ops_int(s, "first", 3), second = ops_int(s, "second", 4);
    const union sky_attributes attr = {.concat = {.axis = axis}};
    int64_t a[SKY_MAX_RANK + 1] = {2, 3, 5, 4}, b[SKY_MAX_RANK + 1] = {2, 3, 5, 4};
    a[rank] = b[rank] = 0;
    a[axis] = first, b[axis] = second;
    const sky_value left = ops_wanted(s, "a", OPS_NORMAL, 0, 1, a), right = ops_wanted(s, "b", OPS_NORMAL, 0, 1, b);
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_CONCAT, &attr, OPS_IN(left, right)), 0));
}

static void linear(struct ops_subject *s)
{
    const int64_t p = ops_int(s, "p", 2), n = ops_int(s, "n", 4), d = ops_int(s, "d", 6), k = ops_int(s, "k", 5);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(p, n, d)), w = ops_parameter(s, "w", OPS_NORMAL, 0, 1 / sqrt((double)d), OPS_DIM(p, k, d));
    const sky_value b = ops_int(s, "bias", 1) ? ops_parameter(s, "b", OPS_NORMAL, 0, 1, OPS_DIM(p, k)) : SKY_NONE;
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_LINEAR, NULL, OPS_IN(x, w, b)), 0));
}

static void head_bn(struct ops_subject *s)
{
    const int64_t p = ops_int(s, "p", 2), n = ops_int(s, "n", 6), d = ops_int(s, "d", 5);
    const union sky_attributes attr = bn_attributes(s);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, ops_number(s, "mean", 1), ops_number(s, "dev", 2), OPS_DIM(p, n, d));
    const sky_value gamma = ops_parameter(s, "gamma", OPS_NORMAL, 1, 0.5, OPS_DIM(p, d)), beta = ops_parameter(s, "beta", OPS_NORMAL, 0, 0.5, OPS_DIM(p, d));
    const sky_value mean = ops_buffer(s, "running_mean", OPS_NORMAL, 0, 1, OPS_DIM(p, d)), var = ops_buffer(s, "running_var", OPS_UNIFORM, 0.5, 2, OPS_DIM(p, d));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_HEAD_BN, &attr, OPS_IN(x, gamma, beta, mean, var)), 0));
}

static void head_bn_infer(struct ops_subject *s)
{
    const int64_t p = ops_int(s, "p", 2), n = ops_int(s, "n", 3), d = ops_int(s, "d", 5);
    const union sky_attributes attr = bn_attributes(s);
    const sky_value x = ops_input(s, "x", OPS_NORMAL, 1, 2, OPS_DIM(p, n, d)), gamma = ops_input(s, "gamma", OPS_NORMAL, 1, 0.5, OPS_DIM(p, d));
    const sky_value beta = ops_input(s, "beta", OPS_NORMAL, 0, 0.5, OPS_DIM(p, d)), mean = ops_input(s, "mean", OPS_NORMAL, 0, 1, OPS_DIM(p, d));
    const sky_value var = ops_input(s, "var", OPS_UNIFORM, 0, 2, OPS_DIM(p, d));
    ops_node(s, SKY_OP_HEAD_BN_INFER, &attr, OPS_IN(x, gamma, beta, mean, var));
}

static void dropout(struct ops_subject *s)
{
    const union sky_attributes attr = {.dropout = {.rate = ops_number(s, "rate", 0.5), .layer = (uint32_t)ops_int(s, "layer", 0), .groups = (int)ops_int(s, "groups", 1)}};
    s->scalars.rank = (uint32_t)ops_int(s, "rank", 0), s->scalars.other_ranks = (uint32_t)ops_int(s, "others", 0);
    s->scalars.seed = (uint64_t)ops_number(s, "seed", 12345), s->scalars.step = (uint64_t)ops_int(s, "step", 7);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(ops_int(s, "p", 2), ops_int(s, "n", 3), ops_int(s, "d", 7)));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_DROPOUT, &attr, OPS_IN(x, s->graph.scalars)), 0));
}

/* Of several ranks both halves by themselves: alone every rank's rows are this one's, which is not what the gradient is of. */
static void gather_rows(struct ops_subject *s)
{
    const int64_t p = ops_int(s, "p", 2), n = ops_int(s, "n", 4), d = ops_int(s, "d", 5);
    const union sky_attributes attr = {.gather = {.groups = (int)ops_int(s, "groups", 2), .ranks = (int)ops_int(s, "ranks", 1)}};
    s->scalars.rank = (uint32_t)ops_int(s, "rank", 0), s->scalars.other_ranks = (uint32_t)attr.gather.ranks - 1;
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(p, n, d)), labels = ops_input_of(s, "labels", SKY_I32, OPS_BELOW, 701, 0, OPS_DIM(n));
    const sky_value y = ops_out(s, ops_node(s, SKY_OP_GATHER_ROWS, &attr, OPS_IN(x, labels)), 0);
    if (attr.gather.ranks == 1) ops_output(s, y);
    else ops_node(s, SKY_OP_GATHER_ROWS_GRAD, &attr, OPS_IN(ops_input(s, "dy", OPS_NORMAL, 0, 1, OPS_DIM(p, attr.gather.ranks * n, d)), s->graph.scalars));
}

static union sky_attributes loss_attributes(struct ops_subject *s)
{
    return (union sky_attributes){.loss = {.groups = (int)ops_int(s, "groups", 2), .satellite = (int)ops_int(s, "satellite", 0),
                                           .drone = (int)ops_int(s, "drone", 1), .mean = ops_int(s, "mean", 0), .detach = ops_int(s, "detach", 0),
                                           .direction = ops_word(s, "direction", direction_words, 3, SKY_KL_DRONE_SATELLITE),
                                           .weight = ops_number(s, "weight", 1), .smoothing = ops_number(s, "smoothing", 0),
                                           .temperature = ops_number(s, "temperature", 1)}};
}

static void loss(struct ops_subject *s, enum sky_op op)
{
    const int64_t p = ops_int(s, "p", 2), n = ops_int(s, "n", 4), k = ops_int(s, "k", 5);
    const union sky_attributes attr = loss_attributes(s);
    const sky_value logits = ops_wanted(s, "logits", OPS_NORMAL, ops_number(s, "shift", 0), ops_number(s, "dev", 1.5), OPS_DIM(p, n, k));
    const sky_value labels = op == SKY_OP_LOSS_CE ? ops_input_of(s, "labels", SKY_I32, OPS_BELOW, (double)k, 0, OPS_DIM(n)) : SKY_NONE;
    const double scale = ops_number(s, "scale", 0); /* 0: the node has no scalars */
    const sky_value scalars = scale > 0 ? s->graph.scalars : SKY_NONE, ce[3] = {logits, labels, scalars}, kl[2] = {logits, scalars};
    s->rough = attr.loss.detach; /* then the gradient is not that of the loss: vectors_test checks it */
    s->scalars.loss_scale = (float)scale;
    ops_loss(s, op == SKY_OP_LOSS_CE ? ops_node(s, op, &attr, ce, 3) : ops_node(s, op, &attr, kl, 2), attr.loss.weight * (scale > 0 ? scale : 1));
}

static void loss_ce(struct ops_subject *s)
{
    loss(s, SKY_OP_LOSS_CE);
}

static void loss_kl(struct ops_subject *s)
{
    loss(s, SKY_OP_LOSS_KL);
}

static union sky_attributes pair_attributes(struct ops_subject *s)
{
    return (union sky_attributes){.pairs = {.groups = (int)ops_int(s, "groups", 2), .first = (int)ops_int(s, "first", 0), .second = (int)ops_int(s, "second", 1),
                                            .joint = ops_int(s, "joint", 0), .mean = ops_int(s, "mean", 0), .soft = ops_int(s, "soft", 0),
                                            .weight = ops_number(s, "weight", 1), .margin = ops_number(s, "margin", 0.7), .alpha = ops_number(s, "alpha", 1),
                                            .smoothing = ops_number(s, "smoothing", 0), .temperature = ops_number(s, "temperature", 1)}};
}

static void similarity(struct ops_subject *s)
{
    const union sky_attributes attr = pair_attributes(s);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, 0, ops_number(s, "dev", 1), OPS_DIM(ops_int(s, "p", 2), ops_int(s, "n", 6), ops_int(s, "d", 7)));
    const sky_value t = ops_int(s, "learn", 0) ? ops_parameter(s, "t", OPS_UNIFORM, 0.5, 2.7, OPS_DIM(1)) : SKY_NONE;
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_SIMILARITY, &attr, OPS_IN(x, t)), 0));
}

/* Cosines drawn evenly: no two equal, so that the hardest are the same when nudged. */
static void loss_pairs(struct ops_subject *s, enum sky_op op)
{
    const union sky_attributes attr = pair_attributes(s);
    const int64_t p = ops_int(s, "p", 2), m = ops_int(s, "m", 4), places = ops_int(s, "places", m), alone = ops_int(s, "alone", 0);
    const double scale = ops_number(s, "scale", 0); /* 0: the node has no scalars */
    const sky_value cosines = ops_wanted(s, "cosines", OPS_DISTINCT, ops_number(s, "low", -0.9), ops_number(s, "high", 0.95), OPS_DIM(p, m, m));
    const sky_value labels = ops_input_of(s, "labels", SKY_I32, OPS_CYCLE, (double)places, (double)(alone ? attr.pairs.groups * m - alone : 0), OPS_DIM(attr.pairs.groups * m));
    s->scalars.loss_scale = (float)scale;
    ops_loss(s, ops_node(s, op, &attr, OPS_IN(cosines, labels, scale > 0 ? s->graph.scalars : SKY_NONE)), attr.pairs.weight * (scale > 0 ? scale : 1));
}

static void loss_contrastive(struct ops_subject *s)
{
    loss_pairs(s, SKY_OP_LOSS_CONTRASTIVE);
}

static void loss_triplet(struct ops_subject *s)
{
    loss_pairs(s, SKY_OP_LOSS_TRIPLET);
}

static void loss_info_nce(struct ops_subject *s)
{
    loss_pairs(s, SKY_OP_LOSS_INFO_NCE);
}

static void add(struct ops_subject *s)
{
    const int64_t *dim = OPS_DIM(ops_int(s, "n", 2), ops_int(s, "h", 3), ops_int(s, "w", 3), ops_int(s, "c", 5));
    const sky_value a = ops_wanted(s, "a", OPS_NORMAL, 0, 1, dim), b = ops_int(s, "self", 0) ? a : ops_wanted(s, "b", OPS_NORMAL, 0, 1, dim);
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_ADD, NULL, OPS_IN(a, b)), 0));
}

static void sum_squares(struct ops_subject *s)
{
    const int broken = (int)ops_int(s, "broken", 0); /* 1: an Inf, 2: a NaN */
    const sky_value x = ops_input(s, "x", broken ? OPS_BROKEN : OPS_NORMAL, broken ? broken - 1 : 0, ops_number(s, "dev", 1), OPS_DIM(ops_int(s, "count", 100)));
    ops_node(s, SKY_OP_SUM_SQUARES, NULL, OPS_IN(x));
}

/* Parameters cut into segments, gradients, momentum and scalars of an update. */
struct update {
    int64_t count; /* of each arena */
    union sky_attributes attr;
    sky_value params, grads, momentum, sum;
};

static struct update update_of(struct ops_subject *s)
{
    const bool shadow = s->graph.map_dtype != s->graph.dtype; /* it has no padding that stays as it is */
    const int64_t segment_count = ops_int(s, "segments", 3), wanted = ops_int(s, "length", 37);
    const int64_t length = shadow ? (wanted + 15) / 16 * 16 : wanted, room = (length + 15) / 16 * 16;
    const int broken = (int)ops_int(s, "broken", 0);
    const double decay = ops_number(s, "decay", 5e-4), low = ops_number(s, "low", 0), high = ops_number(s, "high", 0);
    struct update update = {.count = segment_count * room};
    s->scalars.gradient_scale = (float)ops_number(s, "scale", 1);
    s->scalars.void_update = ops_number(s, "void", 0);
    struct sky_segment *segments = sky_graph_memory(&s->graph, (size_t)segment_count * sizeof *segments);
    for (int64_t i = 0; segments && i < segment_count; i++)
        segments[i] = (struct sky_segment){.offset = i * room, .count = length, .group = (int)(i % SKY_GROUP_COUNT), .weight_decay = (float)decay, .low = (float)low,
                                           .high = (float)high};
    update.attr.update.momentum = ops_number(s, "momentum", 0.9), update.attr.update.clip_norm = ops_number(s, "clip", 0);
    update.attr.update.segments = segments, update.attr.update.segment_count = segment_count;
    update.params = ops_input(s, "params", OPS_NORMAL, 0, 1, OPS_DIM(update.count));
    update.grads = ops_input(s, "grads", broken ? OPS_BROKEN : OPS_NORMAL, broken ? broken - 1 : 0, ops_number(s, "dev", 1), OPS_DIM(update.count));
    update.momentum = ops_input(s, "momentum", ops_int(s, "first", 0) ? OPS_ZERO : OPS_NORMAL, 0, 1, OPS_DIM(update.count));
    update.sum = ops_out(s, ops_node(s, SKY_OP_SUM_SQUARES, NULL, OPS_IN(update.grads)), 0);
    return update;
}

static void sgd(struct ops_subject *s)
{
    struct update update = update_of(s);
    update.attr.update.nesterov = ops_int(s, "nesterov", 1);
    ops_node(s, SKY_OP_SGD, &update.attr, OPS_IN(update.params, update.grads, update.momentum, update.sum, s->graph.scalars));
}

static void adamw(struct ops_subject *s)
{
    struct update update = update_of(s);
    const bool first = ops_int(s, "first", 0);
    const sky_value squares = ops_input(s, "squares", first ? OPS_ZERO : OPS_UNIFORM, 0, 2, OPS_DIM(update.count));
    update.attr.update.squares = ops_number(s, "squares", 0.999), update.attr.update.epsilon = ops_number(s, "eps", 1e-8);
    s->scalars.update = first ? 1 : (uint64_t)ops_int(s, "update", 10);
    ops_node(s, SKY_OP_ADAMW, &update.attr, OPS_IN(update.params, update.grads, update.momentum, squares, update.sum, s->graph.scalars));
}

static void ema(struct ops_subject *s)
{
    const int64_t count = ops_int(s, "count", 100);
    s->scalars.ema_decay = (float)ops_number(s, "decay", 0.99);
    s->scalars.void_update = ops_number(s, "void", 0);
    const sky_value params = ops_input(s, "params", OPS_NORMAL, 0, 1, OPS_DIM(count)), average = ops_input(s, "ema", OPS_NORMAL, 0, 1, OPS_DIM(count));
    ops_node(s, SKY_OP_EMA, NULL, OPS_IN(params, average, s->graph.scalars));
}

/* There is nothing to convert where maps have the parameters' type. */
static void cast(struct ops_subject *s)
{
    const sky_value params = ops_input(s, "params", OPS_NORMAL, 0, ops_number(s, "dev", 1), OPS_DIM(ops_int(s, "count", 100)));
    if (s->graph.map_dtype != s->graph.dtype) ops_node(s, SKY_OP_CAST, NULL, OPS_IN(params));
}

static void part_attention(struct ops_subject *s)
{
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, ops_number(s, "shift", 0), ops_number(s, "dev", 1), OPS_DIM(ops_int(s, "p", 6), ops_int(s, "n", 2), ops_int(s, "c", 5)));
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_PART_ATTENTION, NULL, OPS_IN(x)), 0));
}

static void part_pool(struct ops_subject *s)
{
    static const char *const exponent_words[] = {"none", "scalar", "channel", "part"};
    const int64_t n = ops_int(s, "n", 2), h = ops_int(s, "h", 8), w = ops_int(s, "w", 8), c = ops_int(s, "c", 3), dead = ops_int(s, "dead", 0);
    const int pooling = ops_word(s, "pool", pooling_words, 3, SKY_POOL_GEM), learned = ops_word(s, "learn", exponent_words, 4, 0);
    const double exponent = ops_number(s, "p", 3), scale = ops_number(s, "scale", 2);
    const struct sky_part_table *table = ops_part_table(s, h, w);
    const union sky_attributes attr = {.part = {.pooling = pooling, .p = exponent, .table = table}};
    s->rough = dead > 0; /* zeros: below GeM's epsilon, and ties of the maximum */
    const enum ops_fill fill = s->rough ? OPS_RELU : pooling == SKY_POOL_MAX ? OPS_DISTINCT : OPS_UNIFORM;
    const sky_value x = ops_wanted(s, "x", fill, s->rough ? scale : pooling == SKY_POOL_MAX ? -scale : 0.05 * scale, s->rough ? (double)dead : scale, OPS_DIM(n, h, w, c));
    const int64_t lengths[] = {1, 1, c, table ? table->part_count : 1};
    const sky_value p = learned ? ops_parameter(s, "p", OPS_UNIFORM, exponent - 0.5, exponent + 0.5, OPS_DIM(lengths[learned])) : SKY_NONE;
    ops_output(s, ops_out(s, ops_node(s, SKY_OP_PART_POOL, &attr, OPS_IN(x, p)), 0));
}

const struct ops_builder ops_op_builders[] = {
    {"IMAGE_PREP", image_prep}, {"CONV", conv},           {"BN_STATS", bn_stats},     {"BN_APPLY", bn_apply}, {"BN_FOLD", bn_fold},
    {"BN_SQUEEZE", bn_squeeze}, {"CHANNEL_MEAN", channel_mean}, {"SE_GATE", se_gate}, {"BLOCK_TAIL", block_tail}, {"MAX_POOL", max_pool},
    {"GLOBAL_MAX", global_max}, {"UPSAMPLE", upsample},   {"PART_POOL", part_pool},   {"PART_ATTENTION", part_attention}, {"CONCAT", concat},
    {"LINEAR", linear},         {"HEAD_BN", head_bn},     {"HEAD_BN_INFER", head_bn_infer}, {"DROPOUT", dropout}, {"GATHER_ROWS", gather_rows}, {"LOSS_CE", loss_ce},
    {"LOSS_KL", loss_kl},       {"ADD", add},             {"SUM_SQUARES", sum_squares}, {"SGD", sgd},       {"ADAMW", adamw},   {"EMA", ema},
    {"CAST", cast},             {"SIMILARITY", similarity}, {"LOSS_CONTRASTIVE", loss_contrastive}, {"LOSS_TRIPLET", loss_triplet}, {"LOSS_INFO_NCE", loss_info_nce},
    {NULL, NULL},
};
