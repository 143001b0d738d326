/*
 * NCCL with one rank, on a device: sums in buckets, eager and recorded, leave exactly what they were given, behind and before the compute stream's own work;
 * two ranks on one device are an error that names both. Without a device there is nothing to test but the library's version.
 */
#include "check.h"

#include "backend/with_cuda.h"
#include "comm/board.h"
#include "comm/device_comm.h"

#include <cuda_runtime.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

enum { COUNT = 3000001, BUCKETS = 4 };

/* source -> data, sums of data in buckets, data -> result by a gather of one, all on the compute stream. */
static sky_status step(struct sky_device_comm *comm, float *source, float *data, float *result, uint64_t *times, cudaStream_t compute)
{
    cudaMemcpyAsync(data, source, COUNT * sizeof *data, cudaMemcpyDeviceToDevice, compute);
    for (int b = 0; b < BUCKETS; b++) {
        const int64_t begin = (int64_t)COUNT * b / BUCKETS, end = (int64_t)COUNT * (b + 1) / BUCKETS;
        SKY_TRY(sky_device_comm_start(comm, data + begin, end - begin, SKY_F32, SKY_COMM_MEAN, "a bucket", compute));
    }
    SKY_TRY(sky_device_comm_start(comm, data, 0, SKY_F32, SKY_COMM_SUM, "an empty bucket", compute));
    SKY_TRY(sky_device_comm_wait(comm, compute, times));
    return sky_device_comm_gather(comm, data, COUNT * sizeof *data, result, "a gather", compute);
}

/* The recording is replayed with other numbers each time. */
static void test_sums(struct sky_device_comm *comm)
{
    float *host = malloc(COUNT * sizeof *host), *back = malloc(COUNT * sizeof *back), *memory[3] = {NULL, NULL, NULL};
    cudaStream_t compute = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t recording = NULL;
    CHECK(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking) == cudaSuccess);
    for (int i = 0; i < 3; i++) CHECK(cudaMalloc((void **)&memory[i], COUNT * sizeof *host) == cudaSuccess);
    uint64_t times[2] = {0, 0}, *noted = NULL;
    CHECK(cudaMalloc((void **)&noted, sizeof times) == cudaSuccess);
    for (int run = 0; run < 5; run++) {
        for (int64_t i = 0; i < COUNT; i++) host[i] = (float)(i % 9973) / 7 + (float)run;
        CHECK(cudaMemcpy(memory[0], host, COUNT * sizeof *host, cudaMemcpyHostToDevice) == cudaSuccess);
        CHECK(cudaMemset(memory[2], 0, COUNT * sizeof *host) == cudaSuccess);
        if (run == 2) {
            CHECK(cudaStreamBeginCapture(compute, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
            CHECK_OK(step(comm, memory[0], memory[1], memory[2], noted, compute));
            CHECK(cudaStreamEndCapture(compute, &graph) == cudaSuccess);
            CHECK(cudaGraphInstantiate(&recording, graph, 0) == cudaSuccess);
        }
        if (run < 2) CHECK_OK(step(comm, memory[0], memory[1], memory[2], noted, compute));
        else CHECK(cudaGraphLaunch(recording, compute) == cudaSuccess);
        CHECK_OK(sky_device_comm_synchronize(comm, compute, "the test"));
        CHECK(cudaMemcpy(back, memory[2], COUNT * sizeof *back, cudaMemcpyDeviceToHost) == cudaSuccess);
        CHECK(!memcmp(back, host, COUNT * sizeof *back));
        const uint64_t before = times[1];
        CHECK(cudaMemcpy(times, noted, sizeof times, cudaMemcpyDeviceToHost) == cudaSuccess);
        CHECK(times[0] > before && times[1] >= times[0] && times[1] - times[0] < 1000000000); /* of the wait in this run, recorded or not */
    }
    CHECK_FAILS(sky_device_comm_start(comm, memory[0], 1, SKY_U8, SKY_COMM_SUM, "bytes", compute), SKY_UNSUPPORTED, "u8");
    if (recording) cudaGraphExecDestroy(recording);
    if (graph) cudaGraphDestroy(graph);
    for (int i = 0; i < 3; i++) cudaFree(memory[i]);
    cudaFree(noted);
    cudaStreamDestroy(compute);
    free(host);
    free(back);
}

/* Two threads as two ranks that chose the same device. */
struct rank {
    struct sky_comm_place place;
    pthread_t thread;
    sky_status status;
    struct sky_error error;
};

static void *rank_main(void *argument)
{
    struct rank *rank = argument;
    struct sky_comm *host = NULL;
    struct sky_device_comm *comm = NULL;
    rank->status = sky_comm_open(&host, &rank->place);
    if (rank->status == SKY_OK) rank->status = sky_device_comm_open(&comm, host, 0);
    rank->error = *sky_error_last();
    sky_device_comm_abort(comm);
    sky_comm_abort(host, &rank->error);
    return NULL;
}

static void test_same_device(void)
{
    struct rank ranks[2];
    struct sky_board *board = NULL;
    int descriptor = -1;
    CHECK_OK(sky_board_create(&board, 2, sky_local_box_bytes(2), &descriptor));
    memset(ranks, 0, sizeof ranks);
    for (int r = 0; r < 2; r++) {
        ranks[r].place = (struct sky_comm_place){.kind = SKY_COMM_LOCAL, .rank = r, .size = 2, .local_rank = r, .local_size = 2, .board = board, .timeout_seconds = 60};
        pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]);
    }
    for (int r = 0; r < 2; r++) pthread_join(ranks[r].thread, NULL);
    for (int r = 0; r < 2; r++) CHECK(ranks[r].status == SKY_DEVICE && strstr(ranks[r].error.what, "ranks 0 and 1 have the same device"));
    sky_board_free(board);
    close(descriptor);
}

int main(void)
{
    struct sky_device_comm *comm = NULL;
    char compiled[32], loaded[32];
    if (!sky_device_comm_library(compiled, loaded)) {
        check_skip("sums over devices", "this program is built without NCCL");
        return check_done();
    }
    CHECK(strcmp(loaded, "none") != 0 && loaded[0] == compiled[0]); /* 2.x, also where there is no device */
    if (sky_cuda_find(0) != SKY_OK) {
        check_skip("sums over devices", sky_error_last()->what);
        CHECK(sky_device_comm_open(&comm, NULL, 0) != SKY_OK && !comm);
        return check_done();
    }
    CHECK(cudaSetDevice(0) == cudaSuccess);
    if (CHECK_OK(sky_device_comm_open(&comm, NULL, 0))) {
        test_sums(comm);
    }
    sky_device_comm_close(comm);
    test_same_device();
    return check_done();
}
