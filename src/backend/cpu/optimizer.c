/*
 * The update of the whole parameter arena in one pass, the gradients' sum of squares before it, and the moving average. Arenas are cut into fixed chunks, so
 * nothing depends on the number of threads.
 */
#include "base/memory.h"
#include "cpu.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK = 1 << 14, LANES = 16 };

static int64_t chunk_count(int64_t elements)
{
    return (elements + CHUNK - 1) / CHUNK;
}

static sky_status sum_prepare(struct sky_kernel *kernel)
{
    kernel->work_bytes = (size_t)chunk_count(sky_cpu_in(kernel, 0)->count) * sizeof(double);
    return SKY_OK;
}

/* The chunk's four quarters side by side: the hardware reads ahead in each of them. */
static double chunk_squares(const float *restrict x, int64_t count)
{
    double lane[LANES] = {0}, sum = 0;
    const int64_t quarter = count / 4 / LANES * LANES;
    for (int64_t i = 0; i < quarter; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            const double a = (double)x[i + l], b = (double)x[quarter + i + l], c = (double)x[2 * quarter + i + l], d = (double)x[3 * quarter + i + l];
            lane[l] += (a * a + b * b) + (c * c + d * d);
        }
    }
    for (int64_t i = 4 * quarter; i < count; i++) sum += (double)x[i] * (double)x[i];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static sky_status sum_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int64_t count = sky_cpu_in(kernel, 0)->count, chunks = chunk_count(count);
    const float *x = run->in[0];
    double *parts = run->work, sum = 0;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < chunks; i++) parts[i] = chunk_squares(x + i * CHUNK, sky_min(CHUNK, count - i * CHUNK));
    for (int64_t i = 0; i < chunks; i++) sum += parts[i];
    *(double *)run->out[0] = sum;
    return SKY_OK;
}

/* Pieces of parameters that are updated alike, in the arena's order. */
struct piece {
    const struct sky_segment *segment;
    int64_t first, count, clamped;
};

struct update_state {
    int64_t piece_count;
    struct piece piece[];
};

static sky_status update_prepare(struct sky_kernel *kernel)
{
    const struct sky_segment *segments = kernel->node->attr.update.segments;
    const int64_t segment_count = kernel->node->attr.update.segment_count;
    struct update_state *state = NULL;
    int64_t pieces = 0;
    for (int64_t s = 0; s < segment_count; s++) pieces += chunk_count(segments[s].count);
    SKY_TRY(sky_alloc(&state, 1, sizeof *state + (size_t)pieces * sizeof *state->piece, "the optimiser's pieces"));
    kernel->state = state;
    for (int64_t s = 0; s < segment_count; s++)
        for (int64_t first = 0; first < segments[s].count; first += CHUNK)
            state->piece[state->piece_count++] = (struct piece){&segments[s], segments[s].offset + first, sky_min(CHUNK, segments[s].count - first), 0};
    return SKY_OK;
}

static void update_destroy(struct sky_kernel *kernel)
{
    free(kernel->state);
    kernel->state = NULL;
}

struct sgd_rates {
    float scale, decay, lr, momentum;
    bool nesterov;
};

static void sgd_update(float *restrict w, const float *restrict gradient, float *restrict velocity, int64_t count, struct sgd_rates rates)
{
    if (rates.nesterov) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            const float g = gradient[i] * rates.scale + rates.decay * w[i], m = rates.momentum * velocity[i] + g;
            velocity[i] = m;
            w[i] -= rates.lr * (g + rates.momentum * m);
        }
    } else {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            const float m = rates.momentum * velocity[i] + (gradient[i] * rates.scale + rates.decay * w[i]);
            velocity[i] = m;
            w[i] -= rates.lr * m;
        }
    }
}

static int64_t clamp(float *w, int64_t count, float low, float high)
{
    int64_t clamped = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!(w[i] < low) && !(w[i] > high)) continue;
        w[i] = w[i] < low ? low : high;
        clamped++;
    }
    return clamped;
}

struct adamw_rates {
    float scale, keep /* of the parameter, after its decay */, step, beta1, rest1 /* 1 - beta1 */, beta2, rest2, unbias /* of the root of the squares */, epsilon;
};

static void adamw_update(float *restrict w, const float *restrict gradient, float *restrict mean, float *restrict square, int64_t count, struct adamw_rates rates)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        const float g = gradient[i] * rates.scale, m = rates.beta1 * mean[i] + rates.rest1 * g, v = rates.beta2 * square[i] + rates.rest2 * g * g;
        mean[i] = m;
        square[i] = v;
        w[i] = rates.keep * w[i] - rates.step * m / (sqrtf(v) * rates.unbias + rates.epsilon);
    }
}

/* What is the same for all pieces of an update. */
struct common {
    const struct sky_scalars *scalars;
    double scale;        /* of the gradients, clipping included */
    double come1, come2; /* ADAMW: how far its means have come from zero */
};

/* The last two inputs are the sum of squares and the scalars. False when the update is left out. */
static bool start_update(const struct sky_kernel *kernel, const struct sky_run *run, struct common *common)
{
    const int last = kernel->node->in_count - 1;
    const struct sky_scalars *scalars = run->in[last];
    const union sky_attributes *attr = &kernel->node->attr;
    const double sum_squares = *(const double *)run->in[last - 1], clip_norm = attr->update.clip_norm;
    const double norm = scalars->gradient_scale * sqrt(sum_squares);
    double *report = run->out[0];
    common->scalars = scalars;
    common->scale = scalars->gradient_scale * (clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1);
    common->come1 = 1 - pow(attr->update.momentum, (double)scalars->update), common->come2 = 1 - pow(attr->update.squares, (double)scalars->update);
    report[0] = norm, report[1] = !isfinite(sum_squares) || scalars->void_update != 0, report[2] = report[3] = 0;
    return report[1] == 0;
}

static void move_by_sgd(const struct sky_kernel *kernel, const struct sky_run *run, const struct common *common, const struct piece *piece)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_segment *segment = piece->segment;
    const struct sgd_rates rates = {(float)common->scale, segment->weight_decay, common->scalars->lr[segment->group], (float)attr->update.momentum, attr->update.nesterov};
    sgd_update((float *)run->in[0] + piece->first, (const float *)run->in[1] + piece->first, (float *)run->in[2] + piece->first, piece->count, rates);
}

static void move_by_adamw(const struct sky_kernel *kernel, const struct sky_run *run, const struct common *common, const struct piece *piece)
{
    const double beta1 = kernel->node->attr.update.momentum, beta2 = kernel->node->attr.update.squares, lr = common->scalars->lr[piece->segment->group];
    const struct adamw_rates rates = {.scale = (float)common->scale, .keep = (float)(1 - lr * piece->segment->weight_decay), .step = (float)(lr / common->come1),
                                      .beta1 = (float)beta1, .rest1 = (float)(1 - beta1), .beta2 = (float)beta2, .rest2 = (float)(1 - beta2),
                                      .unbias = (float)(1 / sqrt(common->come2)), .epsilon = (float)kernel->node->attr.update.epsilon};
    adamw_update((float *)run->in[0] + piece->first, (const float *)run->in[1] + piece->first, (float *)run->in[2] + piece->first, (float *)run->in[3] + piece->first,
                 piece->count, rates);
}

static sky_status update_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct update_state *state = kernel->state;
    double *report = run->out[0];
    float *params = run->in[0];
    struct common common;
    if (!start_update(kernel, run, &common)) return SKY_OK;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < state->piece_count; i++) {
        struct piece *piece = &state->piece[i];
        const struct sky_segment *segment = piece->segment;
        if (kernel->node->op == SKY_OP_ADAMW) move_by_adamw(kernel, run, &common, piece);
        else move_by_sgd(kernel, run, &common, piece);
        piece->clamped = segment->low < segment->high ? clamp(params + piece->first, piece->count, segment->low, segment->high) : 0;
    }
    for (int64_t i = 0; i < state->piece_count; i++) report[2] += (double)state->piece[i].clamped;
    return SKY_OK;
}

static sky_status ema_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_scalars *scalars = run->in[2];
    const int64_t count = sky_cpu_in(kernel, 0)->count;
    const float *restrict params = run->in[0], decay = scalars->ema_decay, rest = 1 - decay;
    float *restrict average = run->in[1];
    *(double *)run->out[0] = 0;
    if (scalars->void_update != 0) return SKY_OK;
#pragma omp parallel for simd num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < count; i++) average[i] = decay * average[i] + rest * params[i];
    return SKY_OK;
}

const struct sky_operation sky_cpu_SUM_SQUARES = {.prepare = sum_prepare, .run = sum_run};
const struct sky_operation sky_cpu_SGD = {.prepare = update_prepare, .run = update_run, .destroy = update_destroy};
const struct sky_operation sky_cpu_ADAMW = {.prepare = update_prepare, .run = update_run, .destroy = update_destroy};
const struct sky_operation sky_cpu_EMA = {.run = ema_run};

/* Maps have the parameters' type here, so there is nothing to convert. */
const struct sky_operation sky_cpu_CAST = {0};
