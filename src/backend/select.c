/*
 * Which back end runs, and with what options: `auto` takes CUDA when it is compiled in and a device answers, else the CPU. A back end asked for by name is taken or
 * refused, never replaced; so is a precision.
 */
#include "select.h"

#include "base/threads.h"
#include "cpu/library.h"
#include "with_cuda.h"

static sky_status choose_backend(const struct sky_config *config, const struct sky_backend **backend)
{
    const int index = (int)config->device.index;
    switch (config->device.backend) {
    case SKY_BACKEND_REF: *backend = &sky_backend_ref; return SKY_OK;
    case SKY_BACKEND_CPU: *backend = &sky_backend_cpu; return SKY_OK;
    case SKY_BACKEND_CUDA: SKY_TRY(sky_cuda_find(index)); *backend = sky_cuda_backend(); return SKY_OK;
    default: *backend = sky_cuda_find(index) == SKY_OK ? sky_cuda_backend() : &sky_backend_cpu; return SKY_OK;
    }
}

static struct sky_device_options options_of(const struct sky_config *config, int precision)
{
    return (struct sky_device_options){.index = (int)config->device.index,
                                       .threads = config->device.threads ? (int)config->device.threads : sky_thread_count_default(),
                                       .winograd = config->device.winograd,
                                       .deterministic = config->device.deterministic,
                                       .tf32 = precision != SKY_PRECISION_FP32,
                                       .int8 = precision == SKY_PRECISION_INT8,
                                       .capture = config->device.cuda_graph,
                                       .wait = config->debug.sync};
}

static sky_status check_int8(const struct sky_backend *backend)
{
    if (backend == &sky_backend_cpu && sky_cpu_has_int8()) return SKY_OK;
    if (backend == &sky_backend_cpu) {
        sky_fail(SKY_CONFIG, "precision", "oneDNN has no fast int8 convolutions for this processor (it needs AVX2)");
        return sky_hint("set [eval] precision = fp32");
    }
    sky_fail(SKY_CONFIG, "precision", "the %s back end has no int8 convolutions", backend->name);
    return sky_hint("set [device] backend = cpu for int8, or another [eval] precision");
}

sky_status sky_backend_describe(const struct sky_config *config, int precision, const char *description, const struct sky_backend **backend, struct sky_device_options *options)
{
    *options = options_of(config, precision);
    options->description = description;
    *backend = sky_cuda_described_backend();
    if (*backend) return precision == SKY_PRECISION_INT8 ? check_int8(*backend) : SKY_OK;
    sky_fail(SKY_DEVICE, "a described GPU", "this program was built without the CUDA back end");
    return sky_hint("build where the CUDA toolkit and cuDNN are found; no GPU is needed for this");
}

sky_status sky_backend_choose(const struct sky_config *config, int precision, const struct sky_backend **backend, struct sky_device_options *options)
{
    *options = options_of(config, precision);
    SKY_TRY(choose_backend(config, backend));
    if (precision == SKY_PRECISION_INT8) return check_int8(*backend);
    if (precision == SKY_PRECISION_FP32 || *backend != &sky_backend_cpu) return SKY_OK;
    sky_fail(SKY_CONFIG, "precision", "the CPU back end computes in fp32 only");
    return sky_hint("set [train] precision = fp32 ([eval] precision for evaluation), or run on a machine with a GPU (`skygem doctor` tells why none is used "
                    "here, `skygem info --gpu` plans for one)");
}
