/*
 * The CUDA back end: finding and opening a device, arenas, copies, recordings (CUDA graphs). One stream, everything in order; a run of an operation only
 * enqueues. Owns streams, library handles and workspaces; arenas belong to the executor that asked for them.
 */
#include "backend/with_cuda.h"
#include "bind_ranking.h"
#include "cublas.h"
#include "cudnn_handle.h"
#include "cudnn_plan.h"

#include "base/memory.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_MAJOR = 8 }; /* sm_80: bf16 and tf32 tensor cores */

static sky_status check(cudaError_t error, const char *where, const char *what)
{
    if (error == cudaSuccess) return SKY_OK;
    return sky_fail(SKY_DEVICE, where, "%s: %s", what, cudaGetErrorString(error));
}

/* ---- is there a device? ---- */

sky_status sky_cuda_find(int index)
{
    int count = 0, driver = 0, runtime = 0, major = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (error == cudaErrorInsufficientDriver && driver == 0) {
        sky_fail(SKY_DEVICE, "device.backend", "no NVIDIA driver is loaded on this machine");
        return sky_hint("use [device] backend = cpu (or auto); in a container, start it with access to the GPU (docker run --gpus all)");
    }
    if (error == cudaErrorInsufficientDriver) {
        sky_fail(SKY_DEVICE, "device.backend", "the NVIDIA driver knows CUDA %d.%d, this program needs %d.%d", driver / 1000, driver % 1000 / 10,
                 runtime / 1000, runtime % 1000 / 10);
        return sky_hint("install a newer driver, or use [device] backend = cpu");
    }
    if (error != cudaSuccess || count == 0) {
        sky_fail(SKY_DEVICE, "device.backend", "no CUDA device answers: %s", error == cudaSuccess ? "there is none" : cudaGetErrorString(error));
        return sky_hint("use [device] backend = cpu (or auto); `nvidia-smi` shows what the driver sees, CUDA_VISIBLE_DEVICES may hide devices");
    }
    if (index >= count) return sky_fail(SKY_DEVICE, "device.index", "there is no device %d: this machine has %d, counted from 0", index, count);
    SKY_TRY(check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "device.index", "asking the device"));
    if (major < OLDEST_MAJOR)
        return sky_fail(SKY_DEVICE, "device.index", "device %d is too old: compute capability %d.x, at least %d.0 is needed", index, major, OLDEST_MAJOR);
    return SKY_OK;
}

bool sky_cuda_describe(int index, char out[160])
{
    struct cudaDeviceProp properties;
    out[0] = 0;
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) return false;
    snprintf(out, 160, "%.80s, sm_%d%d, %d multiprocessors, %.1f GiB", properties.name, properties.major, properties.minor, properties.multiProcessorCount,
             (double)properties.totalGlobalMem / (1 << 30));
    return true;
}

static void print_version(char out[32], int version)
{
    if (version) snprintf(out, 32, "%d.%d", version / 1000, version % 1000 / 10);
    else snprintf(out, 32, "none");
}

int sky_cuda_libraries(struct sky_cuda_library out[4])
{
    int runtime = 0, driver = 0;
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    out[0] = (struct sky_cuda_library){.name = "CUDA run time", .file = "libcudart"};
    print_version(out[0].compiled, CUDART_VERSION);
    print_version(out[0].loaded, runtime);
    out[1] = (struct sky_cuda_library){.name = "NVIDIA driver", .file = "libcuda.so"};
    print_version(out[1].compiled, CUDART_VERSION);
    print_version(out[1].loaded, driver);
    out[2] = (struct sky_cuda_library){.name = "cuDNN", .file = "libcudnn"};
    sky_cudnn_versions(out[2].compiled, out[2].loaded);
    out[3] = (struct sky_cuda_library){.name = "cuBLAS", .file = "libcublas"};
    sky_cublas_versions(out[3].compiled, out[3].loaded);
    return 4;
}

/* ---- services ---- */

static void cuda_close(struct sky_device *device)
{
    struct sky_cuda *cuda = device->state;
    if (!cuda) return;
    sky_cudnn_close(cuda);
    sky_cublas_close(cuda);
    for (int64_t i = 0; i < cuda->mark_count; i++)
        if (cuda->marks[i]) cudaEventDestroy(cuda->marks[i]);
    free(cuda->marks);
    for (int slot = 0; slot < 2; slot++) {
        if (cuda->filled[slot]) cudaEventDestroy(cuda->filled[slot]);
        if (cuda->used[slot]) cudaEventDestroy(cuda->used[slot]);
        if (cuda->reported[slot]) cudaEventDestroy(cuda->reported[slot]);
    }
    if (cuda->copies) cudaStreamDestroy(cuda->copies);
    if (cuda->stream) cudaStreamDestroy(cuda->stream);
    free(cuda);
    device->state = NULL;
}

static sky_status cuda_open(struct sky_device *device)
{
    const int index = device->options.index;
    sky_status status = SKY_OK;
    SKY_TRY(sky_cuda_find(index));
    SKY_TRY(check(cudaSetDevice(index), "cuda", "choosing the device"));
    struct sky_cuda *cuda = NULL;
    SKY_TRY(sky_alloc(&cuda, 1, sizeof *cuda, "the CUDA back end"));
    device->state = cuda;
    cuda->workspace_cap = SKY_PLAN_WORKSPACE_CAP;
    SKY_TRY_DONE(check(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking), "cuda", "a stream"));
    SKY_TRY_DONE(check(cudaStreamCreateWithFlags(&cuda->copies, cudaStreamNonBlocking), "cuda", "a stream"));
    for (int slot = 0; slot < 2; slot++) {
        SKY_TRY_DONE(check(cudaEventCreateWithFlags(&cuda->filled[slot], cudaEventDisableTiming), "cuda", "an event"));
        SKY_TRY_DONE(check(cudaEventCreateWithFlags(&cuda->used[slot], cudaEventDisableTiming), "cuda", "an event"));
        SKY_TRY_DONE(check(cudaEventCreateWithFlags(&cuda->reported[slot], cudaEventDisableTiming), "cuda", "an event"));
    }
    SKY_TRY_DONE(sky_cublas_open(cuda, device->options.tf32));
    SKY_TRY_DONE(sky_cudnn_open(cuda, &device->options));
done:
    if (status != SKY_OK) cuda_close(device);
    return status;
}

static sky_status cuda_arena_alloc(struct sky_device *device, size_t bytes, const char *what, void **out)
{
    const struct sky_cuda *cuda = device->state;
    size_t available = 0, total = 0;
    const cudaError_t error = cudaMalloc(out, bytes);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it is reported here: later launches are not to find it */
        cudaMemGetInfo(&available, &total);
        sky_fail(SKY_NOMEM, what, "%.2f GiB wanted, %.2f of the device's %.2f GiB are free", (double)bytes / (1 << 30), (double)available / (1 << 30),
                 (double)total / (1 << 30));
        return sky_hint("lower [train] batch_size (and raise accumulate), [data] image_size or, in evaluation, [eval] batch_size; `nvidia-smi` shows who else "
                        "uses the device");
    }
    SKY_TRY(check(error, what, "memory on the device"));
    const sky_status status = check(cudaMemsetAsync(*out, 0, bytes, cuda->stream), what, "clearing memory");
    if (status != SKY_OK) cudaFree(*out), *out = NULL;
    return status;
}

static void cuda_arena_free(struct sky_device *device, void *memory, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    (void)bytes;
    cudaStreamSynchronize(cuda->stream);
    cudaFree(memory);
}

/* From pageable memory: the source has been read when the call returns, and the copy comes after all that was enqueued before. */
static sky_status cuda_copy_in(struct sky_device *device, void *to, const void *from_host, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, cuda->stream), "cuda", "copying to the device");
}

static sky_status cuda_synchronize(struct sky_device *device)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaStreamSynchronize(cuda->stream), "cuda", "waiting for the device");
}

static struct CUstream_st *cuda_stream(const struct sky_device *device)
{
    const struct sky_cuda *cuda = device->state;
    return cuda->stream;
}

static sky_status cuda_copy_out(struct sky_device *device, void *to_host, const void *from, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    SKY_TRY(check(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, cuda->stream), "cuda", "copying from the device"));
    return cuda_synchronize(device);
}

static sky_status cuda_copy_within(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream), "cuda", "copying on the device");
}

static sky_status cuda_memory_used(struct sky_device *device, size_t *bytes)
{
    (void)device;
    size_t available = 0, total = 0;
    SKY_TRY(check(cudaMemGetInfo(&available, &total), "cuda", "asking the device for its memory"));
    *bytes = total - available;
    return SKY_OK;
}

/* ---- staging ---- */

/* Small buffers may share a page with one that is pinned already: copies from them take the detour, no more. */
static sky_status cuda_pin(struct sky_device *device, void *host, size_t bytes)
{
    (void)device;
    const cudaError_t error = cudaHostRegister(host, bytes, cudaHostRegisterDefault);
    if (error != cudaErrorHostMemoryAlreadyRegistered) return check(error, "cuda", "pinning host memory");
    cudaGetLastError();
    return SKY_OK;
}

static void cuda_unpin(struct sky_device *device, void *host)
{
    (void)device;
    if (cudaHostUnregister(host) != cudaSuccess) cudaGetLastError();
}

/* An event that was never recorded counts as passed. */
static sky_status cuda_stage_begin(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaStreamWaitEvent(cuda->copies, cuda->used[slot], 0), "cuda", "waiting for a slot");
}

static sky_status cuda_stage_copy(struct sky_device *device, void *to, const void *from_host, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, cuda->copies), "cuda", "copying a batch");
}

static sky_status cuda_stage_end(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaEventRecord(cuda->filled[slot], cuda->copies), "cuda", "an event");
}

static sky_status cuda_stage_take(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaStreamWaitEvent(cuda->stream, cuda->filled[slot], 0), "cuda", "waiting for a batch");
}

static sky_status cuda_stage_release(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    SKY_TRY(check(cudaEventRecord(cuda->used[slot], cuda->stream), "cuda", "an event"));
    return check(cudaEventSynchronize(cuda->filled[slot]), "cuda", "copying a batch");
}

static sky_status cuda_stage_read(struct sky_device *device, void *to_host, const void *from, size_t bytes)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, cuda->stream), "cuda", "copying results from the device");
}

static sky_status cuda_stage_read_end(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaEventRecord(cuda->reported[slot], cuda->stream), "cuda", "an event");
}

static sky_status cuda_stage_read_wait(struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaEventSynchronize(cuda->reported[slot]), "cuda", "waiting for a step");
}

static struct CUevent_st *cuda_stage_read_event(const struct sky_device *device, int slot)
{
    const struct sky_cuda *cuda = device->state;
    return cuda->reported[slot];
}

static const struct sky_staging staging = {.pin = cuda_pin,
                                           .unpin = cuda_unpin,
                                           .begin = cuda_stage_begin,
                                           .copy = cuda_stage_copy,
                                           .end = cuda_stage_end,
                                           .take = cuda_stage_take,
                                           .release = cuda_stage_release,
                                           .read = cuda_stage_read,
                                           .read_end = cuda_stage_read_end,
                                           .read_wait = cuda_stage_read_wait,
                                           .read_event = cuda_stage_read_event};

/* ---- recordings ---- */

static sky_status cuda_record_begin(struct sky_device *device)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal), "cuda", "recording a step");
}

static sky_status cuda_record_end(struct sky_device *device, void **recording)
{
    const struct sky_cuda *cuda = device->state;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t executable = NULL;
    *recording = NULL;
    sky_status status = check(cudaStreamEndCapture(cuda->stream, &graph), "cuda", "recording a step");
    if (status == SKY_OK) status = check(cudaGraphInstantiate(&executable, graph, 0), "cuda", "making a step's graph");
    if (status == SKY_OK) status = check(cudaGraphUpload(executable, cuda->stream), "cuda", "making a step's graph");
    if (graph) cudaGraphDestroy(graph);
    if (status == SKY_OK) *recording = executable;
    else if (executable) cudaGraphExecDestroy(executable);
    return status;
}

static sky_status cuda_replay(struct sky_device *device, void *recording)
{
    const struct sky_cuda *cuda = device->state;
    return check(cudaGraphLaunch(recording, cuda->stream), "cuda", "launching a step's graph");
}

static void cuda_recording_free(struct sky_device *device, void *recording)
{
    (void)device;
    if (recording) cudaGraphExecDestroy(recording);
}

/* ---- times and ceilings ---- */

static sky_status cuda_mark(struct sky_device *device, int64_t slot)
{
    struct sky_cuda *cuda = device->state;
    if (slot >= cuda->mark_count) {
        struct CUevent_st **marks = realloc(cuda->marks, (size_t)(slot + 1) * sizeof *marks);
        if (!marks) return sky_fail(SKY_NOMEM, "cuda", "no memory for events");
        memset(marks + cuda->mark_count, 0, (size_t)(slot + 1 - cuda->mark_count) * sizeof *marks);
        cuda->marks = marks, cuda->mark_count = slot + 1;
    }
    if (!cuda->marks[slot]) SKY_TRY(check(cudaEventCreate(&cuda->marks[slot]), "cuda", "an event"));
    return check(cudaEventRecord(cuda->marks[slot], cuda->stream), "cuda", "an event");
}

static sky_status cuda_marked_seconds(struct sky_device *device, int64_t from, int64_t to, double *seconds)
{
    const struct sky_cuda *cuda = device->state;
    float ms = 0;
    SKY_TRY(check(cudaEventSynchronize(cuda->marks[to]), "cuda", "an event"));
    SKY_TRY(check(cudaEventElapsedTime(&ms, cuda->marks[from], cuda->marks[to]), "cuda", "an event"));
    *seconds = 1e-3 * (double)ms;
    return SKY_OK;
}

static sky_status cuda_ceilings(struct sky_device *device, enum sky_dtype map_dtype, struct sky_ceilings *out)
{
    enum { RUNS = 10 };
    const size_t bytes = (size_t)1 << 30;
    void *blocks[2] = {NULL, NULL};
    double seconds = 0;
    sky_status status = SKY_OK;
    for (int i = 0; i < 2; i++) SKY_TRY_DONE(cuda_arena_alloc(device, bytes, "a memory benchmark", &blocks[i]));
    for (int run = -2; run < RUNS; run++) {
        if (run == 0) SKY_TRY_DONE(cuda_mark(device, 0));
        SKY_TRY_DONE(cuda_copy_within(device, blocks[0], blocks[1], bytes));
    }
    SKY_TRY_DONE(cuda_mark(device, 1));
    SKY_TRY_DONE(cuda_marked_seconds(device, 0, 1, &seconds));
    out->bytes_per_second = 2.0 * RUNS * (double)bytes / seconds;
    SKY_TRY_DONE(sky_cublas_rate(device->state, map_dtype, &out->multiply_adds_per_second));
done:
    for (int i = 0; i < 2; i++)
        if (blocks[i]) cuda_arena_free(device, blocks[i], bytes);
    return status;
}

static const struct sky_backend backend = {
    .name = "cuda",
    .description = "cuDNN for convolutions, cuBLAS for heads, own kernels for the rest; f32, tf32, bf16, fp16",
    .open = cuda_open,
    .close = cuda_close,
    .arena_alloc = cuda_arena_alloc,
    .arena_free = cuda_arena_free,
    .copy_in = cuda_copy_in,
    .copy_out = cuda_copy_out,
    .copy_within = cuda_copy_within,
    .to_bf16 = sky_cuda_to_bf16,
    .from_bf16 = sky_cuda_from_bf16,
    .synchronize = cuda_synchronize,
    .stream = cuda_stream,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .replay = cuda_replay,
    .recording_free = cuda_recording_free,
    .mark = cuda_mark,
    .marked_seconds = cuda_marked_seconds,
    .ceilings = cuda_ceilings,
    .memory_used = cuda_memory_used,
    .staging = &staging,
    .count_keys = sky_cuda_rank,
    .top_keys = sky_cuda_top,
    .operations = sky_cuda_operations,
};

const struct sky_backend *sky_cuda_backend(void) { return &backend; }
