/*
 * What a program built without CUDA says of it.
 */
#include "with_cuda.h"

const struct sky_backend *sky_cuda_backend(void)
{
    return NULL;
}

const struct sky_backend *sky_cuda_described_backend(void)
{
    return NULL;
}

sky_status sky_cuda_find(int index)
{
    (void)index;
    sky_fail(SKY_DEVICE, "device.backend", "this program was built without the CUDA back end");
    return sky_hint("use [device] backend = cpu, or build where the CUDA toolkit and cuDNN are found; `skygem doctor` tells what is missing");
}

int sky_cuda_libraries(struct sky_cuda_library out[4])
{
    (void)out;
    return 0;
}

bool sky_cuda_describe(int index, char out[160])
{
    (void)index;
    out[0] = 0;
    return false;
}
