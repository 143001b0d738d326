/*
 * The CUDA kernels, run on the host, against the reference, in all types of maps; and their bits from run to run, whatever the order of a block's threads.
 */
#include "../ops/harness.h"
#include "host_backend.h"

int main(int argc, char **argv)
{
    const struct sky_backend *const backends[] = {host_cuda_backend()};
    return ops_main(argc, argv, backends, 1, "test,bitwise,support", "f32,bf16,f16");
}
