/*
 * A stand-in for the CUDA run time and for NCCL, so that src/comm/nccl.c runs without a device: streams are threads that work off a queue, events order them,
 * and ranks are threads of one process whose sums meet in memory. It does what the real ones do as far as nccl.c can see, and what they do when something is
 * wrong, on request. A stream can be recorded, with those that join it by an event, and replayed; a mean is taken as NCCL takes it: each rank's share is
 * divided first, and each partial sum rounded to the type.
 */
#ifndef SKY_TESTS_HOST_NCCL_FAKE_H
#define SKY_TESTS_HOST_NCCL_FAKE_H

#include <cuda_runtime.h>
#include <stdbool.h>

/* What goes wrong. Set before ranks start. */
struct fake_faults {
    bool missing;      /* the library cannot be loaded */
    bool same_device;  /* every device has the same address */
    bool other_version; /* rank 1 has another NCCL */
    bool nobody_meets; /* communicators never come to be */
    bool remote_error; /* from the second sum on NCCL reports that a peer is gone */
    bool abort_hangs;
};
extern struct fake_faults fake_faults;
extern _Thread_local int fake_rank; /* each thread that is a rank says which */

/* Puts a call into a stream, as a kernel would be. */
void fake_launch(cudaStream_t stream, void (*call)(void *), void *argument);
void fake_synchronize(cudaStream_t stream); /* all that is in the stream has been done */

/* Capture: what comes into `stream`, and into streams that wait for an event recorded there, is kept and not done. End is NULL when a stream that joined was
 * not waited for at last. */
struct fake_recording;
void fake_record_begin(cudaStream_t stream);
struct fake_recording *fake_record_end(cudaStream_t stream);
void fake_replay(struct fake_recording *recording);
void fake_recording_free(struct fake_recording *recording);

/* How many buffers are still allocated. */
int fake_allocations(void);

void *fake_dlopen(const char *name, int flags);
void *fake_dlsym(void *library, const char *name);
char *fake_dlerror(void);

#endif
