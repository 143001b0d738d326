/*
 * The exchange behind the executor's hook, and the little that ranks must agree on. Buckets lie in GRADS and are summed there, or in a copy of half the size.
 * Every rank holds the same bits afterwards (comm.h, device_comm.h) and so decides alike about clipping and numbers that are not finite. Memory beside the plan
 * is reserved from the executor, which frees it.
 */
#include "ranks.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKET_BYTES = 1 << 20 };

struct sky_config sky_ranks_config(const struct sky_config *config, const struct sky_comm *comm)
{
    const struct sky_comm_place *place = sky_comm_place(comm);
    const int threads = place && place->threads ? place->threads : sky_thread_count_default();
    struct sky_config here = *config;
    if (place) here.device.index += place->local_rank;
    here.ranks = sky_comm_size(comm);
    if (!here.device.threads) here.device.threads = threads;
    if (!here.data.workers) here.data.workers = threads;
    return here;
}

static struct CUstream_st *stream_of(const struct sky_ranks *ranks)
{
    return ranks->executor->device.backend->stream(&ranks->executor->device);
}

/* On devices it is enqueued behind the bucket's last gradient, and recorded with the step. */
static sky_status start(void *context, const struct sky_bucket *bucket)
{
    struct sky_ranks *ranks = context;
    struct sky_device *device = &ranks->executor->device;
    float *gradients = (float *)ranks->executor->arena[SKY_ARENA_GRADS] + bucket->first;
    uint16_t *low = ranks->low ? ranks->low + bucket->first : NULL;
    void *data = low ? (void *)low : gradients;
    const enum sky_dtype dtype = low ? SKY_BF16 : SKY_F32;
    char what[40];
    snprintf(what, sizeof what, "gradients %d of %d", (int)(bucket - ranks->buckets) + 1, (int)ranks->bucket_count);
    if (low) SKY_TRY(device->backend->to_bf16(device, low, gradients, bucket->count));
    if (ranks->device_comm) return sky_device_comm_start(ranks->device_comm, data, bucket->count, dtype, SKY_COMM_MEAN, what, stream_of(ranks));
    return sky_comm_reduce_start(ranks->comm, data, bucket->count, dtype, SKY_COMM_MEAN, what);
}

static sky_status finish(void *context)
{
    struct sky_ranks *ranks = context;
    struct sky_device *device = &ranks->executor->device;
    const struct sky_bucket *last = &ranks->buckets[ranks->bucket_count - 1];
    SKY_TRY(ranks->device_comm ? sky_device_comm_wait(ranks->device_comm, stream_of(ranks), ranks->times) : sky_comm_reduce_wait(ranks->comm));
    return ranks->low ? device->backend->from_bf16(device, ranks->executor->arena[SKY_ARENA_GRADS], ranks->low, last->first + last->count) : SKY_OK;
}

static sky_status gather(void *context, int64_t count)
{
    static const char what[] = "values of all ranks";
    struct sky_ranks *ranks = context;
    const size_t bytes = (size_t)count * sizeof(double);
    if (ranks->device_comm) return sky_device_comm_gather(ranks->device_comm, ranks->exchange.mine, bytes, ranks->exchange.all, what, stream_of(ranks));
    return sky_comm_gather(ranks->comm, ranks->exchange.mine, bytes, ranks->exchange.all, what);
}

sky_status sky_ranks_synchronize(struct sky_ranks *ranks)
{
    struct sky_device *device = &ranks->executor->device;
    return ranks->device_comm ? sky_device_comm_synchronize(ranks->device_comm, stream_of(ranks), "gradients") : device->backend->synchronize(device);
}

void sky_ranks_abort(struct sky_ranks *ranks)
{
    sky_device_comm_abort(ranks->device_comm);
    ranks->device_comm = NULL;
}

sky_status sky_ranks_await_results(struct sky_ranks *ranks, int slot)
{
    struct sky_device *device = &ranks->executor->device;
    const struct sky_staging *staging = device->backend->staging;
    if (!ranks->device_comm || !staging) return sky_ranks_synchronize(ranks);
    return sky_device_comm_await(ranks->device_comm, staging->read_event(device, slot), "gradients");
}

sky_status sky_ranks_all(struct sky_ranks *ranks, bool mine, bool *all)
{
    int64_t count = mine;
    if (ranks->size > 1) SKY_TRY(sky_comm_reduce(ranks->comm, &count, 1, SKY_I64, SKY_COMM_SUM, "the next batch"));
    *all = count == ranks->size;
    return SKY_OK;
}

double sky_ranks_exposed_seconds(struct sky_ranks *ranks, const uint64_t times[2])
{
    return ranks->device_comm ? 1e-9 * (double)(times[1] - times[0]) : sky_comm_exposed_seconds(ranks->comm);
}

double sky_ranks_exposed_now(struct sky_ranks *ranks)
{
    struct sky_device *device = &ranks->executor->device;
    uint64_t times[2] = {0};
    if (ranks->device_comm && device->backend->copy_out(device, times, ranks->times, sizeof times) != SKY_OK) return 0;
    return sky_ranks_exposed_seconds(ranks, times);
}

/* Room for the largest node's numbers, when there are any. */
static sky_status attach_shared(struct sky_ranks *ranks)
{
    struct sky_executor *executor = ranks->executor;
    void *memory = NULL;
    int64_t most = 0;
    for (int64_t n = 0; n < executor->graph->node_count; n++) {
        const struct sky_node *node = &executor->graph->nodes[n];
        const int64_t count = sky_node_shared_count(executor->graph, node);
        if (count && !executor->device.backend->operations[node->op].share) {
            sky_fail(SKY_UNSUPPORTED, "ranks", "the %s back end does not exchange what %s (%s) takes from all ranks", executor->device.backend->name,
                     node->name, sky_op_name(node->op));
            return sky_hint("train on one rank, or (where it is batch norm's statistics) set [distributed] bn_sync = no");
        }
        if (count > most) most = count;
    }
    if (!most) return SKY_OK;
    SKY_TRY(sky_executor_reserve(executor, (size_t)(most * (1 + ranks->size)) * sizeof(double), "values of all ranks", &memory));
    ranks->exchange.mine = memory, ranks->exchange.all = ranks->exchange.mine + most;
    ranks->exchange.rank = ranks->rank, ranks->exchange.ranks = ranks->size, ranks->exchange.gather = gather;
    return SKY_OK;
}

sky_status sky_ranks_attach(struct sky_ranks *ranks, struct sky_comm *comm, const struct sky_config *config, struct sky_executor *executor)
{
    const size_t bytes = (size_t)(config->distributed.bucket_mib * 0x1p20);
    void *low = NULL;
    *ranks = (struct sky_ranks){.comm = comm, .rank = sky_comm_rank(comm), .size = sky_comm_size(comm), .executor = executor};
    if (ranks->size == 1 && !config->debug.exchange) return SKY_OK;
    SKY_TRY(sky_graph_buckets(executor->graph, bytes < FIRST_BUCKET_BYTES ? bytes : FIRST_BUCKET_BYTES, bytes, &ranks->buckets, &ranks->bucket_count));
    SKY_TRY(sky_comm_same(comm, &ranks->bucket_count, sizeof ranks->bucket_count, "the number of gradient buckets"));
    SKY_TRY(sky_comm_same(comm, ranks->buckets, (size_t)ranks->bucket_count * sizeof *ranks->buckets, "the gradient buckets"));
    ranks->exchange = (struct sky_exchange){.context = ranks, .buckets = ranks->buckets, .bucket_count = ranks->bucket_count, .start = start, .finish = finish};
    if (config->distributed.gradients == SKY_GRADIENTS_BF16)
        SKY_TRY(sky_executor_reserve(executor, (size_t)executor->graph->param_elements * sizeof *ranks->low, "gradients in bf16", &low));
    ranks->low = low;
    SKY_TRY(attach_shared(ranks));
    if (executor->device.backend->stream) {
        void *times = NULL;
        SKY_TRY(sky_executor_reserve(executor, 2 * sizeof *ranks->times, "the times of a wait", &times));
        ranks->times = times;
        SKY_TRY(sky_device_comm_open(&ranks->device_comm, comm, executor->device.options.index));
    }
    executor->exchange = &ranks->exchange;
    return SKY_OK;
}

void sky_ranks_detach(struct sky_ranks *ranks)
{
    sky_device_comm_close(ranks->device_comm);
    free(ranks->buckets);
    memset(ranks, 0, sizeof *ranks);
}

sky_status sky_ranks_share_arena(struct sky_comm *comm, struct sky_executor *executor, enum sky_arena arena, const char *what)
{
    const struct sky_backend *backend = executor->device.backend;
    const size_t bytes = executor->graph->arena_bytes[arena];
    void *host = NULL;
    sky_status status = SKY_OK;
    if (sky_comm_size(comm) == 1 || !bytes || !executor->arena[arena]) return SKY_OK;
    SKY_TRY(sky_alloc(&host, 1, bytes, what));
    if (sky_comm_rank(comm) == 0) SKY_TRY_DONE(backend->copy_out(&executor->device, host, executor->arena[arena], bytes));
    SKY_TRY_DONE(sky_comm_broadcast(comm, host, bytes, 0, what));
    if (sky_comm_rank(comm) != 0) SKY_TRY_DONE(backend->copy_in(&executor->device, executor->arena[arena], host, bytes));
done:
    free(host);
    return status;
}

static sky_status checksum(struct sky_executor *executor, enum sky_arena arena, uint32_t *sum)
{
    const struct sky_backend *backend = executor->device.backend;
    const size_t bytes = executor->graph->arena_bytes[arena];
    void *host = NULL;
    if (!bytes || !executor->arena[arena]) return SKY_OK;
    SKY_TRY(sky_alloc(&host, 1, bytes, "a copy of the parameters"));
    const sky_status status = backend->copy_out(&executor->device, host, executor->arena[arena], bytes);
    if (status == SKY_OK) *sum = sky_crc32c(*sum, host, bytes);
    free(host);
    return status;
}

sky_status sky_ranks_compare(struct sky_ranks *ranks)
{
    uint32_t sum = 0;
    if (ranks->size == 1) return SKY_OK;
    SKY_TRY(checksum(ranks->executor, SKY_ARENA_PARAMS, &sum));
    SKY_TRY(checksum(ranks->executor, SKY_ARENA_MOMENTUM, &sum));
    SKY_TRY(checksum(ranks->executor, SKY_ARENA_SQUARES, &sum));
    SKY_TRY(checksum(ranks->executor, SKY_ARENA_EMA, &sum));
    const sky_status status = sky_comm_same(ranks->comm, &sum, sizeof sum, "the parameters");
    if (status == SKY_PEER)
        sky_hint("the ranks no longer train the same model: a fault of a machine, or different programs or libraries on them. Go on from the last checkpoint "
                 "with --resume");
    return status;
}
