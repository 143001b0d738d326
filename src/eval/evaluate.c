/*
 * Embeds the sets a direction needs and scores them. Owns the feature matrices while it runs; the embedders and the data set are the caller's.
 */
#include "evaluate.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "comm/settle.h"
#include "io/mat.h"
#include "io/npy.h"
#include "rerank.h"
#include "retrievals.h"
#include "shares.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum role { QUERY, GALLERY, ROLE_COUNT };

struct embedded {
    float *plain, *flipped; /* [count, dimensions]; flipped NULL without flip */
    int64_t *labels;        /* [count] */
    int64_t count, dimensions;
    char name[128];         /* "query_drone", "query_drone, query_shift 10 px, black" */
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
    char file[192], *path = NULL;
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
    char file[192], *path = NULL;
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

static sky_status allocate(struct embedded *out, int64_t count, int64_t dimensions, bool flip)
{
    out->count = count, out->dimensions = dimensions;
    SKY_TRY(sky_alloc(&out->plain, (size_t)(count * dimensions), sizeof *out->plain, "features"));
    if (flip) SKY_TRY(sky_alloc(&out->flipped, (size_t)(count * dimensions), sizeof *out->flipped, "features"));
    return sky_alloc(&out->labels, (size_t)count, sizeof *out->labels, "labels");
}

static const struct sky_image_set *images_of(const struct sky_evaluate_options *options, enum role role, int view)
{
    return role == QUERY ? &options->set->query[view] : &options->set->gallery[view];
}

/* condition: whose alteration is done to the pictures; the plain one has none. first: which image of the whole set the first one is. */
static sky_status embed_images(const struct sky_evaluate_options *options, struct sky_embedder *embedder, const struct sky_image_set *images, int64_t first,
                               const struct sky_condition *condition, const char *name, float *plain, float *flipped)
{
    struct sky_alteration alteration = condition->alteration;
    struct progress_context context = {options, name, images->count};
    struct sky_pack *pack = NULL;
    if (!images->count) return SKY_OK; /* of fewer images than ranks */
    if (options->progress && !report_progress(&context, 0)) /* the clock of the rate starts before the first batch */
        return sky_fail(SKY_INTERRUPTED, options->set->root, "stopped before %s", name);
    if (options->config->data.pack) SKY_TRY(sky_pack_open(&pack, options->config->data.pack));
    alteration.first = first;
    embedder->alteration = condition->kind == SKY_CONDITION_PLAIN ? NULL : &alteration;
    const sky_status status =
        sky_embedder_run_set(embedder, options->config, images, options->set->root, pack, plain, flipped, options->progress ? report_progress : NULL, &context);
    embedder->alteration = NULL;
    sky_pack_close(pack);
    return status;
}

/* This rank's share embedded, and everyone's gathered on rank 0. */
static sky_status embed_share(const struct sky_evaluate_options *options, struct sky_embedder *embedder, const struct sky_image_set *images, const struct sky_condition *condition,
                              struct embedded *out)
{
    const struct sky_image_set share = sky_share_of(options->comm, images);
    const size_t values = (size_t)(sky_share_rows(options->comm, images->count) * out->dimensions);
    float *plain = NULL, *flipped = NULL;
    sky_status status = sky_alloc(&plain, values, sizeof *plain, "features");
    if (status == SKY_OK && embedder->flip) status = sky_alloc(&flipped, values, sizeof *flipped, "features");
    if (status == SKY_OK) status = embed_images(options, embedder, &share, share.paths - images->paths, condition, out->name, plain, flipped);
    status = sky_comm_settle(options->comm, status, "embedding");
    if (status == SKY_OK) status = sky_share_gather(options->comm, plain, out->plain, images->count, out->dimensions);
    if (status == SKY_OK && flipped) status = sky_share_gather(options->comm, flipped, out->flipped, images->count, out->dimensions);
    free(plain);
    free(flipped);
    return status;
}

static sky_status embed(const struct sky_evaluate_options *options, enum role role, int view, const struct sky_condition *condition, struct embedded *out)
{
    const struct sky_image_set *images = images_of(options, role, view);
    const bool plain = condition->kind == SKY_CONDITION_PLAIN, first = sky_comm_rank(options->comm) == 0;
    struct sky_embedder *embedder = options->embedders[view];
    sky_status status = SKY_OK;
    snprintf(out->name, sizeof out->name, "%s_%s%s%s", role == QUERY ? "query" : "gallery", sky_view_name(view), plain ? "" : ", ", condition->detail);
    out->count = images->count, out->dimensions = sky_embedder_dimensions(embedder);
    if (first) status = allocate(out, out->count, out->dimensions, embedder->flip);
    SKY_TRY(sky_comm_settle(options->comm, status, "room for features"));
    for (int64_t i = 0; i < out->count && first; i++) out->labels[i] = images->labels[i];
    if (sky_comm_size(options->comm) > 1) SKY_TRY(embed_share(options, embedder, images, condition, out));
    else SKY_TRY(embed_images(options, embedder, images, 0, condition, out->name, out->plain, out->flipped));
    return first && plain && options->save_folder ? save(out, images, options->save_folder) : SKY_OK;
}

/* Right rows among ranked rows, averaged over queries. */
static double chance(const struct embedded *query, const struct embedded *gallery, const struct sky_scores *scores)
{
    double right = 0;
    for (int64_t q = 0; q < query->count; q++)
        for (int64_t g = 0; g < gallery->count; g++) right += query->labels[q] == gallery->labels[g];
    return scores->gallery && query->count ? 100 * right / (double)query->count / (double)scores->gallery : 0;
}

/* One direction: its name, its two views, their features under the plain condition. */
struct task {
    const struct sky_evaluate_options *options;
    const char *name;
    int views[ROLE_COUNT];
    struct embedded plain[ROLE_COUNT];
    struct sky_evaluation *out;
};

/* The rows of one condition: with the mirror image, if there is one, and without; each protocol. */
static sky_status score(struct task *task, const struct sky_condition *condition, const struct embedded *query, const struct embedded *gallery)
{
    const struct sky_config *config = task->options->config;
    struct sky_device *device = &task->options->embedders[task->views[QUERY]]->executor.device;
    const int count = config->eval.protocol_count, threads = (int)config->device.threads;
    const double start = sky_now();
    if (sky_comm_rank(task->options->comm) != 0) return SKY_OK; /* has no features */
    for (int flip = query->flipped != NULL; flip >= 0; flip--) {
        const struct sky_features q = {query->count, query->dimensions, flip ? query->flipped : query->plain, query->labels, query->name};
        const struct sky_features g = {gallery->count, gallery->dimensions, flip ? gallery->flipped : gallery->plain, gallery->labels, gallery->name};
        struct sky_scores scores[2];
        if (task->out->count + count > SKY_MAX_RESULTS) return sky_fail(SKY_INTERNAL, "evaluation", "more than %d rows of scores", SKY_MAX_RESULTS);
        if (condition->kind == SKY_CONDITION_RERANK) {
            const struct sky_rerank rerank = {config->eval.rerank_k1, config->eval.rerank_k2, config->eval.rerank_lambda, 0};
            SKY_TRY(sky_score_reranked(&q, &g, &rerank, config->eval.protocols, count, threads, scores));
        } else {
            SKY_TRY(sky_score_on(&q, &g, config->eval.protocols, count, threads, device, scores));
        }
        for (int i = 0; i < count; i++) {
            struct sky_result *result = &task->out->results[task->out->count++];
            *result = (struct sky_result){.direction = task->name, .flip = flip, .scores = scores[i], .chance = chance(query, gallery, &scores[i]), .condition = condition->kind};
            memcpy(result->detail, condition->detail, sizeof result->detail);
            result->height = task->options->height;
            result->geo_tagged = task->options->tags && scores[i].protocol == SKY_PROTOCOL_FULL && condition->kind != SKY_CONDITION_RERANK;
            if (result->geo_tagged) SKY_TRY(sky_geo_score(&q, &g, task->options->tags, threads, &result->geo));
        }
    }
    task->out->score_seconds += sky_now() - start;
    return SKY_OK;
}

/* Of a task between drone and satellite. */
static enum role drone_role(const struct task *task)
{
    return task->views[QUERY] == SKY_VIEW_DRONE ? QUERY : GALLERY;
}

static bool has_drone(const struct task *task) { return task->views[QUERY] == SKY_VIEW_DRONE || task->views[GALLERY] == SKY_VIEW_DRONE; }

static sky_status embed_timed(struct task *task, enum role role, const struct sky_condition *condition, struct embedded *out)
{
    const double start = sky_now();
    const sky_status status = sky_comm_settle(task->options->comm, embed(task->options, role, task->views[role], condition, out), "features");
    task->out->embed_seconds += sky_now() - start;
    task->out->images += out->count;
    return status;
}

/* A mean of fewer images than were asked for is another experiment's. A place with too few is one query; a place's queries lie together. */
static void warn_of_few(const struct sky_picks *picks, const int64_t *labels /* [picks->count] */, int64_t wanted)
{
    int64_t places = 0, few = 0, fewest = wanted;
    for (int64_t i = 0; i < picks->count; i++) {
        const int64_t images = picks->first[i + 1] - picks->first[i];
        places += i == 0 || labels[i] != labels[i - 1], few += images < wanted;
        if (images < fewest) fewest = images;
    }
    if (few)
        sky_log(SKY_LOG_WARNING, "eval.multi_query = %lld: %lld of %lld places have fewer drone images (%lld at the least), and are asked for by the mean of those",
                (long long)wanted, (long long)few, (long long)places, (long long)fewest);
}

/* Some of the drone images, or means of them, in the place of all. */
static sky_status score_picked(struct task *task, const struct sky_condition *condition)
{
    const enum role role = drone_role(task);
    const struct embedded *all = &task->plain[role];
    struct embedded some = {0};
    struct sky_picks picks = {0};
    sky_status status = SKY_OK;
    if (sky_comm_rank(task->options->comm) != 0) return SKY_OK; /* has no features */
    SKY_TRY_DONE(sky_condition_pick(condition, images_of(task->options, role, task->views[role]), &picks));
    SKY_TRY_DONE(allocate(&some, picks.count, all->dimensions, all->flipped != NULL));
    memcpy(some.name, all->name, sizeof some.name);
    sky_picks_labels(&picks, all->labels, some.labels);
    if (condition->kind == SKY_CONDITION_MULTI_QUERY) warn_of_few(&picks, some.labels, condition->count);
    sky_picks_rows(&picks, all->plain, all->dimensions, some.plain);
    if (all->flipped) sky_picks_rows(&picks, all->flipped, all->dimensions, some.flipped);
    SKY_TRY_DONE(score(task, condition, role == QUERY ? &some : &task->plain[QUERY], role == GALLERY ? &some : &task->plain[GALLERY]));
done:
    free_embedded(&some);
    sky_picks_free(&picks);
    return status;
}

/* Other pictures in the place of the plain ones. */
static sky_status score_altered(struct task *task, const struct sky_condition *condition)
{
    const enum role role = condition->kind == SKY_CONDITION_WEATHER ? drone_role(task) : QUERY; /* a tile is a photograph of another day */
    struct embedded altered = {0};
    sky_status status = embed_timed(task, role, condition, &altered);
    if (status == SKY_OK) status = score(task, condition, role == QUERY ? &altered : &task->plain[QUERY], role == GALLERY ? &altered : &task->plain[GALLERY]);
    free_embedded(&altered);
    return status;
}

static sky_status save_mat(const struct task *task)
{
    struct sky_mat_side sides[ROLE_COUNT];
    char *folder = NULL, *path = NULL;
    if (!task->options->mat_folder) return SKY_OK;
    for (int role = 0; role < ROLE_COUNT; role++) {
        const struct embedded *set = &task->plain[role];
        const struct sky_image_set *images = images_of(task->options, (enum role)role, task->views[role]);
        sides[role] = (struct sky_mat_side){set->count, set->dimensions, set->flipped ? set->flipped : set->plain, set->labels, (const char *const *)images->paths};
    }
    sky_status status = sky_path_join(&folder, task->options->mat_folder, task->name);
    if (status == SKY_OK) status = sky_folder_make(folder);
    if (status == SKY_OK) status = sky_path_join(&path, folder, "pytorch_result.mat");
    if (status == SKY_OK) status = sky_mat_write_result(path, &sides[GALLERY], &sides[QUERY]);
    free(folder);
    free(path);
    return status;
}

/* What some queries found, for people to look at. */
static sky_status note_retrievals(const struct task *task)
{
    enum { SAMPLES = 6, FAILURES = 6 };
    const struct sky_evaluate_options *options = task->options;
    struct sky_features features[ROLE_COUNT];
    struct sky_retrievals retrievals = {0};
    if (!options->retrievals) return SKY_OK;
    for (int role = 0; role < ROLE_COUNT; role++) {
        const struct embedded *set = &task->plain[role];
        features[role] = (struct sky_features){set->count, set->dimensions, set->flipped ? set->flipped : set->plain, set->labels, set->name};
    }
    SKY_TRY(sky_retrievals_choose(&retrievals, &features[QUERY], &features[GALLERY], SAMPLES, FAILURES, (int)options->config->device.threads));
    sky_retrievals_json(options->retrievals, task->name, &retrievals, images_of(options, QUERY, task->views[QUERY]), images_of(options, GALLERY, task->views[GALLERY]));
    sky_retrievals_free(&retrievals);
    return SKY_OK;
}

/* What is written of the plain features. */
static sky_status keep_plain(const struct task *task)
{
    if (sky_comm_rank(task->options->comm) != 0) return SKY_OK; /* has none */
    SKY_TRY(save_mat(task));
    return note_retrievals(task);
}

/* Where a direction was scored in several weathers: the mean over them and the plain rows, as MuSe-Net reports it, a row for each protocol and flip. */
static void add_weather_means(struct sky_evaluation *out, const char *direction, int64_t height)
{
    const int scored = out->count;
    for (int i = 0; i < scored; i++) {
        struct sky_result mean = out->results[i];
        struct sky_scores *m = &mean.scores;
        int count = 1;
        if (strcmp(mean.direction, direction) || mean.condition != SKY_CONDITION_PLAIN || mean.height != height || out->count == SKY_MAX_RESULTS) continue;
        for (int j = 0; j < scored; j++) {
            const struct sky_result *r = &out->results[j];
            const struct sky_scores *s = &r->scores;
            if (strcmp(r->direction, direction) || r->condition != SKY_CONDITION_WEATHER || r->height != height || r->flip != mean.flip || s->protocol != m->protocol) continue;
            m->r1 += s->r1, m->r5 += s->r5, m->r10 += s->r10, m->r1_percent += s->r1_percent, m->ap += s->ap, m->tied_queries += s->tied_queries;
            count++;
        }
        if (count < 2) continue;
        m->r1 /= count, m->r5 /= count, m->r10 /= count, m->r1_percent /= count, m->ap /= count;
        mean.condition = SKY_CONDITION_WEATHER, mean.geo_tagged = false;
        snprintf(mean.detail, sizeof mean.detail, "mean of %d with plain", count);
        out->results[out->count++] = mean;
    }
}

static sky_status run_direction(struct task *task)
{
    struct sky_condition conditions[SKY_MAX_CONDITIONS];
    const enum sky_drone_part part = !has_drone(task) ? SKY_DRONE_ABSENT : drone_role(task) == QUERY ? SKY_DRONE_ASKS : SKY_DRONE_IS_ASKED;
    const int count = sky_conditions_list(task->options->config, part, conditions);
    sky_status status = SKY_OK;
    if (part != SKY_DRONE_ABSENT) SKY_TRY(sky_conditions_check(conditions, count, images_of(task->options, drone_role(task), SKY_VIEW_DRONE)));
    SKY_TRY_DONE(embed_timed(task, QUERY, &conditions[0], &task->plain[QUERY]));
    SKY_TRY_DONE(embed_timed(task, GALLERY, &conditions[0], &task->plain[GALLERY]));
    SKY_TRY_DONE(sky_comm_settle(task->options->comm, keep_plain(task), "keeping features"));
    for (int i = 0; i < count; i++) {
        if (sky_condition_picks(conditions[i].kind)) status = score_picked(task, &conditions[i]);
        else if (conditions[i].kind == SKY_CONDITION_SHIFT || conditions[i].kind == SKY_CONDITION_WEATHER) status = score_altered(task, &conditions[i]);
        else status = score(task, &conditions[i], &task->plain[QUERY], &task->plain[GALLERY]);
        SKY_TRY_DONE(sky_comm_settle(task->options->comm, status, "scores"));
    }
    add_weather_means(task->out, task->name, task->options->height);
done:
    for (int role = 0; role < ROLE_COUNT; role++) free_embedded(&task->plain[role]);
    return status;
}

sky_status sky_evaluate(const struct sky_evaluate_options *options, struct sky_evaluation *out)
{
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        struct task task = {.options = options, .name = sky_direction_name(d), .views = {sky_direction_query(d), sky_direction_gallery(d)}, .out = out};
        if (sky_direction_has(options->config->eval.direction, d)) SKY_TRY(run_direction(&task));
    }
    return SKY_OK;
}

static void geo_json(struct sky_json_writer *w, const struct sky_geo_scores *geo)
{
    char name[16];
    for (int s = 0; s < SKY_SDM_COUNT; s++) {
        snprintf(name, sizeof name, "sdm%d", sky_sdm_depths[s]);
        sky_json_double(w, name, geo->sdm[s]);
    }
    for (int m = 0; m < SKY_MA_COUNT; m++) {
        snprintf(name, sizeof name, "ma%d", sky_ma_metres[m]);
        sky_json_double(w, name, geo->ma[m]);
    }
}

void sky_evaluation_json(struct sky_json_writer *w, const struct sky_evaluation *evaluation)
{
    sky_json_begin_array(w, NULL);
    for (int i = 0; i < evaluation->count; i++) {
        const struct sky_result *result = &evaluation->results[i];
        sky_json_begin_object(w, NULL);
        sky_json_bool(w, "flip", result->flip);
        sky_scores_json(w, result->direction, &result->scores);
        sky_json_string(w, "condition", sky_condition_name(result->condition));
        sky_json_string(w, "detail", result->detail);
        if (result->height) sky_json_int(w, "height", result->height);
        if (result->geo_tagged) geo_json(w, &result->geo);
        sky_json_end_object(w);
    }
    sky_json_end_array(w);
}
