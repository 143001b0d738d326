/*
 * Reads, checks and sums every image of a data root on a worker pool, one image a job; each job writes its own record, so the result does not depend on
 * the workers. Judges nothing.
 */
#include "survey.h"

#include "base/crc32c.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

struct pass {
    struct sky_survey *survey;
    int64_t *first;           /* [part_count]: number of a part's first image */
    struct sky_image *images; /* [workers] */
};

static void sum_pixels(const struct sky_image *image, struct sky_survey_image *out)
{
    const uint8_t *pixel = image->pixels;
    for (int row = 0; row < image->height; row++) {
        uint32_t sums[3] = {0, 0, 0}; /* a row of 16 million pixels fits */
        uint64_t square_sums[3] = {0, 0, 0};
        for (int column = 0; column < image->width; column++, pixel += 3)
            for (int i = 0; i < 3; i++) sums[i] += pixel[i], square_sums[i] += (uint32_t)pixel[i] * pixel[i];
        for (int i = 0; i < 3; i++) out->sums[i] += sums[i], out->square_sums[i] += square_sums[i];
    }
}

static sky_status look_at(void *context, int worker, int64_t job, int slot)
{
    const struct pass *pass = context;
    const struct sky_decode_options decode = {.exif = SKY_EXIF_IGNORE};
    int64_t part = 0;
    char *path = NULL, *bytes = NULL;
    size_t count = 0;
    (void)slot;
    while (part + 1 < pass->survey->part_count && pass->first[part + 1] <= job) part++;
    const struct sky_survey_part *of = pass->survey->parts + part;
    const int64_t index = job - pass->first[part];
    struct sky_survey_image *record = of->images + index;
    SKY_TRY(sky_path_join(&path, pass->survey->root, of->scan.paths[index]));
    sky_status status = sky_file_read(path, SKY_IMAGE_MOST_FILE_BYTES, &bytes, &count);
    if (status == SKY_OK) {
        record->bytes = count;
        record->crc = sky_crc32c(0, bytes, count);
        status = sky_image_decode((const uint8_t *)bytes, count, path, &decode, &pass->images[worker]);
    }
    if (status == SKY_OK) {
        record->width = pass->images[worker].width, record->height = pass->images[worker].height;
        sum_pixels(&pass->images[worker], record);
    } else if (status != SKY_NOMEM) {
        status = sky_strdup(&record->error, sky_error_last()->what, "a message");
    }
    free(bytes);
    free(path);
    return status;
}

static sky_status look_at_all(struct pass *pass, int workers, void (*progress)(void *, int64_t, int64_t), void *context)
{
    struct sky_pool *pool = NULL;
    const int64_t total = pass->survey->image_count;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_pool_create(&pool, workers, 4 * workers, 0, total, look_at, pass));
    for (int64_t i = 0; i < total; i++) {
        int64_t job;
        int slot;
        SKY_TRY_DONE(sky_pool_next(pool, &job, &slot));
        sky_pool_release(pool, slot);
        if (progress) progress(context, i + 1, total);
    }
done:
    sky_pool_destroy(pool);
    return status;
}

/* Adds every folder in ROOT/GROUP as a part. */
static sky_status add_parts(struct sky_survey *survey, int64_t *capacity, const char *group)
{
    char **names = NULL;
    int64_t count = 0;
    sky_status status = SKY_OK;
    SKY_TRY(sky_scan_folders(survey->root, group, &names, &count));
    for (int64_t i = 0; i < count; i++) {
        SKY_TRY_DONE(sky_grow(&survey->parts, survey->part_count, capacity, sizeof *survey->parts, "parts of a data root"));
        struct sky_survey_part *part = survey->parts + survey->part_count;
        memset(part, 0, sizeof *part);
        survey->part_count++;
        SKY_TRY_DONE(sky_path_join(&part->name, group, names[i]));
        SKY_TRY_DONE(sky_class_scan(&part->scan, survey->root, part->name));
        SKY_TRY_DONE(sky_alloc(&part->images, (size_t)part->scan.count, sizeof *part->images, "image records"));
        survey->image_count += part->scan.count;
    }
done:
    sky_names_free(names, count);
    return status;
}

sky_status sky_survey_make(struct sky_survey *survey, const char *root, const char *const *groups, int group_count, int workers,
                           void (*progress)(void *context, int64_t done, int64_t total), void *context)
{
    struct pass pass = {.survey = survey};
    int64_t capacity = 0, first = 0;
    sky_status status = SKY_OK;
    SKY_TRY(sky_scan_root(&survey->root, root));
    for (int i = 0; i < group_count; i++) SKY_TRY_DONE(add_parts(survey, &capacity, groups[i]));
    if (survey->image_count == 0) {
        status = sky_scan_missing(survey->root, groups[0]);
        goto done;
    }
    SKY_TRY_DONE(sky_alloc(&pass.first, (size_t)survey->part_count, sizeof *pass.first, "parts"));
    SKY_TRY_DONE(sky_alloc(&pass.images, (size_t)workers, sizeof *pass.images, "workers"));
    for (int64_t i = 0; i < survey->part_count; i++) pass.first[i] = first, first += survey->parts[i].scan.count;
    SKY_TRY_DONE(look_at_all(&pass, workers, progress, context));
done:
    for (int i = 0; pass.images && i < workers; i++) sky_image_free(&pass.images[i]);
    free(pass.images);
    free(pass.first);
    return status;
}

void sky_survey_free(struct sky_survey *survey)
{
    for (int64_t i = 0; i < survey->part_count; i++) {
        struct sky_survey_part *part = survey->parts + i;
        for (int64_t j = 0; part->images && j < part->scan.count; j++) free(part->images[j].error);
        free(part->images);
        free(part->name);
        sky_class_scan_free(&part->scan);
    }
    free(survey->parts);
    free(survey->root);
    memset(survey, 0, sizeof *survey);
}

const struct sky_survey_part *sky_survey_part(const struct sky_survey *survey, const char *name)
{
    for (int64_t i = 0; i < survey->part_count; i++)
        if (!strcmp(survey->parts[i].name, name)) return survey->parts + i;
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const struct sky_size_count *x = a, *y = b;
    if (x->width != y->width) return x->width < y->width ? -1 : 1;
    return x->height < y->height ? -1 : x->height > y->height;
}

static int by_count(const void *a, const void *b)
{
    const struct sky_size_count *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return by_size(a, b);
}

sky_status sky_survey_sizes(const struct sky_survey_part *part, struct sky_size_count **sizes, int64_t *count)
{
    struct sky_size_count *all = NULL;
    int64_t readable = 0, kinds = 0;
    SKY_TRY(sky_alloc(&all, (size_t)part->scan.count, sizeof *all, "image sizes"));
    for (int64_t i = 0; i < part->scan.count; i++)
        if (!part->images[i].error) all[readable++] = (struct sky_size_count){part->images[i].width, part->images[i].height, 1};
    qsort(all, (size_t)readable, sizeof *all, by_size);
    for (int64_t i = 0; i < readable; i++) {
        if (kinds > 0 && by_size(&all[kinds - 1], &all[i]) == 0) all[kinds - 1].count++;
        else all[kinds++] = all[i];
    }
    qsort(all, (size_t)kinds, sizeof *all, by_count);
    *sizes = all, *count = kinds;
    return SKY_OK;
}
