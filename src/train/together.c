/*
 * What the ranks of a run must have in common before the first step: the same experiment on the same data with the same program, and rank 0's state. Running
 * statistics of batch norm come from rank 0 here and are each rank's own afterwards; rank 0's are the ones that are kept and evaluated.
 */
#include "skygem/skygem.h"
#include "trainer_state.h"

#include <string.h>

static sky_status same_number(struct sky_trainer *trainer, int64_t number, const char *what)
{
    return sky_comm_same(trainer->ranks.comm, &number, sizeof number, what);
}

sky_status sky_trainer_compare_plans(struct sky_trainer *trainer)
{
    const struct sky_graph *graph = &trainer->model.graph;
    char version[32] = SKYGEM_VERSION;
    uint32_t hash = 0;
    if (trainer->ranks.size == 1) return SKY_OK;
    SKY_TRY(sky_comm_same(trainer->ranks.comm, version, sizeof version, "the version of skygem"));
    SKY_TRY(sky_config_hash(trainer->config, &hash));
    SKY_TRY(same_number(trainer, hash, "the experiment's settings"));
    SKY_TRY(same_number(trainer, trainer->config->distributed.bn_sync, "distributed.bn_sync"));
    SKY_TRY(same_number(trainer, trainer->config->distributed.gradients, "distributed.gradients"));
    SKY_TRY(same_number(trainer, trainer->config->distributed.check_every, "distributed.check_every"));
    SKY_TRY(same_number(trainer, trainer->set.class_count, "the number of training places"));
    SKY_TRY(same_number(trainer, sky_trainer_images_sum(&trainer->set), "the list of training images"));
    SKY_TRY(same_number(trainer, trainer->steps_per_epoch, "the number of steps in an epoch"));
    SKY_TRY(same_number(trainer, graph->node_count, "the number of operations in a step"));
    return same_number(trainer, graph->param_elements, "the number of parameters");
}

struct counters {
    int64_t step, shift, skipped_updates, skipped_images, clamped;
    double scale;
    int64_t streak;
};

sky_status sky_trainer_share_state(struct sky_trainer *trainer)
{
    static const struct {
        enum sky_arena arena;
        const char *what;
    } parts[] = {{SKY_ARENA_PARAMS, "the parameters"}, {SKY_ARENA_BUFFERS, "the running statistics"}, {SKY_ARENA_MOMENTUM, "the momentum"},
                 {SKY_ARENA_SQUARES, "the gradients' squares"}, {SKY_ARENA_EMA, "the averaged parameters"}};
    struct counters counters = {trainer->step, trainer->shift, trainer->skipped_updates, trainer->skipped_images, trainer->clamped, trainer->scale.value, trainer->scale.streak};
    struct sky_comm *comm = trainer->ranks.comm;
    if (trainer->ranks.size == 1) return SKY_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) SKY_TRY(sky_ranks_share_arena(comm, &trainer->executor, parts[i].arena, parts[i].what));
    SKY_TRY(sky_comm_broadcast(comm, &counters, sizeof counters, 0, "the counters"));
    trainer->step = counters.step, trainer->shift = counters.shift, trainer->skipped_updates = counters.skipped_updates, trainer->clamped = counters.clamped;
    trainer->skipped_images = trainer->skipped_before = counters.skipped_images;
    trainer->scale.value = counters.scale, trainer->scale.streak = counters.streak;
    return SKY_OK;
}
