/*
 * The convolutions of graphs and their table of plans.
 */
#include "plan_check.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The columns: [train] precision. */
static const struct precision {
    const char *name;
    enum sky_dtype dtype;
    bool tf32;
} precisions[] = {{"fp32", SKY_F32, false}, {"tf32", SKY_F32, true}, {"bf16", SKY_BF16, false}, {"fp16", SKY_F16, false}};
enum { PRECISIONS = sizeof precisions / sizeof *precisions };

static bool is_fused(const struct sky_conv_problem *problem) { return problem->form > SKY_CONV_WGRAD; }

static sky_status add(struct sky_plan_check *check, struct sky_conv_problem problem)
{
    char text[SKY_CONV_TEXT], other[SKY_CONV_TEXT];
    sky_conv_shape_text(&problem, text);
    for (int64_t i = 0; i < check->count; i++) {
        sky_conv_shape_text(&check->problems[i], other);
        if (!strcmp(text, other)) return SKY_OK;
    }
    SKY_TRY(sky_grow(&check->problems, check->count, &check->capacity, sizeof *check->problems, "convolutions"));
    check->problems[check->count++] = problem;
    return SKY_OK;
}

static bool is_convolution(enum sky_op op)
{
    return op == SKY_OP_CONV || op == SKY_OP_CONV_DGRAD || op == SKY_OP_CONV_WGRAD || op == SKY_OP_BN_CONV || op == SKY_OP_BN_CONV_DGRAD || op == SKY_OP_BN_CONV_WGRAD;
}

sky_status sky_plan_check_add(struct sky_plan_check *check, const struct sky_graph *graph)
{
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        if (is_convolution(node->op)) SKY_TRY(add(check, sky_conv_problem_of(graph, node)));
    }
    return SKY_OK;
}

void sky_plan_check_free(struct sky_plan_check *check)
{
    free(check->problems);
    memset(check, 0, sizeof *check);
}

/* A column; the last one without the blanks behind it. */
static void write_cell(struct sky_text *table, int column, const char *cell) { sky_text_format(table, column + 1 < PRECISIONS ? " | %-26s" : " | %s\n", cell); }

static void write_head(struct sky_text *table)
{
    const size_t version = cudnnGetVersion();
    sky_text_format(table, "# cuDNN %zu.%zu.%zu\n", version / 10000, version / 100 % 100, version % 100);
    sky_text_format(table, "%-66s", "# candidates/deterministic/allowed, engine, scratch bytes");
    for (int p = 0; p < PRECISIONS; p++) write_cell(table, p, precisions[p].name);
}

/* One cell. */
static sky_status check_one(struct sky_plan_cache *cache, const struct sky_conv_problem *problem, char *cell, size_t cell_bytes,
                            struct sky_plan_check_result *result)
{
    const struct sky_plan *plan;
    const sky_status status = sky_plan_find(cache, problem, &plan);
    if (status == SKY_OK) {
        result->planned++;
        snprintf(cell, cell_bytes, "%d/%d/%d e%lld %zu%s", plan->candidates, plan->deterministic, plan->allowed, (long long)plan->engine, plan->workspace_bytes,
                 plan->compiled ? " c" : "");
        return SKY_OK;
    }
    if (status != SKY_UNSUPPORTED) return status;
    snprintf(cell, cell_bytes, "-");
    if (!result->missing++) result->first_missing = *sky_error_last();
    return SKY_OK;
}

/* The fused forms are asked for in f16 alone: no other type has them. */
static sky_status check_row(struct sky_plan_cache *const caches[PRECISIONS], struct sky_conv_problem problem, struct sky_text *table,
                            struct sky_plan_check_result *result)
{
    char text[SKY_CONV_TEXT], cell[80];
    sky_conv_shape_text(&problem, text);
    sky_text_format(table, "%-66s", text);
    for (int p = 0; p < PRECISIONS; p++) {
        snprintf(cell, sizeof cell, ".");
        problem.dtype = precisions[p].dtype;
        if (!is_fused(&problem) || problem.dtype == SKY_F16) SKY_TRY(check_one(caches[p], &problem, cell, sizeof cell, result));
        write_cell(table, p, cell);
    }
    return SKY_OK;
}

sky_status sky_plan_check_run(const struct sky_plan_check *check, const char *json, struct sky_text *table, struct sky_plan_check_result *result)
{
    struct sky_plan_cache *caches[PRECISIONS] = {NULL};
    sky_status status = SKY_OK;
    memset(result, 0, sizeof *result);
    for (int p = 0; p < PRECISIONS; p++) {
        const struct sky_plan_rules rules = {.deterministic = true, .tf32 = precisions[p].tf32, .workspace_cap = SKY_PLAN_WORKSPACE_CAP};
        SKY_TRY_DONE(sky_plan_cache_describe(&caches[p], json, &rules));
    }
    write_head(table);
    for (int64_t i = 0; i < check->count; i++) SKY_TRY_DONE(check_row(caches, check->problems[i], table, result));
    status = sky_text_status(table, "the table of plans");
done:
    for (int p = 0; p < PRECISIONS; p++) sky_plan_cache_close(caches[p]);
    return status;
}
