/*
 * Batches on their way to a device: what arrives is what the loader made, in order, with and without staging; a slot is never filled before the device is
 * through with it; a batch that cannot be made is told when it is wanted, not earlier. The device is the reference back end; its staging only checks the order
 * of calls and copies.
 */
#include "train/feed.h"

#include "check.h"
#include "data_tree.h"
#include "folder.h"

#include <stdlib.h>

enum { SIZE = 32, PLACES = 2, STEPS = 9 };

/* What each slot may be asked next. */
static enum { FREE, FILLING, FILLED, TAKEN } state[SKY_FEED_SLOTS];
static int filling = -1, pinned, wrong, ahead;

static sky_status stage_pin(struct sky_device *device, void *host, size_t bytes)
{
    (void)device, (void)host, (void)bytes;
    pinned++;
    return SKY_OK;
}

static void stage_unpin(struct sky_device *device, void *host)
{
    (void)device, (void)host;
    pinned--;
}

static sky_status step_to(int slot, int from, int to)
{
    if ((int)state[slot] != from) wrong++;
    state[slot] = to;
    return SKY_OK;
}

static sky_status stage_begin(struct sky_device *device, int slot)
{
    (void)device;
    if (filling >= 0) wrong++;
    filling = slot;
    ahead += state[1 - slot] == TAKEN;
    return step_to(slot, FREE, FILLING);
}

static sky_status stage_copy(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    if (filling < 0) wrong++;
    return sky_backend_ref.copy_in(device, to, from, bytes);
}

static sky_status stage_end(struct sky_device *device, int slot)
{
    (void)device;
    filling = -1;
    return step_to(slot, FILLING, FILLED);
}

static sky_status stage_take(struct sky_device *device, int slot)
{
    (void)device;
    return step_to(slot, FILLED, TAKEN);
}

static sky_status stage_release(struct sky_device *device, int slot)
{
    (void)device;
    if (state[slot] != FILLED && state[slot] != TAKEN) wrong++; /* one that was never taken goes back at the end */
    state[slot] = FREE;
    return SKY_OK;
}

static const struct sky_staging staging = {
    .pin = stage_pin, .unpin = stage_unpin, .begin = stage_begin, .copy = stage_copy, .end = stage_end, .take = stage_take, .release = stage_release};

/* Sums of what reached the device, a step. */
static int walk(const struct sky_train_set *set, struct sky_sampler *sampler, bool staged, uint64_t *sums)
{
    struct sky_backend backend = sky_backend_ref;
    struct sky_device device = {.backend = &backend, .options = {.threads = 1}};
    struct sky_loader *loader = NULL;
    struct sky_feed feed;
    const struct sky_loader_options options = {
        .set = set,
        .sampler = sampler,
        .augment = {{.size = SIZE, .pad = 2, .crop = true, .flip = 0.5}, {.size = SIZE, .pad = 2, .crop = true, .flip = 0.5}},
        .batch_size = PLACES,
        .seed = 1,
        .workers = 2,
        .first_step = 0,
        .last_step = STEPS};
    const size_t image_bytes = SIZE * SIZE * 3;
    unsigned char *images = malloc(2 * PLACES * image_bytes);
    int32_t labels[2 * PLACES];
    int steps = 0;
    backend.staging = staged ? &staging : NULL;
    if (!images) abort();
    CHECK_OK(sky_loader_create(&loader, &options));
    CHECK_OK(sky_feed_open(&feed, &device, loader, 2 * PLACES, image_bytes));
    for (; steps < STEPS; steps++) {
        const struct sky_batch *batch = NULL;
        if (sky_feed_next(&feed, &batch) != SKY_OK) break;
        CHECK(batch->step == steps);
        for (int half = 0; half < 2; half++) { /* in two pieces, as micro-batches are taken */
            CHECK_OK(sky_feed_copy(&feed, SKY_FEED_IMAGES, half * PLACES, PLACES, images + (size_t)half * PLACES * image_bytes));
            CHECK_OK(sky_feed_copy(&feed, SKY_FEED_LABELS, half * PLACES, PLACES, labels + half * PLACES));
        }
        if (steps + 1 < STEPS) sky_feed_ahead(&feed);
        sums[steps] = 0;
        for (size_t i = 0; i < 2 * PLACES * image_bytes; i++) sums[steps] = sums[steps] * 31 + images[i];
        for (int i = 0; i < 2 * PLACES; i++) sums[steps] = sums[steps] * 31 + (uint64_t)labels[i], CHECK(labels[i] == batch->labels[i]);
        CHECK_OK(sky_feed_release(&feed));
    }
    sky_feed_close(&feed);
    sky_loader_destroy(loader);
    free(images);
    return steps;
}

int main(void)
{
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    uint64_t plain[STEPS] = {0}, staged[STEPS] = {0};
    folder_make();
    for (int place = 0; place < 8; place++) {
        char name[64];
        snprintf(name, sizeof name, "train/satellite/%04d/a.png", place);
        tree_picture(name, (uint32_t)place);
        snprintf(name, sizeof name, "train/drone/%04d/a.jpg", place);
        tree_picture(name, 100 + (uint32_t)place);
    }
    CHECK_OK(tree_train_set(&set, folder));
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, PLACES, 1));
    CHECK(walk(&set, sampler, false, plain) == STEPS);
    CHECK(walk(&set, sampler, true, staged) == STEPS);
    CHECK(memcmp(plain, staged, sizeof plain) == 0);
    CHECK(wrong == 0 && pinned == 0 && filling == -1);
    CHECK(ahead == STEPS - 1); /* every batch but the first came while another one was at work */

    tree_write("train/drone/0005/a.jpg", "not a picture",
               13); /* a step that needs the broken image fails when its batch is wanted, after all that came before it */
    const int whole = walk(&set, sampler, false, plain);
    CHECK(whole >= 1 && whole < STEPS && sky_error_last()->status == SKY_DATA);
    CHECK(walk(&set, sampler, true, staged) == whole && sky_error_last()->status == SKY_DATA);
    CHECK(memcmp(plain, staged, sizeof(uint64_t) * (size_t)whole) == 0);
    CHECK(wrong == 0 && pinned == 0);
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
    folder_remove(folder);
    return check_done();
}
