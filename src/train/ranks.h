/*
 * What the ranks of one training run do together: start from rank 0's state, average gradients bucket by bucket beside the backward pass, agree before a step
 * that everyone has its batch, and compare their parameters now and then. A run alone (comm NULL) does none of it, unless [debug] exchange asks for the buckets
 * and sums. Every function here is called by all ranks in the same order.
 */
#ifndef SKY_TRAIN_RANKS_H
#define SKY_TRAIN_RANKS_H

#include "backend/executor.h"
#include "comm/comm.h"
#include "comm/device_comm.h"
#include "comm/settle.h"
#include "skygem/config.h"

struct sky_ranks {
    struct sky_comm *comm; /* borrowed; NULL: alone */
    struct sky_device_comm *device_comm; /* sums between devices; NULL: gradients are in the host's memory */
    int rank, size;
    struct sky_executor *executor; /* borrowed, once attached */
    struct sky_bucket *buckets;
    int64_t bucket_count;
    uint16_t *low; /* [all gradients] as they travel, in bf16, on the device; NULL: they travel as they are */
    uint64_t *times; /* [2] on the device: when the last step came to wait for the sums and when it went on, in nanoseconds; NULL: the host measures that */
    struct sky_exchange exchange;
};

/* Plans the buckets, checks that all ranks planned the same, and hooks them into the executor (not moved afterwards). SKY_UNSUPPORTED when the back end cannot take part. */
sky_status sky_ranks_attach(struct sky_ranks *ranks, struct sky_comm *comm, const struct sky_config *config, struct sky_executor *executor);
void sky_ranks_detach(struct sky_ranks *ranks); /* after the executor is gone: its recordings hold sums. Collective between devices */
void sky_ranks_abort(struct sky_ranks *ranks);  /* after a failure, before sky_comm_abort: the device answers again */

/* Waits for the device, but not for ever for a sum that another rank does not come to. */
sky_status sky_ranks_synchronize(struct sky_ranks *ranks);
/* Likewise for the results in a slot of the staging alone: a later step may be under way. */
sky_status sky_ranks_await_results(struct sky_ranks *ranks, int slot);

/* True on every rank when it is on all; without asking the devices. */
sky_status sky_ranks_all(struct sky_ranks *ranks, bool mine, bool *all);

/* What of the last step (on the host: since the last call) was waiting for the sums of gradients: for devices from their noted times, else as the host has measured it. */
double sky_ranks_exposed_seconds(struct sky_ranks *ranks, const uint64_t times[2]);
/* The same when the device has nothing left to do; 0 when it cannot be told. */
double sky_ranks_exposed_now(struct sky_ranks *ranks);

/* The configuration with the number of ranks, this rank's device (rank by rank on a machine, from [device] index on) and its share of the processors. Texts are
 * borrowed from `config`. */
struct sky_config sky_ranks_config(const struct sky_config *config, const struct sky_comm *comm);

/* Rank 0's arena becomes everyone's. Nothing to do for an arena that is not there. */
sky_status sky_ranks_share_arena(struct sky_comm *comm, struct sky_executor *executor, enum sky_arena arena, const char *what);

/* Parameters, momentum, squares and averages must be the same bits on every rank: SKY_PEER naming the first rank whose are not. */
sky_status sky_ranks_compare(struct sky_ranks *ranks);

#endif
