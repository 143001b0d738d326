/*
 * Does cuDNN have an engine for every convolution of a model, on a GPU that need not be here? Collects the convolutions of graphs, each shape once, and plans
 * them in every precision against a described GPU. It proves support, scratch memory and repeatability; speed and numbers need the GPU itself.
 */
#ifndef SKY_BACKEND_CUDA_PLAN_CHECK_H
#define SKY_BACKEND_CUDA_PLAN_CHECK_H

#include "base/str.h"
#include "cudnn_plan.h"

/* Zero-initialise; sky_plan_check_free. */
struct sky_plan_check {
    struct sky_conv_problem *problems; /* each once; the type is set when they are planned */
    int64_t count, capacity;
};

/* Every convolution of the graph; those fused with batch norm, with the images of one view. */
sky_status sky_plan_check_add(struct sky_plan_check *check, const struct sky_graph *graph);
void sky_plan_check_free(struct sky_plan_check *check);

struct sky_plan_check_result {
    int64_t planned; /* plans made */
    int64_t missing; /* convolutions without a plan */
    struct sky_error first_missing;
};

/*
 * Plans everything for the GPU that `json` describes and appends the table, a row a shape, a column a precision (fp32, tf32, bf16, fp16):
 * candidates/deterministic ones/those within the rules, engine, scratch bytes, "c" when compiled at run time; "-": no engine; ".": not asked. SKY_OK also where
 * plans are missing.
 */
sky_status sky_plan_check_run(const struct sky_plan_check *check, const char *json, struct sky_text *table, struct sky_plan_check_result *result);

#endif
