/*
 * Convolutions in int8 on the CPU: near the reference's, the same bits whatever else is in the batch and whatever the number of threads, f32 where the input may be
 * negative; and what they do to the features of a whole network.
 */
#include "check.h"

#include "backend/cpu/library.h"
#include "backend/executor.h"
#include "backend/select.h"
#include "base/rng.h"
#include "eval/embed.h"
#include "model/model.h"
#include "train/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* relu(a + b) -> convolution. */
struct shape {
    int64_t height, width, channels, filters, rows;
    int stride;
    bool bias, residual, relu;
};

struct net {
    struct sky_graph graph;
    struct sky_executor executor;
    sky_value a, b, filters, bias, residual, y;
    int64_t conv; /* node */
};

static sky_value input(struct net *net, const char *name, int rank, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    const int64_t dim[4] = {d0, d1, d2, d3};
    return sky_graph_input(&net->graph, name, SKY_F32, rank, dim);
}

static bool net_open(struct net *net, const struct shape *s, int64_t images, const struct sky_backend *backend, int threads)
{
    const struct sky_device_options options = {.threads = threads, .deterministic = true, .constant_parameters = true, .int8 = true};
    const union sky_attributes plain = {.bn = {.groups = 1}}, conv = {.conv = {.stride = s->stride, .pad = (int)s->rows / 2, .relu = s->relu}};
    const int64_t p = (s->height - 1) / s->stride + 1, q = (s->width - 1) / s->stride + 1;
    memset(net, 0, sizeof *net);
    if (!CHECK_OK(sky_graph_init(&net->graph, SKY_F32))) return false;
    net->a = input(net, "a", 4, images, s->height, s->width, s->channels), net->b = input(net, "b", 4, images, s->height, s->width, s->channels);
    net->filters = input(net, "filters", 4, s->filters, s->rows, s->rows, s->channels);
    net->bias = s->bias ? input(net, "bias", 1, s->filters, 0, 0, 0) : SKY_NONE;
    net->residual = s->residual ? input(net, "residual", 4, images, p, q, s->filters) : SKY_NONE;
    const sky_value tail[] = {net->a, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE, net->b, SKY_NONE, SKY_NONE, SKY_NONE, SKY_NONE};
    const sky_value x = sky_graph_out(&net->graph, sky_graph_node(&net->graph, SKY_OP_BLOCK_TAIL, SKY_PHASE_FORWARD, "tail", &plain, tail, 11), 0);
    const sky_value in[] = {x, net->filters, net->bias, net->residual};
    net->conv = sky_graph_node(&net->graph, SKY_OP_CONV, SKY_PHASE_FORWARD, "conv", &conv, in, 4);
    net->y = sky_graph_out(&net->graph, net->conv, 0);
    sky_graph_keep(&net->graph, net->y);
    return CHECK_OK(sky_graph_plan(&net->graph, NULL)) && CHECK_OK(sky_executor_create(&net->executor, backend, &options, &net->graph, NULL));
}

static void net_close(struct net *net)
{
    sky_executor_destroy(&net->executor);
    sky_graph_free(&net->graph);
}

/* Normal numbers times a factor, the same for the same name, from element `first` on; name 0: the factor everywhere. */
static void fill(struct net *net, sky_value value, uint32_t name, int64_t first, double factor)
{
    if (value == SKY_NONE) return;
    const int64_t count = net->graph.tensors[value].count;
    float *numbers = malloc((size_t)count * sizeof *numbers);
    struct sky_rng rng = sky_rng_make(7, SKY_RNG_TEST, name, 0);
    for (int64_t i = -first; i < count; i++) {
        const double number = name ? factor * sky_rng_normal(&rng) : factor;
        if (i >= 0) numbers[i] = (float)number;
    }
    CHECK_OK(sky_executor_write(&net->executor, value, numbers));
    free(numbers);
}

/* The caller frees it. */
static float *run(struct net *net)
{
    float *out = malloc((size_t)net->graph.tensors[net->y].count * sizeof *out);
    CHECK_OK(sky_executor_run(&net->executor, SKY_PHASE_ONCE, false));
    CHECK_OK(sky_executor_run(&net->executor, SKY_PHASE_FORWARD, false));
    CHECK_OK(sky_executor_read(&net->executor, net->y, out));
    return out;
}

/* y of images first .. of an endless row of images; the caller frees it. */
static float *result(struct net *net, int64_t first, double brightness)
{
    const struct sky_graph *graph = &net->graph;
    const struct sky_tensor *y = &graph->tensors[net->y], *a = &graph->tensors[net->a];
    fill(net, net->a, 1, first * (a->count / a->dim[0]), brightness);
    fill(net, net->b, 2, first * (a->count / a->dim[0]), brightness);
    fill(net, net->filters, 3, 0, 0.1);
    fill(net, net->bias, 4, 0, 1);
    fill(net, net->residual, 5, first * (y->count / y->dim[0]), 1);
    return run(net);
}

/* Root of the mean squared difference over that of the numbers themselves. */
static double relative_error(const float *got, const float *want, int64_t count)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]), size += (double)want[i] * want[i];
    return sqrt(error / size);
}

static void check_near_reference(const struct shape *s, double brightness, double tolerance)
{
    struct net ref, cpu;
    if (net_open(&ref, s, 3, &sky_backend_ref, 1) && net_open(&cpu, s, 3, &sky_backend_cpu, 2)) {
        float *want = result(&ref, 0, brightness), *got = result(&cpu, 0, brightness);
        const char *name = cpu.executor.kernels[cpu.conv].implementation;
        char what[200];
        const double error = relative_error(got, want, cpu.graph.tensors[cpu.y].count);
        snprintf(what, sizeof what, "%lld -> %lld, %lldx%lld, stride %d, by %s: relative error %g", (long long)s->channels, (long long)s->filters, (long long)s->rows,
                 (long long)s->rows, s->stride, name, error);
        check_that(strncmp(name, "int8 ", 5) == 0, "in int8", __FILE__, __LINE__, what);
        check_that(error <= tolerance, "near the reference", __FILE__, __LINE__, what);
        free(want);
        free(got);
    }
    net_close(&ref);
    net_close(&cpu);
}

static void check_bits(const struct shape *s)
{
    struct net many, one;
    if (net_open(&many, s, 5, &sky_backend_cpu, 2) && net_open(&one, s, 1, &sky_backend_cpu, 1)) {
        const int64_t each = one.graph.tensors[one.y].count;
        float *all = result(&many, 0, 1);
        for (int64_t image = 0; image < 5; image++) {
            float *alone = result(&one, image, 1);
            CHECK(memcmp(alone, all + image * each, (size_t)each * sizeof *alone) == 0);
            free(alone);
        }
        free(all);
    }
    net_close(&many);
    net_close(&one);
}

static void test_convolutions(void)
{
    static const struct shape shapes[] = {
        {9, 11, 64, 48, 1, 1, true, false, true}, {9, 11, 64, 48, 1, 2, true, false, false}, {8, 8, 24, 256, 1, 1, true, true, true}, {10, 7, 32, 16, 3, 1, true, false, true},
        {10, 7, 32, 16, 3, 2, true, false, true}, {6, 6, 40, 72, 3, 1, false, true, false},  {5, 13, 8, 8, 3, 1, true, true, true},   {7, 7, 128, 64, 5, 1, false, false, false},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_near_reference(&shapes[i], 1, 0.015);
        check_bits(&shapes[i]);
    }
    /* No light: bias and residual alone, exactly; very little and very much. */
    check_near_reference(&shapes[2], 0, 0);
    check_near_reference(&shapes[2], 1e-40, 1e-7);
    check_near_reference(&shapes[0], 1e30, 0.015);
}

/* Everything as large as it can be: where sums of two products saturate at 16 bits, 255 * 127 * 2 would. */
static void test_largest_sums(void)
{
    const struct shape shape = {4, 4, 64, 32, 1, 1, false, false, false};
    struct net net;
    if (net_open(&net, &shape, 1, &sky_backend_cpu, 2)) {
        fill(&net, net.a, 0, 0, 1), fill(&net, net.b, 0, 0, 2), fill(&net, net.filters, 0, 0, 0.5);
        float *y = run(&net);
        CHECK_NEAR(y[0], 64 * 3 * 0.5, 1e-3);
        free(y);
        fill(&net, net.a, 0, 0, INFINITY); /* is not lost */
        y = run(&net);
        CHECK(!isfinite(y[0]));
        free(y);
    }
    net_close(&net);
}

/* The first convolution reads pixels less their mean, which may be negative; all others of a ResNet read maps behind ReLU. */
static void check_choice(const struct sky_executor *executor)
{
    const struct sky_graph *graph = executor->graph;
    int64_t convolutions = 0;
    for (int64_t n = 0; n < graph->node_count; n++) {
        if (graph->nodes[n].op != SKY_OP_CONV) continue;
        const char *name = executor->kernels[n].implementation;
        check_that((strncmp(name, "int8 ", 5) == 0) == (convolutions > 0), graph->nodes[n].name, __FILE__, __LINE__, name);
        convolutions++;
    }
    CHECK(convolutions > 1);
}

static float *features_of(const char *precision, bool int8, const uint8_t *images, int64_t count, int64_t *dimensions)
{
    const char *overrides[] = {precision,         "model.backbone=se_resnet50", "model.width=0.25", "model.embedding=32", "data.image_size=64", "eval.batch_size=4",
                               "eval.flip=no", "device.backend=cpu"};
    struct sky_config config = {0};
    struct sky_embedder embedder = {0};
    float *features = NULL;
    if (CHECK_OK(sky_config_read(&config, NULL, overrides, sizeof overrides / sizeof *overrides)) && CHECK_OK(sky_embedder_open(&embedder, &config, NULL, NULL, false, 0)) &&
        CHECK_OK(sky_parameters_initialise(&embedder.model, &embedder.executor, 3)) && CHECK_OK(sky_embedder_refresh(&embedder))) {
        *dimensions = sky_embedder_dimensions(&embedder);
        features = calloc((size_t)(count * *dimensions), sizeof *features);
        CHECK_OK(sky_embedder_run(&embedder, images, count, features, NULL));
        if (int8) check_choice(&embedder.executor);
    }
    sky_embedder_close(&embedder);
    sky_config_free(&config);
    return features;
}

static void test_features(void)
{
    enum { IMAGES = 4, BYTES = 64 * 64 * 3 };
    static uint8_t images[IMAGES * BYTES];
    struct sky_rng rng = sky_rng_make(11, SKY_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < IMAGES * BYTES; i++) images[i] = (uint8_t)(sky_rng_u32(&rng) % (64 * (uint32_t)(i / BYTES + 1)));
    int64_t dimensions = 0;
    float *plain = features_of("eval.precision=fp32", false, images, IMAGES, &dimensions), *fast = features_of("eval.precision=int8", true, images, IMAGES, &dimensions);
    for (int64_t i = 0; i < IMAGES && plain && fast; i++) {
        double cosine = 0;
        for (int64_t k = 0; k < dimensions; k++) cosine += (double)plain[i * dimensions + k] * fast[i * dimensions + k];
        CHECK(cosine >= 0.9995); /* 0.99984 to 0.99987 without VNNI */
        CHECK(cosine < 0.999999);
    }
    free(plain);
    free(fast);
}

static void test_refusal(void)
{
    const char *const train[] = {"train.precision=int8"}, *const overrides[] = {"device.backend=ref"};
    struct sky_config config = {0};
    const struct sky_backend *backend = NULL;
    struct sky_device_options options;
    CHECK_FAILS(sky_config_read(&config, NULL, train, 1), SKY_CONFIG, "int8");
    sky_config_free(&config);
    if (CHECK_OK(sky_config_read(&config, NULL, overrides, 1)))
        CHECK_FAILS(sky_backend_choose(&config, SKY_PRECISION_INT8, &backend, &options), SKY_CONFIG, "the ref back end has no int8 convolutions");
    sky_config_free(&config);
}

int main(void)
{
    test_refusal();
    if (!sky_cpu_has_int8()) {
        check_skip("convolutions in int8", "oneDNN has no fast ones for this processor");
        return check_done();
    }
    test_convolutions();
    test_largest_sums();
    test_features();
    return check_done();
}
