/*
 * Worker threads that decode and augment ahead of the trainer. What a batch holds depends only on (seed, epoch, step), never on the number of threads.
 */
#ifndef SKY_DATA_LOADER_H
#define SKY_DATA_LOADER_H

#include "image/alter.h"
#include "image/augment.h"
#include "pack.h"
#include "sampler.h"

struct sky_loader;

struct sky_loader_options {
    const struct sky_train_set *set;
    struct sky_sampler *sampler;
    const struct sky_pack *pack; /* NULL: decode files */
    struct sky_augment augment[SKY_VIEW_COUNT]; /* by enum sky_view, of the set's active views; all of one size */
    enum sky_exif exif;
    enum sky_bad_image_policy on_bad_image;
    int64_t batch_size;
    uint64_t seed;
    int workers;                   /* >= 1 */
    int64_t first_step, last_step; /* global steps [first, last): epoch = step / steps_per_epoch */
};

/* One step's images: rows v*B .. v*B + B-1 are of the set's active view number v, of V. Borrowed from the loader until sky_loader_release. */
struct sky_batch {
    int64_t step;                 /* global */
    uint8_t *images;              /* [V*B][S][S][3] */
    struct sky_rectangle *erased; /* [V*B] */
    int32_t *labels;              /* [V*B] */
    const char **paths;           /* [V*B], relative to the root */
    int64_t skipped;              /* images replaced by another of their class under on_bad_image = skip, so far */
    int slot;
};

sky_status sky_loader_create(struct sky_loader **out, const struct sky_loader_options *options);
sky_status sky_loader_next(struct sky_loader *loader, struct sky_batch *out); /* SKY_DATA: a bad image under `fail`, named */
void sky_loader_release(struct sky_loader *loader, struct sky_batch *batch);
void sky_loader_destroy(struct sky_loader *loader);

/* Ordered decoding without augmentation (evaluation): batches of consecutive images of a set, resized to size x size and altered
 * (image/alter.h; NULL: as they are; borrowed). */
struct sky_reader;
sky_status sky_reader_create(struct sky_reader **out, const struct sky_image_set *set, const char *root, const struct sky_pack *pack, enum sky_exif exif,
                             int size, int64_t batch_size, int workers, const struct sky_alteration *alteration);
/* *count images in images [count][S][S][3], starting at *first; *count = 0 at the end. A bad image is always an error here. */
sky_status sky_reader_next(struct sky_reader *reader, const uint8_t **images, int64_t *first, int64_t *count);
void sky_reader_destroy(struct sky_reader *reader);

#endif
