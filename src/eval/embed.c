/*
 * Runs the inference graph over batches and turns heads' outputs into unit vectors. Owns its model and executor; parameters may be shared with a trainer. Normalisation
 * is in double and in a fixed order.
 */
#include "embed.h"

#include "backend/select.h"
#include "base/memory.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

sky_status sky_embedder_open(struct sky_embedder *embedder, const struct sky_config *config, const struct sky_model *trained,
                             const struct sky_executor *executor, bool ema, int view)
{
    const struct sky_backend *backend = NULL;
    struct sky_device_options options;
    sky_status status = SKY_OK;
    memset(embedder, 0, sizeof *embedder);
    embedder->flip = config->eval.flip;
    SKY_TRY(sky_backend_choose(config, config->eval.precision, &backend, &options));
    options.constant_parameters = true;
    SKY_TRY(sky_model_build(&embedder->model, config, SKY_MODEL_INFER, config->eval.batch_size, 0, view, SKY_F32, trained));
    SKY_TRY_DONE(sky_alloc(&embedder->raw, 2 * (size_t)embedder->model.graph.tensors[embedder->model.features].count, sizeof *embedder->raw, "features of a batch"));
    struct sky_executor lender;
    if (executor) lender = *executor;
    if (executor && ema) lender.arena[SKY_ARENA_PARAMS] = executor->arena[SKY_ARENA_EMA];
    SKY_TRY_DONE(sky_executor_create(&embedder->executor, backend, &options, &embedder->model.graph, executor ? &lender : NULL));
    if (executor) SKY_TRY_DONE(sky_embedder_refresh(embedder));
done:
    if (status != SKY_OK) sky_embedder_close(embedder);
    return status;
}

void sky_embedder_close(struct sky_embedder *embedder)
{
    sky_executor_destroy(&embedder->executor);
    sky_model_free(&embedder->model);
    free(embedder->raw);
    memset(embedder, 0, sizeof *embedder);
}

sky_status sky_embedder_refresh(struct sky_embedder *embedder)
{
    return sky_executor_run(&embedder->executor, SKY_PHASE_ONCE, false);
}

int64_t sky_embedder_dimensions(const struct sky_embedder *embedder)
{
    return embedder->model.heads * embedder->model.embedding;
}

/* Parts [P, rows, E] (plus those of the mirror image, if any) of one row to a unit vector: each part over its norm and sqrt(P). A zero part stays zero. */
static void normalise(const struct sky_model *model, const float *raw, const float *mirror, int64_t row, float *out /* [E*P] */)
{
    const int64_t parts = model->heads, width = model->embedding;
    for (int64_t p = 0; p < parts; p++) {
        const float *a = raw + (p * model->rows + row) * width, *b = mirror ? mirror + (p * model->rows + row) * width : NULL;
        double squares = 0;
        for (int64_t e = 0; e < width; e++) {
            const double value = (double)a[e] + (b ? (double)b[e] : 0);
            squares += value * value;
        }
        const double scale = squares > 0 ? 1 / sqrt(squares * (double)parts) : 0;
        for (int64_t e = 0; e < width; e++) out[e * parts + p] = (float)(((double)a[e] + (b ? (double)b[e] : 0)) * scale);
    }
}

static sky_status run_pass(struct sky_embedder *embedder, bool mirror, float *raw)
{
    const struct sky_scalars scalars = {.mirror = mirror};
    SKY_TRY(sky_executor_write(&embedder->executor, embedder->model.graph.scalars, &scalars));
    SKY_TRY(sky_executor_run(&embedder->executor, SKY_PHASE_FORWARD, false));
    return sky_executor_read(&embedder->executor, embedder->model.features, raw);
}

sky_status sky_embedder_run(struct sky_embedder *embedder, const uint8_t *images, int64_t count, float *plain, float *flipped)
{
    const struct sky_model *model = &embedder->model;
    struct sky_executor *executor = &embedder->executor;
    const struct sky_tensor *input = &model->graph.tensors[model->images[0]], *features = &model->graph.tensors[model->features];
    float *mirror = embedder->raw + features->count;
    if (count < 1 || count > model->rows) return sky_fail(SKY_INTERNAL, "embedding", "%lld images do not fit a batch of %lld", (long long)count, (long long)model->rows);
    SKY_TRY(executor->device.backend->copy_in(&executor->device, sky_executor_pointer(executor, model->images[0]), images, input->bytes / (size_t)model->rows * (size_t)count));
    SKY_TRY(run_pass(embedder, false, embedder->raw));
    if (flipped) SKY_TRY(run_pass(embedder, true, mirror));
    const int64_t width = sky_embedder_dimensions(embedder);
    for (int64_t i = 0; i < count; i++) {
        if (plain) normalise(model, embedder->raw, NULL, i, plain + i * width);
        if (flipped) normalise(model, embedder->raw, mirror, i, flipped + i * width);
    }
    return SKY_OK;
}

sky_status sky_embedder_run_set(struct sky_embedder *embedder, const struct sky_config *config, const struct sky_image_set *set, const char *root,
                                const struct sky_pack *pack, float *plain, float *flipped, bool (*progress)(void *context, int64_t done), void *context)
{
    struct sky_reader *reader = NULL;
    const int workers = config->data.workers ? (int)config->data.workers : sky_thread_count_default();
    const int64_t width = sky_embedder_dimensions(embedder);
    sky_status status = SKY_OK;
    SKY_TRY(sky_reader_create(&reader, set, root, pack, (enum sky_exif)config->data.exif, (int)config->data.image_size, embedder->model.rows, workers,
                                      embedder->alteration));
    for (;;) {
        const uint8_t *images;
        int64_t first, count;
        SKY_TRY_DONE(sky_reader_next(reader, &images, &first, &count));
        if (!count) break;
        SKY_TRY_DONE(sky_embedder_run(embedder, images, count, plain ? plain + first * width : NULL, flipped ? flipped + first * width : NULL));
        if (progress && !progress(context, first + count)) {
            status = sky_fail(SKY_INTERRUPTED, root, "stopped after %lld of %lld images", (long long)(first + count), (long long)set->count);
            goto done;
        }
    }
done:
    sky_reader_destroy(reader);
    return status;
}
