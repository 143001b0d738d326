/*
 * HEAD_BN, HEAD_BN_GRAD, HEAD_BN_INFER, DROPOUT, LOSS_CE, LOSS_KL.
 */
#include "cuda.h"

#include "skygem/config.h"

static struct sky_cuda_heads heads_of(const struct sky_kernel *kernel, const struct sky_tensor *x)
{
    const bool drops = kernel->node->op == SKY_OP_DROPOUT;
    return (struct sky_cuda_heads){x->dim[0], x->dim[1], x->dim[2], drops ? kernel->node->attr.dropout.groups : kernel->node->attr.bn.groups};
}

static sky_status bn_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_heads heads = heads_of(kernel, sky_cuda_in(kernel, 0));
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_cuda_share share = sky_cuda_share_of(run);
    return sky_cuda_launched(kernel, sky_cuda_head_bn(sky_cuda_of(kernel)->stream, &heads, run->in[0], run->in[1], run->in[2], run->in[3], run->in[4],
                                                      run->out[0], run->out[1], run->out[2], attr->bn.momentum, attr->bn.epsilon, attr->bn.update, &share));
}

static sky_status bn_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_heads heads = heads_of(kernel, sky_cuda_in(kernel, 1));
    const struct sky_cuda_share share = sky_cuda_share_of(run);
    return sky_cuda_launched(kernel, sky_cuda_head_bn_grad(sky_cuda_of(kernel)->stream, &heads, run->in[0], run->in[1], run->in[2], run->in[3], run->in[4],
                                                           run->out[0], run->out[1], run->out[2], run->accumulate, &share));
}

static sky_status bn_infer_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_heads heads = heads_of(kernel, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_head_bn_infer(sky_cuda_of(kernel)->stream, &heads, run->in[0], run->in[1], run->in[2], run->in[3], run->in[4],
                                                            run->out[0], kernel->node->attr.bn.epsilon));
}

static sky_status dropout_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_heads heads = heads_of(kernel, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_dropout(sky_cuda_of(kernel)->stream, &heads, run->in[0], run->out[0], run->in[1],
                                                      kernel->node->attr.dropout.layer, kernel->node->attr.dropout.rate));
}

static sky_status loss_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *logits = sky_cuda_in(kernel, 0);
    kernel->work_bytes = (size_t)(logits->dim[0] * logits->dim[1]) * sizeof(float);
    return SKY_OK;
}

static struct sky_cuda_loss loss_of(const struct sky_kernel *kernel, const struct sky_run *run, int scalars)
{
    const struct sky_tensor *logits = sky_cuda_in(kernel, 0);
    const union sky_attributes *attr = &kernel->node->attr;
    return (struct sky_cuda_loss){.heads = logits->dim[0],
                                  .rows = logits->dim[1],
                                  .classes = logits->dim[2],
                                  .groups = attr->loss.groups,
                                  .satellite = attr->loss.satellite,
                                  .drone = attr->loss.drone,
                                  .mean = attr->loss.mean,
                                  .detach = attr->loss.detach,
                                  .drone_is_target = attr->loss.direction != SKY_KL_SATELLITE_DRONE,
                                  .satellite_is_target = attr->loss.direction != SKY_KL_DRONE_SATELLITE,
                                  .weight = attr->loss.weight,
                                  .smoothing = attr->loss.smoothing,
                                  .temperature = attr->loss.temperature,
                                  .logits = run->in[0],
                                  .scalars = run->in[scalars],
                                  .loss = run->out[0],
                                  .dlogits = run->out[1],
                                  .scratch = run->work};
}

static sky_status ce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_loss loss = loss_of(kernel, run, 2);
    return sky_cuda_launched(kernel, sky_cuda_loss_ce(sky_cuda_of(kernel)->stream, &loss, run->in[1]));
}

static sky_status kl_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_loss loss = loss_of(kernel, run, 1);
    return sky_cuda_launched(kernel, sky_cuda_loss_kl(sky_cuda_of(kernel)->stream, &loss));
}

const struct sky_operation sky_cuda_HEAD_BN = {.run = bn_run, .share = bn_run};
const struct sky_operation sky_cuda_HEAD_BN_GRAD = {.run = bn_grad_run, .share = bn_grad_run};
const struct sky_operation sky_cuda_HEAD_BN_INFER = {.run = bn_infer_run};
const struct sky_operation sky_cuda_DROPOUT = {.run = dropout_run};
const struct sky_operation sky_cuda_LOSS_CE = {.prepare = loss_prepare, .run = ce_run};
const struct sky_operation sky_cuda_LOSS_KL = {.prepare = loss_prepare, .run = kl_run};
