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
struct sgd_piece {
    const struct sky_segment *segment;
    int64_t first, count, clamped;
};

struct sgd_state {
    int64_t piece_count;
    struct sgd_piece piece[];
};

static sky_status sgd_prepare(struct sky_kernel *kernel)
{
    const struct sky_segment *segments = kernel->node->attr.sgd.segments;
    const int64_t segment_count = kernel->node->attr.sgd.segment_count;
    struct sgd_state *state = NULL;
    int64_t pieces = 0;
    for (int64_t s = 0; s < segment_count; s++) pieces += chunk_count(segments[s].count);
    SKY_TRY(sky_alloc(&state, 1, sizeof *state + (size_t)pieces * sizeof *state->piece, "the optimiser's pieces"));
    kernel->state = state;
    for (int64_t s = 0; s < segment_count; s++)
        for (int64_t first = 0; first < segments[s].count; first += CHUNK)
            state->piece[state->piece_count++] = (struct sgd_piece){&segments[s], segments[s].offset + first, sky_min(CHUNK, segments[s].count - first), 0};
    return SKY_OK;
}

static void sgd_destroy(struct sky_kernel *kernel)
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

static sky_status sgd_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct sgd_state *state = kernel->state;
    const struct sky_scalars *scalars = run->in[4];
    const double sum_squares = *(const double *)run->in[3], clip_norm = kernel->node->attr.sgd.clip_norm;
    const double norm = scalars->gradient_scale * sqrt(sum_squares),
                 scale = scalars->gradient_scale * (clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1);
    float *params = run->in[0], *momenta = run->in[2];
    const float *grads = run->in[1];
    double *report = run->out[0];
    report[0] = norm, report[1] = !isfinite(sum_squares) || scalars->void_update != 0, report[2] = report[3] = 0;
    if (report[1] != 0) return SKY_OK;
    const float momentum = (float)kernel->node->attr.sgd.momentum;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < state->piece_count; i++) {
        struct sgd_piece *piece = &state->piece[i];
        const struct sky_segment *segment = piece->segment;
        const struct sgd_rates rates = {(float)scale, segment->weight_decay, scalars->lr[segment->group], momentum, kernel->node->attr.sgd.nesterov};
        sgd_update(params + piece->first, grads + piece->first, momenta + piece->first, piece->count, rates);
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
const struct sky_operation sky_cpu_SGD = {.prepare = sgd_prepare, .run = sgd_run, .destroy = sgd_destroy};
const struct sky_operation sky_cpu_EMA = {.run = ema_run};

/* Maps have the parameters' type here, so there is nothing to convert. */
const struct sky_operation sky_cpu_CAST = {0};
