/*
 * Several ranks are one: a small network without batch norm on small whole numbers, whose every sum is exact in single precision, gives the same bits after two
 * updates as one rank with the whole batch; with accumulated micro-batches, with buckets of any size. And the plan of buckets itself, on the paper's model.
 */
#define _GNU_SOURCE
#include "ranks.h"

#include "backend/executor.h"
#include "base/rng.h"
#include "model/model.h"
#include "train/ranks.h"

enum { ROWS = 16, SIDE = 4, FROM = 3, MIDDLE = 8, TO = 4, STEPS = 2, FILTERS = 2 };

struct network {
    struct sky_graph graph;
    struct sky_executor executor;
    sky_value images, filters[FILTERS], gradient, report;
    struct sky_segment segments[FILTERS];
    int64_t rows;
};

static sky_value add_filter(struct network *network, int index, int64_t to, int window, int64_t from)
{
    char name[16], *names[1] = {name};
    snprintf(name, sizeof name, "filter%d", index);
    const struct sky_parameter parameter = {.is_filter = true, .slice_count = 1, .slice_names = names};
    return network->filters[index] = sky_graph_parameter(&network->graph, &parameter, 4, (const int64_t[]){to, window, window, from});
}

/* Two convolutions; the gradient of their result is an input. */
static void build(struct network *network)
{
    struct sky_graph *graph = &network->graph;
    const union sky_attributes wide = {.conv = {.stride = 1, .pad = 1}}, narrow = {.conv = {.stride = 1}};
    CHECK_OK(sky_graph_init(graph, SKY_F32));
    network->images = sky_graph_input(graph, "images", SKY_F32, 4, (const int64_t[]){network->rows, SIDE, SIDE, FROM});
    network->gradient = sky_graph_input(graph, "gradient", SKY_F32, 4, (const int64_t[]){network->rows, SIDE, SIDE, TO});
    sky_value x = network->images;
    x = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONV, SKY_PHASE_FORWARD, "a", &wide, (const sky_value[]){x, add_filter(network, 0, MIDDLE, 3, FROM)}, 2), 0);
    x = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONV, SKY_PHASE_FORWARD, "b", &narrow, (const sky_value[]){x, add_filter(network, 1, TO, 1, MIDDLE)}, 2), 0);
    const struct sky_seed seed = {x, network->gradient};
    CHECK_OK(sky_graph_backward(graph, &seed, 1, NULL, 0, NULL));
    const sky_value params = sky_graph_whole_arena(graph, SKY_ARENA_PARAMS), grads = sky_graph_whole_arena(graph, SKY_ARENA_GRADS),
                    momentum = sky_graph_whole_arena(graph, SKY_ARENA_MOMENTUM);
    const int64_t squares = sky_graph_node(graph, SKY_OP_SUM_SQUARES, SKY_PHASE_UPDATE, "norm", NULL, &grads, 1);
    const union sky_attributes sgd = {.update = {.momentum = 0.5, .segments = network->segments, .segment_count = FILTERS}};
    const sky_value in[5] = {params, grads, momentum, sky_graph_out(graph, squares, 0), graph->scalars};
    network->report = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_SGD, SKY_PHASE_UPDATE, "sgd", &sgd, in, 5), 0);
    sky_graph_keep(graph, network->report);
    CHECK_OK(sky_graph_plan(graph, NULL));
    for (int i = 0; i < FILTERS; i++) {
        const struct sky_tensor *tensor = &graph->tensors[network->filters[i]];
        network->segments[i] = (struct sky_segment){.offset = (int64_t)(tensor->offset / sizeof(float)), .count = tensor->count, .group = SKY_GROUP_HEAD};
    }
}

/* -1, 0 or 1, by what it is for. */
static void fill(float *out, int64_t count, uint32_t purpose, uint32_t step)
{
    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, purpose, step);
    for (int64_t i = 0; i < count; i++) out[i] = (float)sky_rng_below(&rng, 3) - 1;
}

/* Rows [first, first + rows) of a global batch go in. */
static void write_rows(struct network *network, sky_value value, uint32_t purpose, uint32_t step, int64_t first, float scale)
{
    static float all[ROWS * SIDE * SIDE * MIDDLE];
    const int64_t row = network->graph.tensors[value].count / network->rows;
    fill(all, ROWS * row, purpose, step);
    for (int64_t i = 0; i < ROWS * row; i++) all[i] *= scale;
    CHECK_OK(sky_executor_write(&network->executor, value, all + first * row));
}

struct exact {
    double bucket_mib;
    int64_t parts; /* micro-batches of a rank */
    double norm[RANKS_MOST];
    int64_t buckets;
    float params[RANKS_MOST][4096];
};

static void run_exact(struct sky_comm *comm, void *shared)
{
    struct exact *exact = shared;
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    struct network network = {.rows = ROWS / size / exact->parts};
    const struct sky_device_options options = {.threads = 1, .deterministic = true};
    struct sky_config config = {.distributed = {.bucket_mib = exact->bucket_mib}};
    struct sky_ranks ranks;
    float start[MIDDLE * TO * 9 * FROM];
    build(&network);
    if (!CHECK_OK(sky_executor_create(&network.executor, &sky_backend_cpu, &options, &network.graph, NULL))) return;
    for (int i = 0; i < FILTERS; i++) {
        fill(start, network.graph.tensors[network.filters[i]].count, 10 + (uint32_t)i, 0);
        CHECK_OK(sky_executor_write(&network.executor, network.filters[i], start));
    }
    CHECK_OK(sky_ranks_attach(&ranks, comm, &config, &network.executor));
    exact->buckets = ranks.bucket_count;
    for (uint32_t step = 0; step < STEPS; step++) {
        const struct sky_scalars scalars = {.lr = {0.0625f, 0.0625f, 0.0625f}, .gradient_scale = (float)(1 / (double)exact->parts), .loss_scale = 1};
        CHECK_OK(sky_executor_write(&network.executor, network.graph.scalars, &scalars));
        for (int64_t part = 0; part < exact->parts; part++) {
            const int64_t first = (rank * exact->parts + part) * network.rows;
            write_rows(&network, network.images, 1, step, first, 1);
            write_rows(&network, network.gradient, 2, step, first, 1 / (float)network.rows); /* of a mean over this rank's rows */
            network.executor.hold = part + 1 < exact->parts;
            CHECK_OK(sky_executor_run_through(&network.executor, SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, part > 0));
        }
        CHECK_OK(sky_executor_run(&network.executor, SKY_PHASE_UPDATE, false));
    }
    double report[4];
    CHECK_OK(sky_executor_read(&network.executor, network.report, report));
    exact->norm[rank] = report[0];
    CHECK(network.graph.arena_bytes[SKY_ARENA_PARAMS] <= sizeof exact->params[0]);
    memcpy(exact->params[rank], network.executor.arena[SKY_ARENA_PARAMS], network.graph.arena_bytes[SKY_ARENA_PARAMS]);
    sky_executor_destroy(&network.executor);
    sky_ranks_detach(&ranks);
    sky_graph_free(&network.graph);
}

static void test_exact(void)
{
    struct exact *one = ranks_shared(sizeof *one), *many = ranks_shared(sizeof *many);
    one->parts = 1, one->bucket_mib = 25;
    ranks_run(1, run_exact, one);
    CHECK(one->norm[0] > 0 && one->params[0][0] != one->params[0][1]);
    for (int size = 2; size <= RANKS_MOST; size *= 2)
        for (int64_t parts = 1; parts <= 2; parts++)
            for (int small = 0; small < 2; small++) {
                memset(many, 0, sizeof *many);
                many->parts = parts, many->bucket_mib = small ? 1e-5 : 25;
                ranks_run(size, run_exact, many);
                CHECK(many->buckets == (small ? FILTERS : 1));
                for (int rank = 0; rank < size; rank++) {
                    CHECK(memcmp(many->params[rank], one->params[0], sizeof one->params[0]) == 0);
                    CHECK(many->norm[rank] == one->norm[0]);
                }
            }
}

/* Every gradient is in one bucket, buckets follow each other, and each is final when its node has run, not earlier. */
static void check_buckets(const struct sky_graph *graph, size_t first_bytes, size_t bytes)
{
    struct sky_bucket *buckets = NULL;
    int64_t count = 0, end = 0, gradients = 0, outside = 0, early = 0, last = -1;
    if (!CHECK_OK(sky_graph_buckets(graph, first_bytes, bytes, &buckets, &count))) return;
    for (int64_t b = 0; b < count; b++) {
        CHECK(buckets[b].first == end && buckets[b].count > 0 && buckets[b].after >= last);
        CHECK(b + 1 == count || (size_t)buckets[b].count * sizeof(float) >= (b ? bytes : first_bytes));
        end += buckets[b].count, last = buckets[b].after;
        int64_t writes = -1; /* the last node that writes into it */
        for (int64_t n = 0; n < graph->node_count; n++)
            for (int k = 0; k < graph->nodes[n].out_count; k++) {
                const sky_value value = graph->nodes[n].out[k];
                if (value < 0 || graph->tensors[value].arena != SKY_ARENA_GRADS || graph->tensors[value].whole) continue;
                const int64_t first = (int64_t)(graph->tensors[value].offset / sizeof(float)), stop = first + graph->tensors[value].count;
                if (first >= buckets[b].first && stop <= end) writes = n, gradients++;
                else if (first < end && stop > buckets[b].first) outside++;
            }
        early += writes != buckets[b].after;
    }
    int64_t want = 0;
    for (int64_t p = 0; p < graph->parameter_count; p++) want += graph->tensors[graph->parameters[p].value].gradient >= 0;
    CHECK(gradients == want && want > 100 && outside == 0 && early == 0 && end <= graph->param_elements);
    free(buckets);
}

static void test_buckets(void)
{
    struct sky_config config = {0};
    struct sky_model model;
    const char *const small[] = {"model.width=0.25"};
    CHECK_OK(sky_config_read(&config, NULL, small, 1));
    CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_TRAIN, 2, 701, 0, SKY_F32, NULL));
    check_buckets(&model.graph, 1 << 20, 25 << 20);
    check_buckets(&model.graph, 1 << 20, 1 << 20);
    check_buckets(&model.graph, 4, 4); /* each gradient by itself */
    check_buckets(&model.graph, 1, (size_t)1 << 40);
    sky_model_free(&model);
    sky_config_free(&config);
}

int main(void)
{
    test_exact();
    test_buckets();
    return check_done();
}
