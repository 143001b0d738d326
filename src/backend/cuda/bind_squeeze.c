/*
 * BN_SQUEEZE, CHANNEL_MEAN, SE_GATE, SE_GATE_GRAD.
 */
#include "bind_map.h"

static sky_status squeeze_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *squeeze = sky_cuda_out(kernel, 0);
    const struct sky_cuda_norm norm = sky_cuda_norm_of(run, 1);
    return sky_cuda_launched(kernel, sky_cuda_bn_squeeze(sky_cuda_of(kernel)->stream, squeeze->dim[0], squeeze->dim[1], kernel->node->attr.bn.groups,
                                                         run->in[0], &norm, run->out[0]));
}

/* Its node has no attributes: one group. */
static struct sky_cuda_map whole_map(const struct sky_tensor *y) { return (struct sky_cuda_map){y->dim[0], y->dim[1] * y->dim[2], y->dim[3], 1}; }

static sky_status mean_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_map map = whole_map(sky_cuda_in(kernel, 0));
    kernel->work_bytes = (size_t)sky_cuda_channel_mean_floats(&map) * sizeof(float);
    return SKY_OK;
}

static sky_status mean_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *y = sky_cuda_in(kernel, 0);
    const struct sky_cuda_map map = whole_map(y);
    return sky_cuda_launched(kernel, sky_cuda_channel_mean(sky_cuda_of(kernel)->stream, y->dtype, &map, run->in[0], run->out[0], run->work));
}

static sky_status gate_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *gate = sky_cuda_out(kernel, 1), *hidden = sky_cuda_out(kernel, 0);
    return sky_cuda_launched(kernel, sky_cuda_se_gate(sky_cuda_of(kernel)->stream, gate->dim[0], gate->dim[1], hidden->dim[1], run->in[0], run->in[1],
                                                      run->in[2], run->in[3], run->in[4], run->out[0], run->out[1]));
}

static sky_status gate_grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *squeeze = sky_cuda_in(kernel, 2), *hidden = sky_cuda_in(kernel, 3);
    kernel->work_bytes = (size_t)sky_cuda_se_gate_grad_floats(squeeze->dim[0], squeeze->dim[1], hidden->dim[1]) * sizeof(float);
    return SKY_OK;
}

static sky_status gate_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *squeeze = sky_cuda_in(kernel, 2), *hidden = sky_cuda_in(kernel, 3);
    const struct sky_cuda_se_gate_grad p = {.sum_g = run->in[0],
                                            .sum_gz = run->in[1],
                                            .squeeze = run->in[2],
                                            .hidden = run->in[3],
                                            .gate = run->in[4],
                                            .w1 = run->in[5],
                                            .w2 = run->in[6],
                                            .gamma = run->in[7],
                                            .beta = run->in[8],
                                            .dsqueeze = run->out[0],
                                            .dw1 = run->out[1],
                                            .db1 = run->out[2],
                                            .dw2 = run->out[3],
                                            .db2 = run->out[4]};
    return sky_cuda_launched(
        kernel, sky_cuda_se_gate_grad(sky_cuda_of(kernel)->stream, squeeze->dim[0], squeeze->dim[1], hidden->dim[1], &p, run->accumulate, run->work));
}

const struct sky_operation sky_cuda_BN_SQUEEZE = {.run = squeeze_run};
const struct sky_operation sky_cuda_CHANNEL_MEAN = {.prepare = mean_prepare, .run = mean_run};
const struct sky_operation sky_cuda_SE_GATE = {.run = gate_run};
const struct sky_operation sky_cuda_SE_GATE_GRAD = {.prepare = gate_grad_prepare, .run = gate_grad_run};
