/*
 * Collectives between ranks that are threads of this program, each with its own comm on one board: results bit by bit, odd and empty counts, the order of
 * calls, overlap, and what a rank is told when another one is late, ends, fails, dies or goes its own way. Processes and MPI: tests/dist.
 */
#include "check.h"

#include "base/clock.h"
#include "comm/board.h"
#include "comm/comm.h"
#include "comm/transport.h"

#include <pthread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4 };

/* What a rank does; its verdict comes back in `status` and `error`. */
struct rank {
    struct sky_comm_place place;
    void (*body)(struct rank *rank, struct sky_comm *comm);
    int64_t argument;
    sky_status status;
    struct sky_error error;
    double seconds;
    int wrong; /* values that are not what they should be */
    pthread_t thread;
};

static void note(struct rank *rank, sky_status status)
{
    if (rank->status != SKY_OK || status == SKY_OK) return;
    rank->status = status, rank->error = *sky_error_last();
}

static void *rank_main(void *argument)
{
    struct rank *rank = argument;
    struct sky_comm *comm = NULL;
    const double begin = sky_now();
    note(rank, sky_comm_open(&comm, &rank->place));
    if (rank->status == SKY_OK) rank->body(rank, comm);
    else sky_comm_abort(comm, &rank->error);
    rank->seconds = sky_now() - begin;
    return NULL;
}

/* Runs `size` ranks (those from `present` on do not come) and waits for their ends. */
static void run_ranks(struct rank ranks[MOST], int size, int present, double timeout, int64_t argument, void (*body)(struct rank *, struct sky_comm *))
{
    struct sky_board *board = NULL;
    int descriptor = -1;
    if (!CHECK_OK(sky_board_create(&board, size, sky_local_box_bytes(size), &descriptor))) return;
    memset(ranks, 0, MOST * sizeof *ranks);
    for (int r = 0; r < present; r++) {
        ranks[r].place = (struct sky_comm_place){
            .kind = size > 1 ? SKY_COMM_LOCAL : SKY_COMM_SELF, .rank = r, .size = size, .board = board, .timeout_seconds = timeout, .program = "test"};
        ranks[r].body = body, ranks[r].argument = argument;
        pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]);
    }
    for (int r = 0; r < present; r++) pthread_join(ranks[r].thread, NULL);
    sky_board_free(board);
    close(descriptor);
}

/* Whole numbers below 2^24: every order of adding gives the same. */
static int64_t value_of(int rank, int64_t i)
{
    return (rank + 1) * 100 + i % 89 - 40;
}

static double expected(enum sky_comm_sum sum, int size, int64_t i)
{
    double total = 0, most = -1e30;
    for (int r = 0; r < size; r++) {
        const double value = (double)value_of(r, i);
        total += value;
        most = value > most ? value : most;
    }
    return sum == SKY_COMM_MAX ? most : sum == SKY_COMM_MEAN ? total / size : total;
}

static void put(void *data, enum sky_dtype dtype, int64_t i, int64_t value)
{
    if (dtype == SKY_F32) ((float *)data)[i] = (float)value;
    else if (dtype == SKY_F64) ((double *)data)[i] = (double)value;
    else if (dtype == SKY_I64) ((int64_t *)data)[i] = value;
    else ((uint16_t *)data)[i] = sky_float_to_bf16((float)value);
}

/* What the sum must be, as its type holds it. bf16 has 8 bits: the ranks' values are rounded, added in f32, and rounded again. */
static int is_right(const void *data, enum sky_dtype dtype, enum sky_comm_sum sum, int size, int64_t i)
{
    float total = 0;
    if (dtype == SKY_F32) return ((const float *)data)[i] == (float)expected(sum, size, i);
    if (dtype == SKY_F64) return ((const double *)data)[i] == expected(sum, size, i);
    if (dtype == SKY_I64) return ((const int64_t *)data)[i] == (int64_t)expected(sum, size, i);
    for (int r = 0; r < size; r++) {
        const float value = sky_bf16_to_float(sky_float_to_bf16((float)value_of(r, i)));
        total = sum != SKY_COMM_MAX ? total + value : r == 0 || value > total ? value : total;
    }
    return ((const uint16_t *)data)[i] == sky_float_to_bf16(sum == SKY_COMM_MEAN ? total / (float)size : total);
}

static void reduce_body(struct rank *rank, struct sky_comm *comm)
{
    static const enum sky_dtype dtypes[] = {SKY_F32, SKY_F64, SKY_BF16, SKY_I64};
    const int64_t count = rank->argument;
    const int me = sky_comm_rank(comm), size = sky_comm_size(comm);
    unsigned char *data = malloc((size_t)(count + 1) * 8);
    for (int d = 0; d < 4; d++) {
        for (int sum = SKY_COMM_SUM; sum <= SKY_COMM_MAX; sum++) {
            const size_t bytes = (size_t)count * sky_dtype_bytes(dtypes[d]);
            if (dtypes[d] == SKY_I64 && sum == SKY_COMM_MEAN) continue;
            for (int64_t i = 0; i < count; i++) put(data, dtypes[d], i, value_of(me, i));
            memset(data + bytes, 0x5a, 8);
            note(rank, sky_comm_reduce(comm, data, count, dtypes[d], (enum sky_comm_sum)sum, "values"));
            for (int64_t i = 0; i < count; i++) rank->wrong += !is_right(data, dtypes[d], (enum sky_comm_sum)sum, size, i);
            for (int i = 0; i < 8; i++) rank->wrong += data[bytes + (size_t)i] != 0x5a;
        }
    }
    free(data);
    note(rank, sky_comm_close(comm));
}

static void test_reduce(void)
{
    static const int64_t counts[] = {0, 1, 2, 3, 15, 17, 1000, 65537, 1200001};
    struct rank ranks[MOST];
    for (int size = 1; size <= MOST; size++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            run_ranks(ranks, size, size, 60, counts[c], reduce_body);
            for (int r = 0; r < size; r++) {
                if (!CHECK(ranks[r].status == SKY_OK)) printf("rank %d of %d: %s: %s\n", r, size, ranks[r].error.where, ranks[r].error.what);
                CHECK(ranks[r].wrong == 0);
            }
        }
    }
}

static void others_body(struct rank *rank, struct sky_comm *comm)
{
    const int me = sky_comm_rank(comm), size = sky_comm_size(comm);
    const size_t bytes = (size_t)rank->argument;
    unsigned char *mine = malloc(bytes + 1), *all = malloc(bytes * (size_t)size + 1);
    for (int root = 0; root < size; root++) {
        for (size_t i = 0; i < bytes; i++) mine[i] = (unsigned char)(i * 7 + (size_t)me);
        note(rank, sky_comm_broadcast(comm, mine, bytes, root, "a broadcast"));
        for (size_t i = 0; i < bytes; i++) rank->wrong += mine[i] != (unsigned char)(i * 7 + (size_t)root);
    }
    for (size_t i = 0; i < bytes; i++) mine[i] = (unsigned char)(i * 3 + (size_t)me);
    note(rank, sky_comm_gather(comm, mine, bytes, all, "a gather"));
    for (int r = 0; r < size; r++)
        for (size_t i = 0; i < bytes; i++) rank->wrong += all[(size_t)r * bytes + i] != (unsigned char)(i * 3 + (size_t)r);
    note(rank, sky_comm_same(comm, all, bytes * (size_t)size, "the gathered"));
    note(rank, sky_comm_barrier(comm, "a barrier"));
    note(rank, sky_comm_agree(comm, SKY_OK, "agreeing"));
    free(mine);
    free(all);
    note(rank, sky_comm_close(comm));
}

static void test_others(void)
{
    static const int64_t counts[] = {0, 1, 1000, (2 << 20) - 1, 5 << 20};
    struct rank ranks[MOST];
    for (int size = 1; size <= MOST; size++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            run_ranks(ranks, size, size, 60, counts[c], others_body);
            for (int r = 0; r < size; r++) CHECK(ranks[r].status == SKY_OK && ranks[r].wrong == 0);
        }
    }
}

/* Sums under way while the caller works, more than the queue holds, and other collectives behind them. */
static void overlap_body(struct rank *rank, struct sky_comm *comm)
{
    enum { BUCKETS = 150, EACH = 1000 };
    const int me = sky_comm_rank(comm), size = sky_comm_size(comm);
    float *data = malloc(BUCKETS * EACH * sizeof *data);
    int32_t last = me;
    for (int round = 0; round < 3; round++) {
        for (int b = 0; b < BUCKETS; b++) {
            for (int i = 0; i < EACH; i++) data[b * EACH + i] = (float)value_of(me, b * EACH + i);
            note(rank, sky_comm_reduce_start(comm, data + b * EACH, EACH, SKY_F32, SKY_COMM_MEAN, "a bucket"));
        }
        note(rank, sky_comm_broadcast(comm, &last, sizeof last, size - 1, "behind the buckets"));
        note(rank, sky_comm_reduce_wait(comm));
        for (int64_t i = 0; i < BUCKETS * EACH; i++) rank->wrong += data[i] != (float)expected(SKY_COMM_MEAN, size, i);
        rank->wrong += last != size - 1;
    }
    rank->wrong += !(sky_comm_exposed_seconds(comm) >= 0) || sky_comm_exposed_seconds(comm) != 0;
    free(data);
    note(rank, sky_comm_close(comm));
}

/* Sums that are not exact: in rank order, so the same on all ranks, and the plain loop's. */
static void order_body(struct rank *rank, struct sky_comm *comm)
{
    enum { COUNT = 700001 };
    const int me = sky_comm_rank(comm), size = sky_comm_size(comm);
    float *data = malloc(COUNT * sizeof *data);
    for (int64_t i = 0; i < COUNT; i++) data[i] = (float)value_of(me, i) / 3 * (me % 2 ? 1e-3f : 1e3f);
    note(rank, sky_comm_reduce(comm, data, COUNT, SKY_F32, SKY_COMM_SUM, "values"));
    for (int64_t i = 0; i < COUNT; i++) {
        float want = 0;
        for (int r = 0; r < size; r++) {
            const float value = (float)value_of(r, i) / 3 * (r % 2 ? 1e-3f : 1e3f);
            want = r ? want + value : value;
        }
        rank->wrong += memcmp(&want, &data[i], sizeof want) != 0;
    }
    note(rank, sky_comm_same(comm, data, COUNT * sizeof *data, "the sums"));
    free(data);
    note(rank, sky_comm_close(comm));
}

static void test_order(void)
{
    struct rank ranks[MOST];
    for (int size = 1; size <= MOST; size++) {
        run_ranks(ranks, size, size, 60, 0, overlap_body);
        for (int r = 0; r < size; r++) CHECK(ranks[r].status == SKY_OK && ranks[r].wrong == 0);
        run_ranks(ranks, size, size, 60, 0, order_body);
        for (int r = 0; r < size; r++) CHECK(ranks[r].status == SKY_OK && ranks[r].wrong == 0);
    }
}

/* ---- when something is wrong ---- */

enum fault { LATE, LEAVES, FAILS, ELSEWHERE, OTHER_COUNT, OTHER_STEP, DIFFERS, DISAGREES, GONE };

static void fault_body(struct rank *rank, struct sky_comm *comm)
{
    const enum fault fault = (enum fault)rank->argument;
    const bool faulty = sky_comm_rank(comm) == 1;
    float data[64] = {0};
    sky_status status = SKY_OK;
    sky_comm_at(comm, "train", 7);
    status = sky_comm_reduce(comm, data, 64, SKY_F32, SKY_COMM_MEAN, "gradients");
    sky_comm_at(comm, "train", faulty && fault == OTHER_STEP ? 9 : 8);
    if (faulty && fault == LATE) {
        struct timespec nap = {.tv_nsec = 900000000};
        nanosleep(&nap, NULL);
    }
    if (faulty && fault == LEAVES) {
        note(rank, sky_comm_close(comm));
        return sky_comm_abort(comm, &rank->error);
    }
    if (faulty && fault == FAILS) {
        note(rank, sky_fail(SKY_DATA, "image.jpg", "is not an image"));
        return sky_comm_abort(comm, &rank->error);
    }
    if (faulty && fault == GONE) {
        struct sky_error error = {SKY_PEER, "rank 1", "was killed by signal 9", ""};
        sky_seat_end(sky_comm_place(comm)->board, 1, SKY_SEAT_GONE, &error); /* as the launcher does */
        note(rank, sky_error_set(&error));
        return sky_comm_abort(comm, &error);
    }
    if (status == SKY_OK && faulty && fault == ELSEWHERE) status = sky_comm_barrier(comm, "a checkpoint");
    if (status == SKY_OK) status = sky_comm_reduce(comm, data, faulty && fault == OTHER_COUNT ? 63 : 64, SKY_F32, SKY_COMM_MEAN, "gradients");
    data[0] = faulty ? 1 : 0;
    if (status == SKY_OK && fault == DIFFERS) status = sky_comm_same(comm, data, sizeof data, "parameters");
    if (status == SKY_OK && fault == DISAGREES) status = sky_comm_agree(comm, faulty ? sky_fail(SKY_IO, "disk", "is full") : SKY_OK, "saving");
    note(rank, status);
    if (rank->status == SKY_OK) note(rank, sky_comm_close(comm));
    else sky_comm_abort(comm, &rank->error);
}

static void expect_peer(const struct rank *rank, const char *text)
{
    char all[4096];
    snprintf(all, sizeof all, "%s: %s", rank->error.where, rank->error.what);
    if (!CHECK(rank->status == SKY_PEER && strstr(all, text))) printf("rank %d: %s: %s, should have: %s\n", rank->place.rank, sky_status_name(rank->status), all, text);
}

static void test_faults(void)
{
    static const struct {
        enum fault fault;
        const char *told; /* to the others */
    } rows[] = {
        {LATE, "train, step 8, gradients: rank 1 has kept this rank waiting for 0.3 s; last seen in train, step 8"},
        {LEAVES, "train, step 8, gradients: rank 1 is elsewhere: at train, step 8, the end"},
        {FAILS, "train, step 8, gradients: rank 1 has failed, in train, step 8, between collectives: image.jpg: is not an image"},
        {ELSEWHERE, "train, step 8, gradients: rank 1 is elsewhere: at train, step 8, a checkpoint"},
        {OTHER_COUNT, "train, step 8, gradients: rank 1 brings 63 elements"},
        {OTHER_STEP, "train, step 8, gradients: rank 1 is elsewhere: at train, step 9, gradients"},
        {DIFFERS, "train, step 8, parameters: rank 1 does not have what rank 0 has"},
        {DISAGREES, "train, step 8, saving: rank 1 has failed: disk: is full"},
        {GONE, "train, step 8, gradients: rank 1 is gone, in train, step 8, between collectives: rank 1: was killed by signal 9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int size = 2; size <= MOST; size++) {
            struct rank ranks[MOST];
            const bool late = rows[i].fault == LATE;
            run_ranks(ranks, size, size, late ? 0.3 : 60, rows[i].fault, fault_body);
            for (int r = 0; r < size; r++) {
                if (r != 1) expect_peer(&ranks[r], rows[i].told);
                else CHECK(ranks[r].status == (rows[i].fault == FAILS ? SKY_DATA : rows[i].fault == DISAGREES ? SKY_IO : SKY_PEER));
                CHECK(ranks[r].seconds < 6); /* none waits for what cannot come */
            }
        }
    }
}

static void nothing_body(struct rank *rank, struct sky_comm *comm)
{
    note(rank, sky_comm_close(comm));
}

static void test_start_up(void)
{
    struct rank ranks[MOST];
    struct sky_board *board = NULL;
    struct sky_comm *comm = NULL;
    struct sky_comm_place place = {.kind = SKY_COMM_LOCAL, .rank = 0, .size = 2, .timeout_seconds = 0.2};
    int pair[2], descriptor = -1;
    run_ranks(ranks, 3, 2, 0.3, 0, nothing_body);
    for (int r = 0; r < 2; r++) expect_peer(&ranks[r], "start-up, meeting: rank 2 has not come within 0.3 s");

    CHECK(pipe(pair) == 0);
    CHECK_FAILS(sky_board_map(&board, pair[0]), SKY_USAGE, "is not the launcher's shared memory");
    CHECK_FAILS(sky_board_map(&board, 9999), SKY_USAGE, "is not the launcher's shared memory");
    close(pair[0]);
    close(pair[1]);

    CHECK_OK(sky_board_create(&board, 3, 64, &descriptor));
    place.board = board;
    CHECK_FAILS(sky_comm_open(&comm, &place), SKY_USAGE, "is for 3 ranks, but there are said to be 2");
    place.size = 3;
    CHECK_FAILS(sky_comm_open(&comm, &place), SKY_USAGE, "has no room for data");
    sky_comm_abort(comm, sky_error_last());
    place.rank = 1;
    atomic_store(&sky_board_seat(board, 1)->process, 1);
    CHECK_FAILS(sky_comm_open(&comm, &place), SKY_USAGE, "rank 1 is process 1 already");
    place.rank = 3;
    CHECK_FAILS(sky_comm_open(&comm, &place), SKY_INTERNAL, "rank 3 of 3");
    sky_board_free(board);
    close(descriptor);
}

static void version_body(struct rank *rank, struct sky_comm *comm)
{
    note(rank, sky_comm_close(comm));
}

/* As run_ranks, but one rank is another version. */
static void test_versions(void)
{
    struct rank ranks[2] = {{.body = version_body}, {.body = version_body}};
    struct sky_board *board = NULL;
    int descriptor = -1;
    CHECK_OK(sky_board_create(&board, 2, sky_local_box_bytes(2), &descriptor));
    for (int r = 0; r < 2; r++) {
        ranks[r].place = (struct sky_comm_place){.kind = SKY_COMM_LOCAL, .rank = r, .size = 2, .board = board, .timeout_seconds = 10, .program = r ? "skygem 2" : "skygem 1"};
        pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]);
    }
    for (int r = 0; r < 2; r++) {
        pthread_join(ranks[r].thread, NULL);
        expect_peer(&ranks[r], "the program's version: rank 1 does not have what rank 0 has");
        CHECK(strstr(ranks[r].error.hint, r ? "'skygem 2'" : "'skygem 1'") != NULL);
    }
    sky_board_free(board);
    close(descriptor);
}

static void test_alone(void)
{
    struct sky_comm *comm = NULL;
    const struct sky_comm_place place = {.kind = SKY_COMM_SELF, .size = 1, .timeout_seconds = 1};
    float value = 3, all = 0;
    for (int i = 0; i < 2; i++) { /* NULL, and a comm of one rank */
        CHECK(sky_comm_size(comm) == 1 && sky_comm_rank(comm) == 0);
        sky_comm_at(comm, "train", 1);
        CHECK_OK(sky_comm_reduce(comm, &value, 1, SKY_F32, SKY_COMM_MEAN, "a value"));
        CHECK_OK(sky_comm_reduce_wait(comm));
        CHECK_OK(sky_comm_gather(comm, &value, sizeof value, &all, "a value"));
        CHECK_OK(sky_comm_broadcast(comm, &value, sizeof value, 0, "a value"));
        CHECK_OK(sky_comm_barrier(comm, "a barrier"));
        CHECK_OK(sky_comm_same(comm, &value, sizeof value, "a value"));
        CHECK_OK(sky_comm_agree(comm, SKY_OK, "agreeing"));
        CHECK_FAILS(sky_comm_agree(comm, sky_fail(SKY_IO, "disk", "full"), "agreeing"), SKY_IO, "full");
        CHECK_FAILS(sky_comm_broadcast(comm, &value, sizeof value, 1, "a value"), SKY_INTERNAL, "no rank 1");
        CHECK_FAILS(sky_comm_reduce(comm, &value, 1, SKY_F16, SKY_COMM_SUM, "halves"), SKY_UNSUPPORTED, "f16");
        CHECK_OK(sky_comm_check(comm));
        CHECK(value == 3 && all == 3 && sky_comm_exposed_seconds(comm) == 0);
        if (i == 0) CHECK_OK(sky_comm_open(&comm, &place));
    }
    CHECK_OK(sky_comm_close(comm));
    CHECK_OK(sky_comm_close(NULL));
    sky_comm_abort(NULL, sky_error_last());
}

int main(void)
{
    test_alone();
    test_reduce();
    test_others();
    test_order();
    test_faults();
    test_start_up();
    test_versions();
    return check_done();
}
