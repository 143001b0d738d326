/*
 * Which classes and images make up each step: pure functions of (seed, epoch), so any step of any epoch can be made without the ones before it.
 *
 * paired (as FSRA draws): an epoch is the classes that have an image in every active view, each samples_per_class times, shuffled; an item is a class with
 * one random image of each view. unpaired (University-1652 baseline): each view has its own permutation of the classes it has, so rows of the views are
 * different places, and an epoch ends with the view that has fewest. The last partial batch is dropped.
 */
#ifndef SKY_DATA_SAMPLER_H
#define SKY_DATA_SAMPLER_H

#include "dataset.h"

struct sky_sampler;

sky_status sky_sampler_create(struct sky_sampler **out, const struct sky_train_set *set, enum sky_sampler_kind kind, int64_t samples_per_class,
                              int64_t batch_size, uint64_t seed);
void sky_sampler_destroy(struct sky_sampler *sampler);

/*
 * One of several ranks: a step takes ranks x batch_size places of the epoch's order, this one is given rows rank x batch_size and on. Every rank makes the same
 * number of steps, and together they see what one with the whole batch would. SKY_DATA when an epoch has not enough places for one step of all.
 */
sky_status sky_sampler_share(struct sky_sampler *sampler, int rank, int ranks);

int64_t sky_sampler_steps_per_epoch(const struct sky_sampler *sampler);

/* One row of a batch. */
struct sky_pick {
    int64_t item;  /* position in the epoch: keys the augmentation */
    int64_t image; /* index into set->views[view] */
    int32_t label;
};
/* Fills picks[v * batch_size + row], v counting the set's active views, for one step (0 .. steps_per_epoch - 1) of an epoch. Thread-safe; allocates an epoch's
 * permutation when the epoch changes. */
sky_status sky_sampler_step(struct sky_sampler *sampler, int64_t epoch, int64_t step, struct sky_pick *picks /* [set->active.count * batch_size] */);

#endif
