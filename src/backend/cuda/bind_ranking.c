/*
 * Ranking's counting on the device: the gallery is brought there once, queries go through it in blocks, products in f32 by cuBLAS. Owns its device memory while
 * it runs.
 */
#include "bind_ranking.h"

#include "base/memory.h"
#include "product.h"

#include <stdlib.h>
#include <string.h>

enum {
    STAGE_BYTES = 64 << 20,    /* of rows gathered for one copy */
    PRODUCT_BYTES = 256 << 20, /* of one block's products */
    SLICE = 512                /* dimensions summed at a time: rounding then stays far below the margin */
};

struct memory {
    void *block;
    size_t bytes;
};

enum { ITEMS, QUERIES, PRODUCTS, HALF_NORMS, FIRST, RIGHT_KEYS, BEFORE, NEAR, NEAR_COUNT, MEMORY_COUNT };

struct counting {
    struct sky_device *device;
    struct sky_cuda *cuda;
    struct sky_key_count *task;
    struct memory memory[MEMORY_COUNT];
    int64_t block_queries, most_rights;
};

static sky_status take(struct counting *c, int which, size_t bytes)
{
    c->memory[which].bytes = bytes ? bytes : 1;
    return c->device->backend->arena_alloc(c->device, c->memory[which].bytes, "ranking", &c->memory[which].block);
}

static sky_status launched(int error)
{
    return error ? sky_fail(SKY_DEVICE, "ranking", "a kernel cannot be launched: %s", sky_cuda_error_text(error)) : SKY_OK;
}

static sky_status upload(struct counting *c, int which, const void *from, size_t bytes)
{
    SKY_TRY(take(c, which, bytes));
    return bytes ? c->device->backend->copy_in(c->device, c->memory[which].block, from, bytes) : SKY_OK;
}

/* Rows in the order wanted, a stretch of them at a time, scaled on the device. */
static sky_status upload_rows(struct counting *c, int which, const float *rows, const int64_t *order, int64_t count)
{
    const int64_t dimensions = c->task->dimensions;
    const size_t row_bytes = (size_t)dimensions * sizeof(float);
    const int64_t at_once = (int64_t)(STAGE_BYTES / row_bytes) > 0 ? (int64_t)(STAGE_BYTES / row_bytes) : 1;
    float *stage = NULL, *to = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(take(c, which, (size_t)count * row_bytes));
    to = c->memory[which].block;
    SKY_TRY(sky_alloc(&stage, (size_t)(count < at_once ? count : at_once), row_bytes, "rows to rank"));
    for (int64_t first = 0; first < count; first += at_once) {
        const int64_t rest = count - first < at_once ? count - first : at_once;
        for (int64_t i = 0; i < rest; i++) memcpy(stage + i * dimensions, rows + (order ? order[first + i] : first + i) * dimensions, row_bytes);
        SKY_TRY_DONE(c->device->backend->copy_in(c->device, to + first * dimensions, stage, (size_t)rest * row_bytes));
        SKY_TRY_DONE(c->device->backend->synchronize(c->device)); /* the stage is filled again */
    }
    if (c->task->scale != 1) status = launched(sky_cuda_scale(c->cuda->stream, to, count * dimensions, c->task->scale));
done:
    free(stage);
    return status;
}

/* products [queries, items] of one block of queries, summed over slices of the dimensions. */
static sky_status multiply(struct counting *c, int64_t first_query, int64_t queries)
{
    const struct sky_key_count *task = c->task;
    for (int64_t d = 0; d < task->dimensions; d += SLICE) {
        const int64_t depth = task->dimensions - d < SLICE ? task->dimensions - d : SLICE;
        const struct sky_product product = {.batch = 1,
                                            .rows = queries,
                                            .columns = task->items,
                                            .inner = depth,
                                            .a = (const float *)c->memory[QUERIES].block + first_query * task->dimensions + d,
                                            .a_stride = task->dimensions,
                                            .b = (const float *)c->memory[ITEMS].block + d,
                                            .b_stride = task->dimensions,
                                            .b_transposed = true,
                                            .c = c->memory[PRODUCTS].block,
                                            .accumulate = d > 0};
        SKY_TRY(sky_cuda_product(c->cuda, "ranking", &product));
    }
    return SKY_OK;
}

static sky_status count_block(struct counting *c, int64_t first_query, int64_t queries)
{
    const struct sky_key_count *task = c->task;
    const struct sky_cuda_count count = {.products = c->memory[PRODUCTS].block,
                                         .half_norms = c->memory[HALF_NORMS].block,
                                         .first = c->memory[FIRST].block,
                                         .right_keys = c->memory[RIGHT_KEYS].block,
                                         .items = task->items,
                                         .first_query = first_query,
                                         .right_count = task->first[task->queries],
                                         .bounds = {task->bounds[0], task->bounds[1], task->bounds[2]},
                                         .margin = task->margin,
                                         .before = c->memory[BEFORE].block,
                                         .near = c->memory[NEAR].block,
                                         .near_count = c->memory[NEAR_COUNT].block,
                                         .near_room = (uint32_t)task->near_room};
    SKY_TRY(multiply(c, first_query, queries));
    return launched(sky_cuda_count_keys(c->cuda->stream, &count, queries, c->most_rights));
}

static sky_status prepare(struct counting *c)
{
    const struct sky_key_count *task = c->task;
    const int64_t rights = task->first[task->queries];
    c->block_queries = PRODUCT_BYTES / (int64_t)sizeof(float) / task->items;
    if (c->block_queries < 1) c->block_queries = 1;
    if (c->block_queries > task->queries) c->block_queries = task->queries;
    if (c->block_queries > 65535) c->block_queries = 65535; /* a launch's second dimension */
    for (int64_t q = 0; q < task->queries; q++)
        if (task->first[q + 1] - task->first[q] > c->most_rights) c->most_rights = task->first[q + 1] - task->first[q];
    SKY_TRY(upload_rows(c, ITEMS, task->item_rows, task->order, task->items));
    SKY_TRY(upload_rows(c, QUERIES, task->query_rows, NULL, task->queries));
    SKY_TRY(upload(c, HALF_NORMS, task->half_norms, (size_t)task->items * sizeof(float)));
    SKY_TRY(upload(c, FIRST, task->first, (size_t)(task->queries + 1) * sizeof(int64_t)));
    SKY_TRY(upload(c, RIGHT_KEYS, task->right_keys, (size_t)rights * sizeof(float)));
    SKY_TRY(take(c, PRODUCTS, (size_t)(c->block_queries * task->items) * sizeof(float)));
    SKY_TRY(take(c, BEFORE, 2 * (size_t)rights * sizeof(uint32_t)));
    SKY_TRY(take(c, NEAR, (size_t)task->near_room * sizeof *task->near));
    return take(c, NEAR_COUNT, sizeof(uint32_t));
}

static sky_status read_back(struct counting *c)
{
    struct sky_key_count *task = c->task;
    const struct sky_backend *backend = c->device->backend;
    uint32_t count = 0;
    SKY_TRY(backend->copy_out(c->device, &count, c->memory[NEAR_COUNT].block, sizeof count));
    task->near_count = count;
    const int64_t kept = task->near_count < task->near_room ? task->near_count : task->near_room;
    if (kept) SKY_TRY(backend->copy_out(c->device, task->near, c->memory[NEAR].block, (size_t)kept * sizeof *task->near));
    return backend->copy_out(c->device, task->before, c->memory[BEFORE].block, 2 * (size_t)task->first[task->queries] * sizeof(uint32_t));
}

sky_status sky_cuda_rank(struct sky_device *device, struct sky_key_count *task)
{
    struct counting c = {.device = device, .cuda = device->state, .task = task};
    sky_status status = SKY_OK;
    task->near_count = 0;
    if (!task->first[task->queries] || !task->items) return SKY_OK;
    SKY_TRY_DONE(prepare(&c));
    for (int64_t q = 0; q < task->queries; q += c.block_queries)
        SKY_TRY_DONE(count_block(&c, q, task->queries - q < c.block_queries ? task->queries - q : c.block_queries));
    SKY_TRY_DONE(read_back(&c));
done:
    for (int i = 0; i < MEMORY_COUNT; i++)
        if (c.memory[i].block) device->backend->arena_free(device, c.memory[i].block, c.memory[i].bytes);
    return status;
}
