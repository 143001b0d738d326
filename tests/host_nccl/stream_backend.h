/*
 * The back end "cuda" for trainers, without a device: the CUDA back end's bindings and kernels on the host (tests/host_cuda), each enqueued on a stream of the
 * stand-in (fake.h). So the step, its recording, the sums of gradients and the gathers of statistics are ordered by streams and events alone, as on a device.
 * Linked before the library, whose own device.c it stands for.
 */
#ifndef SKY_TESTS_HOST_NCCL_STREAM_BACKEND_H
#define SKY_TESTS_HOST_NCCL_STREAM_BACKEND_H

/* Operations that have failed in a stream, in all; and steps replayed from a recording. */
int stream_backend_failures(void);
int stream_backend_replays(void);

#endif
