/*
 * See bind.h. Owns nothing: the graph is the model's, memory the executor's.
 */
#include "bind.h"

#include "skygem/log.h"

#include <string.h>

static sky_status bind_once(struct sky_model *model, struct sky_executor *executor, const struct sky_config *config, const struct sky_backend *backend,
                       const struct sky_device_options *options, int64_t classes, bool *fused)
{
    memset(executor, 0, sizeof *executor);
    *fused = false;
    SKY_TRY(sky_model_build(model, config, SKY_MODEL_TRAIN, config->train.batch_size, classes, 0, SKY_F32, NULL));
    for (int64_t n = 0; n < model->graph.node_count; n++) *fused = *fused || model->graph.nodes[n].op == SKY_OP_BN_CONV || model->graph.nodes[n].op == SKY_OP_BN_CONV_DGRAD;
    const sky_status status = sky_executor_create(executor, backend, options, &model->graph, NULL);
    if (status != SKY_OK) sky_model_free(model);
    return status;
}

sky_status sky_train_bind(struct sky_model *model, struct sky_executor *executor, const struct sky_config *config, const struct sky_backend *backend,
                          const struct sky_device_options *options, int64_t classes)
{
    struct sky_config plain = *config; /* borrows everything */
    bool fused;
    const sky_status status = bind_once(model, executor, config, backend, options, classes, &fused);
    if (status != SKY_UNSUPPORTED || !fused || config->device.fusion != SKY_FUSION_AUTO) return status;
    const struct sky_error reason = *sky_error_last();
    plain.device.fusion = SKY_FUSION_NO;
    SKY_TRY(bind_once(model, executor, &plain, backend, options, classes, &fused));
    sky_log(SKY_LOG_WARNING, "batch norm stays outside of the convolutions (device.fusion = auto): %s: %s", reason.where, reason.what);
    return SKY_OK;
}
