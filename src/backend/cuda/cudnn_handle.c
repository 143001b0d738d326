/*
 * cuDNN's handle on the device's stream, and the cache of its plans. Another copy of the library in the loader's path is the usual cause of strange failures, so
 * the one that was loaded is looked at first.
 */
#include "cudnn_handle.h"

#include "cudnn_plan.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

static void print_version(char out[32], size_t version)
{
    snprintf(out, 32, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

void sky_cudnn_versions(char compiled[32], char loaded[32])
{
    print_version(compiled, CUDNN_VERSION);
    print_version(loaded, cudnnGetVersion());
}

/* Later minor versions of the same major keep the interface; the CUDA that the library itself was built for must be ours. */
static sky_status check_version(void)
{
    const size_t loaded = cudnnGetVersion(), cudart = cudnnGetCudartVersion();
    char want[32], have[32];
    sky_cudnn_versions(want, have);
    if (loaded / 10000 != CUDNN_MAJOR || loaded / 100 < CUDNN_VERSION / 100) {
        sky_fail(SKY_DEVICE, "cuDNN", "version %s is loaded, this program was built with %s", have, want);
        return sky_hint("`skygem doctor` shows which file is loaded; LD_LIBRARY_PATH may name another one first");
    }
    if (cudart / 1000 != CUDART_VERSION / 1000) {
        sky_fail(SKY_DEVICE, "cuDNN", "the loaded library is for CUDA %zu, this program for CUDA %d", cudart / 1000, CUDART_VERSION / 1000);
        return sky_hint("install the cuDNN package of this CUDA version");
    }
    return SKY_OK;
}

sky_status sky_cudnn_open(struct sky_cuda *cuda, const struct sky_device_options *options)
{
    const struct sky_plan_rules rules = {
        .deterministic = options->deterministic, .tf32 = options->tf32, .winograd = options->winograd, .workspace_cap = cuda->workspace_cap};
    SKY_TRY(check_version());
    SKY_TRY(sky_cudnn_check(cudnnCreate(&cuda->cudnn), "cuda", "opening the library"));
    SKY_TRY(sky_cudnn_check(cudnnSetStream(cuda->cudnn, cuda->stream), "cuda", "choosing the stream"));
    return sky_plan_cache_open(&cuda->plans, cuda->cudnn, &rules);
}

void sky_cudnn_close(struct sky_cuda *cuda)
{
    sky_plan_cache_close(cuda->plans);
    if (cuda->cudnn) cudnnDestroy(cuda->cudnn);
    cuda->plans = NULL, cuda->cudnn = NULL;
}
