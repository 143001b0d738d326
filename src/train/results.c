/*
 * The two slots behind results.h, in one block of memory.
 */
#include "results.h"

#include "base/memory.h"

#include <string.h>

enum { UPDATE_BYTES = 4 * sizeof(double), TIMES_BYTES = 2 * sizeof(uint64_t) };

static const struct sky_staging *staging_of(const struct sky_results *results) { return results->executor->device.backend->staging; }

sky_status sky_results_open(struct sky_results *results, struct sky_executor *executor, const struct sky_model *model, int64_t parts, const uint64_t *times)
{
    const size_t slot_bytes = UPDATE_BYTES + TIMES_BYTES + (size_t)(SKY_RESULTS_LOSSES * parts) * sizeof(float);
    memset(results, 0, sizeof *results);
    results->executor = executor, results->model = model, results->parts = parts, results->times = times, results->bytes = 2 * slot_bytes;
    SKY_TRY(sky_block_alloc(&results->block, results->bytes, "results of steps"));
    for (int slot = 0; slot < 2; slot++) {
        char *at = (char *)results->block + (size_t)slot * slot_bytes;
        results->slot[slot] = (struct sky_results_slot){(double *)(void *)at, (uint64_t *)(void *)(at + UPDATE_BYTES), (float *)(void *)(at + UPDATE_BYTES + TIMES_BYTES)};
    }
    if (!staging_of(results)) return SKY_OK;
    SKY_TRY(staging_of(results)->pin(&executor->device, results->block, results->bytes));
    results->pinned = true;
    return SKY_OK;
}

void sky_results_close(struct sky_results *results)
{
    if (results->pinned) staging_of(results)->unpin(&results->executor->device, results->block);
    if (results->block) sky_block_free(results->block, results->bytes);
    memset(results, 0, sizeof *results);
}

static sky_status read_memory(struct sky_results *results, void *to, const void *from, size_t bytes)
{
    struct sky_device *device = &results->executor->device;
    return staging_of(results) ? staging_of(results)->read(device, to, from, bytes) : device->backend->copy_out(device, to, from, bytes);
}

static sky_status read_value(struct sky_results *results, sky_value value, void *to)
{
    const struct sky_executor *executor = results->executor;
    if (value == SKY_NONE) return SKY_OK; /* its place stays 0 */
    return read_memory(results, to, sky_executor_pointer(executor, value), executor->graph->tensors[value].bytes);
}

sky_status sky_results_read_losses(struct sky_results *results, int slot, int64_t part)
{
    float *losses = results->slot[slot].losses + SKY_RESULTS_LOSSES * part;
    SKY_TRY(read_value(results, results->model->loss_ce, losses));
    SKY_TRY(read_value(results, results->model->loss_kl, losses + 1));
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) SKY_TRY(read_value(results, results->model->loss_pairs[i], losses + 2 + i));
    return SKY_OK;
}

sky_status sky_results_read_update(struct sky_results *results, int slot)
{
    if (results->times) SKY_TRY(read_memory(results, results->slot[slot].times, results->times, TIMES_BYTES));
    SKY_TRY(read_value(results, results->model->report, results->slot[slot].update));
    return staging_of(results) ? staging_of(results)->read_end(&results->executor->device, slot) : SKY_OK;
}

sky_status sky_results_wait(struct sky_results *results, int slot)
{
    return staging_of(results) ? staging_of(results)->read_wait(&results->executor->device, slot) : SKY_OK;
}
