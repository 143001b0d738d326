/*
 * Text about a planned graph. Reads tables only; owns nothing beyond the texts it builds.
 */
#include "summary.h"

#include "backend/select.h"
#include "base/fs.h"
#include "base/str.h"
#include "data/pack.h"
#include "data/sampler.h"
#include "evaluation.h"
#include "skygem/log.h"
#include "train/bind.h"
#include "train/parameters.h"
#include "train/trainer_state.h"

#include <stdio.h>
#include <string.h>

static void print_shape(const struct sky_tensor *tensor, char out[64])
{
    int used = snprintf(out, 64, "%lld", (long long)tensor->dim[0]);
    for (int i = 1; i < tensor->rank; i++) used += snprintf(out + used, (size_t)(64 - used), "x%lld", (long long)tensor->dim[i]);
}

static int64_t node_parameters(const struct sky_graph *graph, const struct sky_node *node)
{
    int64_t count = 0;
    for (int i = 0; i < node->in_count; i++)
        if (node->in[i] >= 0 && graph->tensors[node->in[i]].arena == SKY_ARENA_PARAMS && !graph->tensors[node->in[i]].whole) count += graph->tensors[node->in[i]].count;
    return count;
}

void sky_summary_layers(const struct sky_executor *executor, struct sky_text *out)
{
    const struct sky_graph *graph = executor->graph;
    sky_text_format(out, "%-30s %-14s %-20s %12s %10s %10s  %s\n", "layer", "operation", "output", "parameters", "MMAC", "MB moved", "implementation");
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        if (node->phase != SKY_PHASE_FORWARD || node->out[0] < 0) continue;
        const struct sky_cost cost = sky_node_cost(graph, node);
        char shape[64];
        print_shape(&graph->tensors[node->out[0]], shape);
        sky_text_format(out, "%-30s %-14s %-20s %12lld %10.1f %10.1f  %s\n", node->name, sky_op_name(node->op), shape, (long long)node_parameters(graph, node),
                        cost.multiply_adds / 1e6, cost.bytes / 1e6, executor->kernels[n].implementation);
    }
}

size_t sky_summary_planned_bytes(const struct sky_executor *executor)
{
    size_t bytes = executor->work_bytes;
    for (int a = 0; a < SKY_ARENA_COUNT; a++)
        if (!executor->borrowed[a]) bytes += executor->graph->arena_bytes[a];
    for (int i = 0; i < executor->block_count; i++) bytes += executor->blocks[i].bytes;
    return bytes;
}

static const char no_winograd[] = "device.winograd = yes, but this program has no Winograd code for this processor (it needs AVX2 or AVX-512, and "
                                  "SKY_NATIVE=ON): 3x3 convolutions are direct";

bool sky_summary_lacks_winograd(const struct sky_executor *executor)
{
    bool wanted = false, used = false;
    for (int64_t n = 0; n < executor->graph->node_count; n++) {
        const struct sky_node *node = &executor->graph->nodes[n];
        wanted = wanted || (node->op == SKY_OP_CONV && node->attr.conv.stride == 1 && executor->graph->tensors[node->in[1]].dim[1] == 3);
        used = used || strncmp(executor->kernels[n].implementation, "winograd", 8) == 0;
    }
    return executor->device.options.winograd && wanted && !used && executor->device.backend == &sky_backend_cpu;
}

bool sky_summary_warn_winograd(const struct sky_executor *executor)
{
    if (!sky_summary_lacks_winograd(executor)) return false;
    sky_log(SKY_LOG_WARNING, "%s", no_winograd);
    return true;
}

void sky_summary_totals(const struct sky_model *model, const struct sky_executor *executor, struct sky_text *out)
{
    const struct sky_graph *graph = &model->graph;
    double multiply_adds[SKY_PHASE_COUNT] = {0}, convolution = 0;
    for (int64_t n = 0; n < graph->node_count; n++) {
        const double count = sky_node_cost(graph, &graph->nodes[n]).multiply_adds / (double)model->rows;
        multiply_adds[graph->nodes[n].phase] += count;
        if (graph->nodes[n].op == SKY_OP_CONV || graph->nodes[n].op == SKY_OP_BN_CONV) convolution += count;
    }
    char text[32];
    sky_text_format(out, "parameters         %lld (trunk %lld, heads %lld, GeM %lld)\n", (long long)sky_model_parameter_count(model, ""),
                    (long long)sky_model_parameter_count(model, "backbone"), (long long)sky_model_parameter_count(model, "classifier"),
                    (long long)sky_model_parameter_count(model, "gem"));
    sky_text_format(out, "multiply-adds      %.3f G an image forward (convolutions %.3f G), %.3f G backward\n", multiply_adds[SKY_PHASE_FORWARD] / 1e9, convolution / 1e9,
                    multiply_adds[SKY_PHASE_BACKWARD] / 1e9);
    for (int a = 0; a < SKY_ARENA_COUNT; a++) {
        if (!graph->arena_bytes[a]) continue;
        sky_print_bytes(graph->arena_bytes[a], text);
        sky_text_format(out, "memory %-11s %s\n", sky_arena_name((enum sky_arena)a), text);
    }
    sky_print_bytes(executor->work_bytes, text);
    sky_text_format(out, "memory %-11s %s\n", "scratch", text);
    sky_print_bytes(sky_summary_planned_bytes(executor), text);
    sky_text_format(out, "memory %-11s %s\n", "together", text);
    if (sky_summary_lacks_winograd(executor)) sky_text_format(out, "note: %s\n", no_winograd);
}

struct traffic {
    double bytes; /* forward and backward, an image */
    int64_t norms, sums, applied, gradients; /* batch norms of maps, and how many of them convolutions have taken in by each form */
};

static sky_status count_traffic(const struct sky_config *config, int fusion, int64_t classes, struct traffic *traffic)
{
    struct sky_config variant = *config; /* borrows everything */
    struct sky_model model;
    variant.device.fusion = fusion;
    SKY_TRY(sky_model_build(&model, &variant, SKY_MODEL_TRAIN, config->train.batch_size, classes, 0, SKY_F32, NULL));
    for (int64_t n = 0; n < model.graph.node_count; n++) {
        const struct sky_node *node = &model.graph.nodes[n];
        if (node->phase == SKY_PHASE_FORWARD || node->phase == SKY_PHASE_BACKWARD) traffic->bytes += sky_node_cost(&model.graph, node).bytes / (double)model.rows;
        traffic->norms += node->op == SKY_OP_BN_STATS || node->op == SKY_OP_BN_FROM_SUMS;
        traffic->sums += node->op == SKY_OP_BN_FROM_SUMS;
        traffic->applied += node->op == SKY_OP_BN_CONV && node->in[2] != SKY_NONE;
        traffic->gradients += node->op == SKY_OP_BN_CONV_DGRAD;
    }
    sky_model_free(&model);
    return SKY_OK;
}

sky_status sky_summary_traffic(const struct sky_config *config, int64_t classes, struct sky_text *out)
{
    const int fusion = config->device.fusion == SKY_FUSION_YES ? SKY_FUSION_YES : SKY_FUSION_AUTO;
    struct traffic plain = {0}, fused = {0};
    SKY_TRY(count_traffic(config, SKY_FUSION_NO, classes, &plain));
    sky_text_format(out, "bytes moved        %.1f MB an image, forward and backward\n", plain.bytes / 1e6);
    if (fusion == SKY_FUSION_AUTO && config->train.precision != SKY_PRECISION_FP16) return SKY_OK;
    SKY_TRY(count_traffic(config, fusion, classes, &fused));
    sky_text_format(out,
                    "bytes moved fused  %.1f MB: of %lld batch norms %lld have their sums from a convolution, %lld are applied on the way into one, %lld start "
                    "their gradient in one%s\n",
                    fused.bytes / 1e6, (long long)fused.norms, (long long)fused.sums, (long long)fused.applied, (long long)fused.gradients,
                    config->device.fusion == SKY_FUSION_NO ? " (not with device.fusion = no)" : "");
    return SKY_OK;
}

/* Losses on pairs see what goes through the model at once, on all ranks. */
static void warn_pairs(const struct sky_config *config, int64_t ranks)
{
    double pairs = 0;
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) pairs += sky_pair_loss_weight(config, i);
    const int64_t places = config->train.batch_size * ranks;
    if (pairs > 0 && config->train.accumulate > 1)
        sky_log(SKY_LOG_WARNING, "the losses on pairs compare %lld places at a time, not the %lld of a step: accumulated batches give them no more negatives", (long long)places,
                (long long)(places * config->train.accumulate));
}

sky_status sky_summary_log(const struct sky_config *config, const struct sky_trainer *trainer, const char *run_folder)
{
    const struct sky_model *model = sky_trainer_model(trainer);
    const struct sky_executor *executor = sky_trainer_executor(trainer);
    char memory[32], place[64];
    sky_print_bytes(sky_summary_planned_bytes(executor), memory);
    sky_log(SKY_LOG_INFO, "run folder %s", run_folder);
    if (executor->device.backend->mark) snprintf(place, sizeof place, "%s back end with %s maps", executor->device.backend->name, sky_dtype_name(executor->graph->map_dtype));
    else snprintf(place, sizeof place, "%s back end on %d threads", executor->device.backend->name, executor->device.options.threads);
    sky_log(SKY_LOG_INFO, "%s, %lld heads, %lld classes, %.1f M parameters, %lld px, %s, %s planned", config->model.backbone, (long long)model->heads, (long long)model->classes,
            (double)sky_model_parameter_count(model, "") / 1e6, (long long)config->data.image_size, place, memory);
    sky_summary_warn_winograd(executor);
    const int64_t places = config->train.batch_size * config->train.accumulate;
    if (executor->exchange)
        sky_log(SKY_LOG_INFO, "%d rank%s of %lld places, gradients in %lld buckets%s%s, batch norm over %s", trainer->ranks.size,
                trainer->ranks.size == 1 ? "" : "s", (long long)places, (long long)trainer->ranks.bucket_count, trainer->ranks.low ? " as bf16" : "",
                trainer->ranks.device_comm ? " through NCCL" : "", config->distributed.bn_sync ? "all ranks" : "each rank's images");
    warn_pairs(config, trainer->ranks.size);
    sky_log(SKY_LOG_INFO, "%lld epochs of %lld steps, %lld places a step, from step %lld", (long long)config->train.epochs, (long long)sky_trainer_steps_per_epoch(trainer),
            (long long)(places * trainer->ranks.size), (long long)sky_trainer_next_step(trainer));
    return SKY_OK;
}

sky_status sky_summary_classes(const struct sky_config *config, int64_t assumed, int64_t *classes, bool *assumed_used)
{
    struct sky_train_set set = {0};
    *assumed_used = !config->data.root || !sky_path_is_folder(config->data.root);
    *classes = assumed;
    if (*assumed_used) return SKY_OK;
    SKY_TRY(sky_train_set_open_for(&set, config));
    *classes = set.class_count;
    sky_train_set_close(&set);
    return SKY_OK;
}

/* The pack can stand for the files, as training will ask of it. */
static sky_status check_pack(const struct sky_config *config, const struct sky_train_set *set)
{
    struct sky_pack *pack = NULL;
    if (!config->data.pack) return SKY_OK;
    sky_status status = sky_pack_open(&pack, config->data.pack);
    for (int v = 0; v < set->active.count && status == SKY_OK; v++)
        status = sky_pack_check(pack, &set->views[set->active.list[v]], set->root, (int)config->data.image_size, (enum sky_exif)config->data.exif);
    sky_pack_close(pack);
    return status;
}

/* The data as training would read it: counts, and the sampler's own checks. */
static sky_status describe_data(const struct sky_config *config, int64_t *classes, struct sky_text *out)
{
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    SKY_TRY(sky_train_set_open_for(&set, config));
    sky_status status = sky_sampler_create(&sampler, &set, (enum sky_sampler_kind)config->data.sampler, config->data.samples_per_class,
                                           config->train.batch_size * config->train.accumulate, (uint64_t)config->experiment.seed);
    if (status == SKY_OK) {
        const int64_t steps = sky_sampler_steps_per_epoch(sampler);
        *classes = set.class_count;
        sky_text_format(out, "data               %s: %lld classes, ", set.root, (long long)set.class_count);
        for (int v = 0; v < set.active.count; v++) {
            const int view = set.active.list[v];
            sky_text_separate(out, v, set.active.count, " and ");
            sky_text_format(out, "%lld %s", (long long)set.views[view].count, sky_view_name(view));
        }
        sky_text_append(out, " images\n");
        status = check_pack(config, &set);
        sky_text_format(out, "steps              %lld epochs x %lld = %lld\n", (long long)config->train.epochs, (long long)steps, (long long)(steps * config->train.epochs));
    }
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
    return status;
}

sky_status sky_summary_dry_run(const struct sky_config *config, bool evaluates)
{
    const struct sky_backend *backend = NULL;
    struct sky_device_options options;
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    struct sky_text text = {0};
    int64_t classes = 0;
    sky_status status = SKY_OK;
    SKY_TRY(sky_backend_choose(config, config->train.precision, &backend, &options));
    SKY_TRY_DONE(describe_data(config, &classes, &text));
    if (evaluates) SKY_TRY_DONE(sky_evaluation_check(config, &text));
    SKY_TRY_DONE(sky_train_bind(&model, &executor, config, backend, &options, classes));
    if (config->model.weights) SKY_TRY_DONE(sky_parameters_load(&model, &executor, config, config->model.weights));
    sky_summary_totals(&model, &executor, &text);
    sky_text_append(&text, "dry run: everything fits together; nothing was trained\n");
    SKY_TRY_DONE(sky_text_status(&text, "the plan"));
    fputs(text.text, stdout);
done:
    sky_executor_destroy(&executor);
    sky_model_free(&model);
    sky_text_free(&text);
    return status;
}
