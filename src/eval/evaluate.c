/*
 * Embeds the sets a direction needs and scores them. Owns the feature matrices while it runs; the embedders and the data set are the caller's.
 */
#include "evaluate.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/threads.h"
#include "io/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum role { QUERY, GALLERY, ROLE_COUNT };

struct embedded {
    float *plain, *flipped; /* [count, dimensions]; flipped NULL without flip */
    int64_t *labels;        /* [count] */
    int64_t count, dimensions;
    char name[40];          /* "query_drone" */
};

struct progress_context {
    const struct sky_evaluate_options *options;
    const char *what;
    int64_t total;
};

static bool report_progress(void *context, int64_t done)
{
    const struct progress_context *progress = context;
    return progress->options->progress(progress->options->context, progress->what, done, progress->total);
}

static void free_embedded(struct embedded *set)
{
    free(set->plain);
    free(set->flipped);
    free(set->labels);
    memset(set, 0, sizeof *set);
}

static sky_status save_paths(const struct sky_image_set *set, const char *folder, const char *name)
{
    struct sky_text text = {0};
    char file[64], *path = NULL;
    for (int64_t i = 0; i < set->count; i++) sky_text_format(&text, "%s\n", set->paths[i]);
    sky_status status = sky_text_status(&text, "a list of paths");
    snprintf(file, sizeof file, "%s.paths.txt", name);
    if (status == SKY_OK) status = sky_path_join(&path, folder, file);
    if (status == SKY_OK) status = sky_file_write_atomic(path, text.text, text.length);
    free(path);
    sky_text_free(&text);
    return status;
}

static sky_status save(const struct embedded *set, const struct sky_image_set *images, const char *folder)
{
    char file[64], *path = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_folder_make(folder));
    snprintf(file, sizeof file, "%s.npy", set->name);
    SKY_TRY(sky_path_join(&path, folder, file));
    status = sky_npy_write_floats(path, set->flipped ? set->flipped : set->plain, set->count, set->dimensions);
    free(path);
    SKY_TRY(status);
    snprintf(file, sizeof file, "%s.labels.npy", set->name);
    SKY_TRY(sky_path_join(&path, folder, file));
    status = sky_npy_write_labels(path, set->labels, set->count);
    free(path);
    SKY_TRY(status);
    return save_paths(images, folder, set->name);
}

static sky_status embed(const struct sky_evaluate_options *options, enum role role, int view, struct embedded *out)
{
    const struct sky_image_set *images = role == QUERY ? &options->set->query[view] : &options->set->gallery[view];
    struct sky_embedder *embedder = options->embedders[view];
    struct sky_pack *pack = NULL;
    sky_status status = SKY_OK;
    snprintf(out->name, sizeof out->name, "%s_%s", role == QUERY ? "query" : "gallery", sky_view_name(view));
    out->count = images->count, out->dimensions = sky_embedder_dimensions(embedder);
    SKY_TRY_DONE(sky_alloc(&out->plain, (size_t)(out->count * out->dimensions), sizeof *out->plain, "features"));
    if (embedder->flip) SKY_TRY_DONE(sky_alloc(&out->flipped, (size_t)(out->count * out->dimensions), sizeof *out->flipped, "features"));
    SKY_TRY_DONE(sky_alloc(&out->labels, (size_t)out->count, sizeof *out->labels, "labels"));
    for (int64_t i = 0; i < out->count; i++) out->labels[i] = images->labels[i];
    if (options->config->data.pack) SKY_TRY_DONE(sky_pack_open(&pack, options->config->data.pack));
    struct progress_context context = {options, out->name, out->count};
    if (options->progress && !report_progress(&context, 0)) { /* the clock of the rate starts before the first batch */
        status = sky_fail(SKY_INTERRUPTED, options->set->root, "stopped before %s", out->name);
        goto done;
    }
    SKY_TRY_DONE(sky_embedder_run_set(embedder, options->config, images, options->set->root, pack, out->plain, out->flipped, options->progress ? report_progress : NULL, &context));
    if (options->save_folder) SKY_TRY_DONE(save(out, images, options->save_folder));
done:
    sky_pack_close(pack);
    return status;
}

/* Right rows among ranked rows, averaged over queries. */
static double chance(const struct embedded *query, const struct embedded *gallery, const struct sky_scores *scores)
{
    double right = 0;
    for (int64_t q = 0; q < query->count; q++)
        for (int64_t g = 0; g < gallery->count; g++) right += query->labels[q] == gallery->labels[g];
    return scores->gallery && query->count ? 100 * right / (double)query->count / (double)scores->gallery : 0;
}

static sky_status score(const struct sky_config *config, struct sky_device *device, const struct embedded *query, const struct embedded *gallery, const char *direction, bool flip,
                        struct sky_evaluation *out)
{
    const struct sky_features q = {query->count, query->dimensions, flip ? query->flipped : query->plain, query->labels, query->name};
    const struct sky_features g = {gallery->count, gallery->dimensions, flip ? gallery->flipped : gallery->plain, gallery->labels, gallery->name};
    struct sky_scores scores[2];
    SKY_TRY(sky_score_on(&q, &g, config->eval.protocols, config->eval.protocol_count, (int)config->device.threads, device, scores));
    for (int i = 0; i < config->eval.protocol_count; i++) out->results[out->count++] = (struct sky_result){direction, flip, scores[i], chance(query, gallery, &scores[i])};
    return SKY_OK;
}

sky_status sky_evaluate(const struct sky_evaluate_options *options, struct sky_evaluation *out)
{
    static const struct {
        int direction, query_view, gallery_view;
        const char *name;
    } directions[] = {{SKY_DIRECTION_DRONE_TO_SATELLITE, SKY_VIEW_DRONE, SKY_VIEW_SATELLITE, "drone2satellite"},
                      {SKY_DIRECTION_SATELLITE_TO_DRONE, SKY_VIEW_SATELLITE, SKY_VIEW_DRONE, "satellite2drone"}};
    const int wanted = options->config->eval.direction;
    sky_status status = SKY_OK;
    memset(out, 0, sizeof *out);
    for (int d = 0; d < 2 && status == SKY_OK; d++) {
        struct embedded query = {0}, gallery = {0};
        if (wanted != SKY_DIRECTION_BOTH && wanted != directions[d].direction) continue;
        const double start = sky_now();
        status = embed(options, QUERY, directions[d].query_view, &query);
        if (status == SKY_OK) status = embed(options, GALLERY, directions[d].gallery_view, &gallery);
        const double middle = sky_now();
        for (int flip = query.flipped != NULL; flip >= 0 && status == SKY_OK; flip--)
            status = score(options->config, &options->embedders[directions[d].query_view]->executor.device, &query, &gallery, directions[d].name, flip, out);
        out->embed_seconds += middle - start, out->score_seconds += sky_now() - middle;
        out->images += query.count + gallery.count;
        free_embedded(&query);
        free_embedded(&gallery);
    }
    return status;
}

void sky_evaluation_json(struct sky_json_writer *w, const struct sky_evaluation *evaluation)
{
    sky_json_begin_array(w, NULL);
    for (int i = 0; i < evaluation->count; i++) {
        sky_json_begin_object(w, NULL);
        sky_json_bool(w, "flip", evaluation->results[i].flip);
        sky_scores_json(w, evaluation->results[i].direction, &evaluation->results[i].scores);
        sky_json_end_object(w);
    }
    sky_json_end_array(w);
}
