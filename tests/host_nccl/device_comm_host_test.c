/*
 * src/comm/nccl.c without a device, on a stand-in for CUDA and NCCL (fake.h), with ranks as threads: sums wait for the compute stream and it for them, calls
 * that do not block are polled, and every way in which it can go wrong ends with the message and within the time that was promised. What a real device does:
 * tests/gpu/device_comm_test.c.
 */
#include "check.h"
#include "fake.h"

#include "base/clock.h"
#include "comm/board.h"
#include "comm/device_comm.h"

#include <math.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 3, COUNT = 10000, BUCKETS = 4, STEPS = 3, GATHERED = 10 };

struct rank {
    struct sky_comm_place place;
    int stalls_at; /* step before which this rank stops for good; -1: none */
    bool gone;     /* then it is said to be dead */
    sky_status status;
    struct sky_error error;
    double seconds; /* that the failing call and the abort took */
    int wrong;
    pthread_t thread;
};

/* One step's "kernels". */
struct work {
    float *data, *result, *all; /* [COUNT], [COUNT], [MOST][GATHERED] */
    float own[GATHERED];
    int rank, step;
    uint64_t times[2]; /* of the last wait */
};

static void fill(void *argument)
{
    struct work *work = argument;
    const struct timespec slow = {.tv_nsec = 5000000};
    nanosleep(&slow, NULL);
    for (int i = 0; i < GATHERED; i++) work->own[i] = (float)(100 * work->rank + 10 * work->step + i);
    for (int i = 0; i < COUNT; i++) work->data[i] = (float)(i % 100 + 6 * work->rank + work->step);
}

static void copy(void *argument)
{
    const struct work *work = argument;
    memcpy(work->result, work->data, COUNT * sizeof *work->data);
}

static sky_status step(struct sky_device_comm *comm, struct work *work, cudaStream_t compute)
{
    fake_launch(compute, fill, work);
    SKY_TRY(sky_device_comm_gather(comm, work->own, sizeof work->own, work->all, "a gather", compute));
    for (int b = 0; b < BUCKETS; b++)
        SKY_TRY(sky_device_comm_start(comm, work->data + b * COUNT / BUCKETS, COUNT / BUCKETS, SKY_F32, SKY_COMM_MEAN, "gradients", compute));
    SKY_TRY(sky_device_comm_wait(comm, compute, work->times));
    fake_launch(compute, copy, work);
    return sky_device_comm_synchronize(comm, compute, "a step");
}

static sky_status train(struct rank *rank, struct sky_comm *host, struct sky_device_comm *comm, cudaStream_t compute, struct work *work)
{
    const int size = rank->place.size;
    for (int s = 0; s < STEPS; s++) {
        if (rank->gone && rank->stalls_at == s) {
            const struct sky_error error = {SKY_PEER, "", "was killed by signal 9", ""};
            sky_seat_end(sky_comm_place(host)->board, rank->place.rank, SKY_SEAT_GONE, &error);
        }
        if (rank->stalls_at == s) return sky_fail(SKY_INTERNAL, "test", "stalled");
        sky_comm_at(host, "train", s);
        work->step = s;
        SKY_TRY(step(comm, work, compute));
        for (int i = 0; i < COUNT; i++) rank->wrong += !(fabsf(work->result[i] - (float)(i % 100 + 3 * (size - 1) + s)) <= 1e-4f); /* a third is rounded */
        for (int i = 0; i < size * GATHERED; i++) rank->wrong += work->all[i] != (float)(100 * (i / GATHERED) + 10 * s + i % GATHERED);
        rank->wrong += !(work->times[1] > work->times[0]); /* the compute stream has nothing to do but to wait */
    }
    return SKY_OK;
}

static void *rank_main(void *argument)
{
    struct rank *rank = argument;
    struct sky_comm *host = NULL;
    struct sky_device_comm *comm = NULL;
    /* They outlive the rank: after a failure a stream may still hold them. */
    struct work *work = calloc(1, sizeof *work);
    cudaStream_t compute = NULL;
    fake_rank = rank->place.rank;
    cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
    *work = (struct work){.data = calloc(COUNT, sizeof(float)), .result = calloc(COUNT, sizeof(float)), .all = calloc(MOST * GATHERED, sizeof(float)), .rank = rank->place.rank};
    rank->status = sky_comm_open(&host, &rank->place);
    const double begin = sky_now();
    if (rank->status == SKY_OK) rank->status = sky_device_comm_open(&comm, host, rank->place.local_rank);
    if (rank->status == SKY_OK) rank->status = train(rank, host, comm, compute, work);
    rank->error = *sky_error_last();
    if (rank->stalls_at >= 0) { /* until the others have had time to notice */
        const struct timespec nap = {.tv_sec = 3};
        nanosleep(&nap, NULL);
        return NULL;
    }
    if (rank->status == SKY_OK) {
        sky_device_comm_close(comm);
        rank->status = sky_comm_close(host);
        free(work->data);
        free(work->result);
        free(work->all);
        free(work);
        return NULL;
    }
    sky_device_comm_abort(comm);
    sky_comm_abort(host, &rank->error);
    rank->seconds = sky_now() - begin;
    return NULL;
}

static void run_ranks(struct rank ranks[MOST], int size, double timeout, int stalls_at, bool gone)
{
    struct sky_board *board = NULL;
    int descriptor = -1;
    if (!CHECK_OK(sky_board_create(&board, size, sky_local_box_bytes(size), &descriptor))) return;
    memset(ranks, 0, MOST * sizeof *ranks);
    for (int r = 0; r < size; r++) {
        ranks[r].place = (struct sky_comm_place){.kind = size > 1 ? SKY_COMM_LOCAL : SKY_COMM_SELF, .rank = r, .size = size, .local_rank = r, .local_size = size,
                                                 .board = board, .timeout_seconds = timeout, .program = "test"};
        ranks[r].stalls_at = r == 1 ? stalls_at : -1, ranks[r].gone = gone;
        pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]);
    }
    for (int r = 0; r < size; r++) pthread_join(ranks[r].thread, NULL);
    close(descriptor); /* the board stays: threads of a rank that stalled still look at it */
}

static void expect(const struct rank *rank, sky_status status, const char *text)
{
    char all[4096];
    snprintf(all, sizeof all, "%s: %s", rank->error.where, rank->error.what);
    if (!CHECK(rank->status == status && strstr(all, text)))
        printf("rank %d: %s: %s, should be %s with: %s\n", rank->place.rank, sky_status_name(rank->status), all, sky_status_name(status), text);
}

static void test_sums(void)
{
    struct rank ranks[MOST];
    for (int size = 1; size <= MOST; size++) {
        run_ranks(ranks, size, 60, -1, false);
        for (int r = 0; r < size; r++) {
            if (!CHECK(ranks[r].status == SKY_OK)) printf("rank %d: %s: %s\n", r, ranks[r].error.where, ranks[r].error.what);
            CHECK(ranks[r].wrong == 0);
        }
    }
    CHECK(fake_allocations() == 0);
}

static void test_start_up(void)
{
    static const struct {
        struct fake_faults faults;
        sky_status status[2]; /* of rank 0 and 1 */
        const char *told[2];
    } rows[] = {
        {{.missing = true}, {SKY_PEER, SKY_DEVICE}, {"opening NCCL: rank 1 has failed: libnccl.so.2: cannot be loaded: no such file", "libnccl.so.2: cannot be loaded"}},
        {{.same_device = true}, {SKY_DEVICE, SKY_DEVICE}, {"device.index: ranks 0 and 1 have the same device: 0000:17:00.0 on ", "ranks 0 and 1 have the same device"}},
        {{.other_version = true}, {SKY_DEVICE, SKY_DEVICE}, {"NCCL: rank 0 has version code ", "rank 1 has "}},
        {{.nobody_meets = true}, {SKY_PEER, SKY_PEER}, {"have not come to their end within 1 s", "have not come to their end within 1 s"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rank ranks[MOST];
        fake_faults = rows[i].faults;
        run_ranks(ranks, 2, 1, -1, false);
        for (int r = 0; r < 2; r++) expect(&ranks[r], rows[i].status[r], rows[i].told[r]);
    }
    fake_faults = (struct fake_faults){.missing = false};
}

static void test_faults(void)
{
    struct rank ranks[MOST];
    run_ranks(ranks, 3, 1, 1, false);
    for (int r = 0; r < 3; r += 2) { /* rank 0 or 2 may hear of the other's failure first */
        CHECK(ranks[r].status == SKY_PEER && ranks[r].seconds < 9);
        CHECK(strstr(ranks[r].error.what, "rank 1 was last seen in train, step 0") || strstr(ranks[r].error.what, "has failed"));
    }
    CHECK(strstr(ranks[0].error.what, "rank 1 was last seen in train, step 0") || strstr(ranks[2].error.what, "rank 1 was last seen in train, step 0"));

    run_ranks(ranks, 2, 60, 2, true);
    expect(&ranks[0], SKY_PEER, "rank 1 is gone, in train, step 1, between collectives: was killed by signal 9");
    CHECK(ranks[0].seconds < 9);

    fake_faults = (struct fake_faults){.remote_error = true};
    run_ranks(ranks, 2, 60, -1, false);
    CHECK(ranks[0].status == SKY_PEER && ranks[1].status == SKY_PEER);
    CHECK(strstr(ranks[0].error.what, "NCCL: remote process exited") || strstr(ranks[1].error.what, "NCCL: remote process exited"));

    fake_faults = (struct fake_faults){.abort_hangs = true};
    run_ranks(ranks, 2, 1, 1, false);
    expect(&ranks[0], SKY_PEER, "rank 1 was last seen in train, step 0");
    CHECK(ranks[0].seconds > 5 && ranks[0].seconds < 9); /* given up */
    fake_faults = (struct fake_faults){.missing = false};
}

int main(void)
{
    test_sums();
    test_start_up();
    test_faults();
    return check_done();
}
