/*
 * Mode grad: the gradient nodes that sky_graph_backward appends, run by the executor in f64 on the reference back end, against central differences of
 * L = sum of weight . output + loss weight * loss. A few elements of every input and parameter are moved one by one, and then all of them at once in a random direction.
 * Also checks that a second backward pass with `accumulate` doubles the gradients, and that the planner's shared memory changes no bit.
 */
#include "harness.h"

#include "backend/executor.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 12 }; /* moved one by one, of every tensor */
static const double STEP = 2e-5, TOLERANCE = 1e-6, SMALL = 1e-2; /* gradients are compared with the tensor's largest, but no smaller than SMALL */

/* One case while its gradient is being checked. */
struct check {
    const struct ops_options *options;
    struct ops_subject *subject;
    struct sky_executor executor;
    bool good;
};

static double *read_values(struct check *check, sky_value value)
{
    double *values = malloc(check->subject->graph.tensors[value].bytes);
    if (!values || sky_executor_read(&check->executor, value, values) != SKY_OK) abort();
    return values;
}

static void show(struct check *check, const char *where, const char *what)
{
    ops_fail(check->options, check->subject->from, where, "%s", what);
    check->good = false;
}

static void run_phase(struct check *check, enum sky_phase phase, bool accumulate)
{
    if (check->good && sky_executor_run(&check->executor, phase, accumulate) != SKY_OK) show(check, "run", sky_error_last()->what);
}

/* The function whose gradient is checked, as a sum in long double: its own rounding must not be what is measured. */
static double function_value(struct check *check)
{
    const struct ops_subject *subject = check->subject;
    long double sum = 0;
    run_phase(check, SKY_PHASE_FORWARD, false);
    for (int i = 0; i < subject->output_count; i++) {
        double *output = read_values(check, subject->output[i]), *weight = read_values(check, subject->weight[i]);
        for (int64_t k = 0; k < subject->graph.tensors[subject->output[i]].count; k++) sum += (long double)output[k] * weight[k];
        free(output);
        free(weight);
    }
    for (int i = 0; i < subject->loss_count; i++) {
        double *loss = read_values(check, subject->loss[i]);
        sum += subject->loss_weight[i] * loss[0];
        free(loss);
    }
    return (double)sum;
}

/* Slope of the function when value += t * direction. */
static double slope(struct check *check, sky_value value, const double *at, const double *direction, double step)
{
    const int64_t count = check->subject->graph.tensors[value].count;
    double *moved = malloc((size_t)count * sizeof *moved), side[2];
    if (!moved) abort();
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < count; i++) moved[i] = at[i] + (k ? -step : step) * direction[i];
        if (sky_executor_write(&check->executor, value, moved) != SKY_OK) abort();
        side[k] = function_value(check);
    }
    if (sky_executor_write(&check->executor, value, at) != SKY_OK) abort();
    free(moved);
    return (side[0] - side[1]) / (2 * step);
}

/* A switch of a ReLU or a maximum inside the step bends the function: then a smaller step must agree. */
static bool agrees(struct check *check, sky_value value, const double *at, const double *direction, double analytic, double scale, double *numeric)
{
    for (double step = STEP; step > STEP / 100; step /= 4) {
        *numeric = slope(check, value, at, direction, step);
        if (fabs(*numeric - analytic) <= TOLERANCE * (fabs(analytic) + scale) * (STEP / step > 4 ? 10 : 1)) return true;
    }
    return false;
}

static void check_value(struct check *check, int index, const double *gradient)
{
    const sky_value value = check->subject->wanted[index];
    const struct sky_tensor *tensor = &check->subject->graph.tensors[value];
    double *at = read_values(check, value), *direction = calloc((size_t)tensor->count, sizeof *direction), scale = SMALL, numeric = 0;
    char message[200];
    if (!direction) abort();
    struct sky_rng rng = sky_rng_make(check->options->seed, SKY_RNG_TEST, 77, (uint32_t)index);
    for (int64_t i = 0; i < tensor->count; i++) scale = fmax(scale, fabs(gradient[i]));
    for (int k = 0; k < ELEMENTS && k < tensor->count && check->good; k++) {
        const int64_t i = tensor->count <= ELEMENTS ? k : (int64_t)sky_rng_below(&rng, (uint32_t)tensor->count);
        direction[i] = 1;
        if (!agrees(check, value, at, direction, gradient[i], scale, &numeric)) {
            snprintf(message, sizeof message, "[%lld] is %.12g, central differences give %.12g (largest %.3g)", (long long)i, gradient[i], numeric, scale);
            show(check, tensor->name, message);
        }
        direction[i] = 0;
    }
    double along = 0, length = 0;
    for (int64_t i = 0; i < tensor->count; i++) direction[i] = sky_rng_normal(&rng), length += direction[i] * direction[i];
    for (int64_t i = 0; i < tensor->count; i++) direction[i] /= sqrt(length), along += direction[i] * gradient[i];
    if (check->good && !agrees(check, value, at, direction, along, scale, &numeric)) {
        snprintf(message, sizeof message, "along a random direction is %.12g, central differences give %.12g (largest element %.3g)", along, numeric, scale);
        show(check, tensor->name, message);
    }
    free(at);
    free(direction);
}

/* Gradients in GRADS after a second pass that adds: twice the first. */
static void check_accumulation(struct check *check, double *const *gradients)
{
    run_phase(check, SKY_PHASE_FORWARD, false);
    run_phase(check, SKY_PHASE_BACKWARD, true);
    for (int w = 0; w < check->subject->wanted_count && check->good; w++) {
        const struct sky_tensor *tensor = &check->subject->graph.tensors[check->subject->gradient[w]];
        double *values = read_values(check, check->subject->gradient[w]);
        const double factor = tensor->arena == SKY_ARENA_GRADS ? 2 : 1;
        for (int64_t i = 0; i < tensor->count && check->good; i++)
            if (!(fabs(values[i] - factor * gradients[w][i]) <= 1e-14 * fabs(values[i]))) show(check, tensor->name, "a pass that accumulates does not double the gradient");
        free(values);
    }
}

/* The same nodes with every tensor in memory of its own: a difference would be the planner's. */
static void check_plan(struct check *check, double *const *gradients)
{
    const struct ops_subject *subject = check->subject;
    struct ops_bench bench;
    if (ops_bench_open(&bench, &sky_backend_ref, 1, subject) != SKY_OK) abort();
    for (int i = 0; i < subject->source_count; i++) {
        void *data = calloc(1, subject->graph.tensors[subject->sources[i].value].bytes);
        if (!data) abort();
        ops_source_fill(subject, i, check->options->seed, data);
        if (ops_bench_write(&bench, subject->sources[i].value, data) != SKY_OK) abort();
        free(data);
    }
    for (int64_t n = 0; n < subject->graph.node_count && check->good; n++)
        if (ops_bench_run(&bench, n, false, false) != SKY_OK) show(check, subject->graph.nodes[n].name, sky_error_last()->what);
    for (int w = 0; w < subject->wanted_count && check->good; w++) {
        const struct sky_tensor *tensor = &subject->graph.tensors[subject->gradient[w]];
        double *values = malloc(tensor->bytes);
        if (!values || ops_bench_read(&bench, subject->gradient[w], values) != SKY_OK) abort();
        if (memcmp(values, gradients[w], tensor->bytes) != 0) show(check, tensor->name, "planned memory gives other bits than memory of its own");
        free(values);
    }
    ops_bench_close(&bench);
}

static void check_gradients(struct check *check)
{
    const struct ops_subject *subject = check->subject;
    double *gradients[OPS_MAX_SOURCES] = {0};
    for (int i = 0; i < subject->source_count; i++) {
        const sky_value value = subject->sources[i].value;
        void *data = calloc(1, subject->graph.tensors[value].bytes);
        if (!data) abort();
        ops_source_fill(subject, i, check->options->seed, data);
        if (sky_executor_write(&check->executor, value, data) != SKY_OK) abort();
        free(data);
    }
    run_phase(check, SKY_PHASE_FORWARD, false);
    run_phase(check, SKY_PHASE_BACKWARD, false);
    for (int w = 0; w < subject->wanted_count && check->good; w++) {
        if (subject->gradient[w] != SKY_NONE) gradients[w] = read_values(check, subject->gradient[w]);
        else show(check, subject->graph.tensors[subject->wanted[w]].name, "has no gradient");
    }
    if (check->good) check_plan(check, gradients);
    if (check->good) check_accumulation(check, gradients);
    for (int w = 0; w < subject->wanted_count && check->good; w++) check_value(check, w, gradients[w]);
    for (int w = 0; w < subject->wanted_count; w++) free(gradients[w]);
}

void ops_mode_grad(const struct ops_options *options)
{
    const struct sky_device_options device = {.threads = 1, .deterministic = true};
    for (int c = 0; c < ops_case_count; c++) {
        struct ops_subject subject;
        if (!ops_selected(options, &ops_cases[c], false) || !ops_build(&subject, &ops_cases[c], SKY_F64)) continue;
        if (subject.has_gradient && !subject.rough) {
            struct check check = {.options = options, .subject = &subject, .good = true};
            if (sky_graph_plan(&subject.graph, NULL) != SKY_OK || sky_executor_create(&check.executor, &sky_backend_ref, &device, &subject.graph, NULL) != SKY_OK)
                show(&check, "plan", sky_error_last()->what);
            else check_gradients(&check);
            if (check.good) ops_pass();
            sky_executor_destroy(&check.executor);
        }
        ops_subject_free(&subject);
    }
}
