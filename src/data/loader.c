/*
 * Training batches, made ahead by a worker pool: one job is one image, so a step's images are decoded on all threads. Slots hold whole images of a window of
 * jobs; a batch is handed out when its last image is ready. Owns the pixel buffers and the workers' scratch.
 */
#include "loader.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/threads.h"
#include "skygem/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 4 }; /* batches that may be in the making or with the consumer */

struct scratch {
    struct sky_augment_scratch augment;
    struct sky_image image;
};

struct slot { /* one batch */
    uint8_t *images;
    struct sky_rectangle *erased;
    int32_t *labels;
    const char **paths;
    int32_t *skipped; /* images tried in vain for each row */
};

struct sky_loader {
    struct sky_loader_options options;
    int64_t rows, steps_per_epoch;
    size_t image_bytes;
    struct slot slots[AHEAD];
    struct sky_pick *picks[AHEAD]; /* [rows] of the batch in each slot, drawn by the first job that needs them */
    int64_t picked[AHEAD];         /* the step whose picks they are, -1: none */
    pthread_mutex_t lock;          /* of picks */
    struct scratch *scratch;       /* [workers] */
    struct sky_pool *pool;
    int64_t skipped;                   /* in the batches handed out */
    atomic_flag *told[SKY_VIEW_COUNT]; /* [images of the view]: this one was called bad already */
};

static sky_status step_picks(struct sky_loader *loader, int64_t step, struct sky_pick *out, int64_t row)
{
    const int slot = (int)(step % AHEAD);
    sky_status status = SKY_OK;
    pthread_mutex_lock(&loader->lock);
    if (loader->picked[slot] != step) {
        status = sky_sampler_step(loader->options.sampler, step / loader->steps_per_epoch, step % loader->steps_per_epoch, loader->picks[slot]);
        if (status == SKY_OK) loader->picked[slot] = step;
    }
    *out = loader->picks[slot][row];
    pthread_mutex_unlock(&loader->lock);
    return status;
}

/* The picture behind an index, decoded or lent by the pack. */
static sky_status fetch(const struct sky_loader *loader, int view, int64_t image, struct scratch *scratch, struct sky_image *out)
{
    const struct sky_image_set *images = &loader->options.set->views[view];
    if (loader->options.pack) {
        const int side = sky_pack_size(loader->options.pack);
        const uint8_t *pixels;
        SKY_TRY(sky_pack_read(loader->options.pack, images->paths[image], &pixels));
        *out = (struct sky_image){.width = side, .height = side, .pixels = (uint8_t *)pixels}; /* only read */
        return SKY_OK;
    }
    const struct sky_decode_options decode = {.exif = loader->options.exif};
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, loader->options.set->root, images->paths[image]));
    const sky_status status = sky_image_read(path, &decode, &scratch->image);
    free(path);
    *out = scratch->image;
    return status;
}

/* Under `skip` a bad image is replaced by the next one of its class and view. */
static sky_status fetch_or_replace(struct sky_loader *loader, int view, const struct sky_pick *pick, struct scratch *scratch, struct sky_image *out,
                                   int64_t *taken, int32_t *skipped)
{
    const int64_t first = loader->options.set->first[view][pick->label], count = loader->options.set->first[view][pick->label + 1] - first;
    for (*skipped = 0;; ++*skipped) {
        if (*skipped == count)
            return sky_hint("no image of this place in this view can be read: run `skygem data check`, replace them or remove the place's folder");
        *taken = first + (pick->image - first + *skipped) % count;
        const sky_status status = fetch(loader, view, *taken, scratch, out);
        if (status != SKY_DATA || loader->options.on_bad_image == SKY_BAD_IMAGE_FAIL) {
            if (status == SKY_DATA) {
                const struct sky_error error = *sky_error_last();
                sky_hint("%s%sor set [data] on_bad_image = skip to train without such images", *error.hint ? error.hint : "mend or remove the file",
                         *error.hint ? "; " : ", ");
            }
            return status;
        }
        if (!atomic_flag_test_and_set(&loader->told[view][*taken]))
            sky_log(SKY_LOG_WARNING, "image left out: %s: %s", sky_error_last()->where, sky_error_last()->what);
    }
}

static sky_status make_image(void *context, int worker, int64_t job, int pool_slot)
{
    struct sky_loader *loader = context;
    (void)pool_slot;
    const int64_t step = job / loader->rows, row = job % loader->rows, batch_size = loader->options.batch_size;
    const struct sky_views *active = &loader->options.set->active;
    const int64_t v = row / batch_size;
    const int view = active->list[v];
    struct slot *slot = &loader->slots[step % AHEAD];
    struct scratch *scratch = &loader->scratch[worker];
    struct sky_pick pick;
    struct sky_image image;
    int64_t taken = 0;
    SKY_TRY(step_picks(loader, step, &pick, row));
    SKY_TRY(fetch_or_replace(loader, view, &pick, scratch, &image, &taken, &slot->skipped[row]));
    const struct sky_rng rng =
        sky_rng_make(loader->options.seed, SKY_RNG_AUGMENT, (uint32_t)(step / loader->steps_per_epoch), (uint32_t)(pick.item * active->count + v));
    slot->labels[row] = pick.label;
    slot->paths[row] = loader->options.set->views[view].paths[taken];
    return sky_augment_apply(&loader->options.augment[view], rng, &image, &scratch->augment, slot->images + (size_t)row * loader->image_bytes,
                             &slot->erased[row]);
}

static sky_status allocate(struct sky_loader *loader)
{
    const size_t rows = (size_t)loader->rows;
    SKY_TRY(sky_alloc(&loader->scratch, (size_t)loader->options.workers, sizeof *loader->scratch, "loader threads"));
    for (int i = 0; i < AHEAD; i++) {
        loader->picked[i] = -1;
        SKY_TRY(sky_alloc(&loader->picks[i], rows, sizeof *loader->picks[i], "a batch"));
        SKY_TRY(sky_alloc(&loader->slots[i].images, rows, loader->image_bytes, "a batch of images"));
        SKY_TRY(sky_alloc(&loader->slots[i].erased, rows, sizeof *loader->slots[i].erased, "a batch"));
        SKY_TRY(sky_alloc(&loader->slots[i].labels, rows, sizeof *loader->slots[i].labels, "a batch"));
        SKY_TRY(sky_alloc(&loader->slots[i].paths, rows, sizeof *loader->slots[i].paths, "a batch"));
        SKY_TRY(sky_alloc(&loader->slots[i].skipped, rows, sizeof *loader->slots[i].skipped, "a batch"));
    }
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        const int64_t count = loader->options.set->views[view].count;
        SKY_TRY(sky_alloc(&loader->told[view], (size_t)count, sizeof *loader->told[view], "marks of bad images"));
        for (int64_t i = 0; i < count; i++) atomic_flag_clear(&loader->told[view][i]);
    }
    return SKY_OK;
}

sky_status sky_loader_create(struct sky_loader **out, const struct sky_loader_options *options)
{
    struct sky_loader *loader = NULL;
    sky_status status = SKY_OK;
    const struct sky_views *active = &options->set->active;
    const int side = options->augment[active->list[0]].size;
    SKY_TRY(sky_alloc(&loader, 1, sizeof *loader, "the loader"));
    pthread_mutex_init(&loader->lock, NULL);
    loader->options = *options;
    loader->rows = active->count * options->batch_size;
    loader->steps_per_epoch = sky_sampler_steps_per_epoch(options->sampler);
    loader->image_bytes = (size_t)side * (size_t)side * 3;
    for (int v = 0; options->pack && v < active->count; v++)
        SKY_TRY_DONE(sky_pack_check(options->pack, &options->set->views[active->list[v]], options->set->root, side, options->exif));
    SKY_TRY_DONE(allocate(loader));
    SKY_TRY_DONE(sky_pool_create(&loader->pool, options->workers, (int)(AHEAD * loader->rows), options->first_step * loader->rows,
                                 (options->last_step - options->first_step) * loader->rows, make_image, loader));
    *out = loader;
    return SKY_OK;
done:
    sky_loader_destroy(loader);
    return status;
}

sky_status sky_loader_next(struct sky_loader *loader, struct sky_batch *out)
{
    int64_t job = -1;
    int slot = 0;
    for (int64_t row = 0; row < loader->rows; row++) {
        SKY_TRY(sky_pool_next(loader->pool, &job, &slot));
        if (job < 0) return sky_fail(SKY_INTERNAL, "loader", "asked for more steps than planned");
    }
    const int64_t step = job / loader->rows;
    struct slot *batch = &loader->slots[step % AHEAD];
    for (int64_t row = 0; row < loader->rows; row++) loader->skipped += batch->skipped[row];
    *out = (struct sky_batch){.step = step,
                              .images = batch->images,
                              .erased = batch->erased,
                              .labels = batch->labels,
                              .paths = batch->paths,
                              .skipped = loader->skipped,
                              .slot = (int)(step % AHEAD)};
    return SKY_OK;
}

/* The pool's slots of this step's jobs go back together. */
void sky_loader_release(struct sky_loader *loader, struct sky_batch *batch)
{
    const int64_t window = AHEAD * loader->rows;
    for (int64_t row = 0; row < loader->rows; row++) sky_pool_release(loader->pool, (int)((batch->step * loader->rows + row) % window));
}

void sky_loader_destroy(struct sky_loader *loader)
{
    if (!loader) return;
    sky_pool_destroy(loader->pool);
    for (int i = 0; loader->scratch && i < loader->options.workers; i++) {
        sky_augment_scratch_free(&loader->scratch[i].augment);
        sky_image_free(&loader->scratch[i].image);
    }
    free(loader->scratch);
    for (int i = 0; i < AHEAD; i++) {
        free(loader->picks[i]);
        free(loader->slots[i].images);
        free(loader->slots[i].erased);
        free(loader->slots[i].labels);
        free(loader->slots[i].paths);
        free(loader->slots[i].skipped);
    }
    for (int view = 0; view < SKY_VIEW_COUNT; view++) free(loader->told[view]);
    pthread_mutex_destroy(&loader->lock);
    free(loader);
}
