/*
 * Shares of an epoch for data sets of every size from nothing to three steps of all ranks: every rank makes the same number of steps, shares are disjoint, and
 * together they are, row by row, what one rank with the whole batch gets. Too small a set is an error on every rank alike, which says what is missing.
 */
#include "check.h"

#include "base/memory.h"
#include "data/sampler.h"

enum { MOST_RANKS = 4, MOST_BATCH = 3, VIEWS = 2 };

/* `places` with one to three images a view; every fifth lacks one view, so that it counts for unpaired samples only. */
static void make_set(struct sky_train_set *set, int64_t places)
{
    *set = (struct sky_train_set){.root = "set", .class_count = places, .active = {{SKY_VIEW_SATELLITE, SKY_VIEW_DRONE}, VIEWS}};
    for (int view = 0; view < VIEWS; view++) {
        CHECK_OK(sky_alloc(&set->first[view], (size_t)places + 1, sizeof *set->first[view], "a test"));
        for (int64_t c = 0; c < places; c++) set->first[view][c + 1] = set->first[view][c] + (c % 5 == 4 && view == SKY_VIEW_DRONE ? 0 : 1 + c % 3);
        set->views[view].count = set->first[view][places];
    }
}

static void free_set(struct sky_train_set *set)
{
    for (int view = 0; view < VIEWS; view++) free(set->first[view]);
}

/* One step of all ranks beside the same step of one. */
static int64_t differing_rows(struct sky_sampler *whole, struct sky_sampler *const *shares, int ranks, int64_t batch, int64_t epoch, int64_t step)
{
    struct sky_pick all[VIEWS * MOST_RANKS * MOST_BATCH], some[VIEWS * MOST_BATCH];
    int64_t differing = 0;
    CHECK_OK(sky_sampler_step(whole, epoch, step, all));
    for (int rank = 0; rank < ranks; rank++) {
        CHECK_OK(sky_sampler_step(shares[rank], epoch, step, some));
        for (int view = 0; view < VIEWS; view++)
            for (int64_t row = 0; row < batch; row++) {
                const struct sky_pick *a = &all[view * ranks * batch + rank * batch + row], *b = &some[view * batch + row];
                differing += a->item != b->item || a->image != b->image || a->label != b->label;
            }
    }
    return differing;
}

static void test_size(enum sky_sampler_kind kind, int64_t places, int ranks, int64_t batch, int64_t times)
{
    struct sky_train_set set;
    struct sky_sampler *whole = NULL, *shares[MOST_RANKS] = {NULL};
    int64_t made = 0, failed = 0, differing = 0;
    make_set(&set, places);
    const bool enough = sky_sampler_create(&whole, &set, kind, times, ranks * batch, 3) == SKY_OK;
    for (int rank = 0; rank < ranks; rank++) {
        sky_status status = sky_sampler_create(&shares[rank], &set, kind, times, batch, 3);
        if (status == SKY_OK) status = sky_sampler_share(shares[rank], rank, ranks);
        made += status == SKY_OK && enough && sky_sampler_steps_per_epoch(shares[rank]) == sky_sampler_steps_per_epoch(whole);
        failed += status == SKY_DATA && strstr(sky_error_last()->what, "places, fewer than the") && strstr(sky_error_last()->hint, "batch_size");
    }
    CHECK(made == (enough ? ranks : 0) && failed == (enough ? 0 : ranks));
    if (enough) {
        const int64_t usable = places - places / 5; /* unpaired: in the view that has fewest */
        CHECK(sky_sampler_steps_per_epoch(whole) == usable * times / (ranks * batch));
    }
    for (int64_t epoch = 0; enough && epoch < 2; epoch++)
        for (int64_t step = 0; step < sky_sampler_steps_per_epoch(whole); step++) differing += differing_rows(whole, shares, ranks, batch, epoch, step);
    CHECK(differing == 0);
    for (int rank = 0; rank < ranks; rank++) sky_sampler_destroy(shares[rank]);
    sky_sampler_destroy(whole);
    free_set(&set);
}

int main(void)
{
    for (int ranks = 1; ranks <= MOST_RANKS; ranks++)
        for (int64_t batch = 1; batch <= MOST_BATCH; batch++)
            for (int64_t places = 0; places <= 3 * ranks * batch; places++)
                for (int64_t times = 1; times <= 2; times++) {
                    test_size(SKY_SAMPLER_PAIRED, places, ranks, batch, times);
                    test_size(SKY_SAMPLER_UNPAIRED, places, ranks, batch, times);
                }
    return check_done();
}
