/*
 * BN_STATS, BN_APPLY, BN_GRAD, BN_FOLD, and those that go on from a convolution's sums.
 */
#include "bind_map.h"

static sky_status stats_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, sky_cuda_in(kernel, 0));
    kernel->work_bytes = (size_t)sky_cuda_bn_stats_floats(map.images, map.positions, map.channels) * sizeof(float);
    return SKY_OK;
}

static sky_status stats_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 0);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_cuda_share share = sky_cuda_share_of(run);
    return sky_cuda_launched(kernel, sky_cuda_bn_stats(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], run->out[0], run->out[1], run->out[2],
                                                       run->in[1], run->in[2], attr->bn.momentum, attr->bn.epsilon, attr->bn.update, &share,
                                                       run->work));
}

static sky_status apply_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 0);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    const struct sky_cuda_norm norm = sky_cuda_norm_of(run, 1);
    return sky_cuda_launched(kernel,
                             sky_cuda_bn_apply(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], &norm, kernel->node->attr.bn.relu, run->out[0]));
}

static sky_status grad_prepare(struct sky_kernel *kernel)
{
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, sky_cuda_in(kernel, 1));
    kernel->work_bytes = (size_t)sky_cuda_bn_grad_floats(&map) * sizeof(float);
    return SKY_OK;
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 1);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    const struct sky_cuda_norm norm = sky_cuda_norm_of(run, 2);
    const struct sky_cuda_share share = sky_cuda_share_of(run);
    return sky_cuda_launched(kernel, sky_cuda_bn_grad(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], run->in[1], &norm, kernel->node->attr.bn.relu,
                                                      run->out[0], run->out[1], run->out[2], run->accumulate, &share, run->work));
}

static sky_status from_sums_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *sum = sky_cuda_in(kernel, 0);
    const union sky_attributes *attr = &kernel->node->attr;
    return sky_cuda_launched(kernel, sky_cuda_bn_from_sums(sky_cuda_of(kernel)->stream, kernel->graph->map_dtype, attr->bn.groups, sum->dim[1],
                                                           attr->bn.positions, run->in[0], run->in[1], run->in[4], run->in[5], run->in[2], run->in[3],
                                                           attr->bn.momentum, attr->bn.epsilon, attr->bn.update, run->out[0], run->out[1], run->out[2],
                                                           run->out[3]));
}

static sky_status grad_from_sums_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *z = sky_cuda_in(kernel, 1);
    const struct sky_cuda_map map = sky_cuda_map_of(kernel, z);
    return sky_cuda_launched(kernel, sky_cuda_bn_grad_from_sums(sky_cuda_of(kernel)->stream, z->dtype, &map, run->in[0], run->in[1], run->in[2], run->in[3],
                                                                run->in[4], run->in[5], run->in[6], run->out[0], run->out[1], run->out[2], run->accumulate));
}

static sky_status fold_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *w = sky_cuda_in(kernel, 0), *folded = sky_cuda_out(kernel, 0);
    return sky_cuda_launched(kernel, sky_cuda_bn_fold(sky_cuda_of(kernel)->stream, folded->dtype, w->dim[0], w->count / w->dim[0], run->in[0], run->in[1],
                                                      run->in[2], run->in[3], run->in[4], kernel->node->attr.bn.epsilon, run->out[0], run->out[1]));
}

const struct sky_operation sky_cuda_BN_STATS = {.prepare = stats_prepare, .run = stats_run, .share = stats_run};
const struct sky_operation sky_cuda_BN_APPLY = {.run = apply_run};
const struct sky_operation sky_cuda_BN_GRAD = {.prepare = grad_prepare, .run = grad_run, .share = grad_run};
const struct sky_operation sky_cuda_BN_FOLD = {.run = fold_run};
const struct sky_operation sky_cuda_BN_FROM_SUMS = {.run = from_sums_run};
const struct sky_operation sky_cuda_BN_GRAD_FROM_SUMS = {.run = grad_from_sums_run};
