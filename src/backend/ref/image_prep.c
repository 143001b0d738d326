/*
 * Reference IMAGE_PREP: uint8 pixels to normalised numbers, with the flip test's mirror and the erased rectangles.
 */
#include "ref.h"

sky_status ref_IMAGE_PREP(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_out(kernel, run, 0); /* [N, H, W, 3] */
    const uint8_t *image = run->in[0];                   /* [N, H, W, 3] */
    const int32_t *erased = run->in[1];                  /* [N, 4] top left height width, or NULL */
    const struct sky_scalars *scalars = run->in[2];
    const float *mean = kernel->node->attr.prep.mean, *std = kernel->node->attr.prep.std;
    const int64_t images = x.dim[0], height = x.dim[1], width = x.dim[2];
    for (int64_t n = 0; n < images; n++)
        for (int64_t h = 0; h < height; h++)
            for (int64_t w = 0; w < width; w++) {
                const int64_t from = scalars->mirror ? width - 1 - w : w; /* rectangles are given in the image as it was before the mirror */
                const int32_t *box = erased ? erased + 4 * n : NULL;
                const bool hidden = box && h >= box[0] && h < box[0] + box[2] && from >= box[1] && from < box[1] + box[3];
                for (int64_t c = 0; c < 3; c++) {
                    const double value = image[((n * height + h) * width + from) * 3 + c];
                    ref_set(&x, ((n * height + h) * width + w) * 3 + c, hidden ? 0 : value * (1 / (255.0 * std[c])) - (double)mean[c] / std[c]);
                }
            }
    return SKY_OK;
}
