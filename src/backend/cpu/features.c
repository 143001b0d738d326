/*
 * Operations on head tensors, which are small: joining and splitting, the attention over parts, dropout; and the sum of two tensors of any size.
 */
#include "base/rng.h"
#include "cpu.h"
#include "vector.h"

/* A tensor seen from one of its dimensions: `outer` blocks of `length` entries of `inner` elements. */
struct axis_view {
    int64_t outer, length, inner;
};

static struct axis_view axis_view_of(const struct sky_tensor *tensor, int axis)
{
    struct axis_view view = {1, tensor->dim[axis], 1};
    for (int i = 0; i < axis; i++) view.outer *= tensor->dim[i];
    for (int i = axis + 1; i < tensor->rank; i++) view.inner *= tensor->dim[i];
    return view;
}

static sky_status concat_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int axis = kernel->node->attr.concat.axis;
    const struct axis_view a = axis_view_of(sky_cpu_in(kernel, 0), axis), b = axis_view_of(sky_cpu_in(kernel, 1), axis);
    const int64_t first = a.length * a.inner, second = b.length * b.inner;
    const float *from_a = run->in[0], *from_b = run->in[1];
    float *y = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < a.outer; i++) {
        memcpy(y + i * (first + second), from_a + i * first, (size_t)first * sizeof *y);
        memcpy(y + i * (first + second) + first, from_b + i * second, (size_t)second * sizeof *y);
    }
    return SKY_OK;
}

static sky_status concat_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct axis_view whole = axis_view_of(sky_cpu_in(kernel, 0), kernel->node->attr.concat.axis);
    const int64_t first = kernel->node->attr.concat.first * whole.inner, second = whole.length * whole.inner - first;
    const float *dy = run->in[0];
    float *da = run->out[0], *db = run->out[1];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < whole.outer; i++) {
        if (da) memcpy(da + i * first, dy + i * (first + second), (size_t)first * sizeof *dy);
        if (db) memcpy(db + i * second, dy + i * (first + second) + first, (size_t)second * sizeof *dy);
    }
    return SKY_OK;
}

/* Features in one piece of work. */
enum { PIECE = 256 };

/* softmax over the parts of x, unnormalised, for one piece: its largest value and the sum of exponentials. */
static void softmax_piece(const float *x, int64_t parts, int64_t stride, int64_t count, float *restrict largest, float *restrict sum)
{
    for (int64_t i = 0; i < count; i++) largest[i] = x[i], sum[i] = 0;
    for (int64_t p = 1; p < parts; p++)
        for (int64_t i = 0; i < count; i++) largest[i] = x[p * stride + i] > largest[i] ? x[p * stride + i] : largest[i];
    for (int64_t p = 0; p < parts; p++) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) sum[i] += sky_exp(x[p * stride + i] - largest[i]);
    }
}

static sky_status attention_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 0);
    const int64_t parts = shape->dim[0], stride = shape->dim[1] * shape->dim[2];
    const float *x = run->in[0];
    float *y = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t first = 0; first < stride; first += PIECE) {
        const int64_t count = sky_min(PIECE, stride - first);
        float largest[PIECE], sum[PIECE];
        softmax_piece(x + first, parts, stride, count, largest, sum);
        for (int64_t p = 0; p < parts; p++) {
            const float *restrict from = x + p * stride + first;
            float *restrict to = y + p * stride + first;
#pragma omp simd
            for (int64_t i = 0; i < count; i++) to[i] = from[i] * (sky_exp(from[i] - largest[i]) / sum[i]);
        }
    }
    return SKY_OK;
}

/* dx = a (dy + dy x - sum_p a dy x) with a = softmax(x) */
static sky_status attention_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 1);
    const int64_t parts = shape->dim[0], stride = shape->dim[1] * shape->dim[2];
    const float *dy = run->in[0], *x = run->in[1];
    float *dx = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t first = 0; first < stride; first += PIECE) {
        const int64_t count = sky_min(PIECE, stride - first);
        float largest[PIECE], sum[PIECE], mean[PIECE] = {0};
        softmax_piece(x + first, parts, stride, count, largest, sum);
        for (int64_t p = 0; p < parts; p++) {
            const float *restrict from = x + p * stride + first, *restrict gradient = dy + p * stride + first;
#pragma omp simd
            for (int64_t i = 0; i < count; i++) mean[i] += sky_exp(from[i] - largest[i]) / sum[i] * gradient[i] * from[i];
        }
        for (int64_t p = 0; p < parts; p++) {
            const float *restrict from = x + p * stride + first, *restrict gradient = dy + p * stride + first;
            float *restrict to = dx + p * stride + first;
#pragma omp simd
            for (int64_t i = 0; i < count; i++) to[i] = sky_exp(from[i] - largest[i]) / sum[i] * (gradient[i] + gradient[i] * from[i] - mean[i]);
        }
    }
    return SKY_OK;
}

/* Blocks of four numbers drawn side by side. */
enum { DRAWS = 16 };

/* The numbers of rng.h's Philox4x32-10, DRAWS counters at once: word w of counter index + i at [w][i]. */
static void philox_words(uint64_t seed, uint32_t step, uint32_t layer, uint32_t index, uint32_t words[4][DRAWS])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < DRAWS; i++) words[0][i] = index + (uint32_t)i, words[1][i] = layer, words[2][i] = step, words[3][i] = SKY_RNG_DROPOUT;
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
#pragma omp simd
        for (int i = 0; i < DRAWS; i++) {
            const uint64_t a = (uint64_t)0xD2511F53u * words[0][i], b = (uint64_t)0xCD9E8D57u * words[2][i];
            words[0][i] = (uint32_t)(b >> 32) ^ words[1][i] ^ key0;
            words[1][i] = (uint32_t)b;
            words[2][i] = (uint32_t)(a >> 32) ^ words[3][i] ^ key1;
            words[3][i] = (uint32_t)a;
        }
    }
}

/* Elements begin .. end of the whole batch; x and y hold those from begin on. */
static void drop_elements(const struct sky_scalars *scalars, const union sky_attributes *attr, const float *x, float *y, int64_t begin, int64_t end)
{
    const double rate = attr->dropout.rate;
    const float scale = (float)(1 / (1 - rate));
    for (int64_t first = begin / 4 * 4; first < end; first += 4 * DRAWS) {
        uint32_t words[4][DRAWS];
        philox_words(scalars->seed, (uint32_t)scalars->step, attr->dropout.layer, (uint32_t)(first / 4), words);
        const int64_t last = sky_min(first + 4 * DRAWS, end);
        for (int64_t i = first > begin ? first : begin; i < last; i++) y[i - begin] = words[i % 4][(i - first) / 4] * 0x1p-32 >= rate ? x[i - begin] * scale : 0;
    }
}

/* A head's rows of one view lie side by side in the whole batch too. */
static sky_status dropout_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *shape = sky_cpu_in(kernel, 0); /* [P,N,D] */
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_scalars *scalars = run->in[1];
    const int64_t blocks = shape->dim[0] * attr->dropout.groups, view = shape->count / blocks, ranks = (int64_t)scalars->other_ranks + 1;
    const float *x = run->in[0];
    float *y = run->out[0];
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t begin = (b * ranks + scalars->rank) * view;
        drop_elements(scalars, attr, x + b * view, y + b * view, begin, begin + view);
    }
    return SKY_OK;
}

/* y may be a. */
static sky_status add_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int64_t count = sky_cpu_in(kernel, 0)->count;
    const float *a = run->in[0], *b = run->in[1];
    float *y = run->out[0];
#pragma omp parallel for simd num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < count; i++) y[i] = a[i] + b[i];
    return SKY_OK;
}

const struct sky_operation sky_cpu_CONCAT = {.run = concat_run};
const struct sky_operation sky_cpu_CONCAT_GRAD = {.run = concat_grad_run};
const struct sky_operation sky_cpu_PART_ATTENTION = {.run = attention_run};
const struct sky_operation sky_cpu_PART_ATTENTION_GRAD = {.run = attention_grad_run};
const struct sky_operation sky_cpu_DROPOUT = {.run = dropout_run};
const struct sky_operation sky_cpu_ADD = {.run = add_run};
