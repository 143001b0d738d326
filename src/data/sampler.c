/*
 * Epoch permutations and image choices, keyed by (seed, epoch, item). Owns the permutation of the epoch it was last asked for, behind a mutex: loader threads
 * ask for steps of one epoch in any order.
 */
#include "sampler.h"

#include "base/memory.h"
#include "base/rng.h"
#include "skygem/log.h"

#include <pthread.h>
#include <stdlib.h>

struct sky_sampler {
    const struct sky_train_set *set; /* borrowed */
    enum sky_sampler_kind kind;
    int64_t batch_size, steps; /* batch_size: of this rank */
    int rank, ranks;
    uint64_t seed;                      /* below, by enum sky_view: only the set's active views have items */
    int64_t item_count[SKY_VIEW_COUNT]; /* items in an epoch of this view */
    int32_t *items[SKY_VIEW_COUNT];     /* [item_count] class of each item before shuffling */
    int32_t *order[SKY_VIEW_COUNT];     /* [item_count] the same, shuffled for `epoch` */
    int64_t epoch;                      /* -1: none yet */
    pthread_mutex_t lock;
};

static bool has_images(const struct sky_train_set *set, int view, int64_t class_index)
{
    return set->first[view][class_index + 1] > set->first[view][class_index];
}

static bool is_complete(const struct sky_train_set *set, int64_t class_index)
{
    for (int v = 0; v < set->active.count; v++)
        if (!has_images(set, set->active.list[v], class_index)) return false;
    return true;
}

/* Paired: one list for all views, of classes seen in every view. Unpaired: a list a view. */
static sky_status list_items(struct sky_sampler *sampler, int view, int64_t samples_per_class)
{
    const struct sky_train_set *set = sampler->set;
    const size_t most = (size_t)set->class_count * (size_t)samples_per_class;
    SKY_TRY(sky_alloc(&sampler->items[view], most, sizeof *sampler->items[view], "the items of an epoch"));
    SKY_TRY(sky_alloc(&sampler->order[view], most, sizeof *sampler->order[view], "the items of an epoch"));
    for (int64_t c = 0; c < set->class_count; c++) {
        const bool usable = sampler->kind == SKY_SAMPLER_PAIRED ? is_complete(set, c) : has_images(set, view, c);
        for (int64_t k = 0; usable && k < samples_per_class; k++) sampler->items[view][sampler->item_count[view]++] = (int32_t)c;
    }
    return SKY_OK;
}

sky_status sky_sampler_create(struct sky_sampler **out, const struct sky_train_set *set, enum sky_sampler_kind kind, int64_t samples_per_class,
                              int64_t batch_size, uint64_t seed)
{
    struct sky_sampler *sampler = NULL;
    sky_status status = SKY_OK;
    if (samples_per_class < 1 || batch_size < 1)
        return sky_fail(SKY_INTERNAL, "sampler", "%lld samples a class, %lld places a step", (long long)samples_per_class, (long long)batch_size);
    SKY_TRY(sky_alloc(&sampler, 1, sizeof *sampler, "the sampler"));
    pthread_mutex_init(&sampler->lock, NULL);
    sampler->set = set, sampler->kind = kind, sampler->batch_size = batch_size, sampler->seed = seed, sampler->epoch = -1;
    for (int v = 0; v < set->active.count; v++) SKY_TRY_DONE(list_items(sampler, set->active.list[v], samples_per_class));
    SKY_TRY_DONE(sky_sampler_share(sampler, 0, 1));
    if (kind == SKY_SAMPLER_PAIRED && set->empty_class_count > 0)
        sky_log(SKY_LOG_WARNING, "%s: %lld of %lld places lack an image in some view and are never drawn (data.sampler = paired)", set->root,
                (long long)set->empty_class_count, (long long)set->class_count);
    *out = sampler;
    return SKY_OK;
done:
    sky_sampler_destroy(sampler);
    return status;
}

sky_status sky_sampler_share(struct sky_sampler *sampler, int rank, int ranks)
{
    int64_t places = INT64_MAX; /* of the view that has fewest */
    for (int v = 0; v < sampler->set->active.count; v++)
        if (sampler->item_count[sampler->set->active.list[v]] < places) places = sampler->item_count[sampler->set->active.list[v]];
    sampler->rank = rank, sampler->ranks = ranks;
    sampler->steps = places / ranks / sampler->batch_size; /* the last partial batch is dropped */
    if (sampler->steps > 0) return SKY_OK;
    if (ranks == 1) {
        sky_fail(SKY_DATA, sampler->set->root, "an epoch holds %lld places, fewer than the %lld of one step", (long long)places, (long long)sampler->batch_size);
        return sky_hint("lower [train] batch_size or accumulate, or raise [data] samples_per_class");
    }
    sky_fail(SKY_DATA, sampler->set->root, "an epoch holds %lld places, fewer than the %lld of one step (%d ranks with %lld each)", (long long)places,
             (long long)sampler->batch_size * ranks, ranks, (long long)sampler->batch_size);
    return sky_hint("run fewer ranks, lower [train] batch_size or accumulate, or raise [data] samples_per_class");
}

void sky_sampler_destroy(struct sky_sampler *sampler)
{
    if (!sampler) return;
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        free(sampler->items[view]);
        free(sampler->order[view]);
    }
    pthread_mutex_destroy(&sampler->lock);
    free(sampler);
}

int64_t sky_sampler_steps_per_epoch(const struct sky_sampler *sampler) { return sampler->steps; }

/* Fisher-Yates with the draws of (epoch, view); paired views share one order. */
static void shuffle(struct sky_sampler *sampler, int64_t epoch)
{
    for (int v = 0; v < sampler->set->active.count; v++) {
        const int view = sampler->set->active.list[v];
        const int draws = sampler->kind == SKY_SAMPLER_PAIRED ? 0 : view;
        struct sky_rng rng = sky_rng_make(sampler->seed, SKY_RNG_SHUFFLE, (uint32_t)epoch, (uint32_t)draws);
        int32_t *order = sampler->order[view];
        for (int64_t i = 0; i < sampler->item_count[view]; i++) {
            const int64_t j = sky_rng_below(&rng, (uint32_t)i + 1);
            order[i] = order[j];
            order[j] = sampler->items[view][i];
        }
    }
    sampler->epoch = epoch;
}

sky_status sky_sampler_step(struct sky_sampler *sampler, int64_t epoch, int64_t step, struct sky_pick *picks)
{
    const struct sky_views *active = &sampler->set->active;
    if (step < 0 || step >= sampler->steps) return sky_fail(SKY_INTERNAL, "sampler", "step %lld of %lld", (long long)step, (long long)sampler->steps);
    pthread_mutex_lock(&sampler->lock);
    if (sampler->epoch != epoch) shuffle(sampler, epoch);
    for (int v = 0; v < active->count; v++)
        for (int64_t row = 0; row < sampler->batch_size; row++) {
            struct sky_pick *pick = &picks[v * sampler->batch_size + row];
            pick->item = (step * sampler->ranks + sampler->rank) * sampler->batch_size + row;
            pick->label = sampler->order[active->list[v]][pick->item];
        }
    pthread_mutex_unlock(&sampler->lock);
    for (int64_t i = 0; i < active->count * sampler->batch_size; i++) {
        const int64_t v = i / sampler->batch_size, *first = sampler->set->first[active->list[v]] + picks[i].label;
        struct sky_rng rng = sky_rng_make(sampler->seed, SKY_RNG_PICK, (uint32_t)epoch, (uint32_t)(picks[i].item * active->count + v));
        picks[i].image = first[0] + sky_rng_below(&rng, (uint32_t)(first[1] - first[0]));
    }
    return SKY_OK;
}
