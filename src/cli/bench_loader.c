/*
 * Times the way of an image from bytes in memory to an augmented square: decoding alone, with the resize, with everything, and the augmentation of pictures that a pack has
 * decoded and resized before; on one thread and on all. Files are read once beforehand, so the disk is not in the figures.
 */
#include "bench.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "image/augment.h"
#include "skygem/config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum stage { DECODE, RESIZE, AUGMENT, PACKED, STAGE_COUNT };

struct files {
    struct sky_image_set set;
    char **bytes;  /* [count] */
    size_t *sizes; /* [count] */
    struct sky_image *packed; /* [count] resized, as a pack lends them */
};

struct worker {
    pthread_t thread;
    const struct files *files;
    const struct sky_augment *augment;
    enum stage stage;
    double until;
    int number, step;
    int64_t done;
    sky_status status;
    struct sky_error error;
};

static sky_status work(struct worker *w)
{
    const struct sky_decode_options decode = {.exif = SKY_EXIF_IGNORE};
    struct sky_augment_scratch scratch = {0};
    struct sky_image image = {0}, resized = {0};
    struct sky_rectangle erased;
    uint8_t *out = NULL;
    sky_status status = SKY_OK;
    const int size = w->augment->size;
    SKY_TRY(sky_alloc(&out, (size_t)size * (size_t)size, 3, "an augmented image"));
    for (int64_t i = w->number; sky_now() < w->until; i += w->step) {
        const int64_t at = i % w->files->set.count;
        const struct sky_image *picture = w->stage == PACKED ? &w->files->packed[at] : &image;
        if (w->stage != PACKED)
            SKY_TRY_DONE(sky_image_decode((const uint8_t *)w->files->bytes[at], w->files->sizes[at], w->files->set.paths[at], &decode, &image));
        if (w->stage == RESIZE) SKY_TRY_DONE(sky_resize_bicubic(&scratch.resizer, &image, size, size, &resized));
        if (w->stage >= AUGMENT) SKY_TRY_DONE(sky_augment_apply(w->augment, sky_rng_make(1, SKY_RNG_AUGMENT, 0, (uint32_t)i), picture, &scratch, out, &erased));
        w->done++;
    }
done:
    sky_image_free(&image);
    sky_image_free(&resized);
    sky_augment_scratch_free(&scratch);
    free(out);
    return status;
}

static void *run_worker(void *argument)
{
    struct worker *w = argument;
    w->status = work(w);
    if (w->status != SKY_OK) w->error = *sky_error_last();
    return NULL;
}

static sky_status read_files(struct files *files, const char *folder)
{
    SKY_TRY(sky_image_set_scan(&files->set, folder));
    SKY_TRY(sky_alloc(&files->bytes, (size_t)files->set.count, sizeof *files->bytes, "image files"));
    SKY_TRY(sky_alloc(&files->sizes, (size_t)files->set.count, sizeof *files->sizes, "image files"));
    for (int64_t i = 0; i < files->set.count; i++) {
        char *path = NULL;
        SKY_TRY(sky_path_join(&path, folder, files->set.paths[i]));
        const sky_status status = sky_file_read(path, (size_t)256 << 20, &files->bytes[i], &files->sizes[i]);
        free(path);
        SKY_TRY(status);
    }
    return SKY_OK;
}

static sky_status make_packed(struct files *files, int size)
{
    const struct sky_decode_options decode = {.exif = SKY_EXIF_IGNORE};
    struct sky_augment_scratch scratch = {0};
    struct sky_image image = {0};
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&files->packed, (size_t)files->set.count, sizeof *files->packed, "resized images"));
    for (int64_t i = 0; i < files->set.count; i++) {
        SKY_TRY_DONE(sky_image_decode((const uint8_t *)files->bytes[i], files->sizes[i], files->set.paths[i], &decode, &image));
        SKY_TRY_DONE(sky_resize_bicubic(&scratch.resizer, &image, size, size, &files->packed[i]));
    }
done:
    sky_image_free(&image);
    sky_augment_scratch_free(&scratch);
    return status;
}

static void free_files(struct files *files)
{
    for (int64_t i = 0; files->bytes && i < files->set.count; i++) free(files->bytes[i]);
    for (int64_t i = 0; files->packed && i < files->set.count; i++) sky_image_free(&files->packed[i]);
    free(files->packed);
    free(files->bytes);
    free(files->sizes);
    sky_image_set_close(&files->set);
}

static sky_status time_stage(const struct files *files, const struct sky_augment *augment, enum stage stage, int threads, double seconds, struct sky_bench_list *list)
{
    static const char *const names[STAGE_COUNT] = {"decode", "decode + resize", "decode + resize + augment", "augment what a pack holds"};
    struct worker *workers = NULL;
    sky_status status = SKY_OK;
    int64_t done = 0;
    int started = 0;
    char what[96];
    SKY_TRY(sky_alloc(&workers, (size_t)threads, sizeof *workers, "benchmark threads"));
    const double start = sky_now();
    for (; started < threads; started++) {
        workers[started] = (struct worker){.files = files, .augment = augment, .stage = stage, .until = start + seconds, .number = started, .step = threads};
        if (pthread_create(&workers[started].thread, NULL, run_worker, &workers[started]) != 0) {
            status = sky_fail(SKY_NOMEM, "bench loader", "cannot start a thread");
            break;
        }
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        done += workers[i].done;
        if (workers[i].status != SKY_OK) status = sky_error_set(&workers[i].error);
    }
    const double spent = sky_now() - start;
    free(workers);
    SKY_TRY(status);
    snprintf(what, sizeof what, "%s to %d px, %d thread%s", names[stage], augment->size, threads, threads > 1 ? "s" : "");
    struct sky_bench_row *row = sky_bench_add(list, "loader", what);
    if (!row) return sky_error_last()->status;
    row->runs = (int)done, row->rate = (double)done / spent;
    row->median_ms = row->min_ms = row->max_ms = 1e3 * spent * threads / (double)done;
    snprintf(row->unit, sizeof row->unit, "img");
    return SKY_OK;
}

sky_status sky_bench_loader(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes)
{
    struct sky_config config = {0};
    struct files files = {0};
    const char **overrides = NULL;
    int override_count = 0;
    double seconds = 3;
    const int all = sky_thread_count_default();
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_args_double(args, "seconds", 0.1, 3600, &seconds));
    SKY_TRY_DONE(sky_args_list(args, "set", &overrides, &override_count));
    SKY_TRY_DONE(sky_config_read(&config, NULL, overrides, override_count));
    SKY_TRY_DONE(read_files(&files, args->operands[0]));
    const struct sky_augment augment = {.size = (int)config.data.image_size, .pad = (int)config.augment.pad, .crop = config.augment.crop, .flip = config.augment.flip,
                                        .rotation = config.augment.drone_rotation};
    SKY_TRY_DONE(make_packed(&files, augment.size));
    for (int threads = 1; threads <= all; threads += all > 1 ? all - 1 : 1)
        for (int stage = 0; stage < STAGE_COUNT; stage++) SKY_TRY_DONE(time_stage(&files, &augment, (enum stage)stage, threads, seconds, list));
    sky_text_format(notes, "median is the time of one image on one thread\n");
done:
    free_files(&files);
    sky_config_free(&config);
    free(overrides);
    return status;
}
