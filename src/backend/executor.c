/*
 * Binds a planned graph to a back end and runs it phase by phase. Owns the arenas it allocated (not those it borrowed), the kernels, one block of scratch and
 * what was reserved. Nothing is allocated in a run.
 */
#include "executor.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM_UP_RUNS = 2 }; /* before a recording: libraries load their code at the first use */

static sky_status unsupported(const struct sky_executor *executor, const struct sky_node *node, const char *reason)
{
    char where[400];
    snprintf(where, sizeof where, "%s (%s)", node->name, sky_op_name(node->op));
    return sky_fail(SKY_UNSUPPORTED, where, "the %s back end cannot run this node: %s", executor->device.backend->name, reason);
}

static sky_status prepare_kernels(struct sky_executor *executor)
{
    const struct sky_graph *graph = executor->graph;
    SKY_TRY(sky_alloc(&executor->kernels, (size_t)graph->node_count, sizeof *executor->kernels, "kernels"));
    for (int64_t n = 0; n < graph->node_count; n++) {
        struct sky_kernel *kernel = &executor->kernels[n];
        const struct sky_operation *operation = &executor->device.backend->operations[graph->nodes[n].op];
        kernel->graph = graph, kernel->node = &graph->nodes[n], kernel->device = &executor->device;
        if (!operation->run) return unsupported(executor, kernel->node, "the operation is not implemented there");
        const char *reason = operation->supports ? operation->supports(graph, kernel->node) : NULL;
        if (reason) return unsupported(executor, kernel->node, reason);
        snprintf(kernel->implementation, sizeof kernel->implementation, "%s", executor->device.backend->name);
        if (operation->prepare) SKY_TRY(operation->prepare(kernel));
        if (kernel->work_bytes > executor->work_bytes) executor->work_bytes = kernel->work_bytes;
    }
    return SKY_OK;
}

static sky_status allocate_arenas(struct sky_executor *executor, const struct sky_executor *share)
{
    const struct sky_backend *backend = executor->device.backend;
    for (int a = 0; a < SKY_ARENA_COUNT; a++) {
        const size_t bytes = executor->graph->arena_bytes[a];
        if (!bytes) continue;
        if (share && (a == SKY_ARENA_PARAMS || a == SKY_ARENA_BUFFERS)) {
            if (share->graph->arena_bytes[a] != bytes || !share->arena[a])
                return sky_fail(SKY_INTERNAL, sky_arena_name((enum sky_arena)a), "the two graphs that share this arena have different layouts");
            executor->arena[a] = share->arena[a];
            executor->borrowed[a] = true;
            continue;
        }
        SKY_TRY(backend->arena_alloc(&executor->device, bytes, sky_arena_name((enum sky_arena)a), &executor->arena[a]));
    }
    if (!executor->work_bytes) return SKY_OK;
    return backend->arena_alloc(&executor->device, executor->work_bytes, "scratch", &executor->work);
}

sky_status sky_executor_create(struct sky_executor *executor, const struct sky_backend *backend, const struct sky_device_options *options, struct sky_graph *graph,
                               const struct sky_executor *share)
{
    memset(executor, 0, sizeof *executor);
    executor->graph = graph;
    executor->device.options = *options;
    SKY_TRY(sky_graph_check(graph));
    executor->device.backend = backend;
    sky_status status = backend->open(&executor->device);
    if (status != SKY_OK) {
        executor->device.backend = NULL;
        return status;
    }
    SKY_TRY_DONE(prepare_kernels(executor));
    SKY_TRY_DONE(allocate_arenas(executor, share));
done:
    if (status != SKY_OK) sky_executor_destroy(executor);
    return status;
}

void sky_executor_destroy(struct sky_executor *executor)
{
    const struct sky_backend *backend = executor->device.backend;
    if (backend) {
        for (int64_t n = 0; executor->kernels && n < executor->graph->node_count; n++) {
            struct sky_kernel *kernel = &executor->kernels[n];
            if (!kernel->node) continue;
            const struct sky_operation *operation = &backend->operations[kernel->node->op];
            if (operation->destroy) operation->destroy(kernel);
        }
        for (int a = 0; a < SKY_ARENA_COUNT; a++)
            if (executor->arena[a] && !executor->borrowed[a]) backend->arena_free(&executor->device, executor->arena[a], executor->graph->arena_bytes[a]);
        for (int first = 0; first < SKY_PHASE_COUNT; first++)
            for (int last = first; last < SKY_PHASE_COUNT; last++)
                for (int kind = 0; kind < 4; kind++) {
                    void *recording = executor->recordings[first][last][kind / 2][kind % 2].recording;
                    if (recording) backend->recording_free(&executor->device, recording);
                }
        for (int i = 0; i < executor->block_count; i++) backend->arena_free(&executor->device, executor->blocks[i].memory, executor->blocks[i].bytes);
        if (executor->work) backend->arena_free(&executor->device, executor->work, executor->work_bytes);
        backend->close(&executor->device);
    }
    free(executor->kernels);
    free(executor->seconds);
    memset(executor, 0, sizeof *executor);
}

sky_status sky_executor_reserve(struct sky_executor *executor, size_t bytes, const char *what, void **out)
{
    const int i = executor->block_count;
    if (i == SKY_EXECUTOR_BLOCKS) return sky_fail(SKY_INTERNAL, what, "%d blocks of memory are reserved already", i);
    SKY_TRY(executor->device.backend->arena_alloc(&executor->device, bytes, what, &executor->blocks[i].memory));
    executor->blocks[i].bytes = bytes;
    executor->block_count++;
    *out = executor->blocks[i].memory;
    return SKY_OK;
}

void *sky_executor_pointer(const struct sky_executor *executor, sky_value value)
{
    if (value < 0) return NULL;
    const struct sky_tensor *tensor = &executor->graph->tensors[value];
    return (char *)executor->arena[tensor->arena] + tensor->offset;
}

sky_status sky_executor_run_node(struct sky_executor *executor, int64_t index, bool accumulate)
{
    const struct sky_node *node = &executor->graph->nodes[index];
    struct sky_run run = {.work = executor->work, .accumulate = accumulate};
    for (int i = 0; i < node->in_count; i++) run.in[i] = sky_executor_pointer(executor, node->in[i]);
    for (int i = 0; i < node->out_count; i++) run.out[i] = sky_executor_pointer(executor, node->out[i]);
    const struct sky_operation *operation = &executor->device.backend->operations[node->op];
    const struct sky_exchange *exchange = executor->exchange;
    const int64_t shared = exchange && exchange->mine ? sky_node_shared_count(executor->graph, node) : 0;
    if (shared) {
        run.mine = exchange->mine;
        SKY_TRY(operation->share(&executor->kernels[index], &run));
        SKY_TRY(exchange->gather(exchange->context, shared));
        run.mine = NULL, run.all = exchange->all, run.rank = exchange->rank, run.ranks = exchange->ranks;
    }
    return operation->run(&executor->kernels[index], &run);
}

/* A back end that runs behind the host's back marks its own times, read when a run of phases is over. */
static sky_status run_timed(struct sky_executor *executor, int64_t index, bool accumulate)
{
    struct sky_device *device = &executor->device;
    const double start = sky_now();
    if (device->backend->mark) SKY_TRY(device->backend->mark(device, 2 * index));
    SKY_TRY(sky_executor_run_node(executor, index, accumulate));
    if (device->backend->mark) return device->backend->mark(device, 2 * index + 1);
    executor->seconds[index] += sky_now() - start;
    return SKY_OK;
}

static sky_status read_marks(struct sky_executor *executor, enum sky_phase first, enum sky_phase last)
{
    struct sky_device *device = &executor->device;
    for (int64_t n = 0; n < executor->graph->node_count; n++) {
        double seconds = 0;
        if (executor->graph->nodes[n].phase < first || executor->graph->nodes[n].phase > last) continue;
        SKY_TRY(device->backend->marked_seconds(device, 2 * n, 2 * n + 1, &seconds));
        executor->seconds[n] += seconds;
    }
    return SKY_OK;
}

/* Hands on the buckets that are final once this node has run. */
static sky_status start_buckets(struct sky_executor *executor, int64_t node, int64_t *next)
{
    const struct sky_exchange *exchange = executor->exchange;
    for (; *next < exchange->bucket_count && exchange->buckets[*next].after == node; ++*next) SKY_TRY(exchange->start(exchange->context, &exchange->buckets[*next]));
    return SKY_OK;
}

static sky_status run_phase(struct sky_executor *executor, enum sky_phase phase, bool accumulate)
{
    const bool starts = executor->exchange && phase == SKY_PHASE_BACKWARD && !executor->hold;
    int64_t next = 0; /* bucket */
    if (executor->exchange && phase == SKY_PHASE_UPDATE) SKY_TRY(executor->exchange->finish(executor->exchange->context));
    for (int64_t n = 0; n < executor->graph->node_count; n++) {
        if (executor->graph->nodes[n].phase != phase) continue;
        SKY_TRY(executor->seconds ? run_timed(executor, n, accumulate) : sky_executor_run_node(executor, n, accumulate));
        if (starts) SKY_TRY(start_buckets(executor, n, &next));
    }
    return SKY_OK;
}

static sky_status run_nodes(struct sky_executor *executor, enum sky_phase first, enum sky_phase last, bool accumulate)
{
    for (int phase = (int)first; phase <= (int)last; phase++) SKY_TRY(run_phase(executor, (enum sky_phase)phase, accumulate));
    return executor->seconds && executor->device.backend->mark ? read_marks(executor, first, last) : SKY_OK;
}

static sky_status record(struct sky_executor *executor, enum sky_phase first, enum sky_phase last, bool accumulate, void **recording)
{
    const struct sky_backend *backend = executor->device.backend;
    SKY_TRY(backend->record_begin(&executor->device));
    const sky_status status = run_nodes(executor, first, last, accumulate);
    if (status == SKY_OK) return backend->record_end(&executor->device, recording);
    const struct sky_error kept = *sky_error_last();
    void *unwanted = NULL;
    if (backend->record_end(&executor->device, &unwanted) == SKY_OK) backend->recording_free(&executor->device, unwanted);
    return sky_error_set(&kept);
}

sky_status sky_executor_run_through(struct sky_executor *executor, enum sky_phase first, enum sky_phase last, bool accumulate)
{
    struct sky_recording *known = &executor->recordings[first][last][accumulate][executor->hold];
    const struct sky_device *device = &executor->device;
    if (first == SKY_PHASE_ONCE) executor->device.generation++;
    const bool may_record = device->options.capture && !device->options.wait && device->backend->replay && first != SKY_PHASE_ONCE && !executor->seconds;
    if (!may_record || known->runs < WARM_UP_RUNS) {
        known->runs++;
        return run_nodes(executor, first, last, accumulate);
    }
    if (!known->recording) SKY_TRY(record(executor, first, last, accumulate, &known->recording));
    return device->backend->replay(&executor->device, known->recording);
}

sky_status sky_executor_run(struct sky_executor *executor, enum sky_phase phase, bool accumulate)
{
    return sky_executor_run_through(executor, phase, phase, accumulate);
}

sky_status sky_executor_write(struct sky_executor *executor, sky_value value, const void *from)
{
    return executor->device.backend->copy_in(&executor->device, sky_executor_pointer(executor, value), from, executor->graph->tensors[value].bytes);
}

sky_status sky_executor_read(struct sky_executor *executor, sky_value value, void *to)
{
    return executor->device.backend->copy_out(&executor->device, to, sky_executor_pointer(executor, value), executor->graph->tensors[value].bytes);
}

sky_status sky_executor_time_nodes(struct sky_executor *executor, bool on)
{
    free(executor->seconds);
    executor->seconds = NULL;
    return on ? sky_alloc(&executor->seconds, (size_t)executor->graph->node_count, sizeof *executor->seconds, "node times") : SKY_OK;
}
