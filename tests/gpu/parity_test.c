/*
 * The paper's model trained on a device (parity.h). Without a device there is nothing to test.
 */
#include "parity.h"

#include "backend/with_cuda.h"

#include <stdio.h>

int main(void)
{
    if (sky_cuda_find(0) != SKY_OK) {
        printf("SKIPPED training on a device: %s\n", sky_error_last()->what);
        printf("0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    const struct parity p = {.backend = sky_cuda_backend(), .overrides = {"data.image_size=128"}, .override_count = 1};
    parity_with_the_cpu(&p);
    parity_of_precision(&p, "train.precision=tf32", 0.98);
    parity_of_precision(&p, "train.precision=bf16", 0.85);
    parity_of_precision(&p, "train.precision=fp16", 0.98);
    parity_of_fusion(&p, "train.precision=fp16", 0.3, 0.98);
    parity_of_recording(&p, "train.precision=fp32");
    parity_of_recording(&p, "train.precision=bf16");
    parity_of_recording(&p, "train.precision=fp16");
    return parity_done();
}
