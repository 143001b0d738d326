/*
 * Which back end runs, and with what options: `auto` takes CUDA when it is compiled in and a device answers, else the CPU. A back end asked for by name is taken or
 * refused, never replaced.
 */
#include "select.h"

#include "base/threads.h"

sky_status sky_backend_choose(const struct sky_config *config, const struct sky_backend **backend, struct sky_device_options *options)
{
    *options = (struct sky_device_options){.threads = config->device.threads ? (int)config->device.threads : sky_thread_count_default(),
                                           .winograd = config->device.winograd,
                                           .deterministic = config->device.deterministic};
    switch (config->device.backend) {
    case SKY_BACKEND_REF: *backend = &sky_backend_ref; return SKY_OK;
    case SKY_BACKEND_CUDA:
        sky_fail(SKY_DEVICE, "device.backend", "this program was built without the CUDA back end");
        return sky_hint("use [device] backend = cpu, or build where the CUDA toolkit, cuDNN and NCCL are found; `skygem doctor` tells what is missing");
    default: *backend = &sky_backend_cpu; return SKY_OK;
    }
}
