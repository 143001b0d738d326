/*
 * Published and worked test vectors, computed through graphs on the reference back end in f64: parts of a map and their pooling, GeM and its
 * gradients, part attention, cross entropy, divergence, losses on pairs, Nesterov's update.
 */
#include "check.h"

#include "backend/executor.h"
#include "model/build.h"

/* A graph being put together, then run once. Inputs are written before the run; whatever is read must have been kept. */
struct run {
    struct sky_graph graph;
    struct sky_executor executor;
    struct sky_scalars scalars;
};

static void begin(struct run *run)
{
    memset(run, 0, sizeof *run);
    CHECK_OK(sky_graph_init(&run->graph, SKY_F64));
}

static sky_value input(struct run *run, const char *name, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return sky_graph_input(&run->graph, name, SKY_F64, rank, (const int64_t[]){a, b, c, d});
}

static int64_t node(struct run *run, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int count)
{
    const int64_t index = sky_graph_node(&run->graph, op, SKY_PHASE_FORWARD, sky_op_name(op), attr, in, count);
    for (int i = 0; index >= 0 && i < run->graph.nodes[index].out_count; i++) sky_graph_keep(&run->graph, sky_graph_out(&run->graph, index, i));
    return index;
}

/* Plans and allocates; inputs can be written from here on. */
static int ready(struct run *run)
{
    const struct sky_device_options options = {.threads = 1, .deterministic = true};
    return CHECK_OK(sky_graph_check(&run->graph)) && CHECK_OK(sky_graph_plan(&run->graph, NULL)) &&
           CHECK_OK(sky_executor_create(&run->executor, &sky_backend_ref, &options, &run->graph, NULL)) &&
           CHECK_OK(sky_executor_write(&run->executor, run->graph.scalars, &run->scalars));
}

static double *values(struct run *run, sky_value value)
{
    return sky_executor_pointer(&run->executor, value); /* the reference computes in the host's memory */
}

static void end(struct run *run)
{
    sky_executor_destroy(&run->executor);
    sky_graph_free(&run->graph);
}

static void check_all(const char *what, const double *got, const double *want, int count, double tolerance)
{
    for (int i = 0; i < count; i++) {
        char detail[120];
        snprintf(detail, sizeof detail, "%s[%d] is %.12g, should be %.12g", what, i, got[i], want[i]);
        check_that(fabs(got[i] - want[i]) <= tolerance, what, __FILE__, __LINE__, detail);
    }
}

/* Pools one map [1, size, size, 1], given by its values, with the partition's table; the parts' results go to `out`. */
static int pool_parts(const double *map, int64_t size, int partition, int64_t blocks, int norm, int pooling, double *out)
{
    struct run run;
    struct sky_config config;
    memset(&config, 0, sizeof config);
    config.model.partition = partition, config.model.blocks = blocks, config.model.ring_norm = norm;
    begin(&run);
    const union sky_attributes attr = {.part = {.pooling = pooling, .p = 3, .table = sky_build_parts(&run.graph, &config, size, size)}};
    const sky_value x = input(&run, "x", 4, 1, size, size, 1);
    const int64_t pool = node(&run, SKY_OP_PART_POOL, &attr, (const sky_value[]){x, SKY_NONE}, 2);
    int parts = 0;
    if (ready(&run)) {
        memcpy(values(&run, x), map, (size_t)(size * size) * sizeof *map);
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
        parts = attr.part.table->part_count;
        memcpy(out, values(&run, sky_graph_out(&run.graph, pool, 0)), (size_t)parts * sizeof *out);
    }
    end(&run);
    return parts;
}

static void test_partitions(void)
{
    double map[32 * 32], out[SKY_MAX_PARTS];
    for (int i = 0; i < 64; i++) map[i] = i;
    CHECK(pool_parts(map, 8, SKY_PARTITION_LPN, 4, SKY_RING_SQUARE, SKY_POOL_AVG, out) == 4);
    check_all("rings of 8x8", out, (const double[]){31.5, 23.625, 17.5, 13.78125}, 4, 1e-12);
    CHECK(pool_parts(map, 8, SKY_PARTITION_MSBA, 4, SKY_RING_SQUARE, SKY_POOL_AVG, out) == 6);
    check_all("msba means", out, (const double[]){31.5, 23.625, 17.5, 31.5, 31.5, 13.78125}, 6, 1e-12);
    CHECK(pool_parts(map, 8, SKY_PARTITION_MSBA, 4, SKY_RING_SQUARE, SKY_POOL_GEM, out) == 6);
    check_all("msba GeM", out, (const double[]){32.00765, 31.32442, 31.70414, 33.89297, 36.63570, 32.97183}, 6, 5.1e-6);
    CHECK(pool_parts(map, 8, SKY_PARTITION_NONE, 4, SKY_RING_SQUARE, SKY_POOL_AVG, out) == 1);
    check_all("whole map", out, (const double[]){31.5}, 1, 1e-12);
    CHECK(pool_parts(map, 8, SKY_PARTITION_MSBA, 6, SKY_RING_SQUARE, SKY_POOL_AVG, out) == 8); /* 8 parts: rings 1-3, two squares, rings 4-6 */

    for (int i = 0; i < 32 * 32; i++) map[i] = 1; /* a zero-filled square shows its share of pixels: (2i - 1) / i^2 */
    for (int64_t size = 8; size <= 32; size += 8) {
        CHECK(pool_parts(map, size, SKY_PARTITION_LPN, 4, SKY_RING_SQUARE, SKY_POOL_AVG, out) == 4);
        check_all("constant map", out, (const double[]){1, 3.0 / 4, 5.0 / 9, 7.0 / 16}, 4, 1e-12);
    }
    CHECK(pool_parts(map, 16, SKY_PARTITION_LPN, 4, SKY_RING_RING, SKY_POOL_AVG, out) == 4);
    check_all("true rings", out, (const double[]){1, 1, 1, 1}, 4, 1e-12);
    CHECK(pool_parts(map, 16, SKY_PARTITION_LPN, 4, SKY_RING_SQUARE, SKY_POOL_GEM, out) == 4);
    check_all("square against ring, p = 3", out, (const double[]){1, 0.90856, 0.82207, 0.75915}, 4, 5.1e-6);
}

/* Equal values: the first one is the maximum. In a zero-filled square the zeros win only when every pixel is below them. */
static void test_first_maximum(void)
{
    struct run run;
    struct sky_config config;
    memset(&config, 0, sizeof config);
    config.model.partition = SKY_PARTITION_LPN, config.model.blocks = 2;
    begin(&run);
    const union sky_attributes window = {.pool = {.window = 3, .stride = 2, .pad = 1}};
    const union sky_attributes part = {.part = {.pooling = SKY_POOL_MAX, .table = sky_build_parts(&run.graph, &config, 4, 4)}};
    const sky_value x = input(&run, "x", 4, 1, 4, 4, 1);
    const int64_t pool = node(&run, SKY_OP_MAX_POOL, &window, &x, 1), global = node(&run, SKY_OP_GLOBAL_MAX, NULL, &x, 1);
    const int64_t parts = node(&run, SKY_OP_PART_POOL, &part, (const sky_value[]){x, SKY_NONE}, 2);
    if (ready(&run)) {
        const double levels[3] = {2, 0, -1};
        for (int level = 0; level < 3; level++) {
            for (int i = 0; i < 16; i++) values(&run, x)[i] = levels[level];
            CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
            const uint8_t *taps = sky_executor_pointer(&run.executor, sky_graph_out(&run.graph, pool, 1));
            const int32_t *place = sky_executor_pointer(&run.executor, sky_graph_out(&run.graph, global, 1));
            const int32_t *held = sky_executor_pointer(&run.executor, sky_graph_out(&run.graph, parts, 1));
            const double *pooled = values(&run, sky_graph_out(&run.graph, parts, 0));
            CHECK(taps[0] == 4 && taps[1] == 3 && taps[2] == 1 && taps[3] == 0); /* 4, 3, 1: what lies before is padding */
            CHECK(place[0] == 0 && held[0] == 5 && pooled[0] == levels[level]);
            CHECK(levels[level] < 0 ? held[1] == -1 && pooled[1] == 0 : held[1] == 0 && pooled[1] == levels[level]);
        }
    }
    end(&run);
}

static void test_attention(void)
{
    struct run run;
    const double in[6] = {.984375, .73828125, .546875, .984375, .984375, .4306640625};
    begin(&run);
    const sky_value x = input(&run, "x", 3, 6, 1, 1, 1);
    const int64_t attention = node(&run, SKY_OP_PART_ATTENTION, NULL, &x, 1);
    if (ready(&run)) {
        memcpy(values(&run, x), in, sizeof in);
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
        check_all("attention", values(&run, sky_graph_out(&run.graph, attention, 0)),
                  (const double[]){.19678408, .11539156, .07058519, .19678408, .19678408, .04948737}, 6, 5.1e-9);
    }
    end(&run);
}

/* GeM of [1,2,3,4] with p = 3, and d y by x and p, by the formulas of ops.h. */
static void test_gem(void)
{
    struct run run;
    struct sky_config config;
    memset(&config, 0, sizeof config);
    config.model.partition = SKY_PARTITION_NONE;
    char *names[1] = {"gem.p"};
    const struct sky_parameter exponent = {.slice_count = 1, .slice_names = names};
    begin(&run);
    const union sky_attributes attr = {.part = {.pooling = SKY_POOL_GEM, .table = sky_build_parts(&run.graph, &config, 2, 2)}};
    const sky_value x = input(&run, "x", 4, 1, 2, 2, 1), seed = input(&run, "seed", 3, 1, 1, 1, 1), p = sky_graph_parameter(&run.graph, &exponent, 1, (const int64_t[]){1});
    const int64_t pool = node(&run, SKY_OP_PART_POOL, &attr, (const sky_value[]){x, p}, 2);
    const sky_value y = sky_graph_out(&run.graph, pool, 0);
    sky_value dx = SKY_NONE;
    CHECK_OK(sky_graph_backward(&run.graph, &(struct sky_seed){y, seed}, 1, &x, 1, &dx));
    sky_graph_keep(&run.graph, dx);
    if (ready(&run)) {
        const double root = cbrt(25), mean = 25, logs = (8 * log(2) + 27 * log(3) + 64 * log(4)) / 4;
        memcpy(values(&run, x), (const double[]){1, 2, 3, 4}, 4 * sizeof(double));
        *values(&run, p) = 3, *values(&run, seed) = 1;
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_BACKWARD, false));
        CHECK_NEAR(*values(&run, y), 2.924017738, 5e-10);
        check_all("dx", values(&run, dx), (const double[]){1 / (4 * root * root), 4 / (4 * root * root), 9 / (4 * root * root), 16 / (4 * root * root)}, 4, 1e-14);
        CHECK_NEAR(*values(&run, run.graph.tensors[p].gradient), root * (logs / (3 * mean) - log(mean) / 9), 1e-14);
        memcpy(values(&run, x), (const double[]){0, 1e-7, 3, 4}, 4 * sizeof(double)); /* below the epsilon: no gradient */
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_BACKWARD, false));
        const double low = cbrt((27 + 64 + 2e-18) / 4);
        check_all("dx below the epsilon", values(&run, dx), (const double[]){0, 0}, 2, 0);
        check_all("dx above the epsilon", values(&run, dx) + 2, (const double[]){9 / (4 * low * low), 16 / (4 * low * low)}, 2, 1e-14);
    }
    end(&run);
}

/* z_s = [1,2,3], z_d = [2,2,1]: one head, one pair. */
static void test_losses(void)
{
    const double logits[6] = {1, 2, 3, 2, 2, 1}, kl_drone[6] = {-.3322882, -.1775903, .5098786, .3751906, -.0471282, -.3280623};
    for (int direction = 0; direction < 3; direction++)
        for (int detach = 0; detach < 2; detach++) {
            struct run run;
            begin(&run);
            const union sky_attributes attr = {.loss = {.groups = 2, .drone = 1, .direction = direction, .detach = detach, .weight = 1, .temperature = 1}};
            const sky_value z = input(&run, "logits", 3, 1, 2, 3, 1);
            const int64_t loss = node(&run, SKY_OP_LOSS_KL, &attr, &z, 1);
            if (ready(&run)) {
                memcpy(values(&run, z), logits, sizeof logits);
                CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
                const double *gradient = values(&run, sky_graph_out(&run.graph, loss, 1));
                const double expected[3] = {.6572052, .6948402, .6572052 + .6948402};
                CHECK_NEAR(*values(&run, sky_graph_out(&run.graph, loss, 0)), expected[direction], 1.1e-7);
                if (direction == SKY_KL_DRONE_SATELLITE) {
                    check_all("KL gradient by the satellite", gradient, kl_drone, 3, 6e-8);
                    if (!detach) check_all("KL gradient by the drone", gradient + 3, kl_drone + 3, 3, 6e-8);
                    else check_all("detached", gradient + 3, (const double[]){0, 0, 0}, 3, 0);
                }
                if (direction == SKY_KL_SATELLITE_DRONE && detach) { /* the other way round: p_d - p_s */
                    check_all("detached", gradient, (const double[]){0, 0, 0}, 3, 0);
                    check_all("KL gradient by the drone", gradient + 3, (const double[]){.3322882, .1775903, -.5098786}, 3, 6e-8);
                }
                if (direction == SKY_KL_SYMMETRIC && detach) check_all("symmetric, detached", gradient, kl_drone, 3, 6e-8);
            }
            end(&run);
        }
    for (int view = 0; view < 2; view++) {
        struct run run;
        begin(&run);
        const union sky_attributes attr = {.loss = {.groups = 1, .weight = 1}};
        const sky_value z = input(&run, "logits", 3, 1, 1, 3, 1), label = sky_graph_input(&run.graph, "label", SKY_I32, 1, (const int64_t[]){1});
        const int64_t loss = node(&run, SKY_OP_LOSS_CE, &attr, (const sky_value[]){z, label}, 2);
        if (ready(&run)) {
            memcpy(values(&run, z), logits + 3 * view, 3 * sizeof *logits);
            *(int32_t *)sky_executor_pointer(&run.executor, label) = 2;
            CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
            CHECK_NEAR(*values(&run, sky_graph_out(&run.graph, loss, 0)), view ? 1.8619948 : .4076060, 6e-8);
            const double p[2][3] = {{.0900306, .2447285, .6652410 - 1}, {.4223188, .4223188, .1553624 - 1}};
            check_all("CE gradient", values(&run, sky_graph_out(&run.graph, loss, 1)), p[view], 3, 6e-8);
            *(int32_t *)sky_executor_pointer(&run.executor, label) = 3;
            CHECK_FAILS(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false), SKY_DATA, "label 3");
        }
        end(&run);
    }
}

/* Two places, cosines [[.6, .8], [.8, .6]]: each image is nearer to the other place's than to its own. */
static void test_pair_losses(void)
{
    const double features[8] = {2, 0, 0, 5, 3, 4, 0.4, 0.3}, cosines[4] = {.6, .8, .8, .6}, d_pair = sqrt(.8), d_stranger = sqrt(.4), gap = .7 - d_stranger;
    const struct {
        enum sky_op op;
        union sky_attributes attr;
        double loss, by_pair, by_stranger;
    } cases[] = {
        {SKY_OP_LOSS_CONTRASTIVE, {.pairs = {.margin = .7}}, .4022811276, -.5, gap / d_stranger / 2},
        {SKY_OP_LOSS_TRIPLET, {.pairs = {.margin = .3}}, .5619716586, -.5 / d_pair, .5 / d_stranger},
        {SKY_OP_LOSS_TRIPLET, {.pairs = {.margin = -.3}}, 0, 0, 0},
        {SKY_OP_LOSS_TRIPLET, {.pairs = {.soft = true, .alpha = 1}}, .8326872344, -.5651209073320 / 2 / d_pair, .5651209073320 / 2 / d_stranger},
        {SKY_OP_LOSS_INFO_NCE, {.pairs = {.temperature = .1}}, 2.126928011, -4.403985390, 4.403985390},
        {SKY_OP_LOSS_INFO_NCE, {.pairs = {.temperature = .1, .smoothing = .1}}, 2.026928011, -4.153985390, 4.153985390},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct run run;
        union sky_attributes attr = cases[c].attr;
        attr.pairs.groups = 2, attr.pairs.second = 1, attr.pairs.weight = 1;
        begin(&run);
        const sky_value x = input(&run, "features", 3, 1, 4, 2, 1), labels = sky_graph_input(&run.graph, "labels", SKY_I32, 1, (const int64_t[]){4});
        const sky_value y = sky_graph_out(&run.graph, node(&run, SKY_OP_SIMILARITY, &attr, (const sky_value[]){x, SKY_NONE}, 2), 0);
        const int64_t loss = node(&run, cases[c].op, &attr, (const sky_value[]){y, labels}, 2);
        if (ready(&run)) {
            memcpy(values(&run, x), features, sizeof features);
            memcpy(sky_executor_pointer(&run.executor, labels), (const int32_t[]){7, 3, 7, 3}, 4 * sizeof(int32_t));
            CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
            check_all("cosines", values(&run, y), cosines, 4, 1e-15);
            const double p = cases[c].by_pair, s = cases[c].by_stranger;
            CHECK_NEAR(*values(&run, sky_graph_out(&run.graph, loss, 0)), cases[c].loss, 1e-7);
            check_all("gradient by the cosines", values(&run, sky_graph_out(&run.graph, loss, 1)), (const double[]){p, s, s, p}, 4, 5e-10);
        }
        end(&run);
    }
}

/* w = 1, gradient .5 held, lr .001, momentum .9, weight decay 5e-4: three Nesterov steps. */
static void test_nesterov(void)
{
    static const struct sky_segment segment = {.offset = 0, .count = 1, .weight_decay = 5e-4f};
    const double w_want[3] = {.99904905, .9976926959, .9959714790}, v_want[3] = {.5005, .9509495245, 1.3563534184};
    struct run run;
    begin(&run);
    run.scalars = (struct sky_scalars){.lr = {0.001f}, .gradient_scale = 1};
    const sky_value w = input(&run, "w", 1, 1, 0, 0, 0), g = input(&run, "g", 1, 1, 0, 0, 0), v = input(&run, "v", 1, 1, 0, 0, 0);
    const union sky_attributes attr = {.update = {.momentum = 0.9, .nesterov = true, .segments = &segment, .segment_count = 1}};
    const sky_value sum = sky_graph_out(&run.graph, node(&run, SKY_OP_SUM_SQUARES, NULL, &g, 1), 0);
    const int64_t update = node(&run, SKY_OP_SGD, &attr, (const sky_value[]){w, g, v, sum, run.graph.scalars}, 5);
    if (ready(&run)) {
        *values(&run, w) = 1, *values(&run, g) = 0.5, *values(&run, v) = 0;
        for (int step = 0; step < 3; step++) {
            CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
            CHECK_NEAR(*values(&run, w), w_want[step], 3e-10); /* lr and decay are floats here: 0.001f is off by 5e-8 of itself */
            CHECK_NEAR(*values(&run, v), v_want[step], 3e-10);
            CHECK_NEAR(values(&run, sky_graph_out(&run.graph, update, 0))[0], 0.5, 1e-15);
        }
        *values(&run, g) = NAN;
        CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
        CHECK(values(&run, sky_graph_out(&run.graph, update, 0))[1] == 1);
        CHECK_NEAR(*values(&run, w), w_want[2], 3e-10);
    }
    end(&run);
}

/* torch.optim.AdamW in double: w = 1, gradients .5, -.25, 1, lr .001, weight decay .01; then an update that is left out. */
static void test_adamw(void)
{
    static const struct sky_segment segment = {.offset = 0, .count = 1, .weight_decay = 0.01f};
    static const double g_given[3] = {.5, -.25, 1}, w_want[3] = {.99899000002, .9987136730870784, .9980455743600399};
    struct run run;
    begin(&run);
    const sky_value w = input(&run, "w", 1, 1, 0, 0, 0), g = input(&run, "g", 1, 1, 0, 0, 0), m = input(&run, "m", 1, 1, 0, 0, 0), v = input(&run, "v", 1, 1, 0, 0, 0);
    const union sky_attributes attr = {.update = {.momentum = 0.9, .squares = 0.999, .epsilon = 1e-8, .segments = &segment, .segment_count = 1}};
    const sky_value sum = sky_graph_out(&run.graph, node(&run, SKY_OP_SUM_SQUARES, NULL, &g, 1), 0);
    const int64_t update = node(&run, SKY_OP_ADAMW, &attr, (const sky_value[]){w, g, m, v, sum, run.graph.scalars}, 6);
    if (ready(&run)) {
        *values(&run, w) = 1, *values(&run, m) = *values(&run, v) = 0;
        for (int step = 0; step < 4; step++) {
            run.scalars = (struct sky_scalars){.lr = {0.001f}, .gradient_scale = 1, .update = (uint64_t)step + 1};
            CHECK_OK(sky_executor_write(&run.executor, run.graph.scalars, &run.scalars));
            *values(&run, g) = step < 3 ? g_given[step] : INFINITY;
            CHECK_OK(sky_executor_run(&run.executor, SKY_PHASE_FORWARD, false));
            CHECK_NEAR(*values(&run, w), w_want[step < 3 ? step : 2], 3e-10); /* lr and decay are floats here */
            CHECK(values(&run, sky_graph_out(&run.graph, update, 0))[1] == (step == 3));
        }
        CHECK_NEAR(*values(&run, m), 0.118, 1e-15);
        CHECK_NEAR(*values(&run, v), 0.00131193775, 1e-17);
    }
    end(&run);
}

int main(void)
{
    test_partitions();
    test_first_maximum();
    test_attention();
    test_gem();
    test_losses();
    test_pair_losses();
    test_nesterov();
    test_adamw();
    return check_done();
}
