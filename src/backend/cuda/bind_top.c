/*
 * The nearest items on the device: all queries are brought there once, the gallery a block at a time, and each query's list is merged as blocks pass. Owns its
 * device memory while it runs.
 */
#include "bind_ranking.h"
#include "ranking_rows.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(SKY_TOP_MOST_PLACES == SKY_CUDA_TOP_PLACES, "the back end's limit is the kernel's");

enum { LISTS = SKY_RANKING_OWN };

static const int64_t gallery_bytes = (int64_t)1 << 30; /* of a block of rows */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static sky_status pass(struct sky_ranking_rows *rows, const struct sky_top_keys *task, int64_t first_item, int64_t items)
{
    const struct sky_cuda *cuda = rows->device->state;
    struct sky_cuda_top top = {.products = rows->memory[SKY_RANKING_PRODUCTS].block,
                               .half_norms = rows->memory[SKY_RANKING_HALF_NORMS].block,
                               .lists = rows->memory[LISTS].block,
                               .items = items,
                               .first_item = first_item,
                               .places = task->places};
    SKY_TRY(sky_ranking_send_rows(rows, SKY_RANKING_ITEMS, task->item_rows, task->order + first_item, items));
    for (int64_t q = 0; q < task->queries; q += rows->block_queries) {
        const int64_t queries = smaller(rows->block_queries, task->queries - q);
        top.first_query = q;
        SKY_TRY(sky_ranking_multiply(rows, q, queries, items));
        SKY_TRY(sky_ranking_launched(sky_cuda_top_keys(cuda->stream, &top, queries)));
    }
    return SKY_OK;
}

static float key_of(uint64_t number)
{
    const uint32_t ascending = (uint32_t)(number >> 32), bits = ascending >> 31 ? ascending & 0x7fffffffu : ~ascending;
    float key;
    memcpy(&key, &bits, sizeof key);
    return key;
}

static sky_status read_lists(const struct sky_ranking_rows *rows, struct sky_top_keys *task)
{
    const int64_t count = task->queries * task->places;
    uint64_t *lists = NULL;
    SKY_TRY(sky_alloc(&lists, (size_t)count, sizeof *lists, "nearest rows"));
    const sky_status status = rows->device->backend->copy_out(rows->device, lists, rows->memory[LISTS].block, (size_t)count * sizeof *lists);
    for (int64_t i = 0; status == SKY_OK && i < count; i++) task->item[i] = (uint32_t)lists[i], task->key[i] = key_of(lists[i]);
    free(lists);
    return status;
}

sky_status sky_cuda_top(struct sky_device *device, struct sky_top_keys *task)
{
    struct sky_ranking_rows rows = {.device = device, .dimensions = task->dimensions, .scale = task->scale};
    const int64_t fitting = gallery_bytes / (int64_t)sizeof(float) / task->dimensions, block = smaller(fitting > 1 ? fitting : 1, task->items);
    sky_status status = SKY_OK;
    if (!task->items) { /* nothing but empty places */
        memset(task->item, 0xFF, (size_t)(task->queries * task->places) * sizeof *task->item);
        return SKY_OK;
    }
    SKY_TRY_DONE(sky_ranking_take_rows(&rows, SKY_RANKING_QUERIES, task->queries));
    SKY_TRY_DONE(sky_ranking_send_rows(&rows, SKY_RANKING_QUERIES, task->query_rows, NULL, task->queries));
    SKY_TRY_DONE(sky_ranking_take_rows(&rows, SKY_RANKING_ITEMS, block));
    SKY_TRY_DONE(sky_ranking_upload(&rows, SKY_RANKING_HALF_NORMS, task->half_norms, (size_t)task->items * sizeof(float)));
    SKY_TRY_DONE(sky_ranking_take_products(&rows, task->queries, block));
    SKY_TRY_DONE(sky_ranking_take(&rows, LISTS, (size_t)(task->queries * task->places) * sizeof(uint64_t)));
    for (int64_t first = 0; first < task->items; first += block) SKY_TRY_DONE(pass(&rows, task, first, smaller(block, task->items - first)));
    SKY_TRY_DONE(read_lists(&rows, task));
done:
    sky_ranking_rows_free(&rows);
    return status;
}
