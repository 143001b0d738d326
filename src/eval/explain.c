/*
 * Runs the inference graph up to the pooling of the parts, reads the map that it pools, and shares it out. Owns its copies while it runs.
 */
#include "explain.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What PART_POOL takes: x [N,H,W,C], of which one image is read, and the exponents. */
struct pooled {
    const struct sky_part_table *table;
    int pooling;
    float *x; /* [H,W,C] */
    float *p; /* [exponents], NULL: all are p_fixed */
    int64_t height, width, channels, exponents;
    double p_fixed;
};

static int64_t find_pooling(const struct sky_graph *graph)
{
    for (int64_t n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == SKY_OP_PART_POOL) return n;
    return -1;
}

/* Nodes are run one by one: what is read is still there when the pooling's turn comes. */
static sky_status run_to(struct sky_embedder *embedder, int64_t node)
{
    for (int64_t n = 0; n < node; n++)
        if (embedder->model.graph.nodes[n].phase == SKY_PHASE_FORWARD) SKY_TRY(sky_executor_run_node(&embedder->executor, n, false));
    return SKY_OK;
}

static sky_status read_pooled(struct sky_embedder *embedder, const struct sky_node *node, struct pooled *out)
{
    const struct sky_graph *graph = &embedder->model.graph;
    const struct sky_executor *executor = &embedder->executor;
    const struct sky_tensor *x = &graph->tensors[node->in[0]], *p = sky_graph_get(graph, node->in[1]);
    if (x->dtype != SKY_F32) {
        sky_fail(SKY_UNSUPPORTED, "explaining", "the maps are of low precision");
        return sky_hint("--set eval.precision=fp32");
    }
    out->table = node->attr.part.table, out->pooling = node->attr.part.pooling, out->p_fixed = node->attr.part.p;
    out->height = x->dim[1], out->width = x->dim[2], out->channels = x->dim[3], out->exponents = p ? p->count : 0;
    const size_t count = (size_t)(out->height * out->width * out->channels);
    SKY_TRY(sky_alloc(&out->x, count, sizeof *out->x, "a map"));
    SKY_TRY(executor->device.backend->copy_out((struct sky_device *)&executor->device, out->x, sky_executor_pointer(executor, node->in[0]), count * sizeof *out->x));
    if (!p) return SKY_OK;
    SKY_TRY(sky_alloc(&out->p, (size_t)p->count, sizeof *out->p, "exponents"));
    return sky_executor_read(&embedder->executor, node->in[1], out->p);
}

static bool in_box(const int16_t box[4], int64_t y, int64_t x)
{
    return y >= box[0] && x >= box[1] && y < box[2] && x < box[3];
}

static bool in_part(const struct sky_part_table *table, int part, int64_t y, int64_t x)
{
    const int first = table->part[part].first, last = table->part[part].last;
    return in_box(table->box[last], y, x) && (first == 0 || !in_box(table->box[first - 1], y, x));
}

/* The exponent of a channel of a part; as many parts as channels: p is by channel (ops.h). */
static double exponent_of(const struct pooled *pooled, int part, int64_t channel)
{
    if (!pooled->p) return pooled->p_fixed;
    return (double)pooled->p[pooled->exponents == 1 ? 0 : pooled->exponents == pooled->channels ? channel : part];
}

static double weight_of(const struct pooled *pooled, int part, int64_t channel, double x)
{
    const double floored = fmax(x, 1e-6);
    return pooled->pooling == SKY_POOL_GEM ? pow(floored, exponent_of(pooled, part, channel)) : fmax(x, 0);
}

static int64_t index_of(const struct pooled *pooled, int64_t y, int64_t x, int64_t channel)
{
    return (y * pooled->width + x) * pooled->channels + channel;
}

/* One channel's shares, added to the part's map. A channel that is zero all over the part has nothing to share. */
static void add_channel(const struct pooled *pooled, int part, int64_t channel, double *weights /* [H,W] scratch */, float *share)
{
    double sum = 0, most = 0;
    int64_t at_most = -1;
    for (int64_t y = 0; y < pooled->height; y++)
        for (int64_t x = 0; x < pooled->width; x++) {
            const int64_t at = y * pooled->width + x;
            weights[at] = in_part(pooled->table, part, y, x) ? weight_of(pooled, part, channel, (double)pooled->x[index_of(pooled, y, x, channel)]) : 0;
            sum += weights[at];
            if (weights[at] > most) most = weights[at], at_most = at;
        }
    if (pooled->pooling == SKY_POOL_MAX && at_most >= 0) share[at_most] += 1.0f;
    for (int64_t at = 0; pooled->pooling != SKY_POOL_MAX && sum > 0 && at < pooled->height * pooled->width; at++) share[at] += (float)(weights[at] / sum);
}

static sky_status share_out(const struct pooled *pooled, struct sky_heat *out)
{
    const int64_t pixels = pooled->height * pooled->width;
    double *weights = NULL;
    out->parts = pooled->table->part_count, out->height = pooled->height, out->width = pooled->width;
    SKY_TRY(sky_alloc(&out->share, (size_t)(out->parts * pixels), sizeof *out->share, "heat maps"));
    SKY_TRY(sky_alloc(&weights, (size_t)pixels, sizeof *weights, "heat maps"));
    for (int part = 0; part < out->parts; part++) {
        float *share = out->share + part * pixels;
        double total = 0;
        for (int64_t c = 0; c < pooled->channels; c++) add_channel(pooled, part, c, weights, share);
        for (int64_t i = 0; i < pixels; i++) total += (double)share[i];
        for (int64_t i = 0; i < pixels && total > 0; i++) share[i] = (float)((double)share[i] / total);
    }
    free(weights);
    return SKY_OK;
}

sky_status sky_explain(struct sky_embedder *embedder, const uint8_t *image, struct sky_heat *out)
{
    struct sky_executor *executor = &embedder->executor;
    const struct sky_model *model = &embedder->model;
    const struct sky_scalars scalars = {.mirror = false};
    const int64_t node = find_pooling(&model->graph);
    const size_t image_bytes = model->graph.tensors[model->images[0]].bytes / (size_t)model->rows;
    struct pooled pooled = {0};
    sky_status status = SKY_OK;
    if (node < 0) return sky_fail(SKY_UNSUPPORTED, "explaining", "the model pools no parts");
    SKY_TRY(executor->device.backend->copy_in(&executor->device, sky_executor_pointer(executor, model->images[0]), image, image_bytes));
    SKY_TRY(sky_executor_write(executor, model->graph.scalars, &scalars));
    SKY_TRY(run_to(embedder, node));
    SKY_TRY_DONE(read_pooled(embedder, &model->graph.nodes[node], &pooled));
    SKY_TRY_DONE(share_out(&pooled, out));
done:
    if (status != SKY_OK) sky_heat_free(out);
    free(pooled.x);
    free(pooled.p);
    return status;
}

void sky_heat_free(struct sky_heat *heat)
{
    free(heat->share);
    memset(heat, 0, sizeof *heat);
}

void sky_heat_mean(const struct sky_heat *heat, float *out)
{
    const int64_t pixels = heat->height * heat->width;
    for (int64_t i = 0; i < pixels; i++) {
        double sum = 0;
        for (int64_t part = 0; part < heat->parts; part++) sum += (double)heat->share[part * pixels + i];
        out[i] = (float)(sum / (double)heat->parts);
    }
}
