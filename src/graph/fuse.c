/*
 * Fusion of convolutions with batch norm and ReLU, as a rewriting of a training graph that has its gradient nodes (forms: ops.h, BN_CONV and what follows it).
 *
 *     sums       CONV, BN_STATS                  ->  BN_CONV with sums, BN_FROM_SUMS          z is not read for its statistics
 *     norm       BN_APPLY, CONV, CONV_WGRAD      ->  BN_CONV, BN_CONV_WGRAD of z itself       the normed map is neither written nor kept
 *     gradient   CONV_DGRAD, BN_GRAD             ->  BN_CONV_DGRAD, BN_GRAD_FROM_SUMS         z and its gradient are read once less
 *
 * A fused convolution runs once a view, so its filters travel once a view too: at small batches deep layers lose by that. Each convolution gets the form with
 * the fewest bytes, where a launch counts as the bytes that a device could have moved meanwhile. Nothing here knows whether an engine exists for a form;
 * channels in eights is what all of them ask for. Owns only its own table while it runs.
 */
#include "base/memory.h"
#include "ops/rules.h"

#include <stdio.h>
#include <stdlib.h>

/* A kernel more in a recorded step: about a microsecond, of a memory that moves 4 TB/s. */
static const double LAUNCH_BYTES = 4e6;

enum { EIGHT = 8 };

struct fuser {
    struct sky_graph *graph;
    bool *removed; /* [node_count] */
    bool all;
    struct sky_fused done;
};

/* ---- what moves ---- */

/* Kernels that a node launches on a device. */
static int launches_of(const struct sky_graph *graph, const struct sky_node *node)
{
    const int groups = node->attr.conv.groups;
    switch (node->op) {
    case SKY_OP_BN_STATS:
    case SKY_OP_BN_GRAD_FROM_SUMS: return 2;
    case SKY_OP_BN_GRAD: return 3;
    case SKY_OP_CONV_WGRAD: return graph->map_dtype == graph->dtype ? 1 : 2; /* and the cast */
    case SKY_OP_BN_CONV_WGRAD: return groups + 1;
    case SKY_OP_BN_CONV:
    case SKY_OP_BN_CONV_DGRAD: return groups;
    default: return 1;
    }
}

static double price_of(const struct sky_graph *graph, const struct sky_node *node)
{
    return sky_node_cost(graph, node).bytes + LAUNCH_BYTES * launches_of(graph, node);
}

/* ---- who reads what ---- */

static int count_readers(const struct fuser *fuser, sky_value value)
{
    int count = 0;
    for (int64_t n = 0; n < fuser->graph->node_count; n++)
        for (int i = 0; !fuser->removed[n] && i < fuser->graph->nodes[n].in_count; i++) count += fuser->graph->nodes[n].in[i] == value;
    return count;
}

/* The first node of this kind that has `value` as its first input; -1: none. */
static int64_t find_reader(const struct fuser *fuser, enum sky_op op, sky_value value)
{
    for (int64_t n = 0; n < fuser->graph->node_count; n++)
        if (!fuser->removed[n] && fuser->graph->nodes[n].op == op && fuser->graph->nodes[n].in[0] == value) return n;
    return -1;
}

static bool is_private(const struct fuser *fuser, sky_value value, int readers)
{
    return !fuser->graph->tensors[value].keep && count_readers(fuser, value) == readers;
}

static int64_t producer_of(const struct fuser *fuser, sky_value value, enum sky_op op)
{
    const int64_t n = value < 0 ? -1 : fuser->graph->tensors[value].producer;
    return n >= 0 && fuser->graph->nodes[n].op == op ? n : -1;
}

/* ---- forward: sums and norm of one convolution ---- */

/* The nodes that a CONV could take in; -1: not there, or needed as they are. */
struct site {
    int64_t conv, stats, apply, wgrad;
    int groups;
};

/* Statistics of this rank's images alone, whose means of single images nobody wants: the sums are a view's. */
static int64_t find_stats(const struct fuser *fuser, sky_value z)
{
    const int64_t stats = find_reader(fuser, SKY_OP_BN_STATS, z);
    if (stats < 0 || fuser->graph->nodes[stats].attr.bn.across || !is_private(fuser, fuser->graph->nodes[stats].out[0], 0)) return -1;
    return stats;
}

/* Batch norm and ReLU, read by this convolution and its filter gradient alone, whose statistics come from sums: BN_FROM_SUMS makes what is applied. */
static void find_apply(const struct fuser *fuser, struct site *site)
{
    const struct sky_graph *graph = fuser->graph;
    const sky_value x = graph->nodes[site->conv].in[0];
    const int64_t apply = producer_of(fuser, x, SKY_OP_BN_APPLY);
    if (apply < 0 || !graph->nodes[apply].attr.bn.relu || producer_of(fuser, graph->nodes[apply].in[1], SKY_OP_BN_FROM_SUMS) < 0) return;
    const int64_t wgrad = find_reader(fuser, SKY_OP_CONV_WGRAD, x);
    if (!is_private(fuser, x, wgrad < 0 ? 1 : 2)) return;
    site->apply = apply, site->wgrad = wgrad;
}

static bool find_site(const struct fuser *fuser, int64_t conv, struct site *site)
{
    const struct sky_graph *graph = fuser->graph;
    const struct sky_node *node = &graph->nodes[conv];
    *site = (struct site){conv, -1, -1, -1, 0};
    if (node->op != SKY_OP_CONV || node->in[2] != SKY_NONE || node->in[3] != SKY_NONE || node->attr.conv.relu) return false;
    if (graph->tensors[node->in[0]].dim[3] % EIGHT || graph->tensors[node->out[0]].dim[3] % EIGHT) return false;
    site->stats = find_stats(fuser, node->out[0]);
    find_apply(fuser, site);
    const int behind = site->stats < 0 ? 0 : graph->nodes[site->stats].attr.bn.groups, before = site->apply < 0 ? 0 : graph->nodes[site->apply].attr.bn.groups;
    if (behind && before && behind != before) site->stats = -1;
    site->groups = before ? before : behind;
    return site->groups > 0;
}

/* The nodes that would be there with this form; sums, scale and shift are too small to count. */
static struct sky_node fused_conv(const struct fuser *fuser, const struct site *site, bool norm)
{
    struct sky_node node = fuser->graph->nodes[site->conv];
    node.op = SKY_OP_BN_CONV, node.attr.conv.groups = site->groups;
    if (norm) node.in[0] = fuser->graph->nodes[site->apply].in[0];
    return node;
}

static struct sky_node fused_wgrad(const struct fuser *fuser, const struct site *site)
{
    struct sky_node node = fuser->graph->nodes[site->wgrad];
    node.op = SKY_OP_BN_CONV_WGRAD, node.attr.conv.groups = site->groups;
    node.in[0] = fuser->graph->nodes[site->apply].in[0];
    return node;
}

/* Bytes saved; negative: the form costs more. */
static double gain_of(const struct fuser *fuser, const struct site *site, bool sums, bool norm)
{
    const struct sky_graph *graph = fuser->graph;
    const struct sky_node conv = fused_conv(fuser, site, norm);
    double gain = price_of(graph, &graph->nodes[site->conv]) - price_of(graph, &conv);
    if (sums) gain += price_of(graph, &graph->nodes[site->stats]) - LAUNCH_BYTES;
    if (norm) gain += price_of(graph, &graph->nodes[site->apply]);
    if (norm && site->wgrad >= 0) {
        const struct sky_node wgrad = fused_wgrad(fuser, site);
        gain += price_of(graph, &graph->nodes[site->wgrad]) - price_of(graph, &wgrad);
    }
    return gain;
}

static void choose(const struct fuser *fuser, const struct site *site, bool *sums, bool *norm)
{
    double best = 0;
    *sums = *norm = false;
    for (int form = 3; form > 0; form--) {
        const bool with_sums = form & 1, with_norm = form & 2;
        if ((with_sums && site->stats < 0) || (with_norm && site->apply < 0)) continue;
        const double gain = gain_of(fuser, site, with_sums, with_norm);
        if (!(gain > best) && !(fuser->all && !*sums && !*norm)) continue;
        *sums = with_sums, *norm = with_norm;
        if (fuser->all) return; /* the fullest form comes first */
        best = gain;
    }
}

/* A new value [G, channels] written by `node`. */
static sky_value add_rows(struct fuser *fuser, int64_t node, const char *what, enum sky_dtype dtype, int groups, int64_t channels)
{
    struct sky_graph *graph = fuser->graph;
    char name[300];
    snprintf(name, sizeof name, "%.280s.%s", graph->nodes[node].name, what);
    const sky_value value = sky_graph_tensor(graph, name, dtype, SKY_ARENA_ACT, 2, (const int64_t[]){groups, channels});
    if (value >= 0) graph->tensors[value].producer = node;
    return value;
}

static void set_op(struct sky_node *node, enum sky_op op)
{
    node->op = op, node->in_count = sky_op_inputs(op), node->out_count = sky_op_outputs(op);
}

static void replace_stats(struct fuser *fuser, const struct site *site)
{
    struct sky_graph *graph = fuser->graph;
    const sky_value y = graph->nodes[site->conv].out[0];
    const int64_t channels = graph->tensors[y].dim[3], positions = graph->tensors[y].count / channels / site->groups;
    const sky_value sum = add_rows(fuser, site->conv, "sum", graph->dtype, site->groups, channels);
    const sky_value squares = add_rows(fuser, site->conv, "square_sum", graph->dtype, site->groups, channels);
    struct sky_node *conv = &graph->nodes[site->conv], *stats = &graph->nodes[site->stats];
    conv->out[1] = sum, conv->out[2] = squares;
    const struct sky_node old = *stats;
    set_op(stats, SKY_OP_BN_FROM_SUMS);
    stats->attr.bn.positions = positions;
    const sky_value in[4] = {sum, squares, old.in[1], old.in[2]}, out[4] = {old.out[1], old.out[2], SKY_NONE, SKY_NONE};
    for (int i = 0; i < 4; i++) stats->in[i] = in[i], stats->out[i] = out[i];
    fuser->done.sums++;
}

/* BN_FROM_SUMS now makes scale and shift too. */
static void replace_apply(struct fuser *fuser, const struct site *site)
{
    struct sky_graph *graph = fuser->graph;
    const struct sky_node apply = graph->nodes[site->apply];
    const int64_t statistics = graph->tensors[apply.in[1]].producer, channels = graph->tensors[apply.in[0]].dim[3];
    sky_value *out = graph->nodes[statistics].out, *in = graph->nodes[statistics].in;
    in[4] = apply.in[3], in[5] = apply.in[4];
    out[2] = add_rows(fuser, statistics, "scale", graph->map_dtype, site->groups, channels);
    out[3] = add_rows(fuser, statistics, "shift", graph->map_dtype, site->groups, channels);
    struct sky_node *conv = &graph->nodes[site->conv];
    conv->in[0] = apply.in[0], conv->in[2] = out[2], conv->in[3] = out[3];
    fuser->removed[site->apply] = true;
    graph->tensors[apply.out[0]].producer = -1;
    fuser->done.norms++;
    if (site->wgrad < 0) return;
    struct sky_node *wgrad = &graph->nodes[site->wgrad];
    wgrad->attr.conv.groups = site->groups;
    set_op(wgrad, SKY_OP_BN_CONV_WGRAD);
    wgrad->in[0] = apply.in[0], wgrad->in[2] = out[2], wgrad->in[3] = out[3];
}

static void fuse_forward(struct fuser *fuser, int64_t n)
{
    struct site site;
    bool sums, norm;
    if (!find_site(fuser, n, &site)) return;
    choose(fuser, &site, &sums, &norm);
    if (!sums && !norm) return;
    struct sky_node *conv = &fuser->graph->nodes[n];
    set_op(conv, SKY_OP_BN_CONV);
    conv->attr.conv.groups = site.groups;
    if (sums) replace_stats(fuser, &site);
    if (norm) replace_apply(fuser, &site);
}

/* ---- backward: CONV_DGRAD with the BN_GRAD that alone reads it ---- */

static void fuse_gradient(struct fuser *fuser, int64_t n)
{
    struct sky_graph *graph = fuser->graph;
    struct sky_node fused = graph->nodes[n];
    if (fused.op != SKY_OP_CONV_DGRAD) return;
    const sky_value g = fused.out[0];
    const int64_t grad = find_reader(fuser, SKY_OP_BN_GRAD, g), channels = graph->tensors[g].dim[3];
    if (grad < 0 || !graph->nodes[grad].attr.bn.relu || graph->nodes[grad].attr.bn.across || !is_private(fuser, g, 1)) return;
    if (channels % EIGHT || graph->tensors[fused.in[0]].dim[3] % EIGHT) return;
    const struct sky_node old = graph->nodes[grad];
    struct sky_node rest = old;
    fused.attr.conv.groups = old.attr.bn.groups;
    set_op(&fused, SKY_OP_BN_CONV_DGRAD), set_op(&rest, SKY_OP_BN_GRAD_FROM_SUMS);
    for (int i = 1; i < 6; i++) fused.in[i + 1] = old.in[i];
    rest.in[5] = rest.in[6] = SKY_NONE;
    const double before = price_of(graph, &graph->nodes[n]) + price_of(graph, &old), after = price_of(graph, &fused) + price_of(graph, &rest);
    if (!fuser->all && !(after < before)) return;
    for (int i = 0; i < 2; i++) rest.in[5 + i] = fused.out[1 + i] = add_rows(fuser, n, i ? "sum_gz" : "sum_g", graph->dtype, old.attr.bn.groups, channels);
    graph->nodes[n] = fused, graph->nodes[grad] = rest;
    fuser->done.gradients++;
}

/* ---- the whole graph ---- */

/* The removed nodes leave the table, and every value learns its producer's new number. */
static void close_gaps(struct fuser *fuser)
{
    struct sky_graph *graph = fuser->graph;
    int64_t count = 0;
    for (int64_t n = 0; n < graph->node_count; n++) {
        if (fuser->removed[n]) free(graph->nodes[n].name);
        else graph->nodes[count++] = graph->nodes[n];
    }
    graph->node_count = count;
    for (int64_t i = 0; i < graph->tensor_count; i++) graph->tensors[i].producer = -1;
    for (int64_t n = 0; n < count; n++)
        for (int i = 0; i < graph->nodes[n].out_count; i++) {
            const sky_value out = graph->nodes[n].out[i];
            if (out != SKY_NONE && graph->tensors[out].producer < 0) graph->tensors[out].producer = n;
        }
}

/* Every fused node against its operation's own rule. */
static void check_nodes(struct sky_graph *graph)
{
    for (int64_t n = 0; n < graph->node_count && graph->failed == SKY_OK; n++) {
        struct sky_shape shapes[SKY_MAX_OUT];
        const enum sky_op op = graph->nodes[n].op;
        if (op < SKY_OP_BN_CONV || op > SKY_OP_BN_GRAD_FROM_SUMS) continue;
        const char *wrong = sky_op_rules[op]->shape(graph, &graph->nodes[n], shapes);
        if (wrong) sky_graph_fail(graph, SKY_INTERNAL, graph->nodes[n].name, wrong);
    }
}

sky_status sky_graph_fuse(struct sky_graph *graph, bool all, struct sky_fused *done)
{
    struct fuser fuser = {.graph = graph, .all = all};
    SKY_TRY(sky_graph_check(graph));
    SKY_TRY(sky_alloc(&fuser.removed, (size_t)graph->node_count, sizeof *fuser.removed, "fusion"));
    for (int64_t n = 0; n < graph->node_count && graph->failed == SKY_OK; n++) fuse_forward(&fuser, n);
    for (int64_t n = 0; n < graph->node_count && graph->failed == SKY_OK; n++) fuse_gradient(&fuser, n);
    close_gaps(&fuser);
    check_nodes(graph);
    free(fuser.removed);
    if (done) *done = fuser.done;
    return graph->failed;
}
