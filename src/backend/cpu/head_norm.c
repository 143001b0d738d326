/*
 * Batch norm of head features: few rows, so each block of features is gone through as often as is convenient, in double.
 */
#include "cpu.h"

#include <math.h>

/* One head, and a block of its features. */
struct column_block {
    int64_t head, first, features;
};

static int64_t block_count(const struct sky_tensor *x)
{
    return x->dim[0] * ((x->dim[2] + SKY_CHANNEL_BLOCK - 1) / SKY_CHANNEL_BLOCK);
}

static struct column_block block_at(const struct sky_tensor *x, int64_t index)
{
    const int64_t per_head = (x->dim[2] + SKY_CHANNEL_BLOCK - 1) / SKY_CHANNEL_BLOCK, first = index % per_head * SKY_CHANNEL_BLOCK;
    return (struct column_block){index / per_head, first, sky_min(SKY_CHANNEL_BLOCK, x->dim[2] - first)};
}

/* Two rows of numbers [2,D] that belong to one statistic: this rank's to hand on, or rank r's. */
static double *mine_at(const struct sky_run *run, int64_t statistic, int64_t width, int64_t first)
{
    return run->mine + statistic * 2 * width + first;
}

static const double *all_at(const struct sky_run *run, int r, int64_t statistics, int64_t statistic, int64_t width, int64_t first)
{
    return run->all + ((int64_t)r * statistics + statistic) * 2 * width + first;
}

/* Moments of `members` rows a rank, merged in rank order. */
static void merge_ranks(const struct sky_run *run, int64_t statistics, int64_t statistic, int64_t width, struct column_block block, double members, double *center, double *square)
{
    for (int64_t d = 0; d < block.features; d++) center[d] = square[d] = 0;
    for (int r = 0; r < run->ranks; r++) {
        const double *from = all_at(run, r, statistics, statistic, width, block.first);
        for (int64_t d = 0; d < block.features; d++) {
            const double difference = from[d] - center[d];
            center[d] += difference / (r + 1);
            square[d] += from[width + d] + difference * difference * members * r / (r + 1);
        }
    }
}

static void norm_block(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_tensor *shape, struct column_block block)
{
    const int64_t rows = shape->dim[1], width = shape->dim[2], groups = kernel->node->attr.bn.groups, members = rows / groups;
    const double momentum = kernel->node->attr.bn.momentum;
    const int64_t weight = block.head * width + block.first;
    const float *gamma = (const float *)run->in[1] + weight, *beta = (const float *)run->in[2] + weight;
    float *running_mean = (float *)run->in[3] + weight, *running_var = (float *)run->in[4] + weight;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t at = (block.head * rows + g * members) * width + block.first, statistic = (block.head * groups + g) * width + block.first;
        const float *x = (const float *)run->in[0] + at;
        float *y = (float *)run->out[0] + at, *mean = (float *)run->out[1] + statistic, *invstd = (float *)run->out[2] + statistic;
        double center[SKY_CHANNEL_BLOCK] = {0}, square[SKY_CHANNEL_BLOCK] = {0}, slope[SKY_CHANNEL_BLOCK];
        for (int64_t n = 0; n < members; n++)
            for (int64_t d = 0; d < block.features; d++) center[d] += (double)x[n * width + d];
        for (int64_t d = 0; d < block.features; d++) center[d] /= (double)members;
        for (int64_t n = 0; n < members; n++)
            for (int64_t d = 0; d < block.features; d++) {
                const double difference = (double)x[n * width + d] - center[d];
                square[d] += difference * difference;
            }
        const int64_t number = block.head * groups + g;
        if (run->mine) {
            double *to = mine_at(run, number, width, block.first);
            for (int64_t d = 0; d < block.features; d++) to[d] = center[d], to[width + d] = square[d];
            continue;
        }
        if (run->all) merge_ranks(run, shape->dim[0] * groups, number, width, block, (double)members, center, square);
        const double count = (double)(run->all ? members * run->ranks : members);
        for (int64_t d = 0; d < block.features; d++) {
            slope[d] = 1 / sqrt(square[d] / count + kernel->node->attr.bn.epsilon);
            mean[d] = (float)center[d];
            invstd[d] = (float)slope[d];
            if (!kernel->node->attr.bn.update) continue;
            running_mean[d] = (float)((1 - momentum) * running_mean[d] + momentum * center[d]);
            running_var[d] = (float)((1 - momentum) * running_var[d] + momentum * square[d] / (count - 1));
        }
        for (int64_t n = 0; n < members; n++)
            for (int64_t d = 0; d < block.features; d++)
                y[n * width + d] = (float)((double)gamma[d] * ((double)x[n * width + d] - center[d]) * slope[d] + (double)beta[d]);
    }
}

static sky_status norm_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 0);
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < block_count(shape); i++) norm_block(kernel, run, shape, block_at(shape, i));
    return SKY_OK;
}

static void grad_block(const struct sky_kernel *kernel, const struct sky_run *run, const struct sky_tensor *shape, struct column_block block)
{
    const int64_t rows = shape->dim[1], width = shape->dim[2], groups = kernel->node->attr.bn.groups, members = rows / groups;
    const int64_t weight = block.head * width + block.first;
    const float *gamma = (const float *)run->in[4] + weight;
    double total[SKY_CHANNEL_BLOCK] = {0}, total_x[SKY_CHANNEL_BLOCK] = {0};
    for (int64_t g = 0; g < groups; g++) {
        const int64_t at = (block.head * rows + g * members) * width + block.first, statistic = (block.head * groups + g) * width + block.first;
        const float *dy = (const float *)run->in[0] + at, *x = (const float *)run->in[1] + at, *mean = (const float *)run->in[2] + statistic,
                    *invstd = (const float *)run->in[3] + statistic;
        float *dx = (float *)run->out[0] + at;
        double sum[SKY_CHANNEL_BLOCK] = {0}, sum_x[SKY_CHANNEL_BLOCK] = {0};
        for (int64_t n = 0; n < members; n++)
            for (int64_t d = 0; d < block.features; d++) {
                sum[d] += (double)dy[n * width + d];
                sum_x[d] += (double)dy[n * width + d] * ((double)x[n * width + d] - (double)mean[d]) * (double)invstd[d];
            }
        const int64_t number = block.head * groups + g;
        if (run->mine) {
            double *to = mine_at(run, number, width, block.first);
            for (int64_t d = 0; d < block.features; d++) to[d] = sum[d], to[width + d] = sum_x[d];
            continue;
        }
        for (int64_t d = 0; d < block.features; d++) total[d] += sum[d], total_x[d] += sum_x[d];
        for (int r = 0; run->all && r < run->ranks; r++) {
            const double *from = all_at(run, r, shape->dim[0] * groups, number, width, block.first);
            for (int64_t d = 0; d < block.features; d++) sum[d] = (r ? sum[d] : 0) + from[d], sum_x[d] = (r ? sum_x[d] : 0) + from[width + d];
        }
        const double count = (double)(run->all ? members * run->ranks : members);
        for (int64_t n = 0; n < members; n++)
            for (int64_t d = 0; d < block.features; d++) {
                const double normal = ((double)x[n * width + d] - (double)mean[d]) * (double)invstd[d];
                dx[n * width + d] =
                    (float)((double)gamma[d] * (double)invstd[d] * ((double)dy[n * width + d] - (sum[d] + normal * sum_x[d]) / count));
            }
    }
    if (run->mine) return;
    for (int64_t d = 0; d < block.features; d++) {
        sky_give(run->out[1], weight + d, total_x[d], run->accumulate);
        sky_give(run->out[2], weight + d, total[d], run->accumulate);
    }
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 1);
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < block_count(shape); i++) grad_block(kernel, run, shape, block_at(shape, i));
    return SKY_OK;
}

static sky_status infer_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 0);
    const int64_t rows = shape->dim[1], width = shape->dim[2];
    const float *gamma = run->in[1], *beta = run->in[2], *mean = run->in[3], *var = run->in[4];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < block_count(shape); i++) {
        const struct column_block block = block_at(shape, i);
        const int64_t weight = block.head * width + block.first, at = block.head * rows * width + block.first;
        const float *x = (const float *)run->in[0] + at;
        float *y = (float *)run->out[0] + at;
        double slope[SKY_CHANNEL_BLOCK];
        for (int64_t d = 0; d < block.features; d++) slope[d] = (double)gamma[weight + d] / sqrt((double)var[weight + d] + kernel->node->attr.bn.epsilon);
        for (int64_t n = 0; n < rows; n++)
            for (int64_t d = 0; d < block.features; d++)
                y[n * width + d] = (float)(((double)x[n * width + d] - (double)mean[weight + d]) * slope[d] + (double)beta[weight + d]);
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_HEAD_BN = {.run = norm_run, .share = norm_run};
const struct sky_operation sky_cpu_HEAD_BN_GRAD = {.run = grad_run, .share = grad_run};
const struct sky_operation sky_cpu_HEAD_BN_INFER = {.run = infer_run};
