/*
 * The pipeline behind gather.h: a pool decodes ahead, the caller's thread runs the network. Owns its buffers while it runs; a worker's failure stays in its
 * slot until the picture's turn comes, so that order and messages do not depend on threads.
 */
#include "gather.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "skygem/log.h"

#include <stdlib.h>
#include <string.h>

enum { AHEAD = 2 }; /* batches */

struct worker {
    struct sky_resizer resizer;
    struct sky_image image;
};

struct run {
    struct sky_gather *gather;
    int side, workers, window;
    size_t picture_bytes;
    struct worker *scratch;   /* [workers] */
    uint8_t *decoded;         /* [window] pictures */
    struct sky_error *errors; /* [window]; status SKY_OK: the picture is good */
    uint8_t *batch;           /* [rows] pictures */
    int64_t *numbers;         /* [rows] whose they are */
    float *features;          /* [rows][dimensions] */
};

static int64_t picture_number(const struct sky_gather *gather, int64_t job) { return gather->wanted ? gather->wanted[job] : job; }

static sky_status decode(struct run *run, struct worker *worker, const char *relative, uint8_t *out)
{
    const struct sky_decode_options options = {.exif = run->gather->exif};
    char *path = NULL;
    if (run->gather->root) SKY_TRY(sky_path_join(&path, run->gather->root, relative));
    sky_status status = sky_image_read(path ? path : relative, &options, &worker->image);
    free(path);
    if (status == SKY_OK) status = sky_resize_bicubic_to(&worker->resizer, &worker->image, run->side, run->side, out);
    return status;
}

static sky_status decode_job(void *context, int number, int64_t job, int slot)
{
    struct run *run = context;
    const char *relative = run->gather->paths[picture_number(run->gather, job)];
    run->errors[slot].status = decode(run, &run->scratch[number], relative, run->decoded + (size_t)slot * run->picture_bytes);
    if (run->errors[slot].status != SKY_OK) run->errors[slot] = *sky_error_last();
    return SKY_OK;
}

static sky_status embed_batch(struct run *run, int64_t count)
{
    struct sky_gather *gather = run->gather;
    const int64_t dimensions = sky_encoder_dimensions(gather->encoder);
    if (!count) return SKY_OK;
    SKY_TRY(sky_encoder_embed_many(gather->encoder, run->batch, count, run->features));
    for (int64_t i = 0; i < count; i++) SKY_TRY(gather->take(gather->context, run->numbers[i], run->features + i * dimensions));
    return SKY_OK;
}

/* Missing, unreadable or damaged pictures are the picture's fault; anything else is ours and ends the run. */
static bool is_the_pictures_fault(sky_status status) { return status == SKY_DATA || status == SKY_IO || status == SKY_FORMAT; }

static sky_status collect(struct run *run, struct sky_pool *pool, int64_t total)
{
    struct sky_gather *gather = run->gather;
    const int64_t rows = sky_encoder_batch(gather->encoder);
    int64_t count = 0;
    if (gather->progress && !gather->progress(gather->context, 0, total))
        return sky_fail(SKY_INTERRUPTED, gather->root ? gather->root : "embedding", "stopped before the first of %lld pictures", (long long)total);
    for (int64_t done = 0; done < total; done++) {
        int64_t job;
        int slot;
        SKY_TRY(sky_pool_next(pool, &job, &slot));
        const struct sky_error *error = &run->errors[slot];
        if (error->status != SKY_OK) {
            if (!gather->skip_bad || !is_the_pictures_fault(error->status)) return sky_error_set(error);
            sky_log(SKY_LOG_WARNING, "left out: %s: %s", error->where, error->what);
            gather->skipped++;
        } else {
            memcpy(run->batch + (size_t)count * run->picture_bytes, run->decoded + (size_t)slot * run->picture_bytes, run->picture_bytes);
            run->numbers[count++] = picture_number(gather, job);
        }
        sky_pool_release(pool, slot);
        if (count < rows && done + 1 < total) continue;
        SKY_TRY(embed_batch(run, count));
        count = 0;
        if (gather->progress && !gather->progress(gather->context, done + 1, total))
            return sky_fail(SKY_INTERRUPTED, gather->root ? gather->root : "embedding", "stopped after %lld of %lld pictures", (long long)(done + 1),
                            (long long)total);
    }
    return SKY_OK;
}

sky_status sky_gather_run(struct sky_gather *gather)
{
    const struct sky_config *config = sky_encoder_config(gather->encoder);
    const int64_t rows = sky_encoder_batch(gather->encoder), total = gather->wanted ? gather->wanted_count : gather->count;
    struct run run = {.gather = gather, .side = (int)config->data.image_size, .window = (int)(AHEAD * rows)};
    struct sky_pool *pool = NULL;
    sky_status status = SKY_OK;
    gather->skipped = 0;
    if (!total) return SKY_OK;
    run.workers = config->data.workers ? (int)config->data.workers : sky_thread_count_default();
    run.picture_bytes = (size_t)run.side * (size_t)run.side * 3;
    SKY_TRY_DONE(sky_alloc(&run.scratch, (size_t)run.workers, sizeof *run.scratch, "decoding threads"));
    SKY_TRY_DONE(sky_alloc(&run.decoded, (size_t)run.window, run.picture_bytes, "pictures"));
    SKY_TRY_DONE(sky_alloc(&run.errors, (size_t)run.window, sizeof *run.errors, "pictures"));
    SKY_TRY_DONE(sky_alloc(&run.batch, (size_t)rows, run.picture_bytes, "pictures"));
    SKY_TRY_DONE(sky_alloc(&run.numbers, (size_t)rows, sizeof *run.numbers, "pictures"));
    SKY_TRY_DONE(sky_alloc(&run.features, (size_t)(rows * sky_encoder_dimensions(gather->encoder)), sizeof *run.features, "features"));
    SKY_TRY_DONE(sky_pool_create(&pool, run.workers, run.window, 0, total, decode_job, &run));
    SKY_TRY_DONE(collect(&run, pool, total));
done:
    sky_pool_destroy(pool);
    for (int i = 0; run.scratch && i < run.workers; i++) {
        sky_resizer_free(&run.scratch[i].resizer);
        sky_image_free(&run.scratch[i].image);
    }
    free(run.scratch);
    free(run.decoded);
    free(run.errors);
    free(run.batch);
    free(run.numbers);
    free(run.features);
    return status;
}

/* ---- names ---- */

static sky_status add_path(struct sky_pictures *pictures, const char *folder, const char *name)
{
    SKY_TRY(sky_grow(&pictures->paths, pictures->count, &pictures->capacity, sizeof *pictures->paths, "pictures"));
    SKY_TRY(folder ? sky_path_join(&pictures->paths[pictures->count], folder, name) : sky_strdup(&pictures->paths[pictures->count], name, "a path"));
    pictures->count++;
    return SKY_OK;
}

sky_status sky_pictures_add(struct sky_pictures *pictures, const char *file_or_folder)
{
    struct sky_image_set set = {0};
    if (!sky_path_is_folder(file_or_folder)) return add_path(pictures, NULL, file_or_folder);
    sky_status status = sky_image_set_scan(&set, file_or_folder);
    for (int64_t i = 0; i < set.count && status == SKY_OK; i++) status = add_path(pictures, file_or_folder, set.paths[i]);
    sky_image_set_close(&set);
    return status;
}

void sky_pictures_free(struct sky_pictures *pictures)
{
    for (int64_t i = 0; i < pictures->count; i++) free(pictures->paths[i]);
    free(pictures->paths);
    memset(pictures, 0, sizeof *pictures);
}
