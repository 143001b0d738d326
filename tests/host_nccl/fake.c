/*
 * The stand-in behind fake.h. One lock guards everything; stream threads sleep on one condition. Streams are never joined: a sum that waits for a rank that
 * does not come would keep them. A stream that is destroyed ends behind its last op.
 */
#include "fake.h"

#include "base/clock.h"
#include "base/dtype.h"
#include "kernels.h"

#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUEUE = 64, MOST = 8, RECORDED = 4096 };
struct fake_faults fake_faults;
_Thread_local int fake_rank;

enum kind { RECORD, WAIT, CALL, REDUCE, GATHER };
struct op {
    enum kind kind;
    struct CUevent_st *event;
    int64_t ticket;
    void (*call)(void *);
    void *argument;
    const void *from;
    void *to;
    size_t count;
    ncclDataType_t type;
    ncclRedOp_t sum;
    struct ncclComm *comm;
};
struct CUevent_st {
    int64_t recorded, passed;
    struct CUstream_st *stream; /* where it was recorded last, and as which op of a recording */
    int64_t at;
};
struct CUstream_st {
    pthread_t thread;
    struct op ops[QUEUE];
    int64_t put, taken, done;
    bool destroyed;
    struct fake_recording *recording; /* NULL: what comes is done */
    int64_t last, joined;             /* of a recording: this stream's last op, and up to which the first stream has waited for it */
};
/* Ops of several streams, in the order in which they came. */
struct fake_recording {
    struct CUstream_st *first, *streams[MOST], *stream_of[RECORDED];
    struct op ops[RECORDED];
    int64_t count;
    int stream_count;
};
/* Ranks that meet. */
static struct {
    const struct op *op[MOST];
    int size, joined, arrived;
    int64_t round, generation;
    bool stopped;
} group;
struct ncclComm {
    int rank, polls;
    int64_t sums, generation;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static int allocations;

/* ---- streams ---- */

static float rounded(float x, ncclDataType_t type) { return type == ncclBfloat16 ? sky_bf16_to_float(sky_float_to_bf16(x)) : x; }

static float element(const struct op *op, size_t i)
{
    return op->type == ncclBfloat16 ? sky_bf16_to_float(((const uint16_t *)op->from)[i]) : ((const float *)op->from)[i];
}

static void reduce_all(void)
{
    const struct op *first = group.op[0];
    const float share = first->sum == ncclAvg ? 1 / (float)group.size : 1;
    for (size_t i = 0; i < first->count; i++) {
        float total = 0;
        for (int r = 0; r < group.size; r++) total = rounded(total + rounded(share * element(group.op[r], i), first->type), first->type);
        for (int r = 0; r < group.size; r++) {
            if (first->type == ncclBfloat16) ((uint16_t *)group.op[r]->to)[i] = sky_float_to_bf16(total);
            else ((float *)group.op[r]->to)[i] = total;
        }
    }
}

static void gather_all(void)
{
    for (int r = 0; r < group.size; r++)
        for (int from = 0; from < group.size; from++) memcpy((char *)group.op[r]->to + (size_t)from * group.op[r]->count, group.op[from]->from, group.op[from]->count);
}

/* Called with the lock held. The last rank to come works for all. Other things in other ranks are what NCCL would hang or go astray with. */
static void meet(const struct op *op)
{
    const int64_t round = group.round, generation = op->comm->generation;
    if (group.stopped || group.generation != generation) return; /* left over from ranks that have failed */
    group.op[op->comm->rank] = op;
    if (++group.arrived == group.size) {
        for (int r = 1; r < group.size; r++)
            if (group.op[r]->kind != op->kind || group.op[r]->count != op->count || group.op[r]->type != op->type)
                fprintf(stderr, "ranks meet in different collectives\n"), abort();
        if (op->kind == REDUCE) reduce_all();
        else gather_all();
        group.arrived = 0;
        group.round++;
        pthread_cond_broadcast(&moved);
    }
    while (group.round == round && group.generation == generation && !group.stopped) pthread_cond_wait(&moved, &lock);
}

static void *stream_main(void *argument)
{
    struct CUstream_st *stream = argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (stream->taken == stream->put && !stream->destroyed) pthread_cond_wait(&moved, &lock);
        if (stream->taken == stream->put) break;
        const struct op op = stream->ops[stream->taken++ % QUEUE];
        if (op.kind == RECORD) op.event->passed = op.ticket;
        while (op.kind == WAIT && op.event->passed < op.ticket) pthread_cond_wait(&moved, &lock);
        if (op.kind == REDUCE || op.kind == GATHER) meet(&op);
        if (op.kind == CALL) {
            pthread_mutex_unlock(&lock);
            op.call(op.argument);
            pthread_mutex_lock(&lock);
        }
        stream->done++;
        pthread_cond_broadcast(&moved);
    }
    pthread_mutex_unlock(&lock);
    return NULL; /* the struct stays: an event may still name it */
}

/* Called with the lock held. */
static void keep(struct CUstream_st *stream, struct op op)
{
    struct fake_recording *recording = stream->recording;
    const int64_t at = recording->count++;
    if (at == RECORDED) fprintf(stderr, "a recording is too long\n"), abort();
    recording->ops[at] = op, recording->stream_of[at] = stream;
    if (op.kind == RECORD) op.event->stream = stream, op.event->at = at;
    if (op.kind != RECORD) stream->last = at;
    if (op.kind == WAIT && stream == recording->first && op.event->stream->joined < op.event->at) op.event->stream->joined = op.event->at;
}

/* A stream that waits for an event of a recording belongs to it from then on. Called with the lock held. */
static void join(struct CUstream_st *stream, const struct CUevent_st *event)
{
    struct fake_recording *recording = event->stream ? event->stream->recording : NULL;
    if (!recording || stream->recording) return;
    stream->recording = recording, stream->last = stream->joined = -1;
    recording->streams[recording->stream_count++] = stream;
}

static void put(struct CUstream_st *stream, struct op op)
{
    pthread_mutex_lock(&lock);
    if (op.kind == WAIT) join(stream, op.event);
    if (stream->recording) {
        keep(stream, op);
        pthread_mutex_unlock(&lock);
        return;
    }
    while (stream->put - stream->done >= QUEUE) pthread_cond_wait(&moved, &lock);
    if (op.kind == RECORD) op.ticket = ++op.event->recorded, op.event->stream = stream;
    if (op.kind == WAIT) op.ticket = op.event->recorded;
    stream->ops[stream->put++ % QUEUE] = op;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

void fake_launch(cudaStream_t stream, void (*call)(void *), void *argument)
{
    put(stream, (struct op){.kind = CALL, .call = call, .argument = argument});
}

void fake_synchronize(cudaStream_t stream)
{
    pthread_mutex_lock(&lock);
    while (stream->done < stream->put) pthread_cond_wait(&moved, &lock);
    pthread_mutex_unlock(&lock);
}

void fake_record_begin(cudaStream_t stream)
{
    struct fake_recording *recording = calloc(1, sizeof *recording);
    pthread_mutex_lock(&lock);
    stream->recording = recording, stream->last = stream->joined = -1;
    recording->first = recording->streams[0] = stream, recording->stream_count = 1;
    pthread_mutex_unlock(&lock);
}

struct fake_recording *fake_record_end(cudaStream_t stream)
{
    struct fake_recording *recording = stream->recording;
    bool is_joined = true;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < recording->stream_count; i++) {
        is_joined = is_joined && (i == 0 || recording->streams[i]->joined > recording->streams[i]->last);
        recording->streams[i]->recording = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (is_joined) return recording;
    free(recording);
    return NULL;
}

void fake_replay(struct fake_recording *recording)
{
    for (int64_t i = 0; i < recording->count; i++) put(recording->stream_of[i], recording->ops[i]);
}

void fake_recording_free(struct fake_recording *recording)
{
    free(recording);
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
    pthread_mutex_lock(&lock);
    stream->destroyed = true;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
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

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    pthread_mutex_lock(&lock);
    const bool busy = event->passed < event->recorded;
    pthread_mutex_unlock(&lock);
    return busy ? cudaErrorNotReady : cudaSuccess;
}

static void note_time(void *nanoseconds) { *(uint64_t *)nanoseconds = (uint64_t)(1e9 * sky_now()); }

int sky_cuda_note_time(sky_stream stream, uint64_t *nanoseconds)
{
    fake_launch(stream, note_time, nanoseconds);
    return 0;
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

/* Where kernels run on the host too (tests/host_cuda), these two are theirs. */
__attribute__((weak)) cudaError_t cudaGetLastError(void)
{
    return cudaSuccess;
}

__attribute__((weak)) const char *cudaGetErrorString(cudaError_t error)
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
    const int64_t generation = group.generation + 1;
    memset(&group, 0, sizeof group);
    group.generation = generation;
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
    comm->generation = group.generation;
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

static ncclResult_t enqueue(struct op op, cudaStream_t stream)
{
    op.comm->sums++;
    if (!(fake_faults.remote_error && op.comm->sums > 1)) put(stream, op);
    op.comm->polls = 3;
    return ncclInProgress;
}

static ncclResult_t all_reduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t sum, ncclComm_t comm, cudaStream_t stream)
{
    if (from != to || (type != ncclFloat32 && type != ncclBfloat16)) return ncclInvalidArgument;
    return enqueue((struct op){.kind = REDUCE, .from = from, .to = to, .count = count, .type = type, .sum = sum, .comm = comm}, stream);
}

static ncclResult_t all_gather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream)
{
    if (type != ncclInt8) return ncclInvalidArgument;
    return enqueue((struct op){.kind = GATHER, .from = from, .to = to, .count = count, .type = type, .comm = comm}, stream);
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
        {"ncclCommAbort", (void (*)(void))stop},                 {"ncclAllReduce", (void (*)(void))all_reduce},      {"ncclAllGather", (void (*)(void))all_gather},
        {"ncclGetErrorString", (void (*)(void))error_string},
        {"ncclGetLastError", (void (*)(void))last_error},
    };
    void *found = NULL;
    for (size_t i = 0; library == &group && i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name)) memcpy(&found, &table[i].function, sizeof found);
    return found;
}
