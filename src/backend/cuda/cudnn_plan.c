/*
 * Heuristics, candidates, plans and their cache. Everything that is asked of the library here is asked once a convolution, before the first step.
 */
#include "cudnn_plan.h"

#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

struct sky_plan_cache {
    descriptor device;
    bool described;
    struct sky_plan_rules rules;
    struct sky_plan **plans;
    int64_t count, capacity;
};

static void destroy(descriptor *owned)
{
    if (*owned) cudnnBackendDestroyDescriptor(*owned);
    *owned = NULL;
}

static sky_status create(descriptor *out, cudnnBackendDescriptorType_t type, const char *where)
{
    return sky_cudnn_check(cudnnBackendCreateDescriptor(type, out), where, "creating a descriptor");
}

static sky_status set(descriptor to, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *values, const char *where)
{
    return sky_cudnn_check(cudnnBackendSetAttribute(to, name, type, count, values), where, "setting an attribute");
}

static sky_status get(descriptor from, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *values,
                      const char *where)
{
    return sky_cudnn_check(cudnnBackendGetAttribute(from, name, type, room, count, values), where, "reading an attribute");
}

/* ---- candidates ---- */

/* An engine with its settings, as a heuristic proposes it. */
struct candidate {
    descriptor config;
    int64_t engine, workspace_bytes;
    uint32_t notes; /* bit n: cudnnBackendNumericalNote_t n */
    bool compiled;  /* needs compilation at run time */
};

struct candidates {
    struct candidate *items;
    int64_t count;
};

static void candidates_free(struct candidates *list)
{
    for (int64_t i = 0; i < list->count; i++) destroy(&list->items[i].config);
    free(list->items);
    memset(list, 0, sizeof *list);
}

static sky_status candidate_read(struct candidate *candidate, const char *where)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behavior[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;
    descriptor engine = NULL;
    SKY_TRY(create(&engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR, where));
    sky_status status = get(candidate->config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine, where);
    if (status != SKY_OK) goto done;
    SKY_TRY_DONE(get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &candidate->engine, where));
    SKY_TRY_DONE(get(candidate->config, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &candidate->workspace_bytes, where));
    SKY_TRY_DONE(get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes, where));
    for (int64_t i = 0; i < count; i++) candidate->notes |= 1u << notes[i];
    SKY_TRY_DONE(get(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, behavior, where));
    for (int64_t i = 0; i < count; i++) candidate->compiled |= behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
done:
    destroy(&engine);
    return status;
}

/* The heuristic's list into descriptors of ours, which it fills. */
static sky_status candidates_read(descriptor heuristics, struct candidates *list, const char *where)
{
    int64_t total = 0, filled = 0;
    SKY_TRY(get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &total, NULL, where));
    if (!total) return SKY_OK;
    descriptor *configs = NULL;
    SKY_TRY(sky_alloc(&configs, (size_t)total, sizeof *configs, "engine configurations"));
    sky_status status = sky_alloc(&list->items, (size_t)total, sizeof *list->items, "engine configurations");
    if (status != SKY_OK) goto done;
    for (list->count = 0; list->count < total; list->count++) {
        SKY_TRY_DONE(create(&configs[list->count], CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, where));
        list->items[list->count].config = configs[list->count];
    }
    SKY_TRY_DONE(get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, total, &filled, configs, where));
    while (list->count > filled) destroy(&list->items[--list->count].config);
    for (int64_t i = 0; i < list->count; i++) SKY_TRY_DONE(candidate_read(&list->items[i], where));
done:
    free(configs);
    return status;
}

/* Empty, with SKY_OK, when the heuristic knows nothing for this graph. */
static sky_status candidates_list(const struct sky_plan_cache *cache, const struct sky_cudnn_graph *graph, cudnnBackendHeurMode_t mode, struct candidates *list)
{
    descriptor heuristics = NULL;
    SKY_TRY(create(&heuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, graph->where));
    sky_status status = set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph->graph, graph->where);
    if (status != SKY_OK) goto done;
    SKY_TRY_DONE(set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode, graph->where));
    SKY_TRY_DONE(set(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cache->device, graph->where));
    const cudnnStatus_t answer = cudnnBackendFinalize(heuristics);
    if (CUDNN_STATUS_CATEGORY(answer) == CUDNN_STATUS_NOT_SUPPORTED) goto done;
    SKY_TRY_DONE(sky_cudnn_check(answer, graph->where, "asking for engines"));
    SKY_TRY_DONE(candidates_read(heuristics, list, graph->where));
done:
    destroy(&heuristics);
    if (status != SKY_OK) candidates_free(list);
    return status;
}

/* ---- choice ---- */

static uint32_t forbidden_notes(const struct sky_plan_rules *rules, enum sky_dtype dtype)
{
    uint32_t notes = 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS | 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    if (rules->deterministic) notes |= 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    if (dtype == SKY_F32 && !rules->tf32) notes |= 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    if (!rules->winograd)
        notes |= 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD | 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 | 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 |
                 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    return notes;
}

struct choice {
    struct sky_plan *plan;
    bool made;
    char refusal[600]; /* what the library said to the last candidate that it named and then refused */
};

/* Makes the plan of this candidate, whose configuration it then takes over; SKY_OK also when the library refuses. */
static sky_status finalise(const struct sky_plan_cache *cache, struct candidate *candidate, struct choice *choice)
{
    struct sky_plan *plan = choice->plan;
    const char *where = plan->graph.where;
    descriptor tried = NULL;
    SKY_TRY(create(&tried, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, where));
    sky_status status = set(tried, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &candidate->config, where);
    if (status != SKY_OK) goto done;
    SKY_TRY_DONE(set(tried, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &cache->device, where));
    const cudnnStatus_t answer = cudnnBackendFinalize(tried);
    /* Without a driver a plan that was compiled stops where it would be loaded. */
    const bool unloaded = cache->described && candidate->compiled && answer == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
    if (answer != CUDNN_STATUS_SUCCESS && !unloaded) {
        sky_cudnn_check(answer, where, "making a plan");
        snprintf(choice->refusal, sizeof choice->refusal, "; the last refusal: %.500s", sky_error_last()->what);
        goto done;
    }
    choice->made = true;
    plan->plan = tried, tried = NULL;
    plan->config = candidate->config, candidate->config = NULL;
    plan->engine = candidate->engine, plan->compiled = candidate->compiled;
    plan->workspace_bytes = (size_t)candidate->workspace_bytes;
done:
    destroy(&tried);
    return status;
}

static sky_status choose_from(const struct sky_plan_cache *cache, cudnnBackendHeurMode_t mode, struct choice *choice)
{
    struct sky_plan *plan = choice->plan;
    const uint32_t forbidden = forbidden_notes(&cache->rules, plan->problem.dtype), varying = 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    struct candidates list = {NULL, 0};
    sky_status status = SKY_OK;
    SKY_TRY(candidates_list(cache, &plan->graph, mode, &list));
    for (int64_t i = 0; i < list.count; i++) {
        struct candidate *candidate = &list.items[i];
        plan->candidates++;
        plan->deterministic += !(candidate->notes & varying);
        if (candidate->notes & forbidden || (uint64_t)candidate->workspace_bytes > cache->rules.workspace_cap) continue;
        plan->allowed++;
        if (!choice->made) SKY_TRY_DONE(finalise(cache, candidate, choice));
    }
done:
    candidates_free(&list);
    return status;
}

static sky_status choose(const struct sky_plan_cache *cache, struct sky_plan *plan)
{
    const struct sky_plan_rules *rules = &cache->rules;
    struct choice choice = {.plan = plan};
    char bytes[32];
    SKY_TRY(choose_from(cache, CUDNN_HEUR_MODE_A, &choice));
    if (!choice.made) SKY_TRY(choose_from(cache, CUDNN_HEUR_MODE_FALLBACK, &choice));
    sky_print_bytes(choice.made ? plan->workspace_bytes : rules->workspace_cap, bytes);
    if (!choice.made)
        return sky_fail(SKY_UNSUPPORTED, plan->graph.where,
                        "cuDNN has no engine: of %d candidates %d are deterministic, %d within the rules (deterministic %s, TF32 %s, scratch up to %s)%s",
                        plan->candidates, plan->deterministic, plan->allowed, rules->deterministic ? "yes" : "no", rules->tf32 ? "yes" : "no", bytes,
                        choice.refusal);
    snprintf(plan->name, sizeof plan->name, "cudnn engine %lld, %s", (long long)plan->engine, bytes);
    return SKY_OK;
}

static void plan_free(struct sky_plan *plan)
{
    if (!plan) return;
    destroy(&plan->plan);
    destroy(&plan->config);
    sky_cudnn_graph_free(&plan->graph);
    free(plan);
}

/* ---- cache ---- */

static sky_status cache_create(struct sky_plan_cache **out, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                               const void *value, bool described, const struct sky_plan_rules *rules)
{
    static const char where[] = "the device's properties";
    struct sky_plan_cache *cache = NULL;
    SKY_TRY(sky_alloc(&cache, 1, sizeof *cache, "a plan cache"));
    cache->rules = *rules, cache->described = described;
    sky_status status = create(&cache->device, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, where);
    if (status != SKY_OK) goto done;
    SKY_TRY_DONE(set(cache->device, name, type, count, value, where));
    SKY_TRY_DONE(sky_cudnn_check(cudnnBackendFinalize(cache->device), where, "reading them"));
    *out = cache, cache = NULL;
done:
    sky_plan_cache_close(cache);
    return status;
}

sky_status sky_plan_cache_open(struct sky_plan_cache **out, cudnnHandle_t handle, const struct sky_plan_rules *rules)
{
    return cache_create(out, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, false, rules);
}

sky_status sky_plan_cache_describe(struct sky_plan_cache **out, const char *json, const struct sky_plan_rules *rules)
{
    return cache_create(out, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(json) + 1, json, true, rules);
}

void sky_plan_cache_close(struct sky_plan_cache *cache)
{
    if (!cache) return;
    for (int64_t i = 0; i < cache->count; i++) plan_free(cache->plans[i]);
    free(cache->plans);
    destroy(&cache->device);
    free(cache);
}

sky_status sky_plan_find(struct sky_plan_cache *cache, const struct sky_conv_problem *problem, const struct sky_plan **out)
{
    char text[SKY_CONV_TEXT];
    struct sky_plan *plan = NULL;
    sky_conv_problem_text(problem, text);
    for (int64_t i = 0; i < cache->count; i++)
        if (!strcmp(cache->plans[i]->graph.where, text)) {
            *out = cache->plans[i];
            return SKY_OK;
        }
    SKY_TRY(sky_grow(&cache->plans, cache->count, &cache->capacity, sizeof(struct sky_plan *), "plans"));
    SKY_TRY(sky_alloc(&plan, 1, sizeof *plan, "a plan"));
    plan->problem = *problem;
    sky_status status = sky_cudnn_graph_build(&plan->graph, problem);
    if (status != SKY_OK) goto done;
    SKY_TRY_DONE(choose(cache, plan));
    cache->plans[cache->count++] = plan;
    *out = plan, plan = NULL;
done:
    plan_free(plan);
    return status;
}

/* ---- running ---- */

void sky_plan_pack_free(struct sky_plan_pack *pack)
{
    destroy(&pack->pack);
    memset(pack, 0, sizeof *pack);
}

static sky_status pack_make(const struct sky_plan *plan, struct sky_plan_pack *pack, void *const *pointers, void *work)
{
    const char *where = plan->graph.where;
    int64_t uids[SKY_CONV_TENSOR_COUNT], count = 0;
    void *values[SKY_CONV_TENSOR_COUNT];
    sky_plan_pack_free(pack);
    for (int role = 0; role < SKY_CONV_TENSOR_COUNT; role++) {
        if (!(plan->graph.tensors >> role & 1)) continue;
        if (!pointers[role]) return sky_fail(SKY_INTERNAL, where, "tensor %d of the convolution has no pointer", role);
        uids[count] = role + 1, values[count++] = pointers[role];
    }
    SKY_TRY(create(&pack->pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, where));
    SKY_TRY(set(pack->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids, where));
    SKY_TRY(set(pack->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, values, where));
    SKY_TRY(set(pack->pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &work, where));
    SKY_TRY(sky_cudnn_check(cudnnBackendFinalize(pack->pack), where, "taking the pointers"));
    memcpy(pack->pointers, pointers, sizeof pack->pointers);
    pack->work = work;
    return SKY_OK;
}

sky_status sky_plan_run(const struct sky_plan *plan, cudnnHandle_t handle, struct sky_plan_pack *pack, void *const pointers[SKY_CONV_TENSOR_COUNT], void *work)
{
    if (!pack->pack || pack->work != work || memcmp(pack->pointers, pointers, sizeof pack->pointers)) {
        const sky_status status = pack_make(plan, pack, pointers, work);
        if (status != SKY_OK) sky_plan_pack_free(pack);
        if (status != SKY_OK) return status;
    }
    return sky_cudnn_check(cudnnBackendExecute(handle, plan->plan, pack->pack), plan->graph.where, "running");
}
