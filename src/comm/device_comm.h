/*
 * Sums of device memory over ranks, one device a rank: NCCL, on a stream of its own beside the compute stream. Start and wait only enqueue, so a training step
 * that holds them can be recorded as a CUDA graph. Start-up goes through the ranks' comm; afterwards the step itself uses the device's sums alone, while the
 * host's collectives are for before and after.
 */
#ifndef SKY_COMM_DEVICE_COMM_H
#define SKY_COMM_DEVICE_COMM_H

#include "comm.h"

struct CUstream_st; /* cudaStream_t */
struct CUevent_st;  /* cudaEvent_t */
struct sky_device_comm;

/*
 * Collective over `host` (NULL: alone); `device` is this rank's, chosen already. SKY_DEVICE when NCCL is missing, or when two ranks have the same device: both
 * are named. SKY_UNSUPPORTED in a program built without it. Every rank fails when one does.
 */
sky_status sky_device_comm_open(struct sky_device_comm **out, struct sky_comm *host, int device);

/*
 * Enqueues the sum of data [count] over the ranks, in place, behind what the compute stream holds so far. f32, f64, bf16, i64 as in comm.h. The order of
 * additions is NCCL's: the same in every run on the same machines, and the same bits on all ranks. A failure names `what`.
 */
sky_status sky_device_comm_start(struct sky_device_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what,
                                 struct CUstream_st *compute);
/*
 * What is enqueued on the compute stream from now on comes after all sums started. times [2], in device memory, may be NULL: when that stream comes to the wait
 * and when it goes on, in nanoseconds of the device's clock, written anew each time that a recorded wait is replayed.
 */
sky_status sky_device_comm_wait(struct sky_device_comm *comm, struct CUstream_st *compute, uint64_t *times);

/*
 * Enqueues a gather: mine [bytes] of each rank, in rank order, to all [ranks][bytes] on every rank, between what the compute stream holds so far and what comes
 * later. It takes its place behind the sums started before it.
 */
sky_status sky_device_comm_gather(struct sky_device_comm *comm, const void *mine, size_t bytes, void *all, const char *what, struct CUstream_st *compute);

/*
 * The host waits for the compute stream, and looks meanwhile whether NCCL or a rank has failed: cudaStreamSynchronize would wait for ever. SKY_PEER after the
 * host comm's timeout, naming the ranks that are behind as far as is known. Not within a recording.
 */
sky_status sky_device_comm_synchronize(struct sky_device_comm *comm, struct CUstream_st *compute, const char *what);
/* The same for what came before an event on that stream. */
sky_status sky_device_comm_await(struct sky_device_comm *comm, struct CUevent_st *event, const char *what);

/* After a run that went well, on all ranks, before the host comm is closed and after the recordings that hold sums are freed. NULL is fine. */
void sky_device_comm_close(struct sky_device_comm *comm);
/* After a failure, before sky_comm_abort: stops NCCL's kernels, so that the device answers again; gives up after some seconds, because NCCL's own abort may hang. NULL is fine. */
void sky_device_comm_abort(struct sky_device_comm *comm);

/* "2.28.9" as compiled and as loaded ("none" when it cannot be); false in a program built without it. */
bool sky_device_comm_library(char compiled[32], char loaded[32]);

#endif
