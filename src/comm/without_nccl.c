/*
 * Sums over several devices in a program built without NCCL: there are none. A run alone needs none. See nccl.c.
 */
#include "device_comm.h"

sky_status sky_device_comm_open(struct sky_device_comm **out, struct sky_comm *host, int device)
{
    (void)out, (void)device;
    sky_fail(SKY_UNSUPPORTED, "NCCL", "this program is built without it, so %d ranks cannot train on devices together", sky_comm_size(host));
    return sky_hint("build where NCCL is found (CMake's table says so), or train on the CPU: [device] backend = cpu");
}

sky_status sky_device_comm_start(struct sky_device_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what,
                                 struct CUstream_st *compute)
{
    (void)comm, (void)data, (void)count, (void)dtype, (void)sum, (void)compute;
    return sky_fail(SKY_INTERNAL, what, "there is no NCCL");
}

sky_status sky_device_comm_wait(struct sky_device_comm *comm, struct CUstream_st *compute, uint64_t *times)
{
    (void)comm, (void)compute, (void)times;
    return sky_fail(SKY_INTERNAL, "NCCL", "there is none");
}

sky_status sky_device_comm_gather(struct sky_device_comm *comm, const void *mine, size_t bytes, void *all, const char *what, struct CUstream_st *compute)
{
    (void)comm, (void)mine, (void)bytes, (void)all, (void)compute;
    return sky_fail(SKY_INTERNAL, what, "there is no NCCL");
}

sky_status sky_device_comm_synchronize(struct sky_device_comm *comm, struct CUstream_st *compute, const char *what)
{
    (void)comm, (void)compute;
    return sky_fail(SKY_INTERNAL, what, "there is no NCCL");
}

sky_status sky_device_comm_await(struct sky_device_comm *comm, struct CUevent_st *event, const char *what)
{
    (void)comm, (void)event;
    return sky_fail(SKY_INTERNAL, what, "there is no NCCL");
}

void sky_device_comm_close(struct sky_device_comm *comm)
{
    (void)comm;
}

void sky_device_comm_abort(struct sky_device_comm *comm)
{
    (void)comm;
}

bool sky_device_comm_library(char compiled[32], char loaded[32])
{
    (void)compiled, (void)loaded;
    return false;
}
