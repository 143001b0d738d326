/*
 * GATHER_ROWS, GATHER_ROWS_GRAD, SIMILARITY, SIMILARITY_GRAD, LOSS_CONTRASTIVE, LOSS_TRIPLET, LOSS_INFO_NCE.
 */
#include "cuda.h"

static struct sky_cuda_gather gather_of(const struct sky_kernel *kernel, const struct sky_tensor *own)
{
    const union sky_attributes *attr = &kernel->node->attr;
    return (struct sky_cuda_gather){own->dim[0], own->dim[1], own->dim[2], attr->gather.groups, attr->gather.ranks};
}

static sky_status gather_share(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_gather gather = gather_of(kernel, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_share_rows(sky_cuda_of(kernel)->stream, &gather, run->in[0], run->in[1], run->mine));
}

static sky_status gather_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_gather gather = gather_of(kernel, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_gather_rows(sky_cuda_of(kernel)->stream, &gather, run->in[0], run->in[1], run->all, run->out[0], run->out[1]));
}

static sky_status gather_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_gather gather = gather_of(kernel, sky_cuda_out(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_own_rows(sky_cuda_of(kernel)->stream, &gather, run->in[0], run->in[1], run->out[0]));
}

static struct sky_cuda_views views_of(const struct sky_kernel *kernel, const struct sky_tensor *x)
{
    const union sky_attributes *attr = &kernel->node->attr;
    return (struct sky_cuda_views){.heads = x->dim[0],
                                   .rows = x->dim[1],
                                   .features = x->dim[2],
                                   .members = x->dim[1] / attr->pairs.groups,
                                   .first = attr->pairs.first,
                                   .second = attr->pairs.second,
                                   .joint = attr->pairs.joint};
}

static sky_status similarity_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_views views = views_of(kernel, sky_cuda_in(kernel, 0));
    return sky_cuda_launched(kernel, sky_cuda_similarity(sky_cuda_of(kernel)->stream, &views, run->in[0], run->in[1], run->out[0], run->out[1]));
}

static sky_status similarity_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_views views = views_of(kernel, sky_cuda_in(kernel, 1));
    return sky_cuda_launched(kernel, sky_cuda_similarity_grad(sky_cuda_of(kernel)->stream, &views, run->in[0], run->in[1], run->in[2], run->in[3], run->in[4],
                                                              run->out[0], run->out[1], run->accumulate));
}

static sky_status loss_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *similarity = sky_cuda_in(kernel, 0);
    kernel->work_bytes = (size_t)sky_cuda_pairs_floats(similarity->dim[0], similarity->dim[1]) * sizeof(float);
    return SKY_OK;
}

static struct sky_cuda_pairs pairs_of(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *similarity = sky_cuda_in(kernel, 0);
    const union sky_attributes *attr = &kernel->node->attr;
    const int32_t *labels = run->in[1]; /* [N] */
    return (struct sky_cuda_pairs){.heads = similarity->dim[0],
                                   .members = similarity->dim[1],
                                   .similarity = run->in[0],
                                   .first = labels + attr->pairs.first * similarity->dim[1],
                                   .second = labels + attr->pairs.second * similarity->dim[1],
                                   .scalars = run->in[2],
                                   .loss = run->out[0],
                                   .gradient = run->out[1],
                                   .scratch = run->work,
                                   .mean = attr->pairs.mean,
                                   .soft = attr->pairs.soft,
                                   .weight = attr->pairs.weight,
                                   .margin = attr->pairs.margin,
                                   .alpha = attr->pairs.alpha,
                                   .smoothing = attr->pairs.smoothing,
                                   .temperature = attr->pairs.temperature};
}

static sky_status contrastive_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_pairs pairs = pairs_of(kernel, run);
    return sky_cuda_launched(kernel, sky_cuda_loss_contrastive(sky_cuda_of(kernel)->stream, &pairs));
}

static sky_status triplet_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_pairs pairs = pairs_of(kernel, run);
    return sky_cuda_launched(kernel, sky_cuda_loss_triplet(sky_cuda_of(kernel)->stream, &pairs));
}

static sky_status info_nce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_pairs pairs = pairs_of(kernel, run);
    return sky_cuda_launched(kernel, sky_cuda_loss_info_nce(sky_cuda_of(kernel)->stream, &pairs));
}

const struct sky_operation sky_cuda_GATHER_ROWS = {.run = gather_run, .share = gather_share};
const struct sky_operation sky_cuda_GATHER_ROWS_GRAD = {.run = gather_grad_run};
const struct sky_operation sky_cuda_SIMILARITY = {.run = similarity_run};
const struct sky_operation sky_cuda_SIMILARITY_GRAD = {.run = similarity_grad_run};
const struct sky_operation sky_cuda_LOSS_CONTRASTIVE = {.prepare = loss_prepare, .run = contrastive_run};
const struct sky_operation sky_cuda_LOSS_TRIPLET = {.prepare = loss_prepare, .run = triplet_run};
const struct sky_operation sky_cuda_LOSS_INFO_NCE = {.prepare = loss_prepare, .run = info_nce_run};
