/*
 * The CUDA back end on a device against the reference: ops_cuda_test [--tf32] and the harness's other options. Without a device there is nothing to test, and it says so.
 */
#include "../ops/harness.h"
#include "backend/with_cuda.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (sky_cuda_find(0) != SKY_OK) {
        printf("SKIPPED the CUDA back end: %s\n0 passed, 0 failed, 1 skipped\n", sky_error_last()->what);
        return 0;
    }
    const struct sky_backend *const backends[] = {sky_cuda_backend()};
    return ops_main(argc, argv, backends, 1, "test,bitwise,support", "f32,bf16,f16");
}
