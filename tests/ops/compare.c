/*
 * Modes test, bitwise, perf and support: single nodes on single back ends. Every node gets the reference's inputs, so that one node's rounding is not another one's error.
 */
#include "harness.h"

#include "base/clock.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNWRITTEN_FLOAT = 0xFF, UNWRITTEN_INTEGER = 0x7E, MAX_DRAWS = 50 };

/* What one node's tensors hold: copies on the host. */
struct contents {
    void *in[SKY_MAX_IN], *out[SKY_MAX_OUT];
};

static void free_contents(struct contents *contents)
{
    for (int i = 0; i < SKY_MAX_IN; i++) free(contents->in[i]);
    for (int i = 0; i < SKY_MAX_OUT; i++) free(contents->out[i]);
    memset(contents, 0, sizeof *contents);
}

static void *copy_of(struct ops_bench *bench, sky_value value)
{
    if (value < 0) return NULL;
    void *copy = malloc(bench->subject->graph.tensors[value].bytes);
    if (!copy || ops_bench_read(bench, value, copy) != SKY_OK) abort();
    return copy;
}

/* alias: output 0 is where input 0 was. */
static struct contents read_contents(struct ops_bench *bench, int64_t n, bool alias)
{
    const struct sky_node *node = &bench->subject->graph.nodes[n];
    struct contents contents = {0};
    for (int i = 0; i < node->in_count; i++) contents.in[i] = copy_of(bench, node->in[i]);
    for (int i = 0; i < node->out_count; i++) contents.out[i] = copy_of(bench, alias && i == 0 ? node->in[0] : node->out[i]);
    return contents;
}

static void write_contents(struct ops_bench *bench, int64_t n, const struct contents *contents)
{
    const struct sky_node *node = &bench->subject->graph.nodes[n];
    for (int i = 0; i < node->in_count; i++)
        if (contents->in[i] && ops_bench_write(bench, node->in[i], contents->in[i]) != SKY_OK) abort();
    for (int i = 0; i < node->out_count; i++)
        if (contents->out[i] && ops_bench_write(bench, node->out[i], contents->out[i]) != SKY_OK) abort();
}

static bool accumulates(const struct ops_subject *subject, sky_value out)
{
    return subject->accumulate && subject->graph.tensors[out].arena == SKY_ARENA_GRADS;
}

/* The inputs as they are in `bench`; outputs hold what shows when they are not written, or an earlier gradient to add to. */
static struct contents before_run(struct ops_bench *bench, int64_t n, uint64_t seed)
{
    struct contents contents = read_contents(bench, n, false);
    const struct sky_node *node = &bench->subject->graph.nodes[n];
    for (int k = 0; k < node->out_count; k++) {
        if (node->out[k] < 0) continue;
        const struct sky_tensor *tensor = &bench->subject->graph.tensors[node->out[k]];
        memset(contents.out[k], ops_is_float(tensor->dtype) ? UNWRITTEN_FLOAT : UNWRITTEN_INTEGER, tensor->bytes);
        struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, (uint32_t)n, (uint32_t)k);
        for (int64_t i = 0; accumulates(bench->subject, node->out[k]) && i < tensor->count; i++) ((float *)contents.out[k])[i] = (float)sky_rng_normal(&rng);
    }
    return contents;
}

static bool is_unwritten(const struct sky_tensor *tensor, const void *data, int64_t i)
{
    const unsigned char byte = ops_is_float(tensor->dtype) ? UNWRITTEN_FLOAT : UNWRITTEN_INTEGER;
    const size_t size = sky_dtype_bytes(tensor->dtype);
    for (size_t b = 0; b < size; b++)
        if (((const unsigned char *)data)[(size_t)i * size + b] != byte) return false;
    return true;
}

/*
 * A low-precision result is rounded once: where double and float arithmetic differ, to the neighbour. A filter's gradient may be rounded to the maps' type, and
 * so may the maps that fused convolutions sum.
 */
static double rounding(const struct sky_graph *graph, const struct sky_tensor *tensor)
{
    const enum sky_op op = tensor->producer < 0 ? SKY_OP_COUNT : graph->nodes[tensor->producer].op;
    const bool as_maps = op == SKY_OP_CONV_WGRAD || op == SKY_OP_BN_CONV || op == SKY_OP_BN_CONV_WGRAD || op == SKY_OP_BN_CONV_DGRAD;
    const enum sky_dtype dtype = as_maps ? graph->map_dtype : tensor->dtype;
    return dtype == SKY_BF16 ? 0x1p-8 : dtype == SKY_F16 ? 0x1p-11 : 0;
}

/* Integers must be equal; NaN and Inf must be where the reference has them; the rest within tolerance * (|element| + the tensor's largest) + floor. */
static bool same_values(const struct ops_subject *subject, const struct sky_tensor *tensor, const void *want, const void *got, char message[300])
{
    double largest = 0, worst = 0;
    int64_t at = -1;
    for (int64_t i = 0; i < tensor->count; i++) {
        const double value = fabs(ops_element(tensor->dtype, want, i));
        if (isfinite(value) && value > largest) largest = value;
    }
    const bool is_float = ops_is_float(tensor->dtype);
    const double tolerance = fmax(subject->tolerance, fmax(rounding(&subject->graph, tensor), subject->tf32 ? 0x1p-9 : 0));
    for (int64_t i = 0; i < tensor->count; i++) {
        const double a = ops_element(tensor->dtype, want, i), b = ops_element(tensor->dtype, got, i);
        if (is_unwritten(tensor, got, i)) {
            snprintf(message, 300, "[%lld] was not written", (long long)i);
            return false;
        }
        if (isnan(a) && isnan(b)) continue;
        if (isfinite(a) != isfinite(b) || isnan(a) != isnan(b) || (isinf(a) && a != b)) {
            snprintf(message, 300, "[%lld] is %g, should be %g", (long long)i, b, a);
            return false;
        }
        if (isinf(a)) continue;
        const double error = fabs(a - b), allowed = is_float ? tolerance * (fabs(a) + largest) + subject->floor + DBL_MIN : 0, ratio = is_float ? error / allowed : error;
        if (!(error <= allowed) && !(ratio <= worst)) worst = ratio, at = i;
    }
    if (at < 0) return true;
    const double a = ops_element(tensor->dtype, want, at), b = ops_element(tensor->dtype, got, at);
    snprintf(message, 300, "[%lld] is %.9g, should be %.9g (off by %.3g, %.3g times what is allowed; largest %.3g)", (long long)at, b, a, fabs(a - b), worst, largest);
    return false;
}

/* BN_GRAD and BN_CONV_DGRAD recompute ReLU's mask: an element within rounding of the switch says nothing about a back end. */
static bool on_the_edge(const struct ops_subject *subject, int64_t n, const struct contents *contents)
{
    const struct sky_node *node = &subject->graph.nodes[n];
    const int first = node->op == SKY_OP_BN_CONV_DGRAD ? 2 : 1; /* z; then mean, invstd, gamma, beta */
    if (first == 1 && (node->op != SKY_OP_BN_GRAD || !node->attr.bn.relu)) return false;
    const struct sky_tensor *z = &subject->graph.tensors[node->in[first]];
    const int64_t channels = z->dim[3], group_count = z->count * channels / subject->graph.tensors[node->in[first + 1]].count;
    for (int64_t i = 0; i < z->count; i++) {
        const int64_t c = i % channels, g = i / group_count * channels + c;
        double value[6];
        for (int k = 1; k < 6; k++) value[k] = ops_element(k == 1 ? z->dtype : subject->graph.dtype, contents->in[first + k - 1], k == 1 ? i : k < 4 ? g : c);
        const double scaled = value[4] * (value[1] - value[2]) * value[3], noise = (fabs(value[4] * value[3]) * (fabs(value[1]) + fabs(value[2])) + fabs(value[5])) * 2e-6;
        if (fabs(scaled + value[5]) < noise) return true;
    }
    return false;
}

static void where_text(const struct ops_subject *subject, const struct sky_backend *backend, int64_t n, char out[200])
{
    snprintf(out, 200, "%s: node %s (%s)", backend->name, subject->graph.nodes[n].name, sky_op_name(subject->graph.nodes[n].op));
}

/* The reference's outcome of one node against another back end's. Shows the first difference. */
static bool judge(const struct ops_options *options, const struct ops_subject *subject, const struct sky_backend *backend, int64_t n, bool alias, const struct contents *before,
                  const struct contents *want, const struct contents *got)
{
    const struct sky_node *node = &subject->graph.nodes[n];
    char where[200], message[300];
    where_text(subject, backend, n, where);
    for (int k = 0; k < node->out_count; k++) {
        if (node->out[k] < 0 || same_values(subject, &subject->graph.tensors[node->out[k]], want->out[k], got->out[k], message)) continue;
        ops_fail(options, subject->from, where, "output %d %s", k, message);
        return false;
    }
    for (int i = alias ? 1 : 0; i < node->in_count; i++) {
        if (node->in[i] < 0) continue;
        const struct sky_tensor *tensor = &subject->graph.tensors[node->in[i]];
        const bool constant = memcmp(before->in[i], want->in[i], tensor->bytes) == 0;
        if (constant && memcmp(before->in[i], got->in[i], tensor->bytes) != 0) {
            ops_fail(options, subject->from, where, "input %d was changed", i);
            return false;
        }
        if (constant || same_values(subject, tensor, want->in[i], got->in[i], message)) continue;
        ops_fail(options, subject->from, where, "input %d, updated in place, %s", i, message);
        return false;
    }
    return true;
}

enum outcome { GOOD, BAD, REDRAW, LEFT_OUT };

static enum outcome compare_node(const struct ops_options *options, struct ops_bench *reference, struct ops_bench *other, int64_t n)
{
    const struct ops_subject *subject = reference->subject;
    const bool alias = ops_can_alias(subject, n), selected = ops_node_selected(options, subject, n) && !other->reasons[n];
    char where[200];
    where_text(subject, other->device.backend, n, where);
    struct contents before = before_run(reference, n, options->seed), want = {0}, got = {0};
    enum outcome outcome = GOOD;
    write_contents(reference, n, &before);
    if (ops_bench_run(reference, n, subject->accumulate, false) != SKY_OK) {
        ops_fail(options, subject->from, where, "the reference failed: %s", sky_error_last()->what);
        outcome = BAD;
    } else if (on_the_edge(subject, n, &before)) {
        outcome = REDRAW;
    } else if (selected) {
        want = read_contents(reference, n, false);
        write_contents(other, n, &before);
        if (ops_bench_run(other, n, subject->accumulate, alias) != SKY_OK) {
            ops_fail(options, subject->from, where, "failed: %s", sky_error_last()->what);
            outcome = BAD;
        } else {
            got = read_contents(other, n, alias);
            outcome = judge(options, subject, other->device.backend, n, alias, &before, &want, &got) ? GOOD : BAD;
            const char *overrun = ops_bench_overrun(other);
            if (overrun) ops_fail(options, subject->from, where, "wrote outside of %s", overrun), outcome = BAD;
        }
    }
    free_contents(&before);
    free_contents(&want);
    free_contents(&got);
    return outcome;
}

static void fill_sources(struct ops_bench *bench, uint64_t seed)
{
    for (int i = 0; i < bench->subject->source_count; i++) {
        const sky_value value = bench->subject->sources[i].value;
        void *data = calloc(1, bench->subject->graph.tensors[value].bytes);
        if (!data) abort();
        ops_source_fill(bench->subject, i, seed, data);
        if (ops_bench_write(bench, value, data) != SKY_OK) abort();
        free(data);
    }
}

static void test_case(const struct ops_options *options, const struct sky_backend *backend, const struct ops_subject *subject)
{
    struct ops_bench reference = {0}, other = {0};
    if (ops_bench_open(&reference, &sky_backend_ref, 1, subject) != SKY_OK || ops_bench_open(&other, backend, options->threads, subject) != SKY_OK) {
        ops_fail(options, subject->from, backend->name, "cannot be prepared: %s: %s", sky_error_last()->where, sky_error_last()->what);
        ops_bench_close(&reference);
        return;
    }
    enum outcome outcome = REDRAW;
    for (int draw = 0; draw < MAX_DRAWS && outcome == REDRAW; draw++) {
        fill_sources(&reference, options->seed + (uint64_t)draw * 1000003);
        outcome = GOOD;
        for (int64_t n = 0; n < subject->graph.node_count && outcome == GOOD; n++) outcome = compare_node(options, &reference, &other, n);
    }
    if (outcome == REDRAW) ops_fail(options, subject->from, backend->name, "%s", "every draw has an element on ReLU's switch");
    for (int64_t n = 0; n < subject->graph.node_count && outcome == GOOD; n++)
        if (other.reasons[n]) {
            char where[200];
            where_text(subject, backend, n, where);
            ops_skip(options, subject->from, where, other.reasons[n]);
            outcome = LEFT_OUT;
        }
    if (outcome == GOOD) ops_pass();
    ops_bench_close(&reference);
    ops_bench_close(&other);
}

/* Whether low-precision maps make it another case. */
static bool has_maps(const struct ops_subject *subject)
{
    for (int64_t i = 0; i < subject->graph.tensor_count; i++)
        if (subject->graph.tensors[i].dtype == subject->graph.map_dtype) return true;
    return false;
}

static void for_each(const struct ops_options *options, bool perf, void (*work)(const struct ops_options *, const struct sky_backend *, const struct ops_subject *))
{
    for (int b = 0; b < options->backend_count; b++)
        for (int c = 0; c < ops_case_count * options->map_count; c++) {
            struct ops_subject subject;
            const struct ops_case *from = &ops_cases[c % ops_case_count];
            const enum sky_dtype map = options->maps[c / ops_case_count];
            if (options->backend && strcmp(options->backend, options->backends[b]->name) != 0) continue;
            if (!ops_selected(options, from, perf) || !ops_build(&subject, from, map)) continue;
            subject.tf32 = options->tf32;
            if (map == SKY_F32 || has_maps(&subject)) work(options, options->backends[b], &subject);
            ops_subject_free(&subject);
        }
}

void ops_mode_test(const struct ops_options *options)
{
    for_each(options, false, test_case);
}

/* Runs node n of `bench` on these contents. */
static bool run_on(const struct ops_options *options, struct ops_bench *bench, int64_t n, const struct contents *before, struct contents *after)
{
    write_contents(bench, n, before);
    const bool good = ops_bench_run(bench, n, bench->subject->accumulate, false) == SKY_OK;
    if (!good) ops_fail(options, bench->subject->from, bench->device.backend->name, "failed: %s", sky_error_last()->what);
    *after = read_contents(bench, n, false);
    return good;
}

static bool same_bits(const struct ops_options *options, const struct ops_subject *subject, int64_t n, const struct contents *a, const struct contents *b, const char *what)
{
    const struct sky_node *node = &subject->graph.nodes[n];
    for (int i = 0; i < node->in_count + node->out_count; i++) {
        const bool is_in = i < node->in_count;
        const sky_value value = is_in ? node->in[i] : node->out[i - node->in_count];
        if (value < 0 || memcmp(is_in ? a->in[i] : a->out[i - node->in_count], is_in ? b->in[i] : b->out[i - node->in_count], subject->graph.tensors[value].bytes) == 0) continue;
        ops_fail(options, subject->from, sky_op_name(node->op), "other bits in tensor %s: %s", subject->graph.tensors[value].name, what);
        return false;
    }
    return true;
}

/* Everything but a library's filter gradient: libraries share out the sum over images among their threads. Equal runs still give equal bits. */
static bool is_free_of_threads(const struct sky_node *node)
{
    return node->op != SKY_OP_CONV_WGRAD;
}

static void bitwise_case(const struct ops_options *options, const struct sky_backend *backend, const struct ops_subject *subject)
{
    struct ops_bench many = {0}, one = {0};
    if (ops_bench_open(&many, backend, options->threads, subject) != SKY_OK || ops_bench_open(&one, backend, 1, subject) != SKY_OK) {
        ops_fail(options, subject->from, backend->name, "cannot be prepared: %s", sky_error_last()->what);
        ops_bench_close(&many);
        return;
    }
    fill_sources(&many, options->seed);
    bool good = true;
    for (int64_t n = 0; n < subject->graph.node_count && good; n++) {
        if (many.reasons[n]) {
            ops_skip(options, subject->from, sky_op_name(subject->graph.nodes[n].op), many.reasons[n]);
            good = false; /* what follows would have no inputs */
            break;
        }
        struct contents before = before_run(&many, n, options->seed), first = {0}, again = {0}, single = {0};
        good = run_on(options, &many, n, &before, &first) && run_on(options, &one, n, &before, &single) && run_on(options, &many, n, &before, &again);
        if (good && ops_node_selected(options, subject, n))
            good = same_bits(options, subject, n, &first, &again, "a second run") &&
                   (!is_free_of_threads(&subject->graph.nodes[n]) || same_bits(options, subject, n, &first, &single, "one thread"));
        free_contents(&before);
        free_contents(&first);
        free_contents(&again);
        free_contents(&single);
    }
    if (good) ops_pass();
    ops_bench_close(&many);
    ops_bench_close(&one);
}

void ops_mode_bitwise(const struct ops_options *options)
{
    for_each(options, false, bitwise_case);
}

static void perf_node(struct ops_bench *bench, int64_t n)
{
    const struct ops_subject *subject = bench->subject;
    const struct sky_cost cost = sky_node_cost(&subject->graph, &subject->graph.nodes[n]);
    const double start = sky_now();
    double best = INFINITY;
    for (int runs = 0; runs < 3 || (sky_now() - start < 0.5 && runs < 1000); runs++) {
        const double begin = sky_now();
        if (ops_bench_run(bench, n, false, false) != SKY_OK) return;
        best = fmin(best, sky_now() - begin);
    }
    printf("%-6s %-20s %9.3f ms %7.1f GB/s %8.1f GFLOP/s  %-24s %s\n", bench->device.backend->name, sky_op_name(subject->graph.nodes[n].op), best * 1e3, cost.bytes / best * 1e-9,
           2 * cost.multiply_adds / best * 1e-9, bench->kernels[n].implementation, subject->from->text);
}

static void perf_case(const struct ops_options *options, const struct sky_backend *backend, const struct ops_subject *subject)
{
    struct ops_bench bench;
    if (ops_bench_open(&bench, backend, options->threads, subject) != SKY_OK) {
        ops_fail(options, subject->from, backend->name, "cannot be prepared: %s", sky_error_last()->what);
        return;
    }
    fill_sources(&bench, options->seed);
    for (int64_t n = 0; n < subject->graph.node_count && !bench.reasons[n]; n++) {
        if (ops_bench_run(&bench, n, false, false) == SKY_OK && ops_node_selected(options, subject, n)) perf_node(&bench, n);
    }
    ops_bench_close(&bench);
}

void ops_mode_perf(const struct ops_options *options)
{
    for_each(options, true, perf_case);
}

static void support_of(const struct ops_options *options, const struct sky_backend *backend)
{
    int nodes[SKY_OP_COUNT] = {0}, runs[SKY_OP_COUNT] = {0};
    const char *reason[SKY_OP_COUNT] = {0};
    for (int c = 0; c < ops_case_count; c++) {
        struct ops_subject subject;
        if (ops_cases[c].perf || !ops_build(&subject, &ops_cases[c], SKY_F32)) continue;
        for (int64_t n = 0; n < subject.graph.node_count; n++) {
            const enum sky_op op = subject.graph.nodes[n].op;
            const struct sky_operation *operation = &backend->operations[op];
            const char *why = !operation->run ? "not implemented" : operation->supports ? operation->supports(&subject.graph, &subject.graph.nodes[n]) : NULL;
            nodes[op]++;
            if (why) reason[op] = why;
            else runs[op]++;
        }
        ops_subject_free(&subject);
    }
    for (int op = 0; op < SKY_OP_COUNT; op++) {
        const struct ops_case row = {sky_op_name((enum sky_op)op), "", false};
        if (options->verbose || reason[op])
            printf("%-6s %-20s runs %d of %d nodes%s%s\n", backend->name, row.name, runs[op], nodes[op], reason[op] ? ": " : "", reason[op] ? reason[op] : "");
        if (nodes[op]) ops_pass();
        else ops_fail(NULL, &row, "support", "no case has this operation");
    }
}

void ops_mode_support(const struct ops_options *options)
{
    for (int b = 0; b < options->backend_count; b++)
        if (!options->backend || strcmp(options->backend, options->backends[b]->name) == 0) support_of(options, options->backends[b]);
}
