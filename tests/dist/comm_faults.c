/*
 * A rank that goes through the phases of a run and, when it is told to, ends badly in one of them (or just waits for two seconds). Faults are put in here, by
 * arguments, and nowhere in the product. Usage: comm_faults FAULT WHERE RANK TIMEOUT [PROGRAM]; FAULT none|killed|exits|aborts|stalls|leaves|fails|waits, WHERE
 * start-up|all-reduce|checkpoint|evaluation. RANK -1: every rank.
 */
#include "cli/console.h"
#include "cli/place.h"

#include "base/clock.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUCKETS = 3, EACH = 300000, STEPS = 6, CHECKPOINT_AT = 3 };

struct fault {
    const char *name, *where;
    int64_t rank;
    bool left; /* goes to its end now */
};

/* Where the fault strikes, if it is this one, on this rank. */
static sky_status strike(struct fault *fault, int rank, const char *where)
{
    if ((fault->rank >= 0 && fault->rank != rank) || strcmp(fault->where, where)) return SKY_OK;
    fprintf(stderr, "strikes at %.3f\n", sky_now());
    if (!strcmp(fault->name, "killed")) kill(getpid(), SIGKILL);
    if (!strcmp(fault->name, "exits")) _exit(3);
    if (!strcmp(fault->name, "aborts")) abort();
    if (!strcmp(fault->name, "stalls"))
        for (;;) pause();
    if (!strcmp(fault->name, "waits")) sleep(2);
    if (!strcmp(fault->name, "fails")) return sky_fail(SKY_DATA, "image.jpg", "is not an image");
    if (!strcmp(fault->name, "leaves")) fault->left = true;
    return SKY_OK;
}

/* Gradients that are whole numbers: the mean must be exact. */
static sky_status train(struct fault *fault, struct sky_comm *comm, float *data)
{
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    for (int64_t step = 0; step < STEPS && !fault->left; step++) {
        sky_comm_at(comm, "train", step);
        for (int i = 0; i < BUCKETS * EACH; i++) data[i] = (float)(size * (i % 1000 + rank));
        for (int b = 0; b < BUCKETS; b++) {
            if (b == 1 && step == 2) SKY_TRY(strike(fault, rank, "all-reduce"));
            if (fault->left) return SKY_OK;
            SKY_TRY(sky_comm_reduce_start(comm, data + b * EACH, EACH, SKY_F32, SKY_COMM_MEAN, "gradients"));
        }
        SKY_TRY(sky_comm_reduce_wait(comm));
        for (int i = 0; i < BUCKETS * EACH; i++)
            if (!(data[i] == (float)(size * (i % 1000) + size * (size - 1) / 2)))
                return sky_fail(SKY_INTERNAL, "gradients", "element %d is %g on rank %d", i, (double)data[i], rank);
        if (step != CHECKPOINT_AT) continue;
        sky_comm_at(comm, "checkpoint", step);
        SKY_TRY(strike(fault, rank, "checkpoint"));
        if (!fault->left) SKY_TRY(sky_comm_barrier(comm, "saved"));
    }
    return SKY_OK;
}

static sky_status evaluate(struct fault *fault, struct sky_comm *comm)
{
    const int rank = sky_comm_rank(comm), size = sky_comm_size(comm);
    int64_t *all = calloc((size_t)size, sizeof *all);
    const int64_t mine = 7 + rank;
    sky_comm_at(comm, "evaluation", STEPS);
    sky_status status = strike(fault, rank, "evaluation");
    if (status == SKY_OK && !fault->left) status = sky_comm_gather(comm, &mine, sizeof mine, all, "features");
    for (int r = 0; r < size && status == SKY_OK && !fault->left; r++)
        if (all[r] != 7 + r) status = sky_fail(SKY_INTERNAL, "features", "those of rank %d are %lld on rank %d", r, (long long)all[r], rank);
    free(all);
    return status;
}

static sky_status run(struct fault *fault, double timeout, const char *program)
{
    struct sky_comm_place place;
    struct sky_comm *comm = NULL;
    float *data = calloc(BUCKETS * EACH, sizeof *data);
    SKY_TRY(sky_place_find(&place, timeout));
    if (program) place.program = program;
    sky_status status = strike(fault, place.rank, "start-up");
    if (status == SKY_OK && fault->left) exit(0); /* without a word */
    if (status == SKY_OK) status = sky_comm_open(&comm, &place);
    if (status == SKY_OK) status = train(fault, comm, data);
    if (status == SKY_OK && !fault->left) status = evaluate(fault, comm);
    status = sky_place_end(comm, status);
    free(data);
    if (status == SKY_OK) printf("rank %d of %d is done\n", place.rank, place.size);
    return status;
}

int main(int argc, char **argv)
{
    struct fault fault = {.name = argc > 2 ? argv[1] : "none", .where = argc > 2 ? argv[2] : ""};
    double timeout = 60;
    sky_console_open(SKY_LOG_INFO);
    if (argc > 3 && !sky_parse_int(argv[3], &fault.rank)) return 2;
    if (argc > 4 && !sky_parse_double(argv[4], &timeout)) return 2;
    const sky_status status = run(&fault, timeout, argc > 5 ? argv[5] : NULL);
    if (status != SKY_OK) sky_console_error(sky_error_last());
    sky_console_close();
    return sky_status_exit_code(status);
}
