/*
 * ADD, CAST, and the conversions that ranks send their gradients by.
 */
#include "cuda.h"

sky_status sky_cuda_launched(const struct sky_kernel *kernel, int error)
{
    if (!error) return SKY_OK;
    return sky_fail(SKY_DEVICE, kernel->node->name, "%s cannot be launched: %s", sky_op_name(kernel->node->op), sky_cuda_error_text(error));
}

static sky_status add_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *y = sky_cuda_out(kernel, 0);
    return sky_cuda_launched(kernel, sky_cuda_add(sky_cuda_of(kernel)->stream, y->dtype, run->in[0], run->in[1], run->out[0], y->count));
}

static sky_status cast_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *y = sky_cuda_out(kernel, 0);
    return sky_cuda_launched(kernel, sky_cuda_cast(sky_cuda_of(kernel)->stream, run->in[0], y->dtype, run->out[0], y->count));
}

static sky_status converted(int error)
{
    return error ? sky_fail(SKY_DEVICE, "gradients", "cannot be converted: %s", sky_cuda_error_text(error)) : SKY_OK;
}

sky_status sky_cuda_to_bf16(struct sky_device *device, uint16_t *to, const float *from, int64_t count)
{
    const struct sky_cuda *cuda = device->state;
    return converted(sky_cuda_cast(cuda->stream, from, SKY_BF16, to, count));
}

sky_status sky_cuda_from_bf16(struct sky_device *device, float *to, const uint16_t *from, int64_t count)
{
    const struct sky_cuda *cuda = device->state;
    return converted(sky_cuda_cast_accumulate(cuda->stream, SKY_BF16, from, to, count, 1, false));
}

const struct sky_operation sky_cuda_ADD = {.run = add_run};
const struct sky_operation sky_cuda_CAST = {.run = cast_run};
