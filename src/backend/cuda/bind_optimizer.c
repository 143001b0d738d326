/*
 * SUM_SQUARES, SGD, ADAMW, EMA. The optimiser's parameters are cut into pieces of one block each; their table lives on the device, made when the node is prepared.
 */
#include "cuda.h"

#include "base/memory.h"

#include <stdlib.h>

enum { PIECE = 4096 };

static sky_status squares_prepare(struct sky_kernel *kernel)
{
    kernel->work_bytes = (size_t)sky_cuda_sum_squares_doubles(sky_cuda_in(kernel, 0)->count) * sizeof(double);
    return SKY_OK;
}

static sky_status squares_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return sky_cuda_launched(kernel, sky_cuda_sum_squares(sky_cuda_of(kernel)->stream, run->in[0], sky_cuda_in(kernel, 0)->count, run->out[0], run->work));
}

struct update_state {
    struct sky_cuda_piece *pieces; /* on the device */
    size_t bytes;
    int64_t count;
};

static int64_t pieces_of(int64_t count) { return (count + PIECE - 1) / PIECE; }

static sky_status upload_pieces(struct sky_device *device, const struct sky_segment *segments, int64_t segment_count, struct update_state *state)
{
    struct sky_cuda_piece *host = NULL;
    int64_t at = 0;
    sky_status status = SKY_OK;
    for (int64_t s = 0; s < segment_count; s++) state->count += pieces_of(segments[s].count);
    if (!state->count) return SKY_OK;
    state->bytes = (size_t)state->count * sizeof *host;
    SKY_TRY(sky_alloc(&host, (size_t)state->count, sizeof *host, "pieces of parameters"));
    for (int64_t s = 0; s < segment_count; s++)
        for (int64_t first = 0; first < segments[s].count; first += PIECE) {
            const int64_t left = segments[s].count - first;
            host[at++] = (struct sky_cuda_piece){segments[s].offset + first,
                                                 (int32_t)(left < PIECE ? left : PIECE),
                                                 segments[s].group,
                                                 segments[s].weight_decay,
                                                 segments[s].low,
                                                 segments[s].high};
        }
    SKY_TRY_DONE(device->backend->arena_alloc(device, state->bytes, "pieces of parameters", (void **)&state->pieces));
    SKY_TRY_DONE(device->backend->copy_in(device, state->pieces, host, state->bytes));
    SKY_TRY_DONE(device->backend->synchronize(device));
done:
    free(host);
    return status;
}

static void update_destroy(struct sky_kernel *kernel)
{
    struct update_state *state = kernel->state;
    if (!state) return;
    if (state->pieces) kernel->device->backend->arena_free(kernel->device, state->pieces, state->bytes);
    free(state);
    kernel->state = NULL;
}

static sky_status update_prepare(struct sky_kernel *kernel)
{
    struct update_state *state = NULL;
    SKY_TRY(sky_alloc(&state, 1, sizeof *state, "the optimiser"));
    kernel->state = state;
    SKY_TRY(upload_pieces(kernel->device, kernel->node->attr.update.segments, kernel->node->attr.update.segment_count, state));
    kernel->work_bytes = (size_t)state->count * sizeof(unsigned);
    return SKY_OK;
}

/* The last two inputs are the sum of squares and the scalars. */
static struct sky_cuda_update update_of(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct update_state *state = kernel->state;
    const struct sky_tensor *shadow = sky_cuda_out(kernel, 1);
    const int last = kernel->node->in_count - 1;
    return (struct sky_cuda_update){.pieces = state->pieces,
                                    .piece_count = state->count,
                                    .params = run->in[0],
                                    .grads = run->in[1],
                                    .momenta = run->in[2],
                                    .sum_squares = run->in[last - 1],
                                    .scalars = run->in[last],
                                    .shadow_type = shadow ? shadow->dtype : SKY_F32,
                                    .shadow = run->out[1],
                                    .report = run->out[0],
                                    .scratch = run->work,
                                    .clip_norm = kernel->node->attr.update.clip_norm};
}

static sky_status sgd_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_update update = update_of(kernel, run);
    const union sky_attributes *attr = &kernel->node->attr;
    return sky_cuda_launched(kernel, sky_cuda_sgd(sky_cuda_of(kernel)->stream, &update, attr->update.momentum, attr->update.nesterov));
}

static sky_status adamw_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_cuda_update update = update_of(kernel, run);
    const union sky_attributes *attr = &kernel->node->attr;
    const struct sky_cuda_adamw adamw = {.squares = run->in[3], .beta1 = attr->update.momentum, .beta2 = attr->update.squares, .epsilon = attr->update.epsilon};
    return sky_cuda_launched(kernel, sky_cuda_adamw(sky_cuda_of(kernel)->stream, &update, &adamw));
}

static sky_status ema_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    return sky_cuda_launched(kernel, sky_cuda_ema(sky_cuda_of(kernel)->stream, run->in[0], run->in[1], sky_cuda_in(kernel, 0)->count, run->in[2], run->out[0]));
}

const struct sky_operation sky_cuda_SUM_SQUARES = {.prepare = squares_prepare, .run = squares_run};
const struct sky_operation sky_cuda_SGD = {.prepare = update_prepare, .run = sgd_run, .destroy = update_destroy};
const struct sky_operation sky_cuda_ADAMW = {.prepare = update_prepare, .run = adamw_run, .destroy = update_destroy};
const struct sky_operation sky_cuda_EMA = {.run = ema_run};
