/*
 * Evaluation batches: consecutive images of a set, decoded and resized by a worker pool, one job an image. Owns the pixel buffers and the workers' scratch; a
 * batch is lent until the next call.
 */
#include "loader.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/threads.h"

#include <stdlib.h>
#include <string.h>

enum { AHEAD = 3 };

struct scratch {
    struct sky_resizer resizer;
    struct sky_image image, resized;
};

struct sky_reader {
    const struct sky_image_set *set; /* borrowed */
    char *root;
    const struct sky_pack *pack; /* borrowed */
    enum sky_exif exif;
    int size, workers;
    int64_t batch_size, next, lent; /* images handed out so far; of which the last batch is still lent */
    size_t image_bytes;
    const struct sky_alteration *alteration; /* borrowed; NULL: none */
    uint8_t *images; /* [AHEAD * batch_size] images, by job modulo that */
    struct scratch *scratch;
    struct sky_pool *pool;
};

static sky_status fetch(const struct sky_reader *reader, struct scratch *scratch, int64_t job, uint8_t *out)
{
    const struct sky_decode_options decode = {.exif = reader->exif};
    const char *relative = reader->set->paths[job];
    char *path = NULL;
    if (reader->pack) {
        const uint8_t *pixels;
        SKY_TRY(sky_pack_read(reader->pack, relative, &pixels));
        memcpy(out, pixels, reader->image_bytes);
        return SKY_OK;
    }
    SKY_TRY(sky_path_join(&path, reader->root, relative));
    sky_status status = sky_image_read(path, &decode, &scratch->image);
    free(path);
    if (status == SKY_OK) status = sky_resize_bicubic(&scratch->resizer, &scratch->image, reader->size, reader->size, &scratch->resized);
    if (status == SKY_OK) memcpy(out, scratch->resized.pixels, reader->image_bytes);
    return status;
}

static sky_status read_image(void *context, int worker, int64_t job, int slot)
{
    const struct sky_reader *reader = context;
    uint8_t *out = reader->images + (size_t)slot * reader->image_bytes;
    SKY_TRY(fetch(reader, &reader->scratch[worker], job, out));
    return reader->alteration ? sky_image_alter(reader->alteration, job, out, reader->size, &reader->scratch[worker].image) : SKY_OK;
}

sky_status sky_reader_create(struct sky_reader **out, const struct sky_image_set *set, const char *root, const struct sky_pack *pack, enum sky_exif exif,
                             int size, int64_t batch_size, int workers, const struct sky_alteration *alteration)
{
    struct sky_reader *reader = NULL;
    sky_status status = SKY_OK;
    if (pack) SKY_TRY(sky_pack_check(pack, set, root, size, exif));
    SKY_TRY(sky_alloc(&reader, 1, sizeof *reader, "the image reader"));
    reader->set = set, reader->pack = pack, reader->exif = exif, reader->size = size, reader->batch_size = batch_size, reader->workers = workers;
    reader->alteration = alteration;
    reader->image_bytes = (size_t)size * (size_t)size * 3;
    SKY_TRY_DONE(sky_path_join(&reader->root, root, ""));
    SKY_TRY_DONE(sky_alloc(&reader->scratch, (size_t)workers, sizeof *reader->scratch, "reader threads"));
    SKY_TRY_DONE(sky_alloc(&reader->images, (size_t)(AHEAD * batch_size), reader->image_bytes, "batches of images"));
    SKY_TRY_DONE(sky_pool_create(&reader->pool, workers, (int)(AHEAD * batch_size), 0, set->count, read_image, reader));
    *out = reader;
    return SKY_OK;
done:
    sky_reader_destroy(reader);
    return status;
}

sky_status sky_reader_next(struct sky_reader *reader, const uint8_t **images, int64_t *first, int64_t *count)
{
    const int64_t window = AHEAD * reader->batch_size;
    for (; reader->lent > 0; reader->lent--) sky_pool_release(reader->pool, (int)((reader->next - reader->lent) % window));
    *first = reader->next;
    *count = 0;
    while (*count < reader->batch_size && reader->next < reader->set->count) {
        int64_t job;
        int slot;
        SKY_TRY(sky_pool_next(reader->pool, &job, &slot));
        ++*count, reader->next++, reader->lent++;
    }
    *images = reader->images + (size_t)(*first % window) * reader->image_bytes;
    return SKY_OK;
}

void sky_reader_destroy(struct sky_reader *reader)
{
    if (!reader) return;
    sky_pool_destroy(reader->pool);
    for (int i = 0; reader->scratch && i < reader->workers; i++) {
        sky_resizer_free(&reader->scratch[i].resizer);
        sky_image_free(&reader->scratch[i].image);
        sky_image_free(&reader->scratch[i].resized);
    }
    free(reader->scratch);
    free(reader->images);
    free(reader->root);
    free(reader);
}
