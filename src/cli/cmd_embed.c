/*
 * skygem embed: features of any pictures, as .npy beside the list of their paths.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/str.h"
#include "io/npy.h"
#include "retrieval.h"
#include "skygem/log.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

static const struct sky_option options[] = {
    SKY_WEIGHTS_OPTION,
    {"output", 'o', "OUT.npy", NULL, "float32 [pictures, dimensions], rows of length 1; the paths go to OUT.paths.txt", false},
    SKY_VIEW_OPTION("drone"),
    SKY_EXIF_OPTION,
    SKY_BAD_IMAGE_OPTION("fail"),
    SKY_ENCODER_OPTIONS,
    {NULL, 0, NULL, NULL, NULL, false},
};

/* Features of the pictures that were good, in order. */
struct table {
    struct sky_progress progress; /* first: sky_show_gather takes it */
    float *rows;                  /* [count, dimensions] */
    int64_t *numbers;             /* [count] */
    int64_t count, dimensions;
};

static sky_status take(void *context, int64_t picture, const float *feature)
{
    struct table *table = context;
    memcpy(table->rows + table->count * table->dimensions, feature, (size_t)table->dimensions * sizeof *feature);
    table->numbers[table->count++] = picture;
    return SKY_OK;
}

/* OUT.paths.txt has a line a picture. */
static sky_status check_names(const struct sky_pictures *pictures)
{
    for (int64_t i = 0; i < pictures->count; i++)
        if (strchr(pictures->paths[i], '\n')) return sky_fail(SKY_DATA, pictures->paths[i], "has a line break in its name, which the list of paths cannot hold");
    return SKY_OK;
}

/* "OUT.paths.txt" of "OUT.npy". */
static sky_status paths_file(const char *output, char **out)
{
    struct sky_text text = {0};
    const size_t length = strlen(output);
    sky_text_append(&text, output);
    if (length > 4 && !strcmp(output + length - 4, ".npy") && !text.failed) text.length -= 4;
    sky_text_append(&text, ".paths.txt");
    SKY_TRY(sky_text_status(&text, "a path"));
    *out = text.text;
    return SKY_OK;
}

static sky_status write_files(const char *output, const struct table *table, const struct sky_pictures *pictures)
{
    struct sky_text text = {0};
    char *path = NULL;
    for (int64_t i = 0; i < table->count; i++) sky_text_format(&text, "%s\n", pictures->paths[table->numbers[i]]);
    sky_status status = sky_text_status(&text, "the list of paths");
    if (status == SKY_OK) status = paths_file(output, &path);
    if (status == SKY_OK) status = sky_npy_write_floats(output, table->rows, table->count, table->dimensions);
    if (status == SKY_OK) status = sky_file_write_atomic(path, text.text, text.length);
    if (status == SKY_OK)
        sky_log(SKY_LOG_INFO, "%lld features of %lld dimensions in %s, their paths in %s", (long long)table->count, (long long)table->dimensions, output, path);
    free(path);
    sky_text_free(&text);
    return status;
}

static sky_status run_embed(const struct sky_args *args)
{
    const char *output = sky_args_text(args, "output");
    struct sky_pictures pictures = {0};
    struct sky_encoder *encoder = NULL;
    struct table table = {.rows = NULL};
    struct sky_gather gather = {.take = take, .progress = sky_show_gather, .context = &table};
    int view = SKY_VIEW_DRONE;
    sky_status status = SKY_OK;
    if (!output) return sky_fail(SKY_USAGE, args->path, "--output is missing: where the features go (OUT.npy)");
    SKY_TRY(sky_args_view(args, &view));
    SKY_TRY(sky_read_exif(args, &gather.exif));
    SKY_TRY(sky_read_bad_image(args, &gather.skip_bad));
    SKY_TRY(sky_signals_install());
    for (int i = 0; i < args->operand_count; i++) SKY_TRY_DONE(sky_pictures_add(&pictures, args->operands[i]));
    SKY_TRY_DONE(check_names(&pictures));
    SKY_TRY_DONE(sky_atomic_probe(output));
    SKY_TRY_DONE(sky_open_encoder(args, view, pictures.count < BATCH ? pictures.count : BATCH, &encoder));
    table.dimensions = sky_encoder_dimensions(encoder);
    SKY_TRY_DONE(sky_alloc(&table.rows, (size_t)(pictures.count * table.dimensions), sizeof *table.rows, "features"));
    SKY_TRY_DONE(sky_alloc(&table.numbers, (size_t)pictures.count, sizeof *table.numbers, "features"));
    sky_progress_begin(&table.progress, "embedding", "img", pictures.count, 0);
    gather.encoder = encoder, gather.paths = pictures.paths, gather.count = pictures.count;
    SKY_TRY_DONE(sky_gather_run(&gather));
    SKY_TRY_DONE(write_files(output, &table, &pictures));
    status = sky_skipped_status(gather.skipped, pictures.count);
done:
    sky_pictures_free(&pictures);
    sky_encoder_close(encoder);
    free(table.rows);
    free(table.numbers);
    return status;
}

const struct sky_command sky_command_embed = {
    .name = "embed",
    .operands = "IMAGE|DIR...",
    .min_operands = 1,
    .max_operands = -1,
    .doc = "features of any pictures, as .npy",
    .options = options,
    .run = run_embed,
};
