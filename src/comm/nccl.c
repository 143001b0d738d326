/*
 * NCCL behind device_comm.h. The library is loaded when it is first wanted: it is 200 MB, and a machine without it can still train on one device. Everything
 * NCCL does is asked not to block: its calls return at once and are polled, together with the other ranks, so that one that is gone ends the wait. Owns the
 * communicator, a stream and four events.
 */
#include "device_comm.h"

#include "base/clock.h"
#include "base/memory.h"
#include "board.h"
#include "kernels.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <nccl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double abort_seconds = 5, alone_timeout = 300;

/* The functions that are used, each with the type that its header gives it. */
struct nccl_library {
    __typeof__(&ncclGetVersion) get_version;
    __typeof__(&ncclGetUniqueId) get_unique_id;
    __typeof__(&ncclCommInitRankConfig) init_rank;
    __typeof__(&ncclCommGetAsyncError) async_error;
    __typeof__(&ncclCommFinalize) finalize;
    __typeof__(&ncclCommDestroy) destroy;
    __typeof__(&ncclCommAbort) stop;
    __typeof__(&ncclAllReduce) all_reduce;
    __typeof__(&ncclAllGather) all_gather;
    __typeof__(&ncclGetErrorString) error_string;
    __typeof__(&ncclGetLastError) last_error;
};

struct sky_device_comm {
    struct nccl_library nccl;
    struct sky_comm *host; /* NULL: alone */
    double timeout;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t ready, done; /* compute to us, us to compute */
    _Atomic bool stopped;    /* the abort has come back */
};

static const struct {
    const char *name;
    size_t offset; /* in struct nccl_library */
} functions[] = {
    {"ncclGetVersion", offsetof(struct nccl_library, get_version)},     {"ncclGetUniqueId", offsetof(struct nccl_library, get_unique_id)},
    {"ncclCommInitRankConfig", offsetof(struct nccl_library, init_rank)}, {"ncclCommGetAsyncError", offsetof(struct nccl_library, async_error)},
    {"ncclCommFinalize", offsetof(struct nccl_library, finalize)},      {"ncclCommDestroy", offsetof(struct nccl_library, destroy)},
    {"ncclCommAbort", offsetof(struct nccl_library, stop)},             {"ncclAllReduce", offsetof(struct nccl_library, all_reduce)},
    {"ncclAllGather", offsetof(struct nccl_library, all_gather)},
    {"ncclGetErrorString", offsetof(struct nccl_library, error_string)}, {"ncclGetLastError", offsetof(struct nccl_library, last_error)},
};

/* As the loader would find it, then where it was when the program was built. Stays loaded until the program ends. */
static sky_status load(struct nccl_library *out)
{
    static const char name[] = "libnccl.so.2";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen(SKY_NCCL_FILE, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        sky_fail(SKY_DEVICE, name, "cannot be loaded: %s", dlerror());
        return sky_hint("install NCCL 2.x, or name its folder in LD_LIBRARY_PATH");
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function) return sky_fail(SKY_DEVICE, name, "has no function %s: it is too old", functions[i].name);
        memcpy((char *)out + functions[i].offset, &function, sizeof function);
    }
    return SKY_OK;
}

static sky_status check_cuda(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return SKY_OK;
    return sky_fail(SKY_DEVICE, what, "%s", cudaGetErrorString(error));
}

/* A failure of NCCL is most often another rank's end: what the ranks know of each other says more. */
static sky_status fail_nccl(struct sky_device_comm *comm, ncclResult_t result, const char *what)
{
    SKY_TRY(sky_comm_check(comm->host));
    const char *last = comm->nccl.last_error(comm->comm);
    sky_fail(result == ncclRemoteError || result == ncclSystemError ? SKY_PEER : SKY_DEVICE, what, "NCCL: %s%s%.500s", comm->nccl.error_string(result),
             last && *last ? ": " : "", last ? last : "");
    return sky_hint("NCCL_DEBUG=WARN lets NCCL say more; in a container /dev/shm may be too small (docker run --shm-size=1g)");
}

static void nap(void)
{
    const struct timespec some = {.tv_nsec = 20000};
    nanosleep(&some, NULL);
}

/* ---- waiting with eyes open ---- */

/* Ranks that are not where this one is, as far as its machine's board tells. */
static void print_behind(const struct sky_comm *host, char *out, size_t out_bytes)
{
    const struct sky_comm_place *place = sky_comm_place(host);
    size_t used = 0;
    out[0] = 0;
    for (int r = 0; place && r < place->size && used + 1 < out_bytes; r++) {
        char doing[128], mine[128];
        sky_seat_describe(sky_board_seat(place->board, r), doing, sizeof doing);
        sky_seat_describe(sky_board_seat(place->board, place->rank), mine, sizeof mine);
        if (r == place->rank || !strcmp(doing, mine)) continue;
        const int length = snprintf(out + used, out_bytes - used, "; rank %d was last seen %s", r, doing);
        used += length > 0 ? (size_t)length : 0;
    }
}

static sky_status fail_late(struct sky_device_comm *comm, const char *what)
{
    char behind[700];
    print_behind(comm->host, behind, sizeof behind);
    sky_fail(SKY_PEER, what, "the devices' sums have not come to their end within %.3g s%s", comm->timeout, behind);
    return sky_hint("if a rank is only slow, raise [distributed] timeout_s; else look at its machine and at the network between the machines");
}

/* NCCL's own state, the other ranks, and the time since `begin`. *busy: it still works on its last call. */
static sky_status look_around(struct sky_device_comm *comm, double begin, const char *what, bool *busy)
{
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = comm->nccl.async_error(comm->comm, &state);
    if (asked != ncclSuccess) return fail_nccl(comm, asked, what);
    if (state != ncclSuccess && state != ncclInProgress) return fail_nccl(comm, state, what);
    *busy = state == ncclInProgress;
    SKY_TRY(sky_comm_check(comm->host));
    return sky_now() - begin > comm->timeout ? fail_late(comm, what) : SKY_OK;
}

/* Until NCCL has done with the call that returned `result`. Asks nothing of the device, so it may be within a recording. */
static sky_status finish_call(struct sky_device_comm *comm, ncclResult_t result, const char *what)
{
    const double begin = sky_now();
    bool busy = result == ncclInProgress;
    if (result != ncclSuccess && result != ncclInProgress) return fail_nccl(comm, result, what);
    while (busy) {
        SKY_TRY(look_around(comm, begin, what, &busy));
        if (busy) nap();
    }
    return SKY_OK;
}

/* The event, or without one all of the stream. */
static sky_status await(struct sky_device_comm *comm, cudaStream_t stream, cudaEvent_t event, const char *what)
{
    const double begin = sky_now();
    for (int polls = 0;; polls++) {
        bool busy = false;
        const cudaError_t state = event ? cudaEventQuery(event) : cudaStreamQuery(stream);
        if (state != cudaErrorNotReady) return check_cuda(state, what);
        if (polls % 64 == 63) SKY_TRY(look_around(comm, begin, what, &busy)); /* about each 5 ms */
        nap();
    }
}

sky_status sky_device_comm_synchronize(struct sky_device_comm *comm, struct CUstream_st *compute, const char *what)
{
    return await(comm, compute, NULL, what);
}

sky_status sky_device_comm_await(struct sky_device_comm *comm, struct CUevent_st *event, const char *what)
{
    return await(comm, NULL, event, what);
}

/* ---- opening ---- */

/* What every rank tells of its device. */
struct card {
    char machine[64], bus[24]; /* name of the machine; "0000:17:00.0" */
    int32_t version;           /* of NCCL */
};

static sky_status describe_device(const struct sky_device_comm *comm, int device, struct card *card)
{
    int version = 0;
    memset(card, 0, sizeof *card);
    gethostname(card->machine, sizeof card->machine - 1);
    SKY_TRY(check_cuda(cudaDeviceGetPCIBusId(card->bus, sizeof card->bus, device), "the device's address"));
    if (comm->nccl.get_version(&version) != ncclSuccess) return sky_fail(SKY_DEVICE, "NCCL", "does not tell its version");
    card->version = version;
    return SKY_OK;
}

static sky_status compare_cards(const struct card *cards, int size)
{
    for (int r = 1; r < size; r++) {
        for (int other = 0; other < r; other++) {
            if (strcmp(cards[r].machine, cards[other].machine) || strcmp(cards[r].bus, cards[other].bus)) continue;
            sky_fail(SKY_DEVICE, "device.index", "ranks %d and %d have the same device: %s on %s", other, r, cards[r].bus, cards[r].machine);
            return sky_hint("start one rank a device: leave [device] index alone, or let each rank see another device (CUDA_VISIBLE_DEVICES)");
        }
        if (cards[r].version != cards[0].version)
            return sky_fail(SKY_DEVICE, "NCCL", "rank 0 has version code %d, rank %d has %d: install the same on every machine", (int)cards[0].version, r, (int)cards[r].version);
    }
    return SKY_OK;
}

static sky_status check_cards(struct sky_device_comm *comm, const struct card *mine)
{
    const int size = sky_comm_size(comm->host);
    struct card *cards = NULL;
    SKY_TRY(sky_alloc(&cards, (size_t)size, sizeof *cards, "the ranks' devices"));
    sky_status status = sky_comm_gather(comm->host, mine, sizeof *mine, cards, "devices");
    if (status == SKY_OK) status = compare_cards(cards, size);
    free(cards);
    return status;
}

/* Rank 0 makes the name under which the ranks find each other. */
static sky_status make_communicator(struct sky_device_comm *comm)
{
    const int rank = sky_comm_rank(comm->host), size = sky_comm_size(comm->host);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    sky_status status = SKY_OK;
    memset(&id, 0, sizeof id);
    config.blocking = 0;
    if (rank == 0) {
        const ncclResult_t result = comm->nccl.get_unique_id(&id);
        if (result != ncclSuccess) status = sky_fail(SKY_DEVICE, "NCCL", "cannot start: %s", comm->nccl.error_string(result));
    }
    SKY_TRY(sky_comm_agree(comm->host, status, "NCCL's start"));
    SKY_TRY(sky_comm_broadcast(comm->host, &id, sizeof id, 0, "NCCL's name"));
    status = finish_call(comm, comm->nccl.init_rank(&comm->comm, size, id, rank, &config), "NCCL's meeting");
    return sky_comm_agree(comm->host, status, "NCCL's meeting");
}

/* The first sum makes NCCL's channels, which cannot be done within a recording. */
static sky_status warm_up(struct sky_device_comm *comm)
{
    enum { COUNT = 1 << 18 };
    float *data = NULL;
    SKY_TRY(check_cuda(cudaMalloc((void **)&data, COUNT * sizeof *data), "NCCL's first sum"));
    sky_status status = check_cuda(cudaMemsetAsync(data, 0, COUNT * sizeof *data, comm->stream), "NCCL's first sum");
    if (status == SKY_OK) status = sky_device_comm_start(comm, data, COUNT, SKY_F32, SKY_COMM_SUM, "NCCL's first sum", comm->stream);
    if (status == SKY_OK) status = sky_device_comm_synchronize(comm, comm->stream, "NCCL's first sum");
    if (status == SKY_OK) cudaFree(data); /* else it is still in use */
    return status;
}

static sky_status prepare(struct sky_device_comm *comm, int device, struct card *card)
{
    SKY_TRY(load(&comm->nccl));
    SKY_TRY(check_cuda(cudaStreamCreateWithFlags(&comm->stream, cudaStreamNonBlocking), "a stream"));
    SKY_TRY(check_cuda(cudaEventCreateWithFlags(&comm->ready, cudaEventDisableTiming), "an event"));
    SKY_TRY(check_cuda(cudaEventCreateWithFlags(&comm->done, cudaEventDisableTiming), "an event"));
    return describe_device(comm, device, card);
}

static void free_comm(struct sky_device_comm *comm)
{
    if (comm->ready) cudaEventDestroy(comm->ready);
    if (comm->done) cudaEventDestroy(comm->done);
    if (comm->stream) cudaStreamDestroy(comm->stream);
    free(comm);
}

sky_status sky_device_comm_open(struct sky_device_comm **out, struct sky_comm *host, int device)
{
    struct sky_device_comm *comm = NULL;
    struct card card = {.version = 0};
    SKY_TRY(sky_alloc(&comm, 1, sizeof *comm, "the devices' communication"));
    comm->host = host;
    comm->timeout = host ? sky_comm_place(host)->timeout_seconds : alone_timeout;
    sky_status status = sky_comm_agree(host, prepare(comm, device, &card), "opening NCCL");
    if (status == SKY_OK) status = check_cards(comm, &card);
    if (status == SKY_OK) status = make_communicator(comm);
    if (status == SKY_OK) status = warm_up(comm);
    if (status == SKY_OK) *out = comm;
    else {
        const struct sky_error error = *sky_error_last();
        sky_device_comm_abort(comm);
        sky_error_set(&error);
    }
    return status;
}

/* ---- sums ---- */

static sky_status type_of(enum sky_dtype dtype, enum sky_comm_sum sum, ncclDataType_t *type, ncclRedOp_t *op, const char *what)
{
    *op = sum == SKY_COMM_MEAN ? ncclAvg : sum == SKY_COMM_MAX ? ncclMax : ncclSum;
    switch (dtype) {
    case SKY_F32: *type = ncclFloat32; return SKY_OK;
    case SKY_F64: *type = ncclFloat64; return SKY_OK;
    case SKY_BF16: *type = ncclBfloat16; return SKY_OK;
    case SKY_I64: *type = ncclInt64; break;
    default: return sky_fail(SKY_UNSUPPORTED, what, "a sum of %s over ranks is not there", sky_dtype_name(dtype));
    }
    return sum == SKY_COMM_MEAN ? sky_fail(SKY_UNSUPPORTED, what, "a mean of i64 over ranks is not there") : SKY_OK;
}

/* Our stream goes on behind what the compute stream holds so far. */
static sky_status follow(struct sky_device_comm *comm, cudaStream_t compute, const char *what)
{
    SKY_TRY(check_cuda(cudaEventRecord(comm->ready, compute), what));
    return check_cuda(cudaStreamWaitEvent(comm->stream, comm->ready, 0), what);
}

/* And the compute stream behind ours. */
static sky_status lead(struct sky_device_comm *comm, cudaStream_t compute, const char *what)
{
    SKY_TRY(check_cuda(cudaEventRecord(comm->done, comm->stream), what));
    return check_cuda(cudaStreamWaitEvent(compute, comm->done, 0), what);
}

sky_status sky_device_comm_start(struct sky_device_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what,
                                 struct CUstream_st *compute)
{
    ncclDataType_t type = ncclFloat32;
    ncclRedOp_t op = ncclSum;
    SKY_TRY(type_of(dtype, sum, &type, &op, what));
    SKY_TRY(follow(comm, compute, what));
    if (count == 0) return SKY_OK;
    return finish_call(comm, comm->nccl.all_reduce(data, data, (size_t)count, type, op, comm->comm, comm->stream), what);
}

sky_status sky_device_comm_gather(struct sky_device_comm *comm, const void *mine, size_t bytes, void *all, const char *what, struct CUstream_st *compute)
{
    SKY_TRY(follow(comm, compute, what));
    SKY_TRY(finish_call(comm, comm->nccl.all_gather(mine, all, bytes, ncclInt8, comm->comm, comm->stream), what));
    return lead(comm, compute, what);
}

sky_status sky_device_comm_wait(struct sky_device_comm *comm, struct CUstream_st *compute, uint64_t *times)
{
    static const char what[] = "the time of a wait";
    if (times) SKY_TRY(check_cuda((cudaError_t)sky_cuda_note_time(compute, times), what));
    SKY_TRY(lead(comm, compute, "the devices' sums"));
    return times ? check_cuda((cudaError_t)sky_cuda_note_time(compute, times + 1), what) : SKY_OK;
}

/* ---- the end ---- */

void sky_device_comm_close(struct sky_device_comm *comm)
{
    if (!comm) return;
    sky_status status = sky_device_comm_synchronize(comm, comm->stream, "the devices' last sum");
    if (status == SKY_OK) status = finish_call(comm, comm->nccl.finalize(comm->comm), "NCCL's end");
    if (status != SKY_OK) {
        sky_device_comm_abort(comm);
        return;
    }
    comm->nccl.destroy(comm->comm);
    free_comm(comm);
}

static void *stop_main(void *argument)
{
    struct sky_device_comm *comm = argument;
    comm->nccl.stop(comm->comm);
    atomic_store(&comm->stopped, true);
    return NULL;
}

/* One that does not come back keeps its memory: the process is about to end. */
void sky_device_comm_abort(struct sky_device_comm *comm)
{
    pthread_t thread;
    if (!comm) return;
    if (!comm->comm) {
        free_comm(comm);
        return;
    }
    const double begin = sky_now();
    if (pthread_create(&thread, NULL, stop_main, comm)) return;
    pthread_detach(thread);
    while (!atomic_load(&comm->stopped) && sky_now() - begin < abort_seconds) nap();
    if (atomic_load(&comm->stopped)) free_comm(comm);
}

bool sky_device_comm_library(char compiled[32], char loaded[32])
{
    struct nccl_library nccl;
    int version = 0;
    snprintf(compiled, 32, "%d.%d.%d", NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH);
    snprintf(loaded, 32, "none");
    if (load(&nccl) == SKY_OK && nccl.get_version(&version) == ncclSuccess) snprintf(loaded, 32, "%d.%d.%d", version / 10000, version % 10000 / 100, version % 100);
    return true;
}
