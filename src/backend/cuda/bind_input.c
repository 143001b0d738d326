/*
 * IMAGE_PREP: what turns a batch of images into the first map. The mirror stays a number in device memory, so that one recording serves both passes of the flip
 * test.
 */
#include "cuda.h"

static sky_status prep_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cuda_out(kernel, 0); /* [N,H,W,3] */
    return sky_cuda_launched(kernel,
                             sky_cuda_image_prep(sky_cuda_of(kernel)->stream, x->dtype, run->in[0], run->in[1], run->in[2], kernel->node->attr.prep.mean,
                                                 kernel->node->attr.prep.std, run->out[0], x->dim[0], x->dim[1], x->dim[2]));
}

const struct sky_operation sky_cuda_IMAGE_PREP = {.run = prep_run};
