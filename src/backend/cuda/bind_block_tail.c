/*
 * BLOCK_TAIL and the two passes of its gradient.
 */
#include "bind_map.h"

static sky_status tail_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 0);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    const struct sky_cuda_norm norm = sky_cuda_norm_of(run, 1), side = sky_cuda_norm_of(run, 7);
    return sky_cuda_launched(kernel,
                             sky_cuda_block_tail(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], &norm, run->in[5], run->in[6], &side, run->out[0]));
}

static sky_status reduce_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, sky_cuda_in(kernel, 3));
    kernel->work_bytes = (size_t)sky_cuda_block_tail_reduce_floats(&map) * sizeof(float);
    return SKY_OK;
}

static sky_status reduce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 3);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    return sky_cuda_launched(kernel, sky_cuda_block_tail_reduce(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], run->in[1], run->in[2], run->in[3],
                                                                run->in[4], run->in[5], run->out[0], run->out[1], run->out[2], run->work));
}

static sky_status grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, sky_cuda_in(kernel, 1));
    kernel->work_bytes = (size_t)sky_cuda_block_tail_grad_floats(&map) * sizeof(float);
    return SKY_OK;
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 1);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    const struct sky_cuda_share share = sky_cuda_share_of(run);
    return sky_cuda_launched(kernel, sky_cuda_block_tail_grad(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], run->in[1], run->in[2], run->in[3],
                                                              run->in[4], run->in[5], run->in[6], run->in[7], run->in[8], run->in[9], run->out[0], run->out[1],
                                                              run->out[2], run->accumulate, &share, run->work));
}

const struct sky_operation sky_cuda_BLOCK_TAIL = {.run = tail_run};
const struct sky_operation sky_cuda_BLOCK_TAIL_REDUCE = {.prepare = reduce_prepare, .run = reduce_run};
const struct sky_operation sky_cuda_BLOCK_TAIL_GRAD = {.prepare = grad_prepare, .run = grad_run, .share = grad_run};
