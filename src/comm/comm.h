/*
 * Collectives between the ranks of one run. A rank is one process with one device; every rank makes the same calls in the same order: each collective is
 * announced to the others, so that a rank that makes another one is told apart from one that is late. Three kinds: self (one rank), local (ranks of one machine
 * started by `skygem launch`, shared memory) and mpi, for host memory; device_comm.h is for device memory, bound to one of these for start-up and watching.
 * Nothing here prints or exits: a peer that is dead, stalled or out of step is SKY_PEER, naming rank, step and collective. What was found at start-up (rank,
 * size, timeout) is handed in by the command line, which alone reads the environment (src/cli/place.h).
 *
 * Every function takes NULL for a run alone: rank 0 of 1, collectives that do nothing (a gather copies).
 */
#ifndef SKY_COMM_COMM_H
#define SKY_COMM_COMM_H

#include "base/dtype.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sky_comm_kind { SKY_COMM_SELF, SKY_COMM_LOCAL, SKY_COMM_MPI };

/* f32, f64, bf16 and i64; MEAN not of i64. Added in rank order (bf16 in f32, rounded once): the same bits on every rank and in every run of as many ranks,
 * however the data is cut. NaN anywhere gives NaN in SUM and MEAN; MAX is of finite numbers. */
enum sky_comm_sum { SKY_COMM_SUM, SKY_COMM_MEAN, SKY_COMM_MAX };

struct sky_board; /* board.h */

/* Where this process stands. Filled by src/cli from OMPI_*, PMI*, SLURM_* or the launcher's variables. */
struct sky_comm_place {
    enum sky_comm_kind kind;
    int rank, size;             /* 0, 1 when alone */
    int local_rank, local_size; /* on this machine */
    int threads;                /* this rank's share of the machine's cores */
    struct sky_board *board;    /* local: the launcher's; mpi: shared with this rank's watcher, or NULL; borrowed */
    double timeout_seconds;     /* [distributed] timeout_s: a peer that keeps the others waiting for longer ends the run */
    const char *program;        /* must be the same on all ranks ("skygem 0.3.0"); borrowed, or NULL */
};

struct sky_comm;

/* Collective: all ranks must come within the timeout. A wrong place is SKY_USAGE, a missing or dead rank SKY_PEER. After a failure *out may be set
 * nevertheless: a comm that can only be aborted. */
sky_status sky_comm_open(struct sky_comm **out, const struct sky_comm_place *place);
/* Collective, of a run that went well; frees. SKY_PEER when another rank is not at its end, as it makes fewer or more steps: the comm is then still there, to be aborted. */
sky_status sky_comm_close(struct sky_comm *comm);
/*
 * The way out of a failed run: tells the peers that this rank ends with `error` (they fail with SKY_PEER naming it, in the collective where they are or come
 * to) and frees. Print the error before: under MPI this ends the job with the error's exit code and does not return. It takes a few seconds at most.
 */
void sky_comm_abort(struct sky_comm *comm, const struct sky_error *error);

int sky_comm_rank(const struct sky_comm *comm);
int sky_comm_size(const struct sky_comm *comm);
const struct sky_comm_place *sky_comm_place(const struct sky_comm *comm); /* NULL for NULL */

/* What this rank is doing, for the message of whoever waits for it: ("train", 120), ("checkpoint", 200). Step -1: not in a step. Cheap; at most 23 characters
 * of the phase are kept. */
void sky_comm_at(struct sky_comm *comm, const char *phase, int64_t step);

/*
 * Host memory, in order with each other. `what` names the collective in messages (at most 39 characters). start returns at once and the sum goes on beside the
 * caller's work, on a thread of its own; wait ends all that was started. The data must stay untouched between the two. After a failure every later call returns
 * that failure. One thread at a time may call.
 */
sky_status sky_comm_reduce_start(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what);
sky_status sky_comm_reduce_wait(struct sky_comm *comm);
sky_status sky_comm_reduce(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what);
sky_status sky_comm_broadcast(struct sky_comm *comm, void *data, size_t bytes, int root, const char *what);
sky_status sky_comm_gather(struct sky_comm *comm, const void *mine, size_t bytes, void *all /* [size][bytes], on every rank */, const char *what);
sky_status sky_comm_barrier(struct sky_comm *comm, const char *what);

/* A phase that may fail on one rank only ends with this: SKY_OK when all are well; the ranks that failed get their own error back, the others SKY_PEER with the
 * first one's rank and message. */
sky_status sky_comm_agree(struct sky_comm *comm, sky_status mine, const char *what);
/* Every rank must hold the same bytes (a plan's hash, parameters' checksums): SKY_PEER, on every rank, naming the first rank whose bytes are not rank 0's. */
sky_status sky_comm_same(struct sky_comm *comm, const void *bytes, size_t count, const char *what);

/* Fails when a peer is known to have died, failed or left: for loops that wait for something else (a device). Cheap. */
sky_status sky_comm_check(struct sky_comm *comm);

/* Seconds that this rank has waited in reduce_wait since the last call: the exposed time of metrics.jsonl. */
double sky_comm_exposed_seconds(struct sky_comm *comm);

/* "Open MPI v4.1.4"; false when this program is built without MPI. */
bool sky_comm_mpi_library(char *out, size_t out_bytes);

#endif
