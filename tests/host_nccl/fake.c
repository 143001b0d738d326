/*
 * The stand-in behind fake.h. One lock guards everything; stream threads sleep on one condition. Streams are never joined: a sum that waits for a rank that does not come would keep them.
 */
#include "fake.h"

#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE = 64, MOST = 8 };
struct fake_faults fake_faults;
_Thread_local int fake_rank;

enum kind { RECORD, WAIT, CALL, REDUCE };
struct op {
    enum kind kind;
    struct CUevent_st *event;
    int64_t ticket;
    void (*call)(void *);
    void *argument;
    float *data;
    size_t count;
    ncclRedOp_t sum;
    struct ncclComm *comm;
};
struct CUevent_st {
    int64_t recorded, passed;
};
struct CUstream_st {
    pthread_t thread;
    struct op ops[QUEUE];
    int64_t put, taken, done;
};
/* Ranks that meet. */
static struct {
    float *data[MOST];
    int size, joined, arrived;
    int64_t round;
    bool stopped;
} group;
struct ncclComm {
    int rank, polls;
    int64_t sums;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static int allocations;

/* ---- streams ---- */

/* Called with the lock held. The last rank to come adds for all. */
static void reduce(const struct op *op)
{
    const int64_t round = group.round;
    group.data[op->comm->rank] = op->data;
    if (++group.arrived == group.size) {
        for (size_t i = 0; i < op->count; i++) {
            float total = 0;
            for (int r = 0; r < group.size; r++) total += group.data[r][i];
            for (int r = 0; r < group.size; r++) group.data[r][i] = op->sum == ncclAvg ? total / (float)group.size : total;
        }
        group.arrived = 0;
        group.round++;
        pthread_cond_broadcast(&moved);
    }
    while (group.round == round && !group.stopped) pthread_cond_wait(&moved, &lock);
}

static void *stream_main(void *argument)
{
    struct CUstream_st *stream = argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (stream->taken == stream->put) pthread_cond_wait(&moved, &lock);
        const struct op op = stream->ops[stream->taken++ % QUEUE];
        if (op.kind == RECORD) op.event->passed = op.ticket;
        while (op.kind == WAIT && op.event->passed < op.ticket) pthread_cond_wait(&moved, &lock);
        if (op.kind == REDUCE) reduce(&op);
        if (op.kind == CALL) {
            pthread_mutex_unlock(&lock);
            op.call(op.argument);
            pthread_mutex_lock(&lock);
        }
        stream->done++;
        pthread_cond_broadcast(&moved);
    }
    return NULL;
}

static void put(struct CUstream_st *stream, struct op op)
{
    pthread_mutex_lock(&lock);
    while (stream->put - stream->done >= QUEUE) pthread_cond_wait(&moved, &lock);
    if (op.kind == RECORD) op.ticket = ++op.event->recorded;
    if (op.kind == WAIT) op.ticket = op.event->recorded;
    stream->ops[stream->put++ % QUEUE] = op;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

void fake_launch(cudaStream_t stream, void (*call)(void *), void *argument)
{
    put(stream, (struct op){.kind = CALL, .call = call, .argument = argument});
}

/* ---- the CUDA run time ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    struct CUstream_st *stream = calloc(1, sizeof *stream);
    *out = stream;
    if (flags != cudaStreamNonBlocking || pthread_create(&stream->thread, NULL, stream_main, stream)) return cudaErrorInvalidValue;
    pthread_detach(stream->thread);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    (void)stream;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
    *out = calloc(1, sizeof **out);
    return flags == cudaEventDisableTiming ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    (void)event; /* a stream may still hold it */
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    put(stream, (struct op){.kind = RECORD, .event = event});
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    put(stream, (struct op){.kind = WAIT, .event = event});
    return flags ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    const bool busy = stream->done < stream->put;
    pthread_mutex_unlock(&lock);
    return busy ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    pthread_mutex_lock(&lock);
    allocations++;
    pthread_mutex_unlock(&lock);
    *out = malloc(bytes);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *memory)
{
    pthread_mutex_lock(&lock);
    allocations--;
    pthread_mutex_unlock(&lock);
    free(memory);
    return cudaSuccess;
}

int fake_allocations(void)
{
    pthread_mutex_lock(&lock);
    const int count = allocations;
    pthread_mutex_unlock(&lock);
    return count;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    (void)stream; /* nothing else uses it yet */
    memset(memory, value, bytes);
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "a fake error";
}

cudaError_t cudaDeviceGetPCIBusId(char *out, int bytes, int device)
{
    snprintf(out, (size_t)bytes, "0000:%02x:00.0", fake_faults.same_device ? 0x17 : 0x17 + device);
    return cudaSuccess;
}

/* ---- NCCL ---- */

static ncclResult_t get_version(int *version)
{
    *version = NCCL_VERSION_CODE + (fake_faults.other_version && fake_rank == 1);
    return ncclSuccess;
}

static ncclResult_t get_unique_id(ncclUniqueId *id)
{
    memset(id, 42, sizeof *id);
    pthread_mutex_lock(&lock);
    memset(&group, 0, sizeof group);
    pthread_mutex_unlock(&lock);
    return ncclSuccess;
}

static ncclResult_t init_rank(ncclComm_t *out, int size, ncclUniqueId id, int rank, ncclConfig_t *config)
{
    if (config->blocking != 0 || id.internal[0] != 42 || id.internal[NCCL_UNIQUE_ID_BYTES - 1] != 42) return ncclInvalidArgument;
    struct ncclComm *comm = calloc(1, sizeof *comm);
    comm->rank = rank;
    *out = comm;
    pthread_mutex_lock(&lock);
    group.size = size;
    group.joined += !fake_faults.nobody_meets;
    pthread_mutex_unlock(&lock);
    return ncclInProgress;
}

/* In progress until all have joined, and for some polls after each call. */
static ncclResult_t async_error(ncclComm_t comm, ncclResult_t *state)
{
    pthread_mutex_lock(&lock);
    const bool met = group.joined >= group.size;
    pthread_mutex_unlock(&lock);
    *state = !met || comm->polls-- > 0 ? ncclInProgress : ncclSuccess;
    if (fake_faults.remote_error && comm->sums > 1) *state = ncclRemoteError;
    return ncclSuccess;
}

static ncclResult_t all_reduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t sum, ncclComm_t comm, cudaStream_t stream)
{
    if (from != to || type != ncclFloat32) return ncclInvalidArgument;
    comm->sums++;
    if (!(fake_faults.remote_error && comm->sums > 1)) put(stream, (struct op){.kind = REDUCE, .data = to, .count = count, .sum = sum, .comm = comm});
    comm->polls = 3;
    return ncclInProgress;
}

static ncclResult_t finalize(ncclComm_t comm)
{
    comm->polls = 3;
    return ncclInProgress;
}

static ncclResult_t destroy(ncclComm_t comm)
{
    free(comm);
    return ncclSuccess;
}

/* Sums that wait are ended, as the kernels of the real one are. */
static ncclResult_t stop(ncclComm_t comm)
{
    (void)comm;
    if (fake_faults.abort_hangs) sleep(1000);
    pthread_mutex_lock(&lock);
    group.stopped = true;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
    return ncclSuccess;
}

static const char *error_string(ncclResult_t result)
{
    return result == ncclRemoteError ? "remote process exited or there was a network error" : "a fake error";
}

static const char *last_error(ncclComm_t comm)
{
    (void)comm;
    return "socket closed by peer";
}

/* ---- loading ---- */

void *fake_dlopen(const char *name, int flags)
{
    (void)flags;
    if (fake_faults.missing && fake_rank == 1) return NULL;
    return strstr(name, "nccl") ? &group : NULL;
}

char *fake_dlerror(void)
{
    static char text[] = "no such file";
    return text;
}

void *fake_dlsym(void *library, const char *name)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } table[] = {
        {"ncclGetVersion", (void (*)(void))get_version},         {"ncclGetUniqueId", (void (*)(void))get_unique_id}, {"ncclCommInitRankConfig", (void (*)(void))init_rank},
        {"ncclCommGetAsyncError", (void (*)(void))async_error}, {"ncclCommFinalize", (void (*)(void))finalize},     {"ncclCommDestroy", (void (*)(void))destroy},
        {"ncclCommAbort", (void (*)(void))stop},                 {"ncclAllReduce", (void (*)(void))all_reduce},      {"ncclGetErrorString", (void (*)(void))error_string},
        {"ncclGetLastError", (void (*)(void))last_error},
    };
    void *found = NULL;
    for (size_t i = 0; library == &group && i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) memcpy(&found, &table[i].function, sizeof found);
    return found;
}
