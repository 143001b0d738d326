/*
 * A weights file made ready to embed: its experiment, the network, the pixels' way into it. Owns everything it opens; the weights file is closed again once its
 * parameters are taken.
 */
#include "encoder.h"

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "eval/embed.h"
#include "io/checkpoint_file.h"
#include "train/parameters.h"

#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sky_encoder {
    struct sky_config config;
    struct sky_embedder embedder;
    struct sky_resizer resizer;
    struct sky_image decoded, packed; /* packed: rows of a picture with another stride, brought together */
    uint8_t *pixels;                  /* [S][S][3] */
    char *weights;
    char model[20];
};

/* What the machine that embeds decides, not the one that trained. */
static const char *const own_keys[] = {"device.backend=auto", "device.index=0", "device.threads=0", "data.workers=0"};
enum { OWN_KEYS = sizeof own_keys / sizeof *own_keys };

static sky_status read_experiment(struct sky_config *config, const struct sky_safetensors *file, const char *name, const char *text,
                                  const struct sky_encoder_options *options)
{
    const char **overrides = NULL;
    char batch[64];
    const int count = OWN_KEYS + 1 + options->override_count;
    if (!text && !options->experiment) text = sky_safetensors_text(file, "config"), name = file->path;
    if (!text && !options->experiment) {
        sky_fail(SKY_CONFIG, file->path, "these weights do not say what model they are of");
        return sky_hint("checkpoints and best.safetensors carry their experiment; for others name it: --experiment FILE.ini (in C: options.experiment)");
    }
    SKY_TRY(sky_alloc(&overrides, (size_t)count, sizeof *overrides, "settings"));
    snprintf(batch, sizeof batch, "eval.batch_size=%lld", (long long)(options->batch > 0 ? options->batch : 1));
    memcpy(overrides, own_keys, sizeof own_keys);
    overrides[OWN_KEYS] = batch;
    for (int i = 0; i < options->override_count; i++) overrides[OWN_KEYS + 1 + i] = options->overrides[i];
    const sky_status status =
        options->experiment ? sky_config_read(config, options->experiment, overrides, count) : sky_config_read_text(config, name, text, overrides, count);
    free(overrides);
    return status;
}

/* The parameters that features are made of: the averaged ones where there are any, with the running statistics. */
static sky_status read_parameters(struct sky_encoder *encoder, const struct sky_safetensors *file)
{
    struct sky_embedder *embedder = &encoder->embedder;
    const bool averaged = encoder->config.train.ema > 0 && sky_safetensors_text(file, "format");
    SKY_TRY(sky_parameters_read(&embedder->model, &embedder->executor, file, SKY_ARENA_PARAMS, ""));
    if (averaged) SKY_TRY(sky_parameters_overlay(&embedder->model, &embedder->executor, file, "ema/"));
    return sky_embedder_refresh(embedder);
}

/* Of one tensor as the file holds it, averaged or not. */
static uint32_t add_tensor(uint32_t sum, const struct sky_safetensors *file, bool averaged, const char *name)
{
    char average[340];
    snprintf(average, sizeof average, "ema/%s", name);
    const struct sky_file_tensor *tensor = averaged ? sky_safetensors_find(file, average) : NULL;
    if (!tensor) tensor = sky_safetensors_find(file, name);
    if (!tensor) return sum;
    sum = sky_crc32c(sum, name, strlen(name) + 1);
    return sky_crc32c(sum, tensor->data, tensor->bytes);
}

/* All trunks belong to the model, whichever this encoder has: a gallery's index and its queries must agree. */
static sky_status name_model(struct sky_encoder *encoder, const struct sky_safetensors *file)
{
    const bool averaged = encoder->config.train.ema > 0;
    uint32_t parameters = 0, settings = 0;
    for (int64_t i = 0; i < sky_model_slice_count(&encoder->embedder.model); i++) {
        const struct sky_slice slice = sky_model_slice(&encoder->embedder.model, i);
        const char *rest = strncmp(slice.name, "backbone", 8) == 0 ? strchr(slice.name, '.') : NULL;
        if (!rest) parameters = add_tensor(parameters, file, averaged, slice.name);
        for (int t = 0; rest && t < SKY_TRUNK_COUNT; t++) {
            char name[320];
            snprintf(name, sizeof name, "%s%s", sky_trunk_names[t], rest);
            parameters = add_tensor(parameters, file, averaged, name);
        }
    }
    SKY_TRY(sky_config_feature_hash(&encoder->config, &settings));
    snprintf(encoder->model, sizeof encoder->model, "%08x%08x", parameters, settings);
    return SKY_OK;
}

static sky_status open_encoder(struct sky_encoder *encoder, const char *weights, const char *name, const char *text, const struct sky_encoder_options *options)
{
    struct sky_safetensors file = {0};
    sky_status status = SKY_OK;
    SKY_TRY(sky_weights_open(&file, weights));
    SKY_TRY_DONE(read_experiment(&encoder->config, &file, name, text, options));
    const int view = options->ground ? SKY_VIEW_STREET : options->gallery ? SKY_VIEW_SATELLITE : SKY_VIEW_DRONE;
    SKY_TRY_DONE(sky_embedder_open(&encoder->embedder, &encoder->config, NULL, NULL, false, view));
    SKY_TRY_DONE(read_parameters(encoder, &file));
    SKY_TRY_DONE(name_model(encoder, &file));
    const size_t side = (size_t)encoder->config.data.image_size;
    SKY_TRY_DONE(sky_alloc(&encoder->pixels, side * side, 3, "a picture"));
    if (!(encoder->weights = realpath(weights, NULL))) status = sky_fail_errno(weights, "cannot resolve");
done:
    sky_safetensors_close(&file);
    return status;
}

sky_status sky_encoder_open_text(struct sky_encoder **out, const char *weights, const char *name, const char *experiment,
                                 const struct sky_encoder_options *options)
{
    static const struct sky_encoder_options defaults;
    struct sky_encoder *encoder = NULL;
    SKY_TRY(sky_alloc(&encoder, 1, sizeof *encoder, "encoder"));
    const sky_status status = open_encoder(encoder, weights, name, experiment, options ? options : &defaults);
    if (status == SKY_OK) *out = encoder;
    else sky_encoder_close(encoder);
    return status;
}

sky_status sky_encoder_open(struct sky_encoder **out, const char *weights, const struct sky_encoder_options *options)
{
    return sky_encoder_open_text(out, weights, NULL, NULL, options);
}

void sky_encoder_close(struct sky_encoder *encoder)
{
    if (!encoder) return;
    sky_embedder_close(&encoder->embedder);
    sky_config_free(&encoder->config);
    sky_resizer_free(&encoder->resizer);
    sky_image_free(&encoder->decoded);
    sky_image_free(&encoder->packed);
    free(encoder->pixels);
    free(encoder->weights);
    free(encoder);
}

int64_t sky_encoder_dimensions(const struct sky_encoder *encoder) { return sky_embedder_dimensions(&encoder->embedder); }

int64_t sky_encoder_image_size(const struct sky_encoder *encoder) { return encoder->config.data.image_size; }

const char *sky_encoder_model(const struct sky_encoder *encoder) { return encoder->model; }

const struct sky_config *sky_encoder_config(const struct sky_encoder *encoder) { return &encoder->config; }

const char *sky_encoder_weights(const struct sky_encoder *encoder) { return encoder->weights; }

int64_t sky_encoder_batch(const struct sky_encoder *encoder) { return encoder->embedder.model.rows; }

sky_status sky_encoder_embed_many(struct sky_encoder *encoder, const uint8_t *images, int64_t count, float *out)
{
    if (count < 1 || count > sky_encoder_batch(encoder))
        return sky_fail(SKY_USAGE, "embedding", "%lld pictures at once; the encoder was opened for 1 to %lld", (long long)count,
                        (long long)sky_encoder_batch(encoder));
    const bool flip = encoder->embedder.flip;
    SKY_TRY(sky_embedder_run(&encoder->embedder, images, count, flip ? NULL : out, flip ? out : NULL));
    for (int64_t i = 0; i < count * sky_encoder_dimensions(encoder); i++) {
        if (isfinite(out[i])) continue;
        sky_fail(SKY_NUMERIC, encoder->weights, "its model makes a feature that is not finite");
        return sky_hint("its parameters are damaged, or the training that made them had diverged: take an earlier checkpoint");
    }
    return SKY_OK;
}

static sky_status embed_image(struct sky_encoder *encoder, const struct sky_image *image, float *out, struct sky_encoder_times *times)
{
    const int side = (int)encoder->config.data.image_size;
    const double start = sky_now();
    SKY_TRY(sky_resize_bicubic_to(&encoder->resizer, image, side, side, encoder->pixels));
    const double middle = sky_now();
    SKY_TRY(sky_encoder_embed_many(encoder, encoder->pixels, 1, out));
    times->decode += middle - start, times->network = sky_now() - middle;
    return SKY_OK;
}

sky_status sky_encoder_embed(struct sky_encoder *encoder, const uint8_t *rgb, int width, int height, size_t stride, float *out)
{
    struct sky_encoder_times times = {0};
    if (!rgb || width < 1 || height < 1) return sky_fail(SKY_USAGE, "embedding", "a picture of %d x %d pixels", width, height);
    const size_t row = (size_t)width * 3;
    struct sky_image image = {.width = width, .height = height, .pixels = (uint8_t *)rgb}; /* only read */
    if (stride && stride < row) return sky_fail(SKY_USAGE, "embedding", "rows of %d pixels cannot lie %zu bytes apart", width, stride);
    if (stride > row) {
        SKY_TRY(sky_image_resize_buffer(&encoder->packed, width, height));
        for (int y = 0; y < height; y++) memcpy(encoder->packed.pixels + (size_t)y * row, rgb + (size_t)y * stride, row);
        image.pixels = encoder->packed.pixels;
    }
    return embed_image(encoder, &image, out, &times);
}

sky_status sky_encoder_embed_picture(struct sky_encoder *encoder, const char *name, const uint8_t *bytes, size_t count, enum sky_exif exif, float *out,
                                     struct sky_encoder_times *times)
{
    const struct sky_decode_options options = {.exif = exif};
    const double start = sky_now();
    SKY_TRY(bytes ? sky_image_decode(bytes, count, name, &options, &encoder->decoded) : sky_image_read(name, &options, &encoder->decoded));
    times->decode = sky_now() - start;
    return embed_image(encoder, &encoder->decoded, out, times);
}

sky_status sky_encoder_embed_file(struct sky_encoder *encoder, const char *path, float *out)
{
    struct sky_encoder_times times;
    return sky_encoder_embed_picture(encoder, path, NULL, 0, SKY_EXIF_APPLY, out, &times);
}

sky_status sky_encoder_explain(struct sky_encoder *encoder, const char *path, enum sky_exif exif, struct sky_heat *out, const uint8_t **pixels)
{
    const struct sky_decode_options options = {.exif = exif};
    const int side = (int)encoder->config.data.image_size;
    SKY_TRY(sky_image_read(path, &options, &encoder->decoded));
    SKY_TRY(sky_resize_bicubic_to(&encoder->resizer, &encoder->decoded, side, side, encoder->pixels));
    *pixels = encoder->pixels;
    return sky_explain(&encoder->embedder, encoder->pixels, out);
}
