/*
 * Looks for where numbers went wrong, once the update has already been left out: parameters, then activations in forward order (the pass is run again, node by
 * node), then gradients in backward order. Reads device memory tensor by tensor; slow, and run only on the way to an error message.
 */
#include "trainer_state.h"

#include "base/memory.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>

struct finding {
    const char *kind, *name; /* "the gradient of ", a tensor's name */
    int64_t element;         /* -1: nothing found yet */
};

static float element(enum sky_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case SKY_BF16: return sky_bf16_to_float(((const uint16_t *)data)[i]);
    case SKY_F16: return sky_half_to_float(((const uint16_t *)data)[i]);
    default: return ((const float *)data)[i];
    }
}

static sky_status look(struct sky_trainer *trainer, sky_value value, const char *kind, const char *name, struct finding *found)
{
    const struct sky_tensor *tensor = value < 0 ? NULL : &trainer->model.graph.tensors[value];
    void *host = NULL;
    if (!tensor || found->element >= 0 || (tensor->dtype != SKY_F32 && tensor->dtype != SKY_BF16 && tensor->dtype != SKY_F16)) return SKY_OK;
    SKY_TRY(sky_alloc(&host, tensor->bytes, 1, "a tensor to look at"));
    const sky_status status = sky_executor_read(&trainer->executor, value, host);
    for (int64_t i = 0; status == SKY_OK && i < tensor->count && found->element < 0; i++)
        if (!isfinite(element(tensor->dtype, host, i))) *found = (struct finding){kind, name, i};
    free(host);
    return status;
}

/* What a node wrote is looked at before a later one may write over it. */
static sky_status look_at_activations(struct sky_trainer *trainer, struct finding *found)
{
    const struct sky_graph *graph = &trainer->model.graph;
    trainer->executor.exchange = NULL; /* ranks look by themselves, and some will find nothing; there is no further step */
    for (int64_t part = 0; part < trainer->config->train.accumulate && found->element < 0; part++) {
        SKY_TRY(sky_trainer_copy_in(trainer, part));
        for (int64_t n = 0; n < graph->node_count && found->element < 0; n++) {
            const struct sky_node *node = &graph->nodes[n];
            if (node->phase != SKY_PHASE_FORWARD) continue;
            SKY_TRY(sky_executor_run_node(&trainer->executor, n, false));
            for (int i = 0; i < node->out_count; i++) SKY_TRY(look(trainer, node->out[i], "the output of ", node->name, found));
        }
    }
    return sky_trainer_restore_buffers(trainer);
}

sky_status sky_trainer_blame(struct sky_trainer *trainer, const struct sky_batch *batch)
{
    const struct sky_graph *graph = &trainer->model.graph;
    const struct sky_parameter *parameters = graph->parameters;
    struct finding found = {"", "a gradient", -1};
    if (trainer->overwritten) SKY_TRY(sky_trainer_run_again(trainer));
    for (int64_t p = 0; p < graph->parameter_count; p++) /* were not touched: bad ones came from a file or an earlier step */
        SKY_TRY(look(trainer, parameters[p].value, "parameter ", graph->tensors[parameters[p].value].name, &found));
    if (found.element < 0) SKY_TRY(look_at_activations(trainer, &found));
    for (int64_t p = graph->parameter_count - 1; p >= 0; p--)
        SKY_TRY(look(trainer, graph->tensors[parameters[p].value].gradient, "the gradient of ", graph->tensors[parameters[p].value].name, &found));
    struct sky_text first = {0};
    for (int v = 0; v < trainer->model.views.count; v++)
        sky_text_format(&first, "%s%s", v ? ", " : "", batch->paths[v * trainer->model.places * trainer->config->train.accumulate]);
    sky_fail(SKY_NUMERIC, "training", "step %lld: %s%s is not finite (element %lld); first images: %s", (long long)sky_trainer_next_step(trainer), found.kind,
             found.name, (long long)found.element, first.text ? first.text : "");
    sky_text_free(&first);
    return sky_hint("the parameters are as before this step. Lower [optimizer] lr, set clip_norm, or set [train] on_nonfinite = skip");
}
