/*
 * Writes a start for a small training that float32 can follow (see README.md): start_row EXPERIMENT SEED CLASSES OUT SECTION.KEY=VALUE... The numbers are the engine's own
 * draws by seed and name. Other than a usual start, residual branches begin small, logits are about 1, and no channel's scale and shift equal its neighbour's.
 */
#include "base/rng.h"
#include "base/str.h"
#include "io/safetensors.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OVERRIDES = 32 };

static bool ends(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* The last norm of a residual block: bn3, or bn2 where there is no third. */
static bool closes_block(const struct sky_model *model, const char *name)
{
    char third[200];
    if (ends(name, ".bn3.weight")) return true;
    if (!strstr(name, "layer") || !ends(name, ".bn2.weight")) return false;
    snprintf(third, sizeof third, "%.*sbn3.weight", (int)(strlen(name) - strlen("bn2.weight")), name);
    for (int64_t i = 0; i < sky_model_slice_count(model); i++)
        if (!strcmp(sky_model_slice(model, i).name, third)) return false;
    return true;
}

/* values[count] = mean + deviation times normal numbers. */
static void draw(float *values, int64_t count, const char *name, uint64_t seed, double mean, double deviation)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_INIT, sky_hash_name(name), 1); /* 0 are the engine's own initial values */
    for (int64_t i = 0; i < count; i++) values[i] = (float)(mean + deviation * sky_rng_normal(&rng));
}

static void start_slice(const struct sky_model *model, const struct sky_slice *slice, uint64_t seed, float *values)
{
    const char *name = slice->name;
    const bool of_norm = strstr(name, "bn") || strstr(name, "downsample.1") || strstr(name, "add_block.1") || strstr(name, "features.");
    const bool norm = slice->rank == 1 && of_norm && !strstr(name, ".running_");
    sky_slice_initial(model, slice, seed, values);
    if (norm && closes_block(model, name)) draw(values, slice->count, name, seed, 0.15, 0.03);
    else if (norm && ends(name, ".weight")) draw(values, slice->count, name, seed, 1, 0.1);
    else if (norm) draw(values, slice->count, name, seed, 0, 0.1);
    else if (ends(name, "classifier.0.weight")) draw(values, slice->count, name, seed, 0, 1 / sqrt((double)slice->dim[1]));
    else if (ends(name, "classifier.0.bias")) draw(values, slice->count, name, seed, 0, 0.1);
    else if (!strcmp(name, "gem.p")) draw(values, slice->count, name, seed, (double)values[0], 0.2);
}

static sky_status write_start(const struct sky_model *model, uint64_t seed, const char *path)
{
    const int64_t count = sky_model_slice_count(model);
    struct sky_file_tensor *tensors = calloc((size_t)count, sizeof *tensors);
    sky_status status = tensors ? SKY_OK : SKY_NOMEM;
    for (int64_t i = 0; status == SKY_OK && i < count; i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        float *values = malloc((size_t)slice.count * sizeof *values);
        tensors[i] = (struct sky_file_tensor){.name = slice.name, .dtype = SKY_F32, .rank = slice.rank, .data = values};
        memcpy(tensors[i].dim, slice.dim, sizeof slice.dim);
        if (values) start_slice(model, &slice, seed, values);
        else status = SKY_NOMEM;
    }
    if (status == SKY_OK) status = sky_safetensors_write(path, tensors, count, NULL, 0);
    for (int64_t i = 0; tensors && i < count; i++) free((void *)tensors[i].data);
    free(tensors);
    return status;
}

int main(int argc, char **argv)
{
    struct sky_config config = {0};
    struct sky_model model = {0};
    int64_t seed = 0, classes = 0;
    if (argc < 5 || argc > 5 + MOST_OVERRIDES || !sky_parse_int(argv[2], &seed) || !sky_parse_int(argv[3], &classes))
        return fprintf(stderr, "usage: %s EXPERIMENT SEED CLASSES OUT SECTION.KEY=VALUE...\n", argv[0]), 2;
    sky_status status = sky_config_read(&config, argv[1], (const char *const *)argv + 5, argc - 5);
    if (status == SKY_OK) status = sky_model_build(&model, &config, SKY_MODEL_TRAIN, config.train.batch_size, classes, 0, SKY_F32, NULL);
    if (status == SKY_OK) status = write_start(&model, (uint64_t)seed, argv[4]);
    if (status != SKY_OK) fprintf(stderr, "%s: %s: %s\n", argv[0], sky_error_last()->where, sky_error_last()->what);
    sky_model_free(&model);
    sky_config_free(&config);
    return status != SKY_OK;
}
