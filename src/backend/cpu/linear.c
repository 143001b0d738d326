/*
 * Linear layers, one matrix a head: few rows and large matrices, so the work is split by the matrices' rows or columns and each matrix is read once.
 */
#include "cpu.h"
#include "product.h"

/* Outputs and columns a piece of work has. */
enum { OUTPUTS = 32, COLUMNS = 512 };

static sky_status linear_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 0), *matrix = sky_cpu_in(kernel, 1);
    const int64_t heads = in->dim[0], rows = in->dim[1], depth = in->dim[2], outputs = matrix->dim[1], pieces = (outputs + OUTPUTS - 1) / OUTPUTS;
    const float *x = run->in[0], *w = run->in[1], *bias = run->in[2]; /* [P,N,D], [P,K,D], [P,K] */
    float *y = run->out[0];                                           /* [P,N,K] */
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < heads * pieces; i++) {
        const int64_t p = i / pieces, first = i % pieces * OUTPUTS;
        sky_product_nt(x + p * rows * depth, w + (p * outputs + first) * depth, bias ? bias + p * outputs + first : NULL, rows,
                       sky_min(OUTPUTS, outputs - first), depth, y + p * rows * outputs + first, outputs);
    }
    return SKY_OK;
}

static sky_status linear_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *in = sky_cpu_in(kernel, 1), *matrix = sky_cpu_in(kernel, 2);
    const int64_t heads = in->dim[0], rows = in->dim[1], depth = in->dim[2], outputs = matrix->dim[1];
    const int64_t pieces = (outputs + OUTPUTS - 1) / OUTPUTS, slices = (depth + COLUMNS - 1) / COLUMNS;
    const float *dy = run->in[0], *x = run->in[1], *w = run->in[2]; /* [P,N,K], [P,N,D], [P,K,D] */
    float *dx = run->out[0], *dw = run->out[1], *db = run->out[2];
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < heads * slices; i++) {
            const int64_t p = i / slices, first = i % slices * COLUMNS;
            if (dx)
                sky_product_nn(dy + p * rows * outputs, w + p * outputs * depth + first, rows, sky_min(COLUMNS, depth - first), outputs, depth,
                               dx + p * rows * depth + first);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < heads * pieces; i++) {
            const int64_t p = i / pieces, first = i % pieces * OUTPUTS, count = sky_min(OUTPUTS, outputs - first);
            if (dw)
                sky_product_tn(dy + p * rows * outputs + first, outputs, x + p * rows * depth, rows, count, depth, run->accumulate,
                               dw + (p * outputs + first) * depth);
            sky_column_sums(dy + p * rows * outputs, rows, outputs, first, count, run->accumulate, db ? db + p * outputs : NULL);
        }
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_LINEAR = {.run = linear_run};
const struct sky_operation sky_cpu_LINEAR_GRAD = {.run = linear_grad_run};
