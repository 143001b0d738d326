/*
 * A rank that checks every collective's results against what it can compute by itself: types, sums, odd and empty counts, several pieces, sums under way beside
 * each other. Prints the checksum of all it got, which must be the same under every launcher. Usage: comm_results
 */
#include "cli/console.h"
#include "cli/place.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1200001, BUCKETS = 100, BUCKET = 2501 };

/* Not exact, so that the order of the additions shows. */
static float value_of(int rank, int64_t i)
{
    return ((float)(i % 8191) + 1) / 3 * (rank % 2 ? 1e-3f : 1e3f) * (float)(rank + 1);
}

static float expected(enum sky_comm_sum sum, int size, int64_t i)
{
    float total = value_of(0, i);
    for (int r = 1; r < size; r++) {
        const float next = value_of(r, i);
        total = sum != SKY_COMM_MAX ? total + next : next > total ? next : total;
    }
    return sum == SKY_COMM_MEAN ? total / (float)size : total;
}

static sky_status check_floats(const float *got, int64_t count, int64_t first, enum sky_comm_sum sum, int size, uint32_t *crc)
{
    for (int64_t i = 0; i < count; i++) {
        const float want = expected(sum, size, first + i);
        if (memcmp(&want, &got[i], sizeof want))
            return sky_fail(SKY_INTERNAL, "sums", "element %lld of %lld is %.9g, should be %.9g", (long long)i, (long long)count, (double)got[i], (double)want);
    }
    *crc = sky_crc32c(*crc, got, (size_t)count * sizeof *got);
    return SKY_OK;
}

static sky_status reduce_floats(struct sky_comm *comm, float *data, uint32_t *crc)
{
    static const int64_t counts[] = {0, 1, 2, 3, 17, 1000, 65537, MOST};
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        for (int sum = SKY_COMM_SUM; sum <= SKY_COMM_MAX; sum++) {
            for (int64_t i = 0; i < counts[c]; i++) data[i] = value_of(rank, i);
            SKY_TRY(sky_comm_reduce(comm, data, counts[c], SKY_F32, (enum sky_comm_sum)sum, "sums"));
            SKY_TRY(check_floats(data, counts[c], 0, (enum sky_comm_sum)sum, size, crc));
        }
    }
    for (int64_t i = 0; i < BUCKETS * BUCKET; i++) data[i] = value_of(rank, i);
    for (int b = 0; b < BUCKETS; b++) SKY_TRY(sky_comm_reduce_start(comm, data + b * BUCKET, BUCKET, SKY_F32, SKY_COMM_MEAN, "buckets"));
    SKY_TRY(sky_comm_reduce_wait(comm));
    return check_floats(data, BUCKETS * BUCKET, 0, SKY_COMM_MEAN, size, crc);
}

static sky_status reduce_others(struct sky_comm *comm)
{
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    int64_t whole[3] = {rank + 1, -rank, (int64_t)1 << 60};
    double wide[2] = {rank, 0.5 * rank};
    uint16_t narrow[5];
    for (int i = 0; i < 5; i++) narrow[i] = sky_float_to_bf16((float)(i + rank));
    SKY_TRY(sky_comm_reduce(comm, whole, 3, SKY_I64, SKY_COMM_MAX, "whole numbers"));
    SKY_TRY(sky_comm_reduce(comm, wide, 2, SKY_F64, SKY_COMM_SUM, "doubles"));
    SKY_TRY(sky_comm_reduce(comm, narrow, 5, SKY_BF16, SKY_COMM_SUM, "bf16"));
    bool right = whole[0] == size && whole[1] == 0 && whole[2] == (int64_t)1 << 60 && wide[0] == size * (size - 1) / 2 && wide[1] == 0.25 * size * (size - 1);
    for (int i = 0; i < 5; i++) right = right && sky_bf16_to_float(narrow[i]) == (float)(i * size + size * (size - 1) / 2);
    return right ? SKY_OK : sky_fail(SKY_INTERNAL, "sums", "whole numbers, doubles or bf16 are wrong on rank %d", rank);
}

static sky_status share(struct sky_comm *comm, unsigned char *mine, unsigned char *all, int64_t bytes)
{
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    for (int64_t i = 0; i < bytes; i++) mine[i] = (unsigned char)(i * 7 + rank);
    SKY_TRY(sky_comm_gather(comm, mine, (size_t)bytes, all, "a gather"));
    for (int r = 0; r < size; r++)
        for (int64_t i = 0; i < bytes; i++)
            if (all[r * bytes + i] != (unsigned char)(i * 7 + r)) return sky_fail(SKY_INTERNAL, "a gather", "byte %lld of rank %d is wrong", (long long)i, r);
    SKY_TRY(sky_comm_same(comm, all, (size_t)(bytes * size), "the gathered"));
    SKY_TRY(sky_comm_broadcast(comm, mine, (size_t)bytes, size - 1, "a broadcast"));
    for (int64_t i = 0; i < bytes; i++)
        if (mine[i] != (unsigned char)(i * 7 + size - 1)) return sky_fail(SKY_INTERNAL, "a broadcast", "byte %lld is wrong", (long long)i);
    SKY_TRY(sky_comm_barrier(comm, "a barrier"));
    return sky_comm_agree(comm, SKY_OK, "agreeing");
}

static sky_status run(uint32_t *crc, struct sky_comm_place *place)
{
    static const int64_t counts[] = {0, 1, 1000, (2 << 20) + 1, 5 << 20};
    struct sky_comm *comm = NULL;
    float *data = malloc(MOST * sizeof *data);
    unsigned char *mine = malloc(5 << 20), *all = NULL;
    sky_status status = sky_place_find(place, 120);
    if (status == SKY_OK) status = sky_comm_open(&comm, place);
    if (status == SKY_OK) status = reduce_floats(comm, data, crc);
    if (status == SKY_OK) status = reduce_others(comm);
    all = malloc((size_t)(5 << 20) * (size_t)sky_comm_size(comm));
    for (size_t c = 0; c < sizeof counts / sizeof *counts && status == SKY_OK; c++) status = share(comm, mine, all, counts[c]);
    status = sky_place_end(comm, status);
    free(data);
    free(mine);
    free(all);
    return status;
}

int main(void)
{
    struct sky_comm_place place = {.size = 0};
    uint32_t crc = 0;
    sky_console_open(SKY_LOG_INFO);
    const sky_status status = run(&crc, &place);
    if (status == SKY_OK) printf("rank %d of %d: %08x\n", place.rank, place.size, (unsigned)crc);
    else sky_console_error(sky_error_last());
    sky_console_close();
    return sky_status_exit_code(status);
}
