/*
 * Rows to rank on the device: gathered on the host a stretch at a time, scaled there, multiplied in f32 by cuBLAS.
 */
#include "ranking_rows.h"

#include "base/memory.h"
#include "product.h"

#include <stdlib.h>
#include <string.h>

enum {
    STAGE_BYTES = 64 << 20,    /* of rows gathered for one copy */
    PRODUCT_BYTES = 256 << 20, /* of one block's products */
    MOST_QUERIES = 65535,      /* a launch's second dimension */
    SLICE = 512                /* dimensions summed at a time: rounding then stays far below the margin */
};

void sky_ranking_rows_free(struct sky_ranking_rows *rows)
{
    for (int i = 0; i < SKY_RANKING_MOST; i++)
        if (rows->memory[i].block) rows->device->backend->arena_free(rows->device, rows->memory[i].block, rows->memory[i].bytes);
    memset(rows, 0, sizeof *rows);
}

sky_status sky_ranking_launched(int error)
{
    return error ? sky_fail(SKY_DEVICE, "ranking", "a kernel cannot be launched: %s", sky_cuda_error_text(error)) : SKY_OK;
}

sky_status sky_ranking_take(struct sky_ranking_rows *rows, int which, size_t bytes)
{
    rows->memory[which].bytes = bytes ? bytes : 1;
    return rows->device->backend->arena_alloc(rows->device, rows->memory[which].bytes, "ranking", &rows->memory[which].block);
}

sky_status sky_ranking_upload(struct sky_ranking_rows *rows, int which, const void *from, size_t bytes)
{
    SKY_TRY(sky_ranking_take(rows, which, bytes));
    return bytes ? rows->device->backend->copy_in(rows->device, rows->memory[which].block, from, bytes) : SKY_OK;
}

sky_status sky_ranking_take_rows(struct sky_ranking_rows *rows, int which, int64_t count)
{
    return sky_ranking_take(rows, which, (size_t)(count * rows->dimensions) * sizeof(float));
}

sky_status sky_ranking_send_rows(struct sky_ranking_rows *rows, int which, const float *values, const int64_t *order, int64_t count)
{
    const struct sky_backend *backend = rows->device->backend;
    const struct sky_cuda *cuda = rows->device->state;
    const int64_t dimensions = rows->dimensions;
    const size_t row_bytes = (size_t)dimensions * sizeof(float);
    const int64_t at_once = (int64_t)(STAGE_BYTES / row_bytes) > 0 ? (int64_t)(STAGE_BYTES / row_bytes) : 1;
    float *stage = NULL, *to = rows->memory[which].block;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&stage, (size_t)(count < at_once ? count : at_once), row_bytes, "rows to rank"));
    for (int64_t first = 0; first < count; first += at_once) {
        const int64_t rest = count - first < at_once ? count - first : at_once;
        for (int64_t i = 0; i < rest; i++) memcpy(stage + i * dimensions, values + (order ? order[first + i] : first + i) * dimensions, row_bytes);
        SKY_TRY_DONE(backend->copy_in(rows->device, to + first * dimensions, stage, (size_t)rest * row_bytes));
        SKY_TRY_DONE(backend->synchronize(rows->device)); /* the stage is filled again */
    }
    if (rows->scale != 1) status = sky_ranking_launched(sky_cuda_scale(cuda->stream, to, count * dimensions, rows->scale));
done:
    free(stage);
    return status;
}

sky_status sky_ranking_take_products(struct sky_ranking_rows *rows, int64_t queries, int64_t items)
{
    int64_t block = PRODUCT_BYTES / (int64_t)sizeof(float) / items;
    if (block > MOST_QUERIES) block = MOST_QUERIES;
    if (block > queries) block = queries;
    rows->block_queries = block > 1 ? block : 1;
    return sky_ranking_take(rows, SKY_RANKING_PRODUCTS, (size_t)(rows->block_queries * items) * sizeof(float));
}

/* Summed over slices of the dimensions. */
sky_status sky_ranking_multiply(struct sky_ranking_rows *rows, int64_t first_query, int64_t queries, int64_t items)
{
    for (int64_t d = 0; d < rows->dimensions; d += SLICE) {
        const int64_t depth = rows->dimensions - d < SLICE ? rows->dimensions - d : SLICE;
        const struct sky_product product = {.batch = 1,
                                            .rows = queries,
                                            .columns = items,
                                            .inner = depth,
                                            .a = (const float *)rows->memory[SKY_RANKING_QUERIES].block + first_query * rows->dimensions + d,
                                            .a_stride = rows->dimensions,
                                            .b = (const float *)rows->memory[SKY_RANKING_ITEMS].block + d,
                                            .b_stride = rows->dimensions,
                                            .b_transposed = true,
                                            .c = rows->memory[SKY_RANKING_PRODUCTS].block,
                                            .accumulate = d > 0};
        SKY_TRY(sky_cuda_product(rows->device->state, "ranking", &product));
    }
    return SKY_OK;
}
