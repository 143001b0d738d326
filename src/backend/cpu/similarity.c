/*
 * Cosines between the rows of two views and their gradient: matrix products on unit rows, in blocks of rows that do not depend on the number of threads.
 */
#include "cpu.h"
#include "product.h"

#include <math.h>

enum { BLOCK = 8 }; /* rows a piece of work has */

struct views {
    int64_t heads, all, members, width, first, second, blocks; /* first, second: the first row of either view in its head */
    bool joint;
};

static struct views views_of(const struct sky_kernel *kernel, const struct sky_tensor *x)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const int64_t members = x->dim[1] / attr->pairs.groups;
    return (struct views){x->dim[0], x->dim[1], members, x->dim[2], attr->pairs.first * members, attr->pairs.second * members, (members + BLOCK - 1) / BLOCK,
                          attr->pairs.joint};
}

static double scale_of(const struct views *v, const float *t)
{
    return (t ? exp((double)*t) : 1) / (v->joint ? (double)v->heads : 1);
}

static sky_status similarity_prepare(struct sky_kernel *kernel)
{
    const struct views v = views_of(kernel, sky_cpu_in(kernel, 0));
    if (v.joint) kernel->work_bytes = (size_t)(v.heads * v.members * v.members) * sizeof(float);
    return SKY_OK;
}

static sky_status similarity_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct views v = views_of(kernel, sky_cpu_in(kernel, 0));
    const float *x = run->in[0]; /* [P,N,D] */
    float *inverse_norm = run->out[1], *y = run->out[0], *each = v.joint ? run->work : y; /* [P,N], [P,M,M] or [1,M,M], [P,M,M] */
    const double scale = scale_of(&v, run->in[1]);
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t row = 0; row < v.heads * v.all; row++) {
            double square = 0;
            for (int64_t d = 0; d < v.width; d++) square += (double)x[row * v.width + d] * (double)x[row * v.width + d];
            inverse_norm[row] = square > 0 ? (float)(1 / sqrt(square)) : 0;
        }
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < v.heads * v.blocks; piece++) {
            const int64_t p = piece / v.blocks, i = piece % v.blocks * BLOCK, count = sky_min(BLOCK, v.members - i), a = p * v.all + v.first + i, b = p * v.all + v.second;
            float *to = each + (p * v.members + i) * v.members;
            sky_product_nt(x + a * v.width, x + b * v.width, NULL, count, v.members, v.width, to, v.members);
            for (int64_t k = 0; k < count; k++)
                for (int64_t j = 0; j < v.members; j++)
                    to[k * v.members + j] = (float)(scale * (double)to[k * v.members + j] * (double)inverse_norm[a + k] * (double)inverse_norm[b + j]);
        }
#pragma omp for schedule(static)
        for (int64_t e = 0; e < (v.joint ? v.members * v.members : 0); e++) {
            double sum = 0;
            for (int64_t p = 0; p < v.heads; p++) sum += (double)each[p * v.members * v.members + e];
            y[e] = (float)sum;
        }
    }
    return SKY_OK;
}

/* Unit rows of both views [P,2,M,D], and dy times the scale, as it is and transposed [2,P,M,M]. */
static sky_status similarity_grad_prepare(struct sky_kernel *kernel)
{
    const struct views v = views_of(kernel, sky_cpu_in(kernel, 1));
    kernel->work_bytes = (size_t)(v.heads * 2 * v.members * (v.width + v.members)) * sizeof(float);
    return SKY_OK;
}

/* dx of `count` rows: pull - u (u . pull), over the row's norm. `to` holds the pulls [count,D]. */
static void project(float *to, const float *units, const float *inverse_norm, int64_t count, int64_t width)
{
    for (int64_t k = 0; k < count; k++, to += width, units += width) {
        double along = 0;
        for (int64_t d = 0; d < width; d++) along += (double)to[d] * (double)units[d];
        for (int64_t d = 0; d < width; d++) to[d] = (float)((double)inverse_norm[k] * ((double)to[d] - along * (double)units[d]));
    }
}

static sky_status similarity_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *tensor = sky_cpu_in(kernel, 1);
    const struct views v = views_of(kernel, tensor);
    const float *dy = run->in[0], *x = run->in[1], *inverse_norm = run->in[2], *y = run->in[3];
    const int64_t square = v.members * v.members;
    const double scale = scale_of(&v, run->in[4]);
    float *dx = run->out[0], *units = run->work, *pulls = units + v.heads * 2 * v.members * v.width;
    memset(dx, 0, tensor->bytes); /* rows of other views */
#pragma omp parallel num_threads(sky_cpu_threads(kernel))
    {
#pragma omp for schedule(static)
        for (int64_t row = 0; row < v.heads * 2 * v.members; row++) {
            const int64_t p = row / (2 * v.members), from = p * v.all + (row / v.members % 2 ? v.second : v.first) + row % v.members;
            for (int64_t d = 0; d < v.width; d++) units[row * v.width + d] = x[from * v.width + d] * inverse_norm[from];
        }
#pragma omp for schedule(static)
        for (int64_t e = 0; e < v.heads * square; e++) {
            const int64_t p = e / square, i = e / v.members % v.members, j = e % v.members, head = v.joint ? 0 : p * square;
            pulls[e] = (float)(scale * (double)dy[head + i * v.members + j]);
            pulls[v.heads * square + e] = (float)(scale * (double)dy[head + j * v.members + i]);
        }
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < v.heads * 2 * v.blocks; piece++) {
            const int64_t p = piece / (2 * v.blocks), side = piece / v.blocks % 2, i = piece % v.blocks * BLOCK, count = sky_min(BLOCK, v.members - i);
            const int64_t row = p * v.all + (side ? v.second : v.first) + i, own = (p * 2 + side) * v.members + i, others = (p * 2 + 1 - side) * v.members;
            float *to = dx + row * v.width;
            sky_product_nn(pulls + side * v.heads * square + (p * v.members + i) * v.members, units + others * v.width, count, v.width, v.members, v.width, to);
            project(to, units + own * v.width, inverse_norm + row, count, v.width);
        }
    }
    double sum = 0;
    for (int64_t e = 0; e < (v.joint ? 1 : v.heads) * square; e++) sum += (double)dy[e] * (double)y[e];
    sky_give(run->out[1], 0, sum, run->accumulate);
    return SKY_OK;
}

const struct sky_operation sky_cpu_SIMILARITY = {.prepare = similarity_prepare, .run = similarity_run};
const struct sky_operation sky_cpu_SIMILARITY_GRAD = {.prepare = similarity_grad_prepare, .run = similarity_grad_run};
