/*
 * Chains of operations whose gradient is split over several nodes: batch norm, residual blocks with and without SE, heads, GeM behind up-sampling, and a whole small network.
 */
#include "cases.h"

#include "skygem/config.h"

#include <math.h>
#include <stdio.h>

/* Square rings about the centre, the last one taking what is left; `rows` cuts the map into horizontal bands instead,
 * `gaps` leaves the first and the last ring in no part. */
const struct sky_part_table *ops_part_table(struct ops_subject *s, int64_t height, int64_t width)
{
    enum { NONE, LPN, MSBA, ROWS, GAPS };
    static const char *const part_words[] = {"none", "lpn", "msba", "rows", "gaps"}, *const norm_words[] = {"square", "ring"};
    const int parts = ops_word(s, "parts", part_words, 5, LPN), ring_norm = ops_word(s, "norm", norm_words, 2, 0);
    const int rings = parts == NONE ? 1 : (int)ops_int(s, "blocks", 4);
    struct sky_part_table *table = sky_graph_memory(&s->graph, sizeof *table);
    if (!table) return NULL;
    int64_t area[SKY_MAX_RINGS];
    for (int r = 0; r < rings; r++) {
        const int64_t down = (r + 1) * (height / (2 * rings)), across = (r + 1) * (width / (2 * rings));
        const bool whole = r == rings - 1;
        const int64_t box[4] = {parts == ROWS || whole ? 0 : height / 2 - down, parts == ROWS || whole ? 0 : width / 2 - across,
                                whole ? height : parts == ROWS ? (r + 1) * height / rings : height / 2 + down, parts == ROWS || whole ? width : width / 2 + across};
        for (int k = 0; k < 4; k++) table->box[r][k] = (int16_t)box[k];
        area[r] = (box[2] - box[0]) * (box[3] - box[1]);
    }
    table->ring_count = rings;
    for (int r = 0; r < rings; r++) {
        const int more = parts == MSBA && r == 2 ? 3 : parts == GAPS && r % (rings - 1) == 0 ? 0 : 1; /* MSBA: behind ring 3 the squares of rings 1-2 and 1-3 */
        for (int extra = 0; extra < more; extra++) {
            const int first = extra ? 0 : r, last = extra ? extra : r;
            const int64_t hole = first > 0 ? area[first - 1] : 0;
            const int at = table->part_count++;
            table->part[at].first = (int16_t)first, table->part[at].last = (int16_t)last;
            table->part[at].holes = ring_norm ? 0 : (int32_t)hole;
            table->part[at].denominator = (int32_t)(ring_norm ? area[last] - hole : area[last]);
        }
    }
    return table;
}

struct norm {
    int64_t stats; /* node */
    sky_value mean, invstd, gamma, beta;
};

/* Statistics of z and fresh parameters; names end with `suffix`. */
static struct norm add_norm(struct ops_subject *s, sky_value z, const union sky_attributes *attr, const char *suffix)
{
    const struct sky_tensor *tensor = sky_graph_get(&s->graph, z);
    const int64_t c = tensor ? tensor->dim[3] : 1;
    char name[4][40];
    const char *const stems[4] = {"running_mean", "running_var", "gamma", "beta"};
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s%s", stems[i], suffix);
    const sky_value mean = ops_buffer(s, name[0], OPS_NORMAL, 0, 1, OPS_DIM(c)), var = ops_buffer(s, name[1], OPS_UNIFORM, 0.5, 2, OPS_DIM(c));
    const sky_value gamma = ops_parameter(s, name[2], OPS_NORMAL, 1, 0.4, OPS_DIM(c)), beta = ops_parameter(s, name[3], OPS_NORMAL, 0, 0.4, OPS_DIM(c));
    const int64_t stats = ops_node(s, SKY_OP_BN_STATS, attr, OPS_IN(z, mean, var));
    return (struct norm){stats, ops_out(s, stats, 1), ops_out(s, stats, 2), gamma, beta};
}

static union sky_attributes bn_attributes(struct ops_subject *s, bool relu)
{
    return (union sky_attributes){.bn = {.groups = (int)ops_int(s, "groups", 2), .epsilon = 1e-5, .momentum = 0.1, .relu = relu, .update = true}};
}

static sky_value apply_norm(struct ops_subject *s, sky_value z, const union sky_attributes *attr, const char *suffix)
{
    const struct norm norm = add_norm(s, z, attr, suffix);
    return ops_out(s, ops_node(s, SKY_OP_BN_APPLY, attr, OPS_IN(z, norm.mean, norm.invstd, norm.gamma, norm.beta)), 0);
}

static void bn(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 5), w = ops_int(s, "w", 3), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s, ops_int(s, "relu", 1));
    const sky_value z = ops_wanted(s, "z", OPS_NORMAL, ops_number(s, "mean", 1), 2, OPS_DIM(n, h, w, c));
    const sky_value y = apply_norm(s, z, &attr, "");
    for (int64_t i = ops_int(s, "consumers", 1); i > 0; i--) ops_output(s, y);
}

/* BN(BN(a) + BN(b)): both inner norms get the same gradient tensor, which only the last of them may write over. */
static void meeting(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 3), w = ops_int(s, "w", 3), c = ops_int(s, "c", 5);
    const union sky_attributes attr = bn_attributes(s, ops_int(s, "relu", 0));
    const sky_value a = ops_wanted(s, "a", OPS_NORMAL, 1, 2, OPS_DIM(n, h, w, c)), b = ops_wanted(s, "b", OPS_NORMAL, -1, 1, OPS_DIM(n, h, w, c));
    const sky_value left = apply_norm(s, a, &attr, "_left"), right = apply_norm(s, b, &attr, "_right");
    ops_output(s, apply_norm(s, ops_out(s, ops_node(s, SKY_OP_ADD, NULL, OPS_IN(left, right)), 0), &attr, "_sum"));
}

/* relu(S + gate * BN(z)) with S = shortcut or BN(shortcut); gate = 0 leaves SE out. */
static sky_value add_tail(struct ops_subject *s, sky_value z, sky_value shortcut, int64_t reduced, bool shortcut_norm, const union sky_attributes *attr)
{
    const struct norm main = add_norm(s, z, attr, "_main");
    sky_value gate = SKY_NONE;
    if (reduced) {
        const struct sky_tensor *tensor = sky_graph_get(&s->graph, z);
        const int64_t c = tensor ? tensor->dim[3] : 1;
        const sky_value squeeze = ops_out(s, ops_node(s, SKY_OP_BN_SQUEEZE, attr, OPS_IN(ops_out(s, main.stats, 0), main.mean, main.invstd, main.gamma, main.beta)), 0);
        const sky_value w1 = ops_parameter(s, "w1", OPS_NORMAL, 0, 1.5 / sqrt((double)c), OPS_DIM(reduced, c)), b1 = ops_parameter(s, "b1", OPS_NORMAL, 0.3, 0.5, OPS_DIM(reduced));
        const sky_value w2 = ops_parameter(s, "w2", OPS_NORMAL, 0, 1.5 / sqrt((double)reduced), OPS_DIM(c, reduced)), b2 = ops_parameter(s, "b2", OPS_NORMAL, 0, 0.5, OPS_DIM(c));
        gate = ops_out(s, ops_node(s, SKY_OP_SE_GATE, NULL, OPS_IN(squeeze, w1, b1, w2, b2)), 1);
    }
    struct norm side = {0, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    if (shortcut_norm) side = add_norm(s, shortcut, attr, "_side");
    return ops_out(s,
                   ops_node(s, SKY_OP_BLOCK_TAIL, attr,
                            OPS_IN(z, main.mean, main.invstd, main.gamma, main.beta, gate, shortcut, side.mean, side.invstd, side.gamma, side.beta)),
                   0);
}

static void block(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 5), w = ops_int(s, "w", 3), c = ops_int(s, "c", 6);
    const union sky_attributes attr = bn_attributes(s, false);
    const sky_value z = ops_wanted(s, "z", OPS_NORMAL, 1, 2, OPS_DIM(n, h, w, c)), shortcut = ops_wanted(s, "shortcut", OPS_NORMAL, 0, 1, OPS_DIM(n, h, w, c));
    const sky_value out = add_tail(s, z, shortcut, ops_int(s, "se", 0), ops_int(s, "bns", 0), &attr);
    for (int64_t i = ops_int(s, "consumers", 1); i > 0; i--) ops_output(s, out); /* two: the tail takes both gradients itself; three: ADD first */
}

static sky_value add_conv(struct ops_subject *s, const char *name, sky_value x, int64_t k, int64_t r, int stride)
{
    const struct sky_tensor *tensor = sky_graph_get(&s->graph, x);
    const int64_t c = tensor ? tensor->dim[3] : 1;
    const union sky_attributes attr = {.conv = {.stride = stride, .pad = (int)(r / 2)}};
    const sky_value w = ops_filters(s, name, OPS_NORMAL, 0, sqrt(2 / (double)(r * r * c)), OPS_DIM(k, r, r, c));
    return ops_out(s, ops_node(s, SKY_OP_CONV, &attr, OPS_IN(x, w, SKY_NONE, SKY_NONE)), 0);
}

/* A bottleneck's three convolutions with the two batch norms between them, and a third batch norm behind (bn3=1). */
static void bottleneck(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), h = ops_int(s, "h", 6), w = ops_int(s, "w", 5), c = ops_int(s, "c", 8), k = ops_int(s, "k", 8), r = ops_int(s, "r", 3);
    const union sky_attributes norm = bn_attributes(s, true);
    const sky_value x = ops_wanted(s, "x", OPS_NORMAL, ops_number(s, "mean", 0), 1, OPS_DIM(n, h, w, c));
    sky_value y = apply_norm(s, add_conv(s, "first", x, k, 1, 1), &norm, "_1");
    y = apply_norm(s, add_conv(s, "second", y, k, r, (int)ops_int(s, "stride", 1)), &norm, "_2");
    y = add_conv(s, "third", y, ops_int(s, "out", 2 * k), 1, 1);
    ops_output(s, ops_int(s, "bn3", 0) ? apply_norm(s, y, &norm, "_3") : y);
}

/* Linear, batch norm, dropout, linear, then cross entropy and divergence on the same logits. */
static void add_heads(struct ops_subject *s, sky_value features)
{
    const struct sky_tensor *tensor = sky_graph_get(&s->graph, features);
    const int64_t p = tensor ? tensor->dim[0] : 1, n = tensor ? tensor->dim[1] : 1, d = tensor ? tensor->dim[2] : 1;
    const int64_t e = ops_int(s, "embedding", 4), k = ops_int(s, "classes", 5);
    const union sky_attributes norm = bn_attributes(s, false), dropout = {.dropout = {.rate = ops_number(s, "rate", 0.5), .layer = 1, .groups = norm.bn.groups}};
    const union sky_attributes ce = {.loss = {.groups = norm.bn.groups, .weight = 1, .smoothing = ops_number(s, "smoothing", 0), .mean = ops_int(s, "mean", 0)}};
    const union sky_attributes kl = {.loss = {.groups = norm.bn.groups, .drone = 1, .weight = ops_number(s, "kl", 0.7), .temperature = 1, .direction = SKY_KL_SYMMETRIC}};
    const sky_value w1 = ops_parameter(s, "embed_w", OPS_NORMAL, 0, 1 / sqrt((double)d), OPS_DIM(p, e, d)), b1 = ops_parameter(s, "embed_b", OPS_NORMAL, 0, 0.3, OPS_DIM(p, e));
    const sky_value gamma = ops_parameter(s, "head_gamma", OPS_NORMAL, 1, 0.2, OPS_DIM(p, e)), beta = ops_parameter(s, "head_beta", OPS_NORMAL, 0, 0.2, OPS_DIM(p, e));
    const sky_value mean = ops_buffer(s, "head_mean", OPS_NORMAL, 0, 1, OPS_DIM(p, e)), var = ops_buffer(s, "head_var", OPS_UNIFORM, 0.5, 2, OPS_DIM(p, e));
    const sky_value w2 = ops_parameter(s, "class_w", OPS_NORMAL, 0, 1 / sqrt((double)e), OPS_DIM(p, k, e));
    const sky_value b2 = ops_int(s, "bias", 1) ? ops_parameter(s, "class_b", OPS_NORMAL, 0, 0.3, OPS_DIM(p, k)) : SKY_NONE;
    const sky_value labels = ops_input_of(s, "labels", SKY_I32, OPS_BELOW, (double)k, 0, OPS_DIM(n));
    sky_value value = ops_out(s, ops_node(s, SKY_OP_LINEAR, NULL, OPS_IN(features, w1, b1)), 0);
    value = ops_out(s, ops_node(s, SKY_OP_HEAD_BN, &norm, OPS_IN(value, gamma, beta, mean, var)), 0);
    value = ops_out(s, ops_node(s, SKY_OP_DROPOUT, &dropout, OPS_IN(value, s->graph.scalars)), 0);
    value = ops_out(s, ops_node(s, SKY_OP_LINEAR, NULL, OPS_IN(value, w2, b2)), 0);
    ops_loss(s, ops_node(s, SKY_OP_LOSS_CE, &ce, OPS_IN(value, labels)), ce.loss.weight);
    if (norm.bn.groups > 1) ops_loss(s, ops_node(s, SKY_OP_LOSS_KL, &kl, OPS_IN(value)), kl.loss.weight);
}

static void heads(struct ops_subject *s)
{
    add_heads(s, ops_wanted(s, "x", OPS_NORMAL, 0, 1, OPS_DIM(ops_int(s, "p", 3), ops_int(s, "n", 6), ops_int(s, "d", 7))));
}

/* Up-sampled map -> learned GeM parts [-> attention], joined with the map's maximum: the features of the paper's heads. */
static sky_value add_features(struct ops_subject *s, sky_value map)
{
    const struct sky_tensor *tensor = sky_graph_get(&s->graph, map);
    const int64_t c = tensor ? tensor->dim[3] : 1, up = ops_int(s, "up", 8);
    const union sky_attributes size = {.map = {up, up}}, join = {.concat = {.axis = 0}};
    const sky_value large = ops_out(s, ops_node(s, SKY_OP_UPSAMPLE, &size, OPS_IN(map)), 0);
    const union sky_attributes part = {.part = {.pooling = SKY_POOL_GEM, .p = 3, .table = ops_part_table(s, up, up)}};
    const sky_value p = ops_parameter(s, "p", OPS_UNIFORM, 2.5, 3.5, OPS_DIM(ops_int(s, "scalar", 0) ? 1 : c));
    sky_value pooled = ops_out(s, ops_node(s, SKY_OP_PART_POOL, &part, OPS_IN(large, p)), 0);
    if (ops_int(s, "attention", 0)) pooled = ops_out(s, ops_node(s, SKY_OP_PART_ATTENTION, NULL, OPS_IN(pooled)), 0);
    const sky_value global = ops_out(s, ops_node(s, SKY_OP_GLOBAL_MAX, NULL, OPS_IN(map)), 0);
    return ops_out(s, ops_node(s, SKY_OP_CONCAT, &join, OPS_IN(pooled, global)), 0);
}

static void features(struct ops_subject *s)
{
    const sky_value map = ops_wanted(s, "map", OPS_DISTINCT, 0.05, 2, OPS_DIM(ops_int(s, "n", 2), ops_int(s, "h", 5), ops_int(s, "w", 5), ops_int(s, "c", 4)));
    ops_output(s, add_features(s, map));
}

/* Convolution, BN, max pool, one bottleneck with SE and a strided shortcut, one plain block on top of it, features, heads, both losses. */
static void network(struct ops_subject *s)
{
    const int64_t n = ops_int(s, "n", 4), size = ops_int(s, "size", 17), c = ops_int(s, "c", 6), se = ops_int(s, "se", 4);
    const union sky_attributes norm = bn_attributes(s, false), relu = bn_attributes(s, true), pool = {.pool = {.window = 3, .stride = 2, .pad = 1}};
    const sky_value image = ops_wanted(s, "image", OPS_NORMAL, 0, 1, OPS_DIM(n, size, size, 3));
    const sky_value stem = apply_norm(s, add_conv(s, "stem", image, c, 3, 2), &relu, "_stem");
    const sky_value x = ops_out(s, ops_node(s, SKY_OP_MAX_POOL, &pool, OPS_IN(stem)), 0);
    const sky_value inner = apply_norm(s, add_conv(s, "inner", x, c, 3, 1), &relu, "_inner");
    const sky_value block1 = add_tail(s, add_conv(s, "outer", inner, 2 * c, 1, 1), add_conv(s, "down", x, 2 * c, 1, 1), se, true, &norm);
    const sky_value second = apply_norm(s, add_conv(s, "second", block1, 2 * c, 3, 1), &relu, "_second");
    const struct norm plain = add_norm(s, second, &norm, "_plain");
    const sky_value block2 = ops_out(s,
                                     ops_node(s, SKY_OP_BLOCK_TAIL, &norm,
                                              OPS_IN(second, plain.mean, plain.invstd, plain.gamma, plain.beta, SKY_NONE, block1, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE)),
                                     0);
    add_heads(s, add_features(s, block2));
}

const struct ops_builder ops_chain_builders[] = {
    {"BN", bn}, {"MEETING", meeting}, {"BLOCK", block}, {"BOTTLENECK", bottleneck}, {"HEADS", heads}, {"FEATURES", features}, {"NETWORK", network}, {NULL, NULL},
};
