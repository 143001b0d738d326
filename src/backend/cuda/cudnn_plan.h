/*
 * Which engine computes a convolution, and running it. The choice: what the library's heuristics name, best first (mode A, then the fallback list), without
 * what the rules forbid, the first that finalises. A cache holds every plan of one device, so that equal convolutions are planned once. The device is a real
 * one (a cuDNN handle's), or one that is only described: then plans are made and checked, but cannot run.
 */
#ifndef SKY_BACKEND_CUDA_CUDNN_PLAN_H
#define SKY_BACKEND_CUDA_CUDNN_PLAN_H

#include "cudnn_graph.h"

/* Engines that sum in less than float, or round float inputs to half, are never taken. */
struct sky_plan_rules {
    bool deterministic; /* the same bits in every run */
    bool tf32;          /* f32 convolutions may use tensor cores, which round their inputs to 10 bits */
    bool winograd;
    size_t workspace_cap; /* bytes */
};

/* More scratch memory than this buys little: the largest that a shipped model's convolution asks for is less (tests/plans). */
#define SKY_PLAN_WORKSPACE_CAP ((size_t)256 << 20)

/* Owned by its cache. */
struct sky_plan {
    struct sky_conv_problem problem;
    struct sky_cudnn_graph graph;
    cudnnBackendDescriptor_t config, plan; /* of the chosen engine */
    int64_t engine;                        /* the library's number of it, among the engines for this form */
    size_t workspace_bytes;
    bool compiled;                          /* at run time, for this very convolution; on a described device such a plan has been compiled, but not loaded */
    int candidates, deterministic, allowed; /* of the lists that were looked at: all, those that give the same bits, those within the rules */
    char name[64];                          /* "cudnn engine 12, 131 KiB" */
};

struct sky_plan_cache;

/* For the device of a handle, which is borrowed; or for the device that `json` describes (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION). */
sky_status sky_plan_cache_open(struct sky_plan_cache **out, cudnnHandle_t handle, const struct sky_plan_rules *rules);
sky_status sky_plan_cache_describe(struct sky_plan_cache **out, const char *json, const struct sky_plan_rules *rules);
void sky_plan_cache_close(struct sky_plan_cache *cache); /* with its plans; NULL is fine */

/* SKY_UNSUPPORTED, saying how many candidates there were and what became of them, when no engine is left. *out lives as long as the cache. */
sky_status sky_plan_find(struct sky_plan_cache *cache, const struct sky_conv_problem *problem, const struct sky_plan **out);

/* The library's form of one run's pointers. It cannot be changed once made, so it is made again when pointers differ from the last run's. Zero is empty. */
struct sky_plan_pack {
    cudnnBackendDescriptor_t pack;
    void *pointers[SKY_CONV_TENSOR_COUNT], *work;
};
void sky_plan_pack_free(struct sky_plan_pack *pack);

/* Enqueues the plan on the handle's stream. pointers: by role, those that plan->graph.tensors asks for; work: workspace_bytes of scratch. */
sky_status sky_plan_run(const struct sky_plan *plan, cudnnHandle_t handle, struct sky_plan_pack *pack, void *const pointers[SKY_CONV_TENSOR_COUNT], void *work);

#endif
