/*
 * Brings each step's batch from the loader to the device. Where the device can take copies beside its work (backend staging), the next step's batch travels
 * while this step computes: two slots in device memory take turns. Elsewhere batches are copied when they are wanted. Owns the slots; loader and device are
 * borrowed.
 */
#ifndef SKY_TRAIN_FEED_H
#define SKY_TRAIN_FEED_H

#include "backend/backend.h"
#include "data/loader.h"

enum sky_feed_part { SKY_FEED_IMAGES, SKY_FEED_ERASED, SKY_FEED_LABELS, SKY_FEED_PARTS };
enum { SKY_FEED_SLOTS = 2, SKY_FEED_MOST_PINNED = 16 };

struct sky_feed {
    struct sky_device *device;
    struct sky_loader *loader;
    int64_t rows; /* of a batch */
    size_t row_bytes[SKY_FEED_PARTS], part_at[SKY_FEED_PARTS], slot_bytes;
    void *slot[SKY_FEED_SLOTS]; /* on the device; NULL without staging */
    struct sky_batch batch[SKY_FEED_SLOTS];
    bool held[SKY_FEED_SLOTS]; /* its batch is here and the loader's memory is still wanted */
    bool taken[SKY_FEED_SLOTS], used[SKY_FEED_SLOTS]; /* told to staging */
    int current;
    struct sky_error failed; /* fetching ahead failed: told when that batch is wanted */
    void *pinned[SKY_FEED_MOST_PINNED];
    int pinned_count;
};

sky_status sky_feed_open(struct sky_feed *feed, struct sky_device *device, struct sky_loader *loader, int64_t rows, size_t image_bytes);
void sky_feed_close(struct sky_feed *feed); /* before the loader is destroyed */

/* The batch of the next step, fetched now unless it is here already; valid until sky_feed_release. */
sky_status sky_feed_next(struct sky_feed *feed, const struct sky_batch **batch);
/* Fetches one more batch and sends it on its way, behind the current step's work. Does nothing without staging. */
void sky_feed_ahead(struct sky_feed *feed);
/* `count` rows of the current batch, from row `first`, to device memory; in order with the device's work. */
sky_status sky_feed_copy(struct sky_feed *feed, enum sky_feed_part part, int64_t first, int64_t count, void *to);
bool sky_feed_is_ahead(const struct sky_feed *feed); /* one more batch is here or on its way */
/* Makes the batch that is ahead the current one, and the other way round: nothing is released. */
void sky_feed_turn(struct sky_feed *feed);
/* All work enqueued so far is what uses the current batch; it is kept until it is released. */
sky_status sky_feed_used(struct sky_feed *feed);
/* Nobody wants the current batch any more; the next one becomes current. */
sky_status sky_feed_release(struct sky_feed *feed);

#endif
