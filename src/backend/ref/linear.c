/*
 * Reference linear layers: every head has its own matrix.
 */
#include "ref.h"

sky_status ref_LINEAR(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), w = ref_in(kernel, run, 1), b = ref_in(kernel, run, 2), y = ref_out(kernel, run, 0); /* [P,N,D] [P,K,D] [P,K] [P,N,K] */
    const int64_t heads = x.dim[0], rows = x.dim[1], features = x.dim[2], outputs = w.dim[1];
    for (int64_t p = 0; p < heads; p++)
        for (int64_t n = 0; n < rows; n++)
            for (int64_t k = 0; k < outputs; k++) {
                double sum = b.data ? ref_get(&b, p * outputs + k) : 0;
                for (int64_t d = 0; d < features; d++) sum += ref_get(&x, (p * rows + n) * features + d) * ref_get(&w, (p * outputs + k) * features + d);
                ref_set(&y, (p * rows + n) * outputs + k, sum);
            }
    return SKY_OK;
}

sky_status ref_LINEAR_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), w = ref_in(kernel, run, 2);
    const struct ref_tensor dx = ref_out(kernel, run, 0), dw = ref_out(kernel, run, 1), db = ref_out(kernel, run, 2);
    const int64_t heads = x.dim[0], rows = x.dim[1], features = x.dim[2], outputs = w.dim[1];
    for (int64_t i = 0; dx.data && i < x.count; i++) {
        const int64_t row = i / features, d = i % features, p = row / rows;
        double sum = 0;
        for (int64_t k = 0; k < outputs; k++) sum += ref_get(&dy, row * outputs + k) * ref_get(&w, (p * outputs + k) * features + d);
        ref_set(&dx, i, sum);
    }
    for (int64_t p = 0; p < heads; p++)
        for (int64_t k = 0; k < outputs; k++) {
            double total = 0;
            for (int64_t n = 0; n < rows; n++) total += ref_get(&dy, (p * rows + n) * outputs + k);
            ref_put(&db, p * outputs + k, total, run->accumulate);
            for (int64_t d = 0; d < features; d++) {
                double sum = 0;
                for (int64_t n = 0; n < rows; n++) sum += ref_get(&dy, (p * rows + n) * outputs + k) * ref_get(&x, (p * rows + n) * features + d);
                ref_put(&dw, (p * outputs + k) * features + d, sum, run->accumulate);
            }
        }
    return SKY_OK;
}
