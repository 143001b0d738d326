/*
 * Guarded memory and single-node runs; see bench.h. Owns one block of device memory, its host image and the prepared kernels.
 */
#include "bench.h"

#include "base/memory.h"
#include "ops/rules.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD = 192, ALIGNMENT = 64 };

static size_t place(struct ops_bench *bench, size_t bytes)
{
    const size_t offset = bench->bytes;
    bench->bytes = (offset + bytes + GUARD + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return offset;
}

static sky_status prepare(struct ops_bench *bench, int64_t n)
{
    const struct sky_graph *graph = &bench->subject->graph;
    struct sky_kernel *kernel = &bench->kernels[n];
    const struct sky_operation *operation = &bench->device.backend->operations[graph->nodes[n].op];
    kernel->graph = graph, kernel->device = &bench->device;
    bench->reasons[n] = operation->run ? NULL : "not implemented";
    if (!bench->reasons[n] && operation->supports) bench->reasons[n] = operation->supports(graph, &graph->nodes[n]);
    if (bench->reasons[n]) return SKY_OK;
    kernel->node = &graph->nodes[n];
    if (operation->prepare) SKY_TRY(operation->prepare(kernel));
    if (kernel->work_bytes > bench->work_bytes) bench->work_bytes = kernel->work_bytes;
    return SKY_OK;
}

sky_status ops_bench_open(struct ops_bench *bench, const struct sky_backend *backend, int threads, const struct ops_subject *subject)
{
    const struct sky_graph *graph = &subject->graph;
    sky_status status = SKY_OK;
    memset(bench, 0, sizeof *bench);
    bench->subject = subject;
    bench->device.backend = backend;
    bench->device.options = (struct sky_device_options){
        .threads = threads, .winograd = subject->winograd, .deterministic = true, .constant_parameters = subject->constant, .tf32 = subject->tf32};
    SKY_TRY_DONE(backend->open(&bench->device));
    bench->opened = true;
    SKY_TRY_DONE(sky_alloc(&bench->kernels, (size_t)graph->node_count, sizeof *bench->kernels, "kernels"));
    SKY_TRY_DONE(sky_alloc(&bench->reasons, (size_t)graph->node_count, sizeof *bench->reasons, "reasons"));
    SKY_TRY_DONE(sky_alloc(&bench->offsets, (size_t)graph->tensor_count, sizeof *bench->offsets, "offsets"));
    for (int64_t n = 0; n < graph->node_count; n++) SKY_TRY_DONE(prepare(bench, n));
    bench->bytes = GUARD;
    for (int64_t i = 0; i < graph->tensor_count; i++) bench->offsets[i] = place(bench, graph->tensors[i].bytes);
    bench->work_offset = place(bench, bench->work_bytes);
    SKY_TRY_DONE(backend->arena_alloc(&bench->device, bench->bytes, "guarded tensors", &bench->memory));
    SKY_TRY_DONE(sky_alloc(&bench->image, bench->bytes, 1, "guards"));
    memset(bench->image, 0xFF, bench->bytes);
    SKY_TRY_DONE(backend->copy_in(&bench->device, bench->memory, bench->image, bench->bytes));
done:
    if (status != SKY_OK) ops_bench_close(bench);
    return status;
}

void ops_bench_close(struct ops_bench *bench)
{
    const struct sky_backend *backend = bench->device.backend;
    for (int64_t n = 0; bench->kernels && n < bench->subject->graph.node_count; n++) {
        if (!bench->kernels[n].node) continue;
        const struct sky_operation *operation = &backend->operations[bench->kernels[n].node->op];
        if (operation->destroy) operation->destroy(&bench->kernels[n]);
    }
    if (bench->memory) backend->arena_free(&bench->device, bench->memory, bench->bytes);
    if (bench->opened) backend->close(&bench->device);
    free(bench->kernels);
    free(bench->reasons);
    free(bench->offsets);
    free(bench->image);
    memset(bench, 0, sizeof *bench);
}

static void *pointer(const struct ops_bench *bench, sky_value value)
{
    return value < 0 ? NULL : (char *)bench->memory + bench->offsets[value];
}

sky_status ops_bench_write(struct ops_bench *bench, sky_value value, const void *from)
{
    return bench->device.backend->copy_in(&bench->device, pointer(bench, value), from, bench->subject->graph.tensors[value].bytes);
}

sky_status ops_bench_read(struct ops_bench *bench, sky_value value, void *to)
{
    return bench->device.backend->copy_out(&bench->device, to, pointer(bench, value), bench->subject->graph.tensors[value].bytes);
}

bool ops_can_alias(const struct ops_subject *subject, int64_t n)
{
    const struct sky_node *node = &subject->graph.nodes[n];
    if (!subject->alias || !sky_op_rules[node->op]->in_place || node->out[0] < 0) return false;
    for (int i = 1; i < node->in_count; i++)
        if (node->in[i] == node->in[0]) return false;
    return subject->graph.tensors[node->in[0]].bytes == subject->graph.tensors[node->out[0]].bytes;
}

sky_status ops_bench_run(struct ops_bench *bench, int64_t n, bool accumulate, bool alias)
{
    const struct sky_node *node = &bench->subject->graph.nodes[n];
    struct sky_run run = {.work = bench->work_bytes ? (char *)bench->memory + bench->work_offset : NULL, .accumulate = accumulate};
    for (int i = 0; i < node->in_count; i++) run.in[i] = pointer(bench, node->in[i]);
    for (int i = 0; i < node->out_count; i++) run.out[i] = pointer(bench, node->out[i]);
    if (alias) run.out[0] = run.in[0];
    bench->device.generation++; /* what was packed from constant parameters is stale */
    SKY_TRY(bench->device.backend->operations[node->op].run(&bench->kernels[n], &run));
    return bench->device.backend->synchronize(&bench->device);
}

static bool is_guard(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0xFF) return false;
    return true;
}

const char *ops_bench_overrun(struct ops_bench *bench)
{
    const struct sky_graph *graph = &bench->subject->graph;
    if (bench->device.backend->copy_out(&bench->device, bench->image, bench->memory, bench->bytes) != SKY_OK) return "nothing could be read back";
    if (!is_guard(bench->image, GUARD)) return "what lies before the first tensor";
    for (int64_t i = 0; i < graph->tensor_count; i++) {
        const size_t end = bench->offsets[i] + graph->tensors[i].bytes, next = i + 1 < graph->tensor_count ? bench->offsets[i + 1] : bench->work_offset;
        if (!is_guard(bench->image + end, next - end)) return graph->tensors[i].name;
    }
    const size_t end = bench->work_offset + bench->work_bytes;
    return is_guard(bench->image + end, bench->bytes - end) ? NULL : "scratch";
}
