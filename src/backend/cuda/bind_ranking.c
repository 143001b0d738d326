/*
 * Ranking's counting on the device: the gallery is brought there once, queries go through it in blocks. Owns its device memory while it runs.
 */
#include "bind_ranking.h"

#include "ranking_rows.h"

enum { FIRST = SKY_RANKING_OWN, RIGHT_KEYS, BEFORE, NEAR, NEAR_COUNT };

static sky_status count_block(struct sky_ranking_rows *rows, const struct sky_key_count *task, int64_t first_query, int64_t queries, int64_t most_rights)
{
    const struct sky_cuda *cuda = rows->device->state;
    const struct sky_cuda_count count = {.products = rows->memory[SKY_RANKING_PRODUCTS].block,
                                         .half_norms = rows->memory[SKY_RANKING_HALF_NORMS].block,
                                         .first = rows->memory[FIRST].block,
                                         .right_keys = rows->memory[RIGHT_KEYS].block,
                                         .items = task->items,
                                         .first_query = first_query,
                                         .right_count = task->first[task->queries],
                                         .bounds = {task->bounds[0], task->bounds[1], task->bounds[2]},
                                         .margin = task->margin,
                                         .before = rows->memory[BEFORE].block,
                                         .near = rows->memory[NEAR].block,
                                         .near_count = rows->memory[NEAR_COUNT].block,
                                         .near_room = (uint32_t)task->near_room};
    SKY_TRY(sky_ranking_multiply(rows, first_query, queries, task->items));
    return sky_ranking_launched(sky_cuda_count_keys(cuda->stream, &count, queries, most_rights));
}

static sky_status prepare(struct sky_ranking_rows *rows, const struct sky_key_count *task)
{
    const int64_t rights = task->first[task->queries];
    SKY_TRY(sky_ranking_take_rows(rows, SKY_RANKING_ITEMS, task->items));
    SKY_TRY(sky_ranking_send_rows(rows, SKY_RANKING_ITEMS, task->item_rows, task->order, task->items));
    SKY_TRY(sky_ranking_take_rows(rows, SKY_RANKING_QUERIES, task->queries));
    SKY_TRY(sky_ranking_send_rows(rows, SKY_RANKING_QUERIES, task->query_rows, NULL, task->queries));
    SKY_TRY(sky_ranking_upload(rows, SKY_RANKING_HALF_NORMS, task->half_norms, (size_t)task->items * sizeof(float)));
    SKY_TRY(sky_ranking_upload(rows, FIRST, task->first, (size_t)(task->queries + 1) * sizeof(int64_t)));
    SKY_TRY(sky_ranking_upload(rows, RIGHT_KEYS, task->right_keys, (size_t)rights * sizeof(float)));
    SKY_TRY(sky_ranking_take_products(rows, task->queries, task->items));
    SKY_TRY(sky_ranking_take(rows, BEFORE, 2 * (size_t)rights * sizeof(uint32_t)));
    SKY_TRY(sky_ranking_take(rows, NEAR, (size_t)task->near_room * sizeof *task->near));
    return sky_ranking_take(rows, NEAR_COUNT, sizeof(uint32_t));
}

static sky_status read_back(const struct sky_ranking_rows *rows, struct sky_key_count *task)
{
    const struct sky_backend *backend = rows->device->backend;
    uint32_t count = 0;
    SKY_TRY(backend->copy_out(rows->device, &count, rows->memory[NEAR_COUNT].block, sizeof count));
    task->near_count = count;
    const int64_t kept = task->near_count < task->near_room ? task->near_count : task->near_room;
    if (kept) SKY_TRY(backend->copy_out(rows->device, task->near, rows->memory[NEAR].block, (size_t)kept * sizeof *task->near));
    return backend->copy_out(rows->device, task->before, rows->memory[BEFORE].block, 2 * (size_t)task->first[task->queries] * sizeof(uint32_t));
}

sky_status sky_cuda_rank(struct sky_device *device, struct sky_key_count *task)
{
    struct sky_ranking_rows rows = {.device = device, .dimensions = task->dimensions, .scale = task->scale};
    int64_t most_rights = 0;
    sky_status status = SKY_OK;
    task->near_count = 0;
    if (!task->first[task->queries] || !task->items) return SKY_OK;
    for (int64_t q = 0; q < task->queries; q++)
        if (task->first[q + 1] - task->first[q] > most_rights) most_rights = task->first[q + 1] - task->first[q];
    SKY_TRY_DONE(prepare(&rows, task));
    for (int64_t q = 0; q < task->queries; q += rows.block_queries)
        SKY_TRY_DONE(count_block(&rows, task, q, task->queries - q < rows.block_queries ? task->queries - q : rows.block_queries, most_rights));
    SKY_TRY_DONE(read_back(&rows, task));
done:
    sky_ranking_rows_free(&rows);
    return status;
}
