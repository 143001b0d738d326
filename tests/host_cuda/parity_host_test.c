/*
 * The paper's model at an eighth of its width, trained by the CUDA back end's bindings and kernels on the host: two steps against the CPU back end in fp32, bf16 and fp16 maps
 * against fp32, and fused convolutions against plain ones. What a device adds is cuDNN, cuBLAS and real parallelism (tests/gpu).
 */
#include "../gpu/parity.h"
#include "host_backend.h"

int main(void)
{
    const struct parity p = {.backend = host_cuda_backend(), .overrides = {"data.image_size=64", "model.width=0.125", "model.embedding=32"}, .override_count = 3};
    parity_with_the_cpu(&p);
    parity_of_precision(&p, "train.precision=bf16", 0.85);
    parity_of_precision(&p, "train.precision=fp16", 0.98);
    parity_of_fusion(&p, "train.precision=fp32", 1e-4, 0.9999);
    parity_of_fusion(&p, "train.precision=fp16", 0.3, 0.98);
    return parity_done();
}
