/*
 * Ties embedders, the test tree and the printing together. Owns what it opens; parameters may be the trainer's.
 */
#include "evaluation.h"

#include "base/fs.h"
#include "base/signals.h"
#include "base/str.h"
#include "eval/conditions.h"
#include "io/checkpoint_file.h"
#include "progress.h"
#include "skygem/log.h"
#include "train/parameters.h"
#include "train/trainer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shown {
    struct sky_progress progress;
    const char *what;
    bool silent; /* another rank shows its share, which is as large as this one */
};

/* A signal ends an evaluation between batches. */
static bool show(void *context, const char *what, int64_t done, int64_t total)
{
    struct shown *shown = context;
    if (shown->silent) return !sky_signal_received();
    if (done == 0 || shown->what != what) {
        shown->what = what;
        sky_progress_begin(&shown->progress, what, "img", total, 0);
    }
    sky_progress_show(&shown->progress, done, 1, NULL);
    if (done == total) sky_progress_end(&shown->progress);
    return !sky_signal_received();
}

/* From the trainer's parameters, or a weights file's. */
static sky_status open_embedder(struct sky_embedder *embedder, const struct sky_config *config, struct sky_trainer *trainer, const struct sky_safetensors *file, int view)
{
    const struct sky_executor *executor = trainer ? sky_trainer_executor(trainer) : NULL;
    SKY_TRY(sky_embedder_open(embedder, config, trainer ? sky_trainer_model(trainer) : NULL, executor, config->train.ema > 0, view));
    if (trainer) return SKY_OK;
    const bool averaged = config->train.ema > 0 && sky_safetensors_text(file, "format");
    SKY_TRY(sky_parameters_read(&embedder->model, &embedder->executor, file, SKY_ARENA_PARAMS, ""));
    if (averaged) SKY_TRY(sky_parameters_overlay(&embedder->model, &embedder->executor, file, "ema/"));
    return sky_embedder_refresh(embedder);
}

/* Whether a direction that is scored names the view. */
static bool is_scored(const struct sky_config *config, int view)
{
    bool scored = false;
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++)
        scored = scored || (sky_direction_has(config->eval.direction, d) && (sky_direction_query(d) == view || sky_direction_gallery(d) == view));
    return scored;
}

/* One a trunk: views that share it share the embedder. by_view[view] points into `embedders`, or is NULL. */
static sky_status open_embedders(struct sky_embedder embedders[SKY_VIEW_COUNT], struct sky_embedder *by_view[SKY_VIEW_COUNT], const struct sky_config *config,
                                 struct sky_trainer *trainer, const char *weights)
{
    struct sky_safetensors file = {0};
    sky_status status = SKY_OK;
    if (!trainer) SKY_TRY(sky_weights_open(&file, weights));
    for (int view = 0; view < SKY_VIEW_COUNT && status == SKY_OK; view++) {
        const char *trunk = sky_trunk_name(config, view);
        if (!is_scored(config, view)) continue;
        for (int other = 0; other < view && trunk && !by_view[view]; other++)
            if (by_view[other] && strcmp(sky_trunk_name(config, other), trunk) == 0) by_view[view] = by_view[other];
        if (by_view[view]) continue;
        by_view[view] = &embedders[view];
        status = open_embedder(&embedders[view], config, trainer, &file, view);
    }
    sky_safetensors_close(&file);
    return status;
}

/* FOLDER/HEIGHT, or FOLDER itself where the set has no heights. Heap text in *out; NULL stays NULL. */
static sky_status folder_of_height(const char *folder, int64_t height, char **out)
{
    char name[24];
    snprintf(name, sizeof name, "%lld", (long long)height);
    if (!folder) return SKY_OK;
    return height ? sky_path_join(out, folder, name) : sky_strdup(out, folder, "a folder");
}

/* One test tree: the only one, or a flight height's. */
struct tree {
    struct sky_layout layout;
    struct sky_test_set set;
    struct sky_geo_tags tags; /* none but DenseUAV's */
};

static sky_status open_tree(struct tree *tree, const struct sky_config *config)
{
    SKY_TRY(sky_test_set_open(&tree->set, config->data.root, &tree->layout, config->eval.direction));
    if (config->data.format != SKY_FORMAT_DENSEUAV) return SKY_OK;
    SKY_TRY(sky_geo_tags_open(&tree->tags, tree->set.root));
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        SKY_TRY(sky_geo_tags_check(&tree->tags, &tree->set.query[view]));
        SKY_TRY(sky_geo_tags_check(&tree->tags, &tree->set.gallery[view]));
    }
    return SKY_OK;
}

static sky_status open_trees(struct tree trees[SKY_MAX_HEIGHTS], const struct sky_config *config, int *count)
{
    struct sky_layout layouts[SKY_MAX_HEIGHTS];
    SKY_TRY(sky_layouts_find(config->data.root, config->data.format, config->data.height, layouts, count));
    for (int i = 0; i < *count; i++) {
        trees[i].layout = layouts[i];
        SKY_TRY(open_tree(&trees[i], config));
    }
    return SKY_OK;
}

static void close_trees(struct tree trees[SKY_MAX_HEIGHTS], int count)
{
    for (int i = 0; i < count; i++) {
        sky_test_set_close(&trees[i].set);
        sky_geo_tags_close(&trees[i].tags);
    }
}

/* The conditions that take some of the drone's images find them. */
static sky_status check_conditions(const struct tree *tree, const struct sky_config *config)
{
    struct sky_condition conditions[SKY_MAX_CONDITIONS];
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        const bool asks = sky_direction_query(d) == SKY_VIEW_DRONE, asked = sky_direction_gallery(d) == SKY_VIEW_DRONE;
        if (!sky_direction_has(config->eval.direction, d) || !(asks || asked)) continue;
        const struct sky_image_set *drone = asks ? &tree->set.query[SKY_VIEW_DRONE] : &tree->set.gallery[SKY_VIEW_DRONE];
        const int count = sky_conditions_list(config, asks ? SKY_DRONE_ASKS : SKY_DRONE_IS_ASKED, conditions);
        SKY_TRY(sky_conditions_check(conditions, count, drone));
    }
    return SKY_OK;
}

static void describe_tree(const struct tree *tree, const struct sky_config *config, struct sky_text *out)
{
    sky_text_append(out, "test               ");
    if (tree->layout.height) sky_text_format(out, "%lld m: ", (long long)tree->layout.height);
    for (int d = 0, shown = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        const int query = sky_direction_query(d), gallery = sky_direction_gallery(d);
        if (!sky_direction_has(config->eval.direction, d)) continue;
        sky_text_format(out, "%s%lld %s images ask %lld %s images", shown++ ? ", " : "", (long long)tree->set.query[query].count, sky_view_name(query),
                        (long long)tree->set.gallery[gallery].count, sky_view_name(gallery));
    }
    sky_text_append(out, "\n");
}

/* Whether the tree that is trained on has no test folder. */
static sky_status lacks_test(const struct sky_config *config, bool *missing)
{
    char *test = NULL;
    struct sky_layout layout;
    SKY_TRY(sky_layout_for_training(config, &layout));
    SKY_TRY(sky_path_join(&test, config->data.root, layout.test));
    *missing = !sky_path_is_folder(test);
    free(test);
    return SKY_OK;
}

sky_status sky_evaluation_check(const struct sky_config *config, struct sky_text *out)
{
    struct tree trees[SKY_MAX_HEIGHTS];
    bool missing = false;
    int count = 0;
    memset(trees, 0, sizeof trees);
    SKY_TRY(lacks_test(config, &missing));
    if (missing) {
        if (out) sky_text_append(out, "test               no test folder: nothing to evaluate\n");
        return SKY_OK;
    }
    sky_status status = open_trees(trees, config, &count);
    for (int i = 0; i < count && status == SKY_OK; i++) {
        status = check_conditions(&trees[i], config);
        if (out) describe_tree(&trees[i], config, out);
    }
    close_trees(trees, count);
    return status;
}

static sky_status evaluate_tree(struct sky_evaluate_options *options, const struct tree *tree, const struct sky_evaluation_files *files, struct sky_evaluation *out)
{
    char *save_folder = NULL, *mat_folder = NULL;
    const int64_t height = tree->layout.height;
    sky_status status = folder_of_height(files ? files->save_folder : NULL, height, &save_folder);
    if (status == SKY_OK) status = folder_of_height(files ? files->mat_folder : NULL, height, &mat_folder);
    if (height && sky_comm_rank(options->comm) == 0) sky_log(SKY_LOG_INFO, "flight height %lld m", (long long)height);
    options->set = &tree->set, options->tags = tree->tags.count ? &tree->tags : NULL, options->height = height;
    options->save_folder = save_folder, options->mat_folder = mat_folder;
    if (status == SKY_OK) status = sky_evaluate(options, out);
    free(save_folder);
    free(mat_folder);
    return status;
}

static sky_status evaluate(const struct sky_config *config, struct sky_comm *comm, struct sky_trainer *trainer, const char *weights, const struct sky_evaluation_files *files,
                           struct sky_evaluation *out)
{
    struct sky_embedder embedders[SKY_VIEW_COUNT];
    struct tree trees[SKY_MAX_HEIGHTS];
    struct shown shown = {.what = NULL, .silent = sky_comm_rank(comm) > 0};
    struct sky_text *retrievals = files ? files->retrievals : NULL;
    struct sky_json_writer lists = {.out = retrievals};
    struct sky_evaluate_options options = {.config = config, .comm = comm, .progress = show, .context = &shown};
    int count = 0;
    memset(embedders, 0, sizeof embedders);
    memset(trees, 0, sizeof trees);
    memset(out, 0, sizeof *out);
    sky_status status = open_trees(trees, config, &count);
    if (status == SKY_OK) status = open_embedders(embedders, options.embedders, config, trainer, weights);
    status = sky_comm_settle(comm, status, "opening the test images and the model");
    if (retrievals && status == SKY_OK) sky_json_begin_array(&lists, NULL);
    for (int i = 0; i < count && status == SKY_OK; i++) {
        options.retrievals = retrievals && i == 0 ? &lists : NULL; /* the first height's: pictures of the same places */
        status = evaluate_tree(&options, &trees[i], files, out);
    }
    if (retrievals && status == SKY_OK) sky_json_end_array(&lists);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) sky_embedder_close(&embedders[view]);
    close_trees(trees, count);
    return status;
}

sky_status sky_evaluate_weights(const struct sky_config *config, struct sky_comm *comm, const char *weights, const struct sky_evaluation_files *files, struct sky_evaluation *out)
{
    const struct sky_config here = sky_ranks_config(config, comm);
    sky_comm_at(comm, "evaluation", -1);
    return evaluate(&here, comm, NULL, weights, files, out);
}

/* DenseUAV's own measures, in a table of their own. */
static void print_geo(const struct sky_evaluation *evaluation, struct sky_text *text)
{
    sky_text_format(text, "\n%-16s %-4s", "direction", "flip");
    for (int s = 0; s < SKY_SDM_COUNT; s++) sky_text_format(text, "  SDM@%-2d", sky_sdm_depths[s]);
    for (int m = 0; m < SKY_MA_COUNT; m++) sky_text_format(text, "%*sMA@%dm", sky_ma_metres[m] < 10 ? 3 : sky_ma_metres[m] < 100 ? 2 : 1, "", sky_ma_metres[m]);
    sky_text_append(text, "  condition\n");
    for (int i = 0; i < evaluation->count; i++) {
        const struct sky_result *r = &evaluation->results[i];
        if (!r->geo_tagged) continue;
        sky_text_format(text, "%-16s %-4s", r->direction, r->flip ? "yes" : "no");
        for (int s = 0; s < SKY_SDM_COUNT; s++) sky_text_format(text, " %7.2f", r->geo.sdm[s]);
        for (int m = 0; m < SKY_MA_COUNT; m++) sky_text_format(text, " %7.2f", r->geo.ma[m]);
        sky_text_format(text, "  %s%s%s\n", sky_condition_name(r->condition), *r->detail ? " " : "", r->detail);
    }
}

/* The table grows a first column for flight heights and a last one when not all rows are plain. */
sky_status sky_evaluation_print(const struct sky_evaluation *evaluation)
{
    struct sky_text text = {0};
    bool conditions = false, heights = false, geo = false;
    for (int i = 0; i < evaluation->count; i++) {
        conditions = conditions || evaluation->results[i].condition != SKY_CONDITION_PLAIN;
        heights = heights || evaluation->results[i].height;
        geo = geo || evaluation->results[i].geo_tagged;
    }
    if (heights) sky_text_append(&text, "height ");
    sky_text_format(&text, "%-16s %-15s %-4s %8s %8s %7s %7s %7s %7s %7s %7s%s\n", "direction", "protocol", "flip", "queries", "gallery", "R@1", "R@5", "R@10",
                    "R@1%", "AP", "chance", conditions ? "  condition" : "");
    for (int i = 0; i < evaluation->count; i++) {
        const struct sky_result *r = &evaluation->results[i];
        const struct sky_scores *s = &r->scores;
        if (heights) sky_text_format(&text, "%4lld m ", (long long)r->height);
        sky_text_format(&text, "%-16s %-15s %-4s %8lld %8lld %7.2f %7.2f %7.2f %7.2f %7.2f %7.2f", r->direction, sky_protocol_name(s->protocol),
                        r->flip ? "yes" : "no", (long long)s->queries, (long long)s->gallery, s->r1, s->r5, s->r10, s->r1_percent, s->ap, r->chance);
        if (conditions) sky_text_format(&text, "  %s%s%s", sky_condition_name(r->condition), *r->detail ? " " : "", r->detail);
        sky_text_append(&text, "\n");
    }
    if (geo) print_geo(evaluation, &text);
    const sky_status status = sky_text_status(&text, "the table of scores");
    if (status == SKY_OK) fputs(text.text, stdout);
    fflush(stdout);
    sky_text_free(&text);
    return status;
}

/* RUN_FOLDER/eval/step-N.json as heap text. */
static sky_status json_path(const char *run_folder, int64_t step, char **out)
{
    char name[64];
    snprintf(name, sizeof name, "eval/step-%09lld.json", (long long)step);
    return sky_path_join(out, run_folder, name);
}

bool sky_evaluation_is_there(const char *run_folder, int64_t step)
{
    char *path = NULL;
    const bool there = json_path(run_folder, step, &path) == SKY_OK && sky_path_is_file(path);
    free(path);
    return there;
}

static sky_status write_json(const struct sky_evaluation *evaluation, const char *run_folder, int64_t step)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    char *folder = NULL, *path = NULL;
    sky_evaluation_json(&w, evaluation);
    sky_text_append(&text, "\n");
    sky_status status = sky_text_status(&text, "scores");
    if (status == SKY_OK) status = json_path(run_folder, step, &path);
    if (status == SKY_OK) status = sky_path_folder(&folder, path);
    if (status == SKY_OK) status = sky_folder_make(folder);
    if (status == SKY_OK) status = sky_file_write_atomic(path, text.text, text.length);
    if (status == SKY_OK) sky_log(SKY_LOG_INFO, "scores written to %s", path);
    free(folder);
    free(path);
    sky_text_free(&text);
    return status;
}

/* eval/retrievals-N.json, beside the scores of the same step. */
static sky_status write_retrievals(const struct sky_text *retrievals, const char *run_folder, int64_t step)
{
    char name[64], *path = NULL;
    snprintf(name, sizeof name, "eval/retrievals-%09lld.json", (long long)step);
    SKY_TRY(sky_text_status(retrievals, "retrievals"));
    SKY_TRY(sky_path_join(&path, run_folder, name));
    const sky_status status = sky_file_write_atomic(path, retrievals->text, retrievals->length);
    free(path);
    return status;
}

/* ---- the best parameters so far, beside the checkpoints ---- */

double sky_evaluation_best(const char *run_folder)
{
    struct sky_safetensors file = {0};
    char *path = NULL;
    double recall = -1;
    if (sky_path_join(&path, run_folder, "best.safetensors") == SKY_OK && sky_path_is_file(path)) {
        const char *text = sky_weights_open(&file, path) == SKY_OK ? sky_safetensors_text(&file, "recall") : NULL;
        if (!text || !sky_parse_double(text, &recall)) sky_log(SKY_LOG_WARNING, "%s is damaged: the next evaluation will replace it", path);
    }
    sky_safetensors_close(&file);
    free(path);
    return recall;
}

/* What was evaluated: the parameters, and the averaged ones when there are any. */
static sky_status write_best(const struct sky_config *config, struct sky_trainer *trainer, const char *path, double recall)
{
    struct sky_tensor_list list = {0};
    struct sky_executor *executor = (struct sky_executor *)sky_trainer_executor(trainer); /* read only: copies out */
    char step[32], text[32], *experiment = NULL;
    SKY_TRY(sky_config_text(config, &experiment));
    snprintf(step, sizeof step, "%lld", (long long)sky_trainer_next_step(trainer));
    snprintf(text, sizeof text, "%.17g", recall);
    const struct sky_file_text texts[] = {{"format", "skygem weights 1"}, {"step", step}, {"recall", text}, {"config", experiment}};
    sky_status status = sky_parameters_collect(sky_trainer_model(trainer), executor, SKY_ARENA_PARAMS, "", &list);
    if (status == SKY_OK && config->train.ema > 0) status = sky_parameters_collect(sky_trainer_model(trainer), executor, SKY_ARENA_EMA, "ema/", &list);
    if (status == SKY_OK) status = sky_checkpoint_write(path, list.tensors, list.count, texts, sizeof texts / sizeof *texts);
    sky_tensor_list_free(&list);
    free(experiment);
    return status;
}

static sky_status keep_best(const struct sky_config *config, const struct sky_evaluation *evaluation, struct sky_trainer *trainer, const char *run_folder, double *best)
{
    char *path = NULL;
    if (!evaluation->count || evaluation->results[0].scores.r1 <= *best) return SKY_OK;
    SKY_TRY(sky_path_join(&path, run_folder, "best.safetensors"));
    const sky_status status = write_best(config, trainer, path, evaluation->results[0].scores.r1);
    free(path);
    if (status == SKY_OK) *best = evaluation->results[0].scores.r1;
    return status;
}

/* Everything that an evaluation leaves: the table, the files, the best parameters. */
static sky_status take_scores(const struct sky_config *config, struct sky_trainer *trainer, const struct sky_evaluation *evaluation, const struct sky_text *retrievals,
                              const char *run_folder, double *best)
{
    sky_log(SKY_LOG_INFO, "embedded %lld images at %.1f img/s, scored in %.2f s", (long long)evaluation->images,
            (double)evaluation->images / evaluation->embed_seconds, evaluation->score_seconds);
    SKY_TRY(sky_evaluation_print(evaluation)); /* first: it needs no room on a disk */
    SKY_TRY(write_json(evaluation, run_folder, sky_trainer_next_step(trainer)));
    SKY_TRY(write_retrievals(retrievals, run_folder, sky_trainer_next_step(trainer)));
    return keep_best(config, evaluation, trainer, run_folder, best);
}

sky_status sky_evaluate_trainer(const struct sky_config *config, struct sky_trainer *trainer, const char *run_folder, double *best)
{
    struct sky_comm *comm = trainer->ranks.comm;
    struct sky_evaluation evaluation;
    struct sky_text retrievals = {0};
    bool lacks = false;
    SKY_TRY(lacks_test(config, &lacks));
    int64_t missing = lacks;
    sky_comm_at(comm, "evaluation", sky_trainer_next_step(trainer));
    SKY_TRY(sky_comm_reduce(comm, &missing, 1, SKY_I64, SKY_COMM_MAX, "the test folder"));
    if (missing) {
        sky_log(SKY_LOG_WARNING, "%s has no test folder: nothing to evaluate", config->data.root);
        return SKY_OK;
    }
    SKY_TRY(sky_ranks_share_arena(comm, &trainer->executor, SKY_ARENA_BUFFERS, "the running statistics")); /* rank 0's, as in its checkpoints */
    sky_status status = evaluate(&trainer->here, comm, trainer, NULL, &(struct sky_evaluation_files){.retrievals = &retrievals}, &evaluation);
    if (status == SKY_OK && sky_comm_rank(comm) == 0) status = take_scores(config, trainer, &evaluation, &retrievals, run_folder, best);
    sky_text_free(&retrievals);
    return sky_comm_settle(comm, status, "keeping scores");
}
