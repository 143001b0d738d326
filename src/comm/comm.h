/*
 * Collectives between the ranks of one run. A rank is one process with one device; every rank makes the same calls in the same order, and the plan's hash is compared at start-up so that they
 * do. Three kinds: self (one rank), local (ranks of one machine started by `skygem launch`, shared memory) and mpi for host memory; nccl for device memory, bound to one of those for start-up,
 * host collectives and watching. Nothing here prints or exits: a peer that is dead, stalled or out of step is SKY_PEER, naming rank, step and collective. What was found at start-up (rank,
 * world, addresses) is handed in by the command line, which alone reads the environment.
 */
#ifndef SKY_COMM_COMM_H
#define SKY_COMM_COMM_H

#include "base/dtype.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sky_comm_kind { SKY_COMM_SELF, SKY_COMM_LOCAL, SKY_COMM_MPI };
enum sky_comm_sum { SKY_COMM_SUM, SKY_COMM_MEAN, SKY_COMM_MAX }; /* f32 and f64; MAX also i64. Added in rank order: the same bits on every rank and in every run of as many ranks */

/* Where this process stands. Filled by src/cli from OMPI_*, PMI*, SLURM_* or the launcher's variables. */
struct sky_comm_place {
    enum sky_comm_kind kind;
    int rank, size;             /* 0, 1 when alone */
    int local_rank, local_size; /* on this machine */
    int channel;                /* local: descriptor of the launcher's shared memory, inherited; -1 elsewhere */
    double timeout_seconds;     /* [distributed] timeout_s: a peer silent for longer ends the run */
};

struct sky_comm;

/* Collective. On the way out of a failed run use sky_comm_abort, never close. */
sky_status sky_comm_open(struct sky_comm **out, const struct sky_comm_place *place);
void sky_comm_close(struct sky_comm *comm); /* after a barrier; NULL is fine */
/* Tells the peers that this rank ends with `error` (they fail with SKY_PEER naming it, within 10 s) and leaves. Returns when the process may exit with its own code. */
void sky_comm_abort(struct sky_comm *comm, const struct sky_error *error);

const struct sky_comm_place *sky_comm_place(const struct sky_comm *comm);
int sky_comm_rank(const struct sky_comm *comm); /* 0 for NULL, as sizes are 1: a NULL comm is a run alone */
int sky_comm_size(const struct sky_comm *comm);

/* What this rank is doing, for the message of whoever waits for it: ("train", 120), ("checkpoint", 200). */
void sky_comm_at(struct sky_comm *comm, const char *phase, int64_t step);

/*
 * Host memory, in order with each other. start returns at once and the sum goes on beside the caller's work; wait ends all that was started. The data must stay untouched between the two.
 */
sky_status sky_comm_reduce_start(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what);
sky_status sky_comm_reduce_wait(struct sky_comm *comm);
sky_status sky_comm_reduce(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what);
sky_status sky_comm_broadcast(struct sky_comm *comm, void *data, size_t bytes, int root, const char *what);
sky_status sky_comm_gather(struct sky_comm *comm, const void *mine, size_t bytes, void *all /* [size][bytes], on every rank */, const char *what);
sky_status sky_comm_barrier(struct sky_comm *comm, const char *what);

/* A phase that may fail on one rank only ends with this: SKY_OK when all are well; the rank that failed gets its own error back, the others SKY_PEER with its rank and message. */
sky_status sky_comm_agree(struct sky_comm *comm, sky_status mine, const char *what);
/* Every rank must hold the same bytes (a plan's hash, parameters' checksums): SKY_PEER naming the first rank that does not. */
sky_status sky_comm_same(struct sky_comm *comm, const void *bytes, size_t count, const char *what);

/* Seconds that this rank has waited in reduce_wait since the last call: the exposed time of metrics.jsonl. */
double sky_comm_exposed_seconds(struct sky_comm *comm);

#endif
