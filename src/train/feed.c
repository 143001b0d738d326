/*
 * The two slots behind feed.h. A slot is filled on the device's copying side, taken by its computing side, and filled again when that is through with it; the
 * loader gets its memory back when the copy has read it.
 */
#include "feed.h"

#include <string.h>

static const struct sky_staging *staging_of(const struct sky_feed *feed) { return feed->device->backend->staging; }

sky_status sky_feed_open(struct sky_feed *feed, struct sky_device *device, struct sky_loader *loader, int64_t rows, size_t image_bytes)
{
    const size_t row_bytes[SKY_FEED_PARTS] = {image_bytes, sizeof(struct sky_rectangle), sizeof(int32_t)};
    sky_status status = SKY_OK;
    memset(feed, 0, sizeof *feed);
    feed->device = device, feed->loader = loader, feed->rows = rows;
    for (int part = 0; part < SKY_FEED_PARTS; part++) {
        feed->row_bytes[part] = row_bytes[part], feed->part_at[part] = feed->slot_bytes;
        feed->slot_bytes += ((size_t)rows * row_bytes[part] + 63) / 64 * 64;
    }
    for (int s = 0; s < SKY_FEED_SLOTS && staging_of(feed); s++)
        SKY_TRY_DONE(device->backend->arena_alloc(device, feed->slot_bytes, "batches on their way", &feed->slot[s]));
done:
    if (status != SKY_OK) sky_feed_close(feed);
    return status;
}

void sky_feed_close(struct sky_feed *feed)
{
    if (!feed->device) return;
    const struct sky_backend *backend = feed->device->backend;
    backend->synchronize(feed->device);
    for (int s = 0; s < SKY_FEED_SLOTS; s++) {
        if (feed->held[s] && feed->slot[s] && !feed->used[s]) backend->staging->release(feed->device, s);
        if (feed->held[s]) sky_loader_release(feed->loader, &feed->batch[s]);
        if (feed->slot[s]) backend->arena_free(feed->device, feed->slot[s], feed->slot_bytes);
    }
    for (int i = 0; i < feed->pinned_count; i++) backend->staging->unpin(feed->device, feed->pinned[i]);
    memset(feed, 0, sizeof *feed);
}

static const void *part_of(const struct sky_batch *batch, enum sky_feed_part part)
{
    return part == SKY_FEED_IMAGES ? (const void *)batch->images : part == SKY_FEED_ERASED ? (const void *)batch->erased : (const void *)batch->labels;
}

/* The loader's few buffers come round again and again: each is pinned when it is first seen. */
static sky_status pin(struct sky_feed *feed, void *memory, size_t bytes)
{
    for (int i = 0; i < feed->pinned_count; i++)
        if (feed->pinned[i] == memory) return SKY_OK;
    if (feed->pinned_count == SKY_FEED_MOST_PINNED) return SKY_OK; /* copies from other memory are slower, no more */
    SKY_TRY(staging_of(feed)->pin(feed->device, memory, bytes));
    feed->pinned[feed->pinned_count++] = memory;
    return SKY_OK;
}

static sky_status fetch(struct sky_feed *feed, int s)
{
    const struct sky_staging *staging = staging_of(feed);
    SKY_TRY(sky_loader_next(feed->loader, &feed->batch[s]));
    feed->held[s] = true;
    if (!staging) return SKY_OK;
    SKY_TRY(pin(feed, feed->batch[s].images, (size_t)feed->rows * feed->row_bytes[SKY_FEED_IMAGES]));
    SKY_TRY(staging->begin(feed->device, s));
    for (int part = 0; part < SKY_FEED_PARTS; part++)
        SKY_TRY(staging->copy(feed->device, (char *)feed->slot[s] + feed->part_at[part], part_of(&feed->batch[s], (enum sky_feed_part)part),
                              (size_t)feed->rows * feed->row_bytes[part]));
    return staging->end(feed->device, s);
}

sky_status sky_feed_next(struct sky_feed *feed, const struct sky_batch **batch)
{
    if (feed->failed.status != SKY_OK) return sky_error_set(&feed->failed);
    if (!feed->held[feed->current]) SKY_TRY(fetch(feed, feed->current));
    if (staging_of(feed) && !feed->taken[feed->current]) SKY_TRY(staging_of(feed)->take(feed->device, feed->current));
    feed->taken[feed->current] = true;
    *batch = &feed->batch[feed->current];
    return SKY_OK;
}

void sky_feed_ahead(struct sky_feed *feed)
{
    const int other = 1 - feed->current;
    if (!staging_of(feed) || feed->held[other] || feed->failed.status != SKY_OK) return;
    if (fetch(feed, other) != SKY_OK) feed->failed = *sky_error_last();
}

bool sky_feed_is_ahead(const struct sky_feed *feed) { return staging_of(feed) && feed->held[1 - feed->current]; }

void sky_feed_turn(struct sky_feed *feed) { feed->current = 1 - feed->current; }

sky_status sky_feed_copy(struct sky_feed *feed, enum sky_feed_part part, int64_t first, int64_t count, void *to)
{
    const struct sky_backend *backend = feed->device->backend;
    const size_t at = (size_t)first * feed->row_bytes[part], bytes = (size_t)count * feed->row_bytes[part];
    if (staging_of(feed)) return backend->copy_within(feed->device, to, (const char *)feed->slot[feed->current] + feed->part_at[part] + at, bytes);
    return backend->copy_in(feed->device, to, (const char *)part_of(&feed->batch[feed->current], part) + at, bytes);
}

sky_status sky_feed_used(struct sky_feed *feed)
{
    if (!staging_of(feed)) return SKY_OK;
    feed->used[feed->current] = true; /* a step that is run once more says so once more */
    return staging_of(feed)->release(feed->device, feed->current);
}

sky_status sky_feed_release(struct sky_feed *feed)
{
    const int s = feed->current;
    if (!feed->held[s]) return SKY_OK;
    const sky_status status = feed->used[s] ? SKY_OK : sky_feed_used(feed);
    sky_loader_release(feed->loader, &feed->batch[s]);
    feed->held[s] = feed->taken[s] = feed->used[s] = false;
    if (staging_of(feed)) feed->current = 1 - s;
    return status;
}
