/*
 * See stream_backend.h. Kernels of all ranks take turns: their executor runs one launch at a time. What is enqueued is kept until the device is closed, since a
 * recording may ask for it again.
 */
#include "stream_backend.h"

#include "../host_cuda/host_backend.h"
#include "fake.h"

#include "backend/cuda/cuda.h"
#include "backend/host.h"
#include "backend/with_cuda.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One thing to do in a stream: an operation's run, or a copy or conversion. */
struct task {
    struct task *next; /* of the device */
    sky_status (*operation)(const struct sky_kernel *kernel, const struct sky_run *run);
    const struct sky_kernel *kernel;
    struct sky_run run;
    sky_status (*move)(struct sky_device *device, void *to, const void *from, int64_t count);
    struct sky_device *device;
    void *to;
    const void *from;
    int64_t count;
};

struct stream_device {
    struct sky_cuda cuda; /* first: what bindings see. Also its second stream and its events */
    struct task *tasks;
};

static struct sky_cuda *cuda_of(const struct sky_device *device) { return &((struct stream_device *)device->state)->cuda; }

static pthread_mutex_t executor = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int failures, replays;

int stream_backend_failures(void) { return failures; }
int stream_backend_replays(void) { return replays; }

static void perform(void *argument)
{
    const struct task *task = argument;
    pthread_mutex_lock(&executor);
    const sky_status status = task->operation ? task->operation(task->kernel, &task->run) : task->move(task->device, task->to, task->from, task->count);
    pthread_mutex_unlock(&executor);
    if (status == SKY_OK) return;
    failures++;
    fprintf(stderr, "in a stream: %s: %s\n", sky_error_last()->where, sky_error_last()->what);
}

static sky_status enqueue_on(struct sky_device *device, cudaStream_t stream, struct task task)
{
    struct stream_device *own = device->state;
    struct task *kept = malloc(sizeof *kept);
    if (!kept) return sky_fail(SKY_NOMEM, "test", "no memory");
    *kept = task, kept->next = own->tasks, own->tasks = kept;
    fake_launch(stream, perform, kept);
    return SKY_OK;
}

static sky_status enqueue(struct sky_device *device, struct task task) { return enqueue_on(device, cuda_of(device)->stream, task); }

static sky_status run_later(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return enqueue(kernel->device, (struct task){.operation = host_cuda_backend()->operations[kernel->node->op].run, .kernel = kernel, .run = *run});
}

static sky_status share_later(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return enqueue(kernel->device, (struct task){.operation = host_cuda_backend()->operations[kernel->node->op].share, .kernel = kernel, .run = *run});
}

static sky_status to_bf16(struct sky_device *device, void *to, const void *from, int64_t count) { return sky_cuda_to_bf16(device, to, from, count); }
static sky_status from_bf16(struct sky_device *device, void *to, const void *from, int64_t count) { return sky_cuda_from_bf16(device, to, from, count); }
static sky_status copy(struct sky_device *device, void *to, const void *from, int64_t count) { return sky_host_copy(device, to, from, (size_t)count); }

static sky_status to_bf16_later(struct sky_device *device, uint16_t *to, const float *from, int64_t count)
{
    return enqueue(device, (struct task){.move = to_bf16, .device = device, .to = to, .from = from, .count = count});
}

static sky_status from_bf16_later(struct sky_device *device, float *to, const uint16_t *from, int64_t count)
{
    return enqueue(device, (struct task){.move = from_bf16, .device = device, .to = to, .from = from, .count = count});
}

static sky_status copy_later(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    return enqueue(device, (struct task){.move = copy, .device = device, .to = to, .from = from, .count = (int64_t)bytes});
}

static struct CUstream_st *stream_of(const struct sky_device *device) { return cuda_of(device)->stream; }

static sky_status synchronize(struct sky_device *device)
{
    fake_synchronize(stream_of(device));
    return SKY_OK;
}

/* ---- staging: batches on the second stream, results behind the step ---- */

static sky_status checked(cudaError_t error) { return error == cudaSuccess ? SKY_OK : sky_fail(SKY_DEVICE, "test", "error %d", (int)error); }

static sky_status pin(struct sky_device *device, void *host, size_t bytes) { return (void)device, (void)host, (void)bytes, SKY_OK; }
static void unpin(struct sky_device *device, void *host) { (void)device, (void)host; }
static sky_status stage_begin(struct sky_device *device, int slot) { return checked(cudaStreamWaitEvent(cuda_of(device)->copies, cuda_of(device)->used[slot], 0)); }
static sky_status stage_end(struct sky_device *device, int slot) { return checked(cudaEventRecord(cuda_of(device)->filled[slot], cuda_of(device)->copies)); }
static sky_status stage_take(struct sky_device *device, int slot) { return checked(cudaStreamWaitEvent(cuda_of(device)->stream, cuda_of(device)->filled[slot], 0)); }
static sky_status stage_read_end(struct sky_device *device, int slot) { return checked(cudaEventRecord(cuda_of(device)->reported[slot], cuda_of(device)->stream)); }
static struct CUevent_st *stage_read_event(const struct sky_device *device, int slot) { return cuda_of(device)->reported[slot]; }

static sky_status wait_for(cudaEvent_t event)
{
    while (cudaEventQuery(event) == cudaErrorNotReady) sched_yield();
    return SKY_OK;
}

static sky_status stage_copy(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    return enqueue_on(device, cuda_of(device)->copies, (struct task){.move = copy, .device = device, .to = to, .from = from, .count = (int64_t)bytes});
}

static sky_status stage_release(struct sky_device *device, int slot)
{
    SKY_TRY(checked(cudaEventRecord(cuda_of(device)->used[slot], cuda_of(device)->stream)));
    return wait_for(cuda_of(device)->filled[slot]);
}

static sky_status stage_read_wait(struct sky_device *device, int slot) { return wait_for(cuda_of(device)->reported[slot]); }

static const struct sky_staging staging = {.pin = pin,
                                           .unpin = unpin,
                                           .begin = stage_begin,
                                           .copy = stage_copy,
                                           .end = stage_end,
                                           .take = stage_take,
                                           .release = stage_release,
                                           .read = copy_later,
                                           .read_end = stage_read_end,
                                           .read_wait = stage_read_wait,
                                           .read_event = stage_read_event};

static sky_status copy_now(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    synchronize(device);
    return sky_host_copy(device, to, from, bytes);
}

static sky_status open_device(struct sky_device *device)
{
    struct stream_device *own = calloc(1, sizeof *own);
    if (!own) return sky_fail(SKY_NOMEM, "test", "no memory");
    own->cuda = (struct sky_cuda){.workspace_cap = (size_t)1 << 30};
    device->state = own;
    for (int slot = 0; slot < 2; slot++) {
        cudaEventCreateWithFlags(&own->cuda.filled[slot], cudaEventDisableTiming);
        cudaEventCreateWithFlags(&own->cuda.used[slot], cudaEventDisableTiming);
        cudaEventCreateWithFlags(&own->cuda.reported[slot], cudaEventDisableTiming);
    }
    const bool made = cudaStreamCreateWithFlags(&own->cuda.stream, cudaStreamNonBlocking) == cudaSuccess &&
                      cudaStreamCreateWithFlags(&own->cuda.copies, cudaStreamNonBlocking) == cudaSuccess;
    return made ? SKY_OK : sky_fail(SKY_DEVICE, "test", "no stream");
}

static void close_device(struct sky_device *device)
{
    struct stream_device *own = device->state;
    synchronize(device);
    cudaStreamDestroy(own->cuda.stream);
    cudaStreamDestroy(own->cuda.copies);
    for (struct task *task = own->tasks, *next; task; task = next) {
        next = task->next;
        free(task);
    }
    free(own);
    device->state = NULL;
}

static void arena_free(struct sky_device *device, void *memory, size_t bytes)
{
    synchronize(device);
    sky_host_arena_free(device, memory, bytes);
}

static sky_status record_begin(struct sky_device *device)
{
    fake_record_begin(stream_of(device));
    return SKY_OK;
}

static sky_status record_end(struct sky_device *device, void **recording)
{
    *recording = fake_record_end(stream_of(device));
    return *recording ? SKY_OK : sky_fail(SKY_DEVICE, "recording a step", "a stream that joined is not waited for");
}

static sky_status replay(struct sky_device *device, void *recording)
{
    (void)device;
    replays++;
    fake_replay(recording);
    return SKY_OK;
}

static void recording_free(struct sky_device *device, void *recording)
{
    synchronize(device);
    fake_recording_free(recording);
}

/* ---- with_cuda.h ---- */

sky_status sky_cuda_find(int index)
{
    (void)index;
    return SKY_OK;
}

static struct sky_operation operations[SKY_OP_COUNT];

static void fill_operations(void)
{
    for (int op = 0; op < SKY_OP_COUNT; op++) {
        operations[op] = host_cuda_backend()->operations[op];
        if (operations[op].run) operations[op].run = run_later;
        if (operations[op].share) operations[op].share = share_later;
    }
}

const struct sky_backend *sky_cuda_backend(void)
{
    static pthread_once_t filled = PTHREAD_ONCE_INIT;
    static const struct sky_backend backend = {
        .name = "cuda",
        .description = "the CUDA back end's kernels on the host, in streams",
        .open = open_device,
        .close = close_device,
        .arena_alloc = sky_host_arena_alloc,
        .arena_free = arena_free,
        .copy_in = copy_now,
        .copy_out = copy_now,
        .copy_within = copy_later,
        .to_bf16 = to_bf16_later,
        .from_bf16 = from_bf16_later,
        .synchronize = synchronize,
        .staging = &staging,
        .stream = stream_of,
        .record_begin = record_begin,
        .record_end = record_end,
        .replay = replay,
        .recording_free = recording_free,
        .ceilings = sky_host_ceilings,
        .operations = operations,
    };
    pthread_once(&filled, fill_operations);
    return &backend;
}

const struct sky_backend *sky_cuda_described_backend(void) { return NULL; }

bool sky_cuda_describe(int index, char out[160])
{
    (void)index;
    snprintf(out, 160, "streams on the host");
    return true;
}

int sky_cuda_libraries(struct sky_cuda_library out[4])
{
    (void)out;
    return 0;
}
