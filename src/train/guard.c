/*
 * Looks for where numbers went wrong, once the update has already been left out: activations in forward order, then gradients. Reads device memory tensor by tensor; slow, and run only on
 * the way to an error message.
 */
#include "trainer_state.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

static sky_status first_bad_element(const struct sky_trainer *trainer, sky_value value, int64_t *out)
{
    const struct sky_tensor *tensor = &trainer->model.graph.tensors[value];
    float *host = NULL;
    *out = -1;
    if (tensor->dtype != SKY_F32) return SKY_OK;
    SKY_TRY(sky_alloc(&host, (size_t)tensor->count, sizeof *host, "a tensor to look at"));
    sky_status status = sky_executor_read((struct sky_executor *)&trainer->executor, value, host);
    for (int64_t i = 0; status == SKY_OK && i < tensor->count && *out < 0; i++)
        if (!isfinite(host[i])) *out = i;
    free(host);
    return status;
}

sky_status sky_trainer_blame(const struct sky_trainer *trainer, const struct sky_batch *batch)
{
    const struct sky_graph *graph = &trainer->model.graph;
    const char *name = "a gradient", *kind = "";
    int64_t element = -1;
    for (int64_t p = 0; p < graph->parameter_count && element < 0; p++) { /* parameters were not touched: bad ones came from a file or an earlier step */
        SKY_TRY(first_bad_element(trainer, graph->parameters[p].value, &element));
        if (element >= 0) name = graph->tensors[graph->parameters[p].value].name, kind = "parameter ";
    }
    for (int64_t p = graph->parameter_count - 1; p >= 0 && element < 0; p--) {
        const sky_value gradient = graph->tensors[graph->parameters[p].value].gradient;
        if (gradient < 0) continue;
        SKY_TRY(first_bad_element(trainer, gradient, &element));
        if (element >= 0) name = graph->tensors[graph->parameters[p].value].name, kind = "the gradient of ";
    }
    sky_fail(SKY_NUMERIC, "training", "step %lld: %s%s is not finite (element %lld); first images: %s, %s", (long long)trainer->step, kind, name, (long long)element, batch->paths[0],
             batch->paths[trainer->model.rows * trainer->config->train.accumulate / 2]);
    return sky_hint("the parameters are as before this step. Lower [optimizer] lr, set clip_norm, or set [train] on_nonfinite = skip");
}
