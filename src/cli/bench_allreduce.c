/*
 * Times sums over the ranks that skygem launch, mpirun or srun have started, by size: host memory, or with --cuda each rank's device. Bandwidth is counted as
 * nccl-tests do: bytes over time, times 2 (n - 1) / n, which is what a link carries however many ranks there are. A run's time is the slowest rank's.
 */
#include "bench.h"

#include "backend/with_cuda.h"
#include "base/clock.h"
#include "base/memory.h"
#include "comm/device_comm.h"
#include "place.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_RUNS = 1000 };

struct bench {
    struct sky_comm *comm;
    struct sky_comm_place place;
    struct sky_device device;            /* with --cuda */
    struct sky_device_comm *device_comm; /* with --cuda */
    float *host;                         /* [most bytes] */
    float *memory;                       /* what is summed: the host's, or the device's */
    size_t bytes;
    int64_t runs;
};

static sky_status sum_once(struct bench *b, int64_t count)
{
    if (!b->device_comm) return sky_comm_reduce(b->comm, b->memory, count, SKY_F32, SKY_COMM_SUM, "a benchmark");
    SKY_TRY(sky_device_comm_start(b->device_comm, b->memory, count, SKY_F32, SKY_COMM_SUM, "a benchmark", NULL));
    SKY_TRY(sky_device_comm_wait(b->device_comm, NULL, NULL));
    return sky_device_comm_synchronize(b->device_comm, NULL, "a benchmark");
}

/* Fills with whole numbers, sums, and looks at the result: a wrong one has no speed. */
static sky_status check_sum(struct bench *b, int64_t count)
{
    const int size = b->place.size;
    const size_t bytes = (size_t)count * sizeof *b->host;
    for (int64_t i = 0; i < count; i++) b->host[i] = (float)(i % 1000 + b->place.rank);
    if (b->device_comm) SKY_TRY(b->device.backend->copy_in(&b->device, b->memory, b->host, bytes));
    if (b->device_comm) SKY_TRY(b->device.backend->synchronize(&b->device));
    SKY_TRY(sum_once(b, count));
    if (b->device_comm) SKY_TRY(b->device.backend->copy_out(&b->device, b->host, b->memory, bytes));
    for (int64_t i = 0; i < count; i++)
        if (!(b->host[i] == (float)(i % 1000 * size + size * (size - 1) / 2))) return sky_fail(SKY_INTERNAL, "bench allreduce", "element %lld is wrong", (long long)i);
    return SKY_OK;
}

static sky_status time_size(struct bench *b, int64_t count, struct sky_bench_list *list)
{
    static const char *const kinds[] = {"alone", "local", "mpi"};
    double seconds[MAX_RUNS];
    char what[96], size_text[32];
    const size_t bytes = (size_t)count * sizeof *b->host;
    SKY_TRY(sky_comm_agree(b->comm, check_sum(b, count), "checking a sum"));
    for (int64_t run = -2; run < b->runs; run++) {
        SKY_TRY(sky_comm_barrier(b->comm, "before a run"));
        const double begin = sky_now();
        SKY_TRY(sum_once(b, count));
        if (run >= 0) seconds[run] = sky_now() - begin;
    }
    SKY_TRY(sky_comm_reduce(b->comm, seconds, b->runs, SKY_F64, SKY_COMM_MAX, "the slowest rank's times"));
    sky_print_bytes(bytes, size_text);
    snprintf(what, sizeof what, "%s, %d rank%s, f32, %s", b->device_comm ? "nccl" : kinds[b->place.kind], b->place.size, b->place.size > 1 ? "s" : "", size_text);
    struct sky_bench_row *row = sky_bench_add(list, "allreduce", what);
    if (!row) return SKY_NOMEM;
    sky_bench_samples(row, seconds, (int)b->runs);
    snprintf(row->unit, sizeof row->unit, "GB");
    row->rate = 1e-6 * (double)bytes / row->median_ms * 2 * (b->place.size - 1) / b->place.size;
    return SKY_OK;
}

static sky_status open_device(struct bench *b)
{
    const int index = b->place.local_rank;
    void *memory = NULL;
    SKY_TRY(sky_cuda_find(index));
    b->device = (struct sky_device){.backend = sky_cuda_backend(), .options = {.index = index, .threads = 1, .deterministic = true}};
    SKY_TRY(b->device.backend->open(&b->device));
    SKY_TRY(b->device.backend->arena_alloc(&b->device, b->bytes, "benchmark data", &memory));
    b->memory = memory;
    return SKY_OK;
}

static sky_status measure(struct bench *b, const struct sky_args *args, int64_t least, struct sky_bench_list *list)
{
    SKY_TRY(sky_alloc(&b->host, b->bytes / sizeof *b->host, sizeof *b->host, "benchmark data"));
    b->memory = b->host;
    if (sky_args_given(args, "cuda")) {
        SKY_TRY(sky_comm_agree(b->comm, open_device(b), "opening the devices"));
        SKY_TRY(sky_device_comm_open(&b->device_comm, b->comm, b->place.local_rank));
    }
    sky_comm_at(b->comm, "bench allreduce", -1);
    for (int64_t bytes = least; bytes <= (int64_t)b->bytes; bytes *= 4) SKY_TRY(time_size(b, bytes / (int64_t)sizeof *b->host, list));
    return SKY_OK;
}

static void close_device(struct bench *b, sky_status status)
{
    if (status == SKY_OK) sky_device_comm_close(b->device_comm);
    else sky_device_comm_abort(b->device_comm);
    if (!b->device.state) return;
    if (b->memory && b->memory != b->host) b->device.backend->arena_free(&b->device, b->memory, b->bytes);
    b->device.backend->close(&b->device);
}

sky_status sky_bench_allreduce(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct bench b = {.comm = NULL};
    int64_t least = 4096, most = 64 << 20, timeout = 300;
    SKY_TRY(sky_args_int(args, "min-bytes", 4, (int64_t)1 << 40, &least));
    SKY_TRY(sky_args_int(args, "max-bytes", 4, (int64_t)1 << 40, &most));
    SKY_TRY(sky_args_int(args, "runs", 1, MAX_RUNS, &b.runs));
    SKY_TRY(sky_args_int(args, "timeout", 1, 1000000, &timeout));
    if (most < least) return sky_fail(SKY_USAGE, "bench allreduce", "--max-bytes %lld is less than --min-bytes %lld", (long long)most, (long long)least);
    b.bytes = (size_t)most / sizeof *b.host * sizeof *b.host;
    SKY_TRY(sky_place_find(&b.place, (double)timeout));
    sky_status status = sky_comm_open(&b.comm, &b.place);
    if (status == SKY_OK) status = measure(&b, args, least, list);
    const struct sky_error error = *sky_error_last();
    close_device(&b, status);
    free(b.host);
    list->silent = b.place.rank > 0;
    if (status != SKY_OK) sky_error_set(&error);
    sky_text_append(notes, "GB/s: bus bandwidth, bytes over time times 2 (n - 1) / n, as nccl-tests count it\n");
    return sky_place_end(b.comm, status);
}
