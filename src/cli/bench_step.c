/*
 * Times whole steps and their operations on random images: no loader, no files. By several ranks a step sums gradients as training does, and its time is the
 * slowest rank's. The floor is, node by node, the larger of its multiply-adds and its bytes at the machine's measured ceilings.
 */
#include "bench.h"

#include "backend/executor.h"
#include "backend/select.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "run_ranks.h"
#include "summary.h"
#include "train/bind.h"
#include "train/parameters.h"
#include "train/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 701, WARM_UP = 3 }; /* the third run records, where the back end can */

struct subject {
    struct sky_config config;
    struct sky_model model;
    struct sky_executor executor;
    struct sky_comm *comm; /* NULL: alone */
    struct sky_ranks ranks;
    double alone_ms;    /* a step of rank 0 while the others wait; 0: not measured */
    double exchange_ms; /* of a step: waiting for the others' gradients */
    struct sky_ceilings ceilings;
    char where[48]; /* "2 threads winograd", "cuda bf16" */
    bool infer;
    int runs;
    double *seconds;
};

static sky_status close_subject(struct subject *s, sky_status status)
{
    const struct sky_error error = *sky_error_last();
    if (status != SKY_OK) sky_ranks_abort(&s->ranks);
    sky_executor_destroy(&s->executor);
    sky_ranks_detach(&s->ranks);
    sky_model_free(&s->model);
    sky_config_free(&s->config);
    free(s->seconds);
    if (status != SKY_OK) sky_error_set(&error);
    return sky_run_ranks_end(s->comm, status);
}

static sky_status fill_inputs(struct subject *s)
{
    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, 0, 0);
    const struct sky_scalars scalars = {.seed = 1, .lr = {1e-5f, 1e-4f, 1e-4f}, .gradient_scale = 1, .loss_scale = 1};
    int64_t image_bytes = 0; /* of the trunk with most */
    uint8_t *images = NULL;
    int32_t *labels = NULL;
    sky_status status = SKY_OK;
    for (int t = 0; t < s->model.trunks; t++)
        if (s->model.graph.tensors[s->model.images[t]].count > image_bytes) image_bytes = s->model.graph.tensors[s->model.images[t]].count;
    SKY_TRY_DONE(sky_executor_write(&s->executor, s->model.graph.scalars, &scalars));
    SKY_TRY_DONE(sky_alloc(&images, (size_t)image_bytes, 1, "benchmark images"));
    SKY_TRY_DONE(sky_alloc(&labels, (size_t)s->model.rows, sizeof *labels, "benchmark labels"));
    for (int t = 0; t < s->model.trunks; t++) {
        for (int64_t i = 0; i < image_bytes; i++) images[i] = (uint8_t)sky_rng_u32(&rng);
        SKY_TRY_DONE(sky_executor_write(&s->executor, s->model.images[t], images));
    }
    if (s->infer) goto done;
    for (int64_t i = 0; i < s->model.rows; i++) labels[i] = (int32_t)(i % s->model.places);
    SKY_TRY_DONE(sky_executor_write(&s->executor, s->model.labels, labels));
done:
    free(images);
    free(labels);
    return status;
}

static void name_place(struct subject *s, const struct sky_backend *backend, const struct sky_device_options *options)
{
    static const char *const precisions[] = {"fp32", "tf32", "bf16", "fp16"};
    const int precision = s->infer ? s->config.eval.precision : s->config.train.precision;
    char ranks[16] = "";
    if (sky_comm_size(s->comm) > 1) snprintf(ranks, sizeof ranks, "%d ranks ", sky_comm_size(s->comm));
    if (backend->mark) snprintf(s->where, sizeof s->where, "%s%s %s%s", ranks, backend->name, precisions[precision], options->capture ? "" : " eager");
    else snprintf(s->where, sizeof s->where, "%s%d threads%s%s", ranks, options->threads, options->winograd ? " winograd" : "", options->int8 ? " int8" : "");
}

static sky_status open_subject(struct subject *s, const struct sky_args *args)
{
    const struct sky_backend *backend = NULL;
    struct sky_device_options options;
    const char **overrides = NULL;
    int override_count = 0;
    int64_t runs = 5;
    sky_status status = SKY_OK;
    SKY_TRY(sky_args_int(args, "runs", 1, 1000, &runs));
    s->runs = (int)runs, s->infer = sky_args_given(args, "infer");
    SKY_TRY(sky_args_list(args, "set", &overrides, &override_count));
    status = sky_config_read(&s->config, args->operand_count ? args->operands[0] : NULL, overrides, override_count);
    free(overrides);
    SKY_TRY(status);
    SKY_TRY(sky_run_ranks_open(&s->comm, &s->config, args));
    const struct sky_config here = sky_ranks_config(&s->config, s->comm);
    SKY_TRY(sky_backend_choose(&here, s->infer ? s->config.eval.precision : s->config.train.precision, &backend, &options));
    options.constant_parameters = s->infer;
    SKY_TRY(sky_alloc(&s->seconds, (size_t)s->runs, sizeof *s->seconds, "benchmark samples"));
    if (s->infer) {
        SKY_TRY(sky_model_build(&s->model, &s->config, SKY_MODEL_INFER, s->config.eval.batch_size, CLASSES, s->config.data.views.list[0], SKY_F32, NULL));
        SKY_TRY(sky_executor_create(&s->executor, backend, &options, &s->model.graph, NULL));
    } else {
        SKY_TRY(sky_train_bind(&s->model, &s->executor, &s->config, backend, &options, CLASSES));
    }
    if (sky_summary_warn_winograd(&s->executor)) options.winograd = false; /* in the row's name */
    name_place(s, backend, &options);
    SKY_TRY(sky_parameters_initialise(&s->model, &s->executor, 1));
    if (s->infer) SKY_TRY(sky_executor_run(&s->executor, SKY_PHASE_ONCE, false));
    return fill_inputs(s);
}

static sky_status run_once(struct subject *s)
{
    SKY_TRY(sky_executor_run_through(&s->executor, SKY_PHASE_FORWARD, s->infer ? SKY_PHASE_FORWARD : SKY_PHASE_UPDATE, false));
    return s->executor.exchange ? sky_ranks_synchronize(&s->ranks) : s->executor.device.backend->synchronize(&s->executor.device);
}

/* By all ranks from the same moment on; the slowest one's time counts. */
static sky_status time_runs(struct subject *s, int runs, double *seconds)
{
    for (int i = 0; i < runs; i++) {
        SKY_TRY(sky_comm_barrier(s->comm, "before a step"));
        const double start = sky_now();
        SKY_TRY(run_once(s));
        seconds[i] = sky_now() - start;
        s->exchange_ms += 1e3 * sky_ranks_exposed_now(&s->ranks) / runs;
    }
    return sky_comm_reduce(s->comm, seconds, runs, SKY_F64, SKY_COMM_MAX, "the slowest rank's times");
}

/* What one rank needs when it has the machine to itself and nothing to exchange: what several are measured by. Recordings would hold no exchange, so only where there are none. */
static sky_status time_alone(struct subject *s)
{
    const struct sky_exchange *exchange = s->executor.exchange;
    sky_status status = SKY_OK;
    if (!exchange || s->executor.device.backend->mark) return SKY_OK;
    s->executor.exchange = NULL;
    for (int i = -WARM_UP; i < s->runs && s->ranks.rank == 0 && status == SKY_OK; i++) {
        const double start = sky_now();
        status = run_once(s);
        if (i >= 0) s->seconds[i] = sky_now() - start;
    }
    s->executor.exchange = exchange;
    SKY_TRY(sky_comm_settle(s->comm, status, "a rank alone"));
    struct sky_bench_row row = {.runs = 0};
    sky_bench_samples(&row, s->seconds, s->runs);
    s->alone_ms = row.median_ms;
    return SKY_OK;
}

static double node_floor(const struct subject *s, const struct sky_node *node)
{
    const struct sky_cost cost = sky_node_cost(&s->model.graph, node);
    const double arithmetic = cost.multiply_adds / s->ceilings.multiply_adds_per_second, memory = cost.bytes / s->ceilings.bytes_per_second;
    return arithmetic > memory ? arithmetic : memory;
}

static bool is_timed(const struct sky_node *node)
{
    return node->phase != SKY_PHASE_ONCE;
}

static bool is_convolution(const struct sky_node *node)
{
    return node->op == SKY_OP_CONV || node->op == SKY_OP_CONV_DGRAD || node->op == SKY_OP_CONV_WGRAD;
}

static sky_status time_steps(struct subject *s)
{
    struct sky_device *device = &s->executor.device;
    SKY_TRY(device->backend->ceilings(device, s->model.graph.map_dtype, &s->ceilings));
    if (!s->infer) SKY_TRY(sky_ranks_attach(&s->ranks, s->comm, &s->config, &s->executor));
    SKY_TRY(time_alone(s));
    for (int i = 0; i < WARM_UP; i++) SKY_TRY(run_once(s));
    if (!device->backend->mark) SKY_TRY(sky_executor_time_nodes(&s->executor, true));
    sky_ranks_exposed_now(&s->ranks); /* from here on */
    SKY_TRY(time_runs(s, s->runs, s->seconds));
    if (!device->backend->mark) return SKY_OK;
    SKY_TRY(sky_executor_time_nodes(&s->executor, true)); /* node by node the step is slower: operations are timed in runs of their own */
    for (int i = 0; i < s->runs; i++) SKY_TRY(run_once(s));
    return SKY_OK;
}

/* The graph's memory and what is really taken: of the machine's by this program, or of the device's by all, since nothing is allocated or freed between steps. */
static sky_status note_memory(struct subject *s, struct sky_bench_row *row, struct sky_text *notes)
{
    struct sky_device *device = &s->executor.device;
    const bool own = device->backend->memory_used != NULL;
    size_t used = sky_memory_peak_bytes();
    if (own) SKY_TRY(device->backend->memory_used(device, &used));
    row->planned_bytes = (double)sky_summary_planned_bytes(&s->executor), row->peak_bytes = (double)used;
    sky_text_format(notes, "convolutions %.1f ms, everything else %.1f ms (%.1f %%); planned %.3f GiB, %s %.3f GiB\n", row->conv_ms, row->other_ms,
                    100 * row->other_ms / (row->conv_ms + row->other_ms), row->planned_bytes / 0x1p30, own ? "in use on the device" : "peak resident", row->peak_bytes / 0x1p30);
    return SKY_OK;
}

sky_status sky_bench_step(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct subject s = {.infer = false};
    char what[96];
    sky_status status = SKY_OK;
    SKY_TRY_DONE(open_subject(&s, args));
    SKY_TRY_DONE(time_steps(&s));
    list->silent = sky_comm_rank(s.comm) > 0;
    snprintf(what, sizeof what, "%s %s %lldpx %lld images %s", s.infer ? "embed" : "train", s.config.model.backbone, (long long)s.config.data.image_size,
             (long long)s.model.rows, s.where);
    struct sky_bench_row *row = sky_bench_add(list, "step", what);
    if (!row) {
        status = sky_error_last()->status;
        goto done;
    }
    sky_bench_samples(row, s.seconds, s.runs);
    row->conv_ms = row->other_ms = row->floor_ms = 0;
    for (int64_t n = 0; n < s.model.graph.node_count; n++) {
        const struct sky_node *node = &s.model.graph.nodes[n];
        const double ms = 1e3 * s.executor.seconds[n] / s.runs;
        if (!is_timed(node)) continue;
        row->floor_ms += 1e3 * node_floor(&s, node);
        if (is_convolution(node)) row->conv_ms += ms;
        else row->other_ms += ms;
    }
    row->rate = (double)(s.model.rows * sky_comm_size(s.comm)) / (row->median_ms / 1e3);
    snprintf(row->unit, sizeof row->unit, "img");
    SKY_TRY_DONE(note_memory(&s, row, notes));
    if (s.executor.exchange) row->exchange_ms = s.exchange_ms;
    if (s.alone_ms > 0) {
        row->efficiency = s.alone_ms / row->median_ms;
        sky_text_format(notes,
                        "%d ranks: one of them alone takes %.1f ms for its share, so they are %.1f %% efficient; %.1f ms of a step are waiting for gradients\n",
                        s.ranks.size, s.alone_ms, 100 * row->efficiency, row->exchange_ms);
    }
    sky_text_format(notes, "ceilings measured now: %.0f GFLOP/s, %.1f GB/s\n", 2 * s.ceilings.multiply_adds_per_second / 1e9, s.ceilings.bytes_per_second / 1e9);
done:
    return close_subject(&s, status);
}

/* Rows by operation, and convolutions also by implementation, in the order of their first node. */
sky_status sky_bench_ops(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct subject s = {.infer = false};
    sky_status status = SKY_OK;
    SKY_TRY_DONE(open_subject(&s, args));
    SKY_TRY_DONE(time_steps(&s));
    list->silent = sky_comm_rank(s.comm) > 0;
    for (int64_t n = 0; n < s.model.graph.node_count; n++) {
        const struct sky_node *node = &s.model.graph.nodes[n];
        char what[96];
        if (!is_timed(node)) continue;
        snprintf(what, sizeof what, is_convolution(node) ? "%s %s" : "%s", sky_op_name(node->op), s.executor.kernels[n].implementation);
        struct sky_bench_row *row = NULL;
        for (int64_t i = 0; i < list->count; i++)
            if (strcmp(list->rows[i].what, what) == 0) row = &list->rows[i];
        if (!row) row = sky_bench_add(list, "ops", what);
        if (!row) {
            status = sky_error_last()->status;
            goto done;
        }
        const struct sky_cost cost = sky_node_cost(&s.model.graph, node);
        const bool arithmetic = is_convolution(node);
        row->median_ms += 1e3 * s.executor.seconds[n] / s.runs, row->floor_ms += 1e3 * node_floor(&s, node);
        row->min_ms = row->max_ms = row->median_ms, row->runs = s.runs;
        row->rate += arithmetic ? 2 * cost.multiply_adds / 1e9 : cost.bytes / 1e9;
        snprintf(row->unit, sizeof row->unit, arithmetic ? "GFLOP" : "GB");
    }
    for (int64_t i = 0; i < list->count; i++) list->rows[i].rate /= list->rows[i].median_ms / 1e3;
    sky_text_format(notes, "times are means over %d steps, summed over the nodes of a kind\n", s.runs);
done:
    return close_subject(&s, status);
}
