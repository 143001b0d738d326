/*
 * The SE block tail through graph, gradient rules, planner and reference back end in f64, against PyTorch's autograd: outputs, every gradient and the running statistics, to 1e-12.
 * make_block_tail.py wrote the numbers.
 */
#include "check.h"

#include "backend/executor.h"

enum { ROWS = 6, CHANNELS = 6, HEIGHT = 3, WIDTH = 5, REDUCED = 4, MAP = ROWS * HEIGHT * WIDTH * CHANNELS };

/* Reads "NAME count" and the numbers behind it from the golden file. Returns how many there were, 0 when the name is not there. */
static int read_golden(const char *block, const char *name, double *out, int room)
{
    char want[80], got[80];
    int count, found = 0;
    snprintf(want, sizeof want, "%s.%s", block, name);
    FILE *file = fopen(SKY_SOURCE_DIR "/tests/golden/block_tail.txt", "r");
    while (file && !found && fscanf(file, "%79s %d", got, &count) == 2) {
        found = strcmp(got, want) == 0 ? count : 0;
        for (int i = 0; i < count; i++) {
            double value;
            if (fscanf(file, "%la", &value) != 1) found = 0;
            else if (found && i < room) out[i] = value;
        }
    }
    if (file) fclose(file);
    return found;
}

struct block {
    const char *name;
    struct sky_graph graph;
    struct sky_executor executor;
};

static sky_value declare(struct block *block, const char *name, bool is_buffer, int rank, int64_t a, int64_t b)
{
    char *names[1] = {(char *)name};
    const struct sky_parameter parameter = {.is_buffer = is_buffer, .slice_count = 1, .slice_names = names};
    return sky_graph_parameter(&block->graph, &parameter, rank, (const int64_t[]){a, b});
}

static int64_t forward(struct block *block, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int count)
{
    return sky_graph_node(&block->graph, op, SKY_PHASE_FORWARD, sky_op_name(op), attr, in, count);
}

static sky_value find(const struct block *block, const char *name)
{
    for (int64_t i = 0; i < block->graph.tensor_count; i++)
        if (strcmp(block->graph.tensors[i].name, name) == 0) return (sky_value)i;
    return SKY_NONE;
}

static void set(struct block *block, const char *name)
{
    const sky_value value = find(block, name);
    double numbers[MAP];
    const int count = read_golden(block->name, name, numbers, MAP);
    if (check_that(value >= 0 && count == block->graph.tensors[value].count, name, __FILE__, __LINE__, "is not in the golden file"))
        CHECK_OK(sky_executor_write(&block->executor, value, numbers));
}

static void compare(struct block *block, const char *name, sky_value value)
{
    double want[MAP], got[MAP];
    const int count = read_golden(block->name, name, want, MAP);
    if (!check_that(value >= 0 && count > 0 && count == block->graph.tensors[value].count, name, __FILE__, __LINE__, "is not in the golden file, or has no tensor")) return;
    CHECK_OK(sky_executor_read(&block->executor, value, got));
    for (int i = 0; i < count; i++) {
        char detail[160];
        snprintf(detail, sizeof detail, "%s[%d] is %.15g, should be %.15g", block->name, i, got[i], want[i]);
        check_that(fabs(got[i] - want[i]) <= 1e-12 * fmax(1, fabs(want[i])), name, __FILE__, __LINE__, detail);
    }
}

/* names: of running mean, running variance, gamma, beta. Fills in[4] with mean, invstd, gamma, beta; returns the statistics' node. */
static int64_t add_norm(struct block *block, sky_value z, const char *const names[4], const union sky_attributes *attr, sky_value in[4])
{
    const sky_value mean = declare(block, names[0], true, 1, CHANNELS, 0), var = declare(block, names[1], true, 1, CHANNELS, 0);
    const int64_t stats = forward(block, SKY_OP_BN_STATS, attr, (const sky_value[]){z, mean, var}, 3);
    in[0] = sky_graph_out(&block->graph, stats, 1), in[1] = sky_graph_out(&block->graph, stats, 2);
    in[2] = declare(block, names[2], false, 1, CHANNELS, 0), in[3] = declare(block, names[3], false, 1, CHANNELS, 0);
    return stats;
}

static void test_block(const char *name, bool shortcut_norm)
{
    static const char *const main_names[4] = {"running_mean", "running_var", "gamma", "beta"}, *const side_names[4] = {"running_mean_s", "running_var_s", "gamma_s", "beta_s"};
    const union sky_attributes attr = {.bn = {.groups = 2, .epsilon = 1e-5, .momentum = 0.1, .update = true}};
    const struct sky_device_options options = {.threads = 1, .deterministic = true};
    const int64_t map[4] = {ROWS, HEIGHT, WIDTH, CHANNELS};
    struct block block = {.name = name};
    struct sky_graph *graph = &block.graph;
    CHECK_OK(sky_graph_init(graph, SKY_F64));
    sky_value in[11];
    for (int i = 0; i < 11; i++) in[i] = SKY_NONE;
    in[0] = sky_graph_input(graph, "z", SKY_F64, 4, map), in[6] = sky_graph_input(graph, "shortcut", SKY_F64, 4, map);
    const sky_value dout = sky_graph_input(graph, "dout", SKY_F64, 4, map), dout2 = sky_graph_input(graph, "dout2", SKY_F64, 4, map);
    const int64_t stats = add_norm(&block, in[0], main_names, &attr, in + 1);
    if (shortcut_norm) add_norm(&block, in[6], side_names, &attr, in + 7);
    const sky_value squeeze_in[5] = {sky_graph_out(graph, stats, 0), in[1], in[2], in[3], in[4]};
    const sky_value squeeze = sky_graph_out(graph, forward(&block, SKY_OP_BN_SQUEEZE, &attr, squeeze_in, 5), 0);
    const sky_value w1 = declare(&block, "w1", false, 2, REDUCED, CHANNELS), b1 = declare(&block, "b1", false, 1, REDUCED, 0);
    const sky_value w2 = declare(&block, "w2", false, 2, CHANNELS, REDUCED), b2 = declare(&block, "b2", false, 1, CHANNELS, 0);
    in[5] = sky_graph_out(graph, forward(&block, SKY_OP_SE_GATE, NULL, (const sky_value[]){squeeze, w1, b1, w2, b2}, 5), 1);
    const sky_value out = sky_graph_out(graph, forward(&block, SKY_OP_BLOCK_TAIL, &attr, in, 11), 0);
    const struct sky_seed seeds[2] = {{out, dout}, {out, dout2}};
    const sky_value wanted[2] = {in[0], in[6]};
    sky_value gradients[2] = {SKY_NONE, SKY_NONE};
    CHECK_OK(sky_graph_backward(graph, seeds, 2, wanted, 2, gradients));
    const sky_value keep[4] = {out, in[5], gradients[0], gradients[1]};
    for (int i = 0; i < 4; i++) sky_graph_keep(graph, keep[i]);
    if (CHECK_OK(sky_graph_plan(graph, NULL)) && CHECK_OK(sky_executor_create(&block.executor, &sky_backend_ref, &options, graph, NULL))) {
        static const char *const inputs[12] = {"z", "shortcut", "dout", "dout2", "running_mean", "running_var", "gamma", "beta", "w1", "b1", "w2", "b2"};
        for (int i = 0; i < 12; i++) set(&block, inputs[i]);
        for (int i = 0; i < 4 && shortcut_norm; i++) set(&block, side_names[i]);
        CHECK_OK(sky_executor_run(&block.executor, SKY_PHASE_FORWARD, false));
        CHECK_OK(sky_executor_run(&block.executor, SKY_PHASE_BACKWARD, false));
        compare(&block, "out", out);
        compare(&block, "gate", in[5]);
        compare(&block, "dz", gradients[0]);
        compare(&block, "dshortcut", gradients[1]);
        for (int64_t p = 0; p < graph->parameter_count; p++) {
            const struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
            char golden[80];
            snprintf(golden, sizeof golden, "%s%s", graph->parameters[p].is_buffer ? "new_" : "d", tensor->name);
            compare(&block, golden, graph->parameters[p].is_buffer ? graph->parameters[p].value : tensor->gradient);
        }
    }
    sky_executor_destroy(&block.executor);
    sky_graph_free(graph);
}

int main(void)
{
    test_block("plain", false);
    test_block("strided", true);
    return check_done();
}
