/*
 * The fusion pass: which convolutions and batch norms of small graphs it joins and which it leaves, that it joins by the count of bytes, that a fused model
 * computes what the unfused one does (losses, gradients, running statistics), and how good a variance from sums is.
 */
#include "backend/executor.h"
#include "base/rng.h"
#include "check.h"
#include "graph/scalars.h"
#include "model/model.h"
#include "train/bind.h"
#include "train/parameters.h"

#include <math.h>

/* ---- small graphs ---- */

struct net {
    struct sky_graph graph;
    int layers;
    bool across; /* statistics over all ranks */
};

static sky_value parameter(struct net *net, const char *stem, bool buffer, int rank, const int64_t *dim)
{
    char name[40], *names[1] = {name};
    snprintf(name, sizeof name, "%s_%d", stem, net->layers);
    const struct sky_parameter made = {.is_buffer = buffer, .slice_count = 1, .slice_names = names};
    return sky_graph_parameter(&net->graph, &made, rank, dim);
}

static sky_value input(struct net *net, const char *name, int64_t n, int64_t size, int64_t c)
{
    return sky_graph_input(&net->graph, name, net->graph.map_dtype, 4, (const int64_t[]){n, size, size, c});
}

static sky_value conv(struct net *net, sky_value x, int64_t filters, int64_t window)
{
    struct sky_graph *graph = &net->graph;
    const union sky_attributes attr = {.conv = {.stride = 1, .pad = (int)window / 2}};
    const int64_t dim[4] = {filters, window, window, graph->tensors[x].dim[3]};
    const sky_value w = sky_graph_shadow(graph, parameter(net, "w", false, 4, dim));
    char name[40];
    snprintf(name, sizeof name, "conv%d", net->layers++);
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_CONV, SKY_PHASE_FORWARD, name, &attr, (const sky_value[]){x, w}, 2), 0);
}

/* Batch norm; *stats (may be NULL) is its node of statistics. */
static sky_value norm(struct net *net, sky_value z, bool relu, int64_t *stats)
{
    struct sky_graph *graph = &net->graph;
    const int64_t c = graph->tensors[z].dim[3];
    const union sky_attributes attr = {.bn = {.groups = 2, .epsilon = 1e-5, .momentum = 0.1, .relu = relu, .update = true, .across = net->across}};
    const sky_value mean = parameter(net, "mean", true, 1, &c), var = parameter(net, "var", true, 1, &c);
    const sky_value gamma = parameter(net, "gamma", false, 1, &c), beta = parameter(net, "beta", false, 1, &c);
    const int64_t node = sky_graph_node(graph, SKY_OP_BN_STATS, SKY_PHASE_FORWARD, "stats", &attr, (const sky_value[]){z, mean, var}, 3);
    const sky_value in[5] = {z, sky_graph_out(graph, node, 1), sky_graph_out(graph, node, 2), gamma, beta};
    if (stats) *stats = node;
    return sky_graph_out(graph, sky_graph_node(graph, SKY_OP_BN_APPLY, SKY_PHASE_FORWARD, "apply", &attr, in, 5), 0);
}

static void open_net(struct net *net, enum sky_dtype map)
{
    memset(net, 0, sizeof *net);
    CHECK_OK(sky_graph_init(&net->graph, SKY_F32));
    net->graph.map_dtype = map;
}

static void add_gradient(struct net *net, sky_value out)
{
    const struct sky_tensor like = net->graph.tensors[out];
    const struct sky_seed seed = {out, input(net, "seed", like.dim[0], like.dim[1], like.dim[3])};
    CHECK_OK(sky_graph_backward(&net->graph, &seed, 1, NULL, 0, NULL));
}

static int64_t count_op(const struct sky_graph *graph, enum sky_op op)
{
    int64_t count = 0;
    for (int64_t n = 0; n < graph->node_count; n++) count += graph->nodes[n].op == op;
    return count;
}

static bool fuses(struct net *net, bool all, int64_t sums, int64_t norms, int64_t gradients)
{
    struct sky_fused done = {0};
    const int64_t before = net->graph.node_count;
    if (!CHECK_OK(sky_graph_fuse(&net->graph, all, &done))) return false;
    CHECK_OK(sky_graph_plan(&net->graph, NULL));
    const struct sky_graph *graph = &net->graph;
    const bool right = done.sums == sums && done.norms == norms && done.gradients == gradients && graph->node_count == before - norms &&
                       count_op(graph, SKY_OP_BN_FROM_SUMS) == sums && count_op(graph, SKY_OP_BN_CONV_WGRAD) <= norms &&
                       count_op(graph, SKY_OP_BN_GRAD_FROM_SUMS) == gradients && count_op(graph, SKY_OP_BN_CONV_DGRAD) == gradients;
    if (!right) printf("sums %lld norms %lld gradients %lld\n", (long long)done.sums, (long long)done.norms, (long long)done.gradients);
    int64_t wrong = 0; /* values know who makes them */
    for (int64_t n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].out_count; i++) wrong += graph->nodes[n].out[i] >= 0 && graph->tensors[graph->nodes[n].out[i]].producer > n;
    sky_graph_free(&net->graph);
    return right && wrong == 0;
}

/* conv, norm + ReLU, conv, norm: what every other test changes in one place. */
struct change {
    int64_t images, size, in, middle, out;
    bool across, no_relu, keep_normed, read_twice, read_means, forward_only, last_norm;
};

static sky_value build_chain(struct net *net, const struct change *c)
{
    int64_t stats;
    net->across = c->across;
    const sky_value z = conv(net, input(net, "x", c->images, c->size, c->in), c->middle, 1), y = norm(net, z, !c->no_relu, &stats);
    if (c->keep_normed) sky_graph_keep(&net->graph, y);
    if (c->read_means) sky_graph_keep(&net->graph, sky_graph_out(&net->graph, stats, 0));
    sky_value out = conv(net, y, c->out, 3);
    if (c->last_norm) out = norm(net, out, true, NULL);
    if (c->read_twice)
        out = sky_graph_out(&net->graph, sky_graph_node(&net->graph, SKY_OP_ADD, SKY_PHASE_FORWARD, "add", NULL, (const sky_value[]){out, y}, 2), 0);
    if (!c->forward_only) add_gradient(net, out);
    return out;
}

static bool chain(struct change change, bool all, int64_t sums, int64_t norms, int64_t gradients)
{
    struct net net;
    open_net(&net, SKY_F16);
    build_chain(&net, &change);
    return fuses(&net, all, sums, norms, gradients);
}

static void test_patterns(void)
{
    const struct change plain = {.images = 4, .size = 6, .in = 8, .middle = 16, .out = 16};
    struct change c = plain;
    CHECK(chain(plain, true, 1, 1, 1));
    c.last_norm = true;
    CHECK(chain(c, true, 2, 1, 1));
    c = plain, c.forward_only = true;
    CHECK(chain(c, true, 1, 1, 0));
    c = plain, c.no_relu = true; /* statistics alone */
    CHECK(chain(c, true, 1, 0, 0));
    c = plain, c.keep_normed = true; /* the host wants the normed map */
    CHECK(chain(c, true, 1, 0, 1));
    c = plain, c.read_twice = true; /* another reader, and another gradient */
    CHECK(chain(c, true, 1, 0, 0));
    c = plain, c.read_means = true; /* means of single images: sums do not give them; the gradient does not mind */
    CHECK(chain(c, true, 0, 0, 1));
    c = plain, c.across = true; /* they have their own exchange */
    CHECK(chain(c, true, 0, 0, 0));
    c = plain, c.in = 3;
    CHECK(chain(c, true, 0, 0, 1));
    c = plain, c.middle = 12;
    CHECK(chain(c, true, 0, 0, 0));
    c = plain, c.out = 20;
    CHECK(chain(c, true, 1, 0, 0));
}

/* Large maps and small filters win, small maps and large filters lose. */
static void test_count(void)
{
    const struct change wide = {.images = 64, .size = 64, .in = 64, .middle = 64, .out = 64}, deep = {.images = 4, .size = 4, .in = 512, .middle = 512, .out = 512};
    CHECK(chain(wide, false, 1, 1, 1));
    CHECK(chain(deep, false, 0, 0, 0));
    CHECK(chain(deep, true, 1, 1, 1));
}

/* What the pass says it saves is what the plan then counts. */
static double bytes_of(const struct sky_graph *graph)
{
    double bytes = 0;
    for (int64_t n = 0; n < graph->node_count; n++) bytes += sky_node_cost(graph, &graph->nodes[n]).bytes;
    return bytes;
}

static void test_models(void)
{
    static const char *const fusions[3] = {"device.fusion=no", "device.fusion=auto", "device.fusion=yes"};
    for (int places = 2; places <= 32; places *= 4) {
        double bytes[3];
        size_t activations[3];
        for (int f = 0; f < 3; f++) {
            struct sky_config config = {0};
            struct sky_model model;
            const char *overrides[2] = {"train.precision=fp16", fusions[f]};
            CHECK_OK(sky_config_read(&config, NULL, overrides, 2));
            if (!CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_TRAIN, places, 701, 0, SKY_F32, NULL))) return;
            bytes[f] = bytes_of(&model.graph), activations[f] = model.graph.arena_bytes[SKY_ARENA_ACT];
            sky_model_free(&model);
            sky_config_free(&config);
        }
        printf("%d images: %.1f MB an image unfused, %.1f by count, %.1f with every form that fits\n", 2 * places, bytes[0] / (2e6 * places), bytes[1] / (2e6 * places),
               bytes[2] / (2e6 * places));
        CHECK(bytes[1] <= bytes[0] && activations[1] <= activations[0]);
        if (places == 32) CHECK(bytes[1] < 0.95 * bytes[0] && bytes[2] == bytes[1]);
    }
}

/* ---- numbers ---- */

struct trainee {
    struct sky_config config;
    struct sky_model model;
    struct sky_executor executor;
};

static bool open_trainee(struct trainee *t, const char *fusion, const char *backbone)
{
    const char *overrides[] = {fusion, backbone, "data.image_size=32", "model.width=0.125", "model.embedding=8", "model.dropout=0.3"};
    const struct sky_device_options options = {.threads = 1, .deterministic = true};
    memset(t, 0, sizeof *t);
    if (!CHECK_OK(sky_config_read(&t->config, NULL, overrides, sizeof overrides / sizeof *overrides))) return false;
    if (!CHECK_OK(sky_model_build(&t->model, &t->config, SKY_MODEL_TRAIN, 2, 5, 0, SKY_F64, NULL))) return false;
    if (!CHECK_OK(sky_executor_create(&t->executor, &sky_backend_ref, &options, &t->model.graph, NULL))) return false;
    return CHECK_OK(sky_parameters_initialise(&t->model, &t->executor, 1));
}

static void close_trainee(struct trainee *t)
{
    sky_executor_destroy(&t->executor);
    sky_model_free(&t->model);
    sky_config_free(&t->config);
}

static void step(struct trainee *t)
{
    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, 0, 0);
    uint8_t images[4 * 32 * 32 * 3];
    const int32_t labels[4] = {0, 3, 0, 3}, erased[4][4] = {{0}};
    const struct sky_scalars scalars = {.seed = 1, .lr = {1e-2f, 1e-2f, 1e-2f}, .gradient_scale = 1, .loss_scale = 1};
    for (size_t i = 0; i < sizeof images; i++) images[i] = (uint8_t)(sky_rng_u32(&rng) >> 24);
    CHECK_OK(sky_executor_write(&t->executor, t->model.images[0], images));
    CHECK_OK(sky_executor_write(&t->executor, t->model.erased[0], erased));
    CHECK_OK(sky_executor_write(&t->executor, t->model.labels, labels));
    CHECK_OK(sky_executor_write(&t->executor, t->model.graph.scalars, &scalars));
    for (int accumulate = 0; accumulate < 2; accumulate++) CHECK_OK(sky_executor_run_through(&t->executor, SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, accumulate));
    CHECK_OK(sky_executor_run(&t->executor, SKY_PHASE_UPDATE, false));
}

/* Gradients of two passes, parameters after the update, running statistics: the arenas lie alike. */
static void test_fused_training(const char *backbone)
{
    struct trainee plain, fused;
    if (!open_trainee(&plain, "device.fusion=no", backbone) || !open_trainee(&fused, "device.fusion=yes", backbone)) return;
    CHECK(count_op(&fused.model.graph, SKY_OP_BN_CONV) > 15 && count_op(&fused.model.graph, SKY_OP_BN_CONV_DGRAD) > 5);
    CHECK(count_op(&plain.model.graph, SKY_OP_BN_CONV) == 0);
    CHECK(fused.model.graph.arena_bytes[SKY_ARENA_ACT] < plain.model.graph.arena_bytes[SKY_ARENA_ACT]);
    step(&plain);
    step(&fused);
    static const enum sky_arena arenas[] = {SKY_ARENA_GRADS, SKY_ARENA_PARAMS, SKY_ARENA_BUFFERS};
    for (int a = 0; a < 3; a++) {
        const size_t bytes = plain.model.graph.arena_bytes[arenas[a]];
        const double *x = plain.executor.arena[arenas[a]], *y = fused.executor.arena[arenas[a]];
        double off = 0, all = 0;
        if (!CHECK(bytes == fused.model.graph.arena_bytes[arenas[a]])) continue;
        for (size_t i = 0; i < bytes / sizeof *x; i++) off += (x[i] - y[i]) * (x[i] - y[i]), all += x[i] * x[i];
        printf("%s, fused against not, %s: relative distance %.1e\n", backbone, sky_arena_name(arenas[a]), sqrt(off / all));
        CHECK(all > 0 && sqrt(off / all) <= 1e-9);
    }
    close_trainee(&plain);
    close_trainee(&fused);
}

static const char *refuse(const struct sky_graph *graph, const struct sky_node *node)
{
    (void)graph, (void)node;
    return "planted";
}

/* A device without the fused forms: auto does without them and says so, yes is refused. */
static void test_lacking_device(void)
{
    static struct sky_operation operations[SKY_OP_COUNT];
    struct sky_backend lacking = sky_backend_ref;
    const struct sky_device_options options = {.threads = 1};
    const char *overrides[] = {"device.fusion=auto", "train.precision=fp16", "train.batch_size=64", "model.backbone=resnet18",
                               "data.image_size=64", "model.width=0.25",     "model.embedding=8"};
    for (int op = 0; op < SKY_OP_COUNT; op++) operations[op] = sky_backend_ref.operations[op];
    operations[SKY_OP_BN_CONV].supports = operations[SKY_OP_BN_CONV_DGRAD].supports = refuse;
    lacking.operations = operations;
    for (int i = 0; i < 3; i++) { /* able; lacking; lacking and told to */
        struct sky_config config = {0};
        struct sky_model model;
        struct sky_executor executor;
        if (i == 2) overrides[0] = "device.fusion=yes";
        CHECK_OK(sky_config_read(&config, NULL, overrides, sizeof overrides / sizeof *overrides));
        const sky_status status = sky_train_bind(&model, &executor, &config, i ? &lacking : &sky_backend_ref, &options, 5);
        CHECK(status == (i == 2 ? SKY_UNSUPPORTED : SKY_OK));
        if (status == SKY_OK) {
            CHECK((count_op(&model.graph, SKY_OP_BN_CONV) > 0) == (i == 0));
            sky_executor_destroy(&executor);
            sky_model_free(&model);
        } else CHECK(strstr(sky_error_last()->what, "planted") != NULL);
        sky_config_free(&config);
    }
}

/*
 * Sums in float32 give a variance that is good to about their own error times 1 + 3 mean^2 / var (ops.h): fine for what convolutions behind batch norm and ReLU
 * make (means of a few deviations), useless beyond a thousand, never negative.
 */
static void test_variance(void)
{
    for (double mean = 0; mean <= 3000; mean = mean * 10 + 3) {
        double invstd[2][16];
        for (int f = 0; f < 2; f++) {
            struct net net;
            struct sky_executor executor;
            const struct sky_device_options options = {.threads = 1};
            open_net(&net, SKY_F32);
            const sky_value x = input(&net, "x", 4, 16, 8);
            int64_t stats;
            norm(&net, conv(&net, x, 8, 1), true, &stats);
            const sky_value w = net.graph.parameters[0].value, wanted = sky_graph_out(&net.graph, stats, 2);
            sky_graph_keep(&net.graph, wanted);
            if (f) CHECK_OK(sky_graph_fuse(&net.graph, true, NULL));
            CHECK_OK(sky_graph_plan(&net.graph, NULL));
            if (!CHECK_OK(sky_executor_create(&executor, &sky_backend_ref, &options, &net.graph, NULL))) return;
            float values[4 * 16 * 16 * 8], identity[64] = {0}, got[16];
            struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, 0, 0);
            for (size_t i = 0; i < sizeof values / sizeof *values; i++) values[i] = (float)(mean + sky_rng_normal(&rng));
            for (int i = 0; i < 8; i++) identity[9 * i] = 1;
            CHECK_OK(sky_executor_write(&executor, x, values));
            CHECK_OK(sky_executor_write(&executor, w, identity));
            CHECK_OK(sky_executor_run(&executor, SKY_PHASE_FORWARD, false));
            CHECK_OK(sky_executor_read(&executor, wanted, got));
            for (int i = 0; i < 16; i++) invstd[f][i] = (double)got[i];
            sky_executor_destroy(&executor);
            sky_graph_free(&net.graph);
        }
        double worst = 0;
        for (int i = 0; i < 16; i++) {
            const double off = fabs(pow(invstd[0][i] / invstd[1][i], 2) - 1);
            if (!(off <= worst)) worst = off;
        }
        printf("mean %6.0f deviations: variance from sums off by %.1e\n", mean, worst);
        CHECK(worst <= 0x1p-24 * (6 + 4 * mean * mean));
        CHECK(mean > 1000 || worst < 0.05);
        CHECK(isfinite(worst));
    }
}

int main(void)
{
    test_patterns();
    test_count();
    test_models();
    test_fused_training("model.backbone=se_resnet50");
    test_fused_training("model.backbone=resnet34");
    test_lacking_device();
    test_variance();
    return check_done();
}
