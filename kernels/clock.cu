/*
 * The device's own clock, noted where a stream gets to: also in a recording, each time that it is replayed.
 */
#include "device.cuh"
#include "kernels.h"

__global__ void note_time_kernel(uint64_t *nanoseconds)
{
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    *nanoseconds = now;
}

int sky_cuda_note_time(sky_stream stream, uint64_t *nanoseconds)
{
    SKY_LAUNCH(note_time_kernel, 1, 1, 0, stream, nanoseconds);
    return (int)cudaGetLastError();
}
