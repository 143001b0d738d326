/*
 * Reference part attention: every feature of every part is weighted by its softmax over the parts.
 */
#include "ref.h"

/* softmax over the parts of feature i: the largest value and the sum of exponentials. */
static void softmax_of(const struct ref_tensor *x, int64_t i, int64_t parts, int64_t stride, double *largest, double *sum)
{
    *largest = ref_get(x, i), *sum = 0;
    for (int64_t p = 1; p < parts; p++) *largest = fmax(*largest, ref_get(x, p * stride + i));
    for (int64_t p = 0; p < parts; p++) *sum += exp(ref_get(x, p * stride + i) - *largest);
}

sky_status ref_PART_ATTENTION(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0); /* [P, N, C] */
    const int64_t parts = x.dim[0], stride = x.dim[1] * x.dim[2];
    for (int64_t i = 0; i < stride; i++) {
        double largest, sum;
        softmax_of(&x, i, parts, stride, &largest, &sum);
        for (int64_t p = 0; p < parts; p++) {
            const double value = ref_get(&x, p * stride + i);
            ref_set(&y, p * stride + i, value * exp(value - largest) / sum);
        }
    }
    return SKY_OK;
}

sky_status ref_PART_ATTENTION_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), dx = ref_out(kernel, run, 0); /* [P, N, C] */
    const int64_t parts = x.dim[0], stride = x.dim[1] * x.dim[2];
    for (int64_t i = 0; i < stride; i++) {
        double largest, sum, mean = 0; /* mean: of dy x under the softmax */
        softmax_of(&x, i, parts, stride, &largest, &sum);
        for (int64_t p = 0; p < parts; p++) {
            const double value = ref_get(&x, p * stride + i);
            mean += ref_get(&dy, p * stride + i) * value * exp(value - largest) / sum;
        }
        for (int64_t p = 0; p < parts; p++) {
            const double value = ref_get(&x, p * stride + i), gradient = ref_get(&dy, p * stride + i), weight = exp(value - largest) / sum;
            ref_set(&dx, p * stride + i, weight * (gradient + gradient * value - mean));
        }
    }
    return SKY_OK;
}
