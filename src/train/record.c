/*
 * [debug] record: everything needed to replay the first steps of a run in another framework. Slow and large on purpose; off by default.
 */
#include "base/fs.h"
#include "base/json.h"
#include "base/memory.h"
#include "parameters.h"
#include "trainer_state.h"

#include <stdio.h>
#include <stdlib.h>

static sky_status write_list(const struct sky_trainer *trainer, const char *name, struct sky_tensor_list *list, const struct sky_file_text *texts,
                             int64_t text_count)
{
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, trainer->config->debug.record, name));
    const sky_status status = sky_safetensors_write(path, list->tensors, list->count, texts, text_count);
    free(path);
    return status;
}

/* With the experiment as text, so that a replay needs nothing but the folder. */
static sky_status write_parameters(struct sky_trainer *trainer, const char *name, enum sky_arena arena)
{
    struct sky_tensor_list list = {0};
    char *experiment = NULL;
    sky_status status = sky_parameters_collect(&trainer->model, &trainer->executor, arena, "", &list);
    if (status == SKY_OK) status = sky_config_text(trainer->config, &experiment);
    const struct sky_file_text text = {"config", experiment};
    if (status == SKY_OK) status = write_list(trainer, name, &list, &text, 1);
    free(experiment);
    sky_tensor_list_free(&list);
    return status;
}

sky_status sky_trainer_record_start(struct sky_trainer *trainer)
{
    if (trainer->config->train.accumulate != 1) return sky_fail(SKY_CONFIG, "debug.record", "recording needs [train] accumulate = 1");
    if (trainer->ranks.size > 1) return sky_fail(SKY_CONFIG, "debug.record", "recording needs a run of one rank, not of %d", trainer->ranks.size);
    SKY_TRY(sky_folder_make(trainer->config->debug.record));
    return write_parameters(trainer, "init.safetensors", SKY_ARENA_PARAMS);
}

/* The network's input of view number v, NHWC on the device, as [B,3,H,W]. */
static sky_status add_images(struct sky_trainer *trainer, int v, struct sky_tensor_list *list)
{
    const struct sky_model *model = &trainer->model;
    const int trunk = sky_model_trunk_of(model, v);
    const struct sky_tensor *input = &model->graph.tensors[model->prepared[trunk]];
    const int64_t places = model->places, height = input->dim[1], width = input->dim[2];
    float *host = NULL, *out = NULL;
    char name[64];
    SKY_TRY(sky_alloc(&host, (size_t)input->count, sizeof *host, "recorded images"));
    sky_status status = sky_executor_read(&trainer->executor, model->prepared[trunk], host);
    snprintf(name, sizeof name, "%s.images", sky_view_name(model->views.list[v]));
    if (status == SKY_OK) status = sky_tensor_list_add(list, name, 4, (const int64_t[]){places, 3, height, width}, &out);
    const float *first = host + sky_model_trunk_row(model, v) * height * width * 3;
    for (int64_t n = 0; status == SKY_OK && n < places; n++)
        for (int64_t i = 0; i < height * width; i++)
            for (int c = 0; c < 3; c++) out[(n * 3 + c) * height * width + i] = first[(n * height * width + i) * 3 + c];
    free(host);
    return status;
}

static sky_status add_number(struct sky_tensor_list *list, const char *name, double value)
{
    float *out = NULL;
    SKY_TRY(sky_tensor_list_add(list, name, 0, NULL, &out));
    *out = (float)value;
    return SKY_OK;
}

static sky_status paths_json(const struct sky_trainer *trainer, const struct sky_batch *batch, struct sky_text *text)
{
    struct sky_json_writer w = {.out = text};
    const struct sky_views *views = &trainer->model.views;
    const int64_t places = trainer->model.places;
    sky_json_begin_object(&w, NULL);
    for (int v = 0; v < views->count; v++) {
        sky_json_begin_array(&w, sky_view_name(views->list[v]));
        for (int64_t i = 0; i < places; i++) sky_json_string(&w, NULL, batch->paths[v * places + i]);
        sky_json_end_array(&w);
    }
    sky_json_end_object(&w);
    return sky_text_status(text, "recorded paths");
}

/* Learning rates by group, as metrics.jsonl has them. */
static sky_status rates_json(const struct sky_step_report *report, struct sky_text *text)
{
    struct sky_json_writer w = {.out = text};
    sky_json_begin_object(&w, NULL);
    sky_json_double(&w, sky_group_name(SKY_GROUP_BACKBONE), report->lr_backbone);
    sky_json_double(&w, sky_group_name(SKY_GROUP_HEAD), report->lr_head);
    sky_json_double(&w, sky_group_name(SKY_GROUP_GEM), report->lr_gem);
    sky_json_end_object(&w);
    return sky_text_status(text, "recorded learning rates");
}

static sky_status write_step(struct sky_trainer *trainer, const struct sky_batch *batch, const struct sky_step_report *report)
{
    struct sky_tensor_list list = {0};
    struct sky_text paths = {0}, rates = {0};
    char name[64];
    int64_t *labels = NULL;
    const int64_t label_count = trainer->config->data.sampler == SKY_SAMPLER_PAIRED ? trainer->model.places : trainer->model.rows; /* paired: the same for each view */
    sky_status status = SKY_OK;
    for (int v = 0; v < trainer->model.views.count; v++) SKY_TRY_DONE(add_images(trainer, v, &list));
    SKY_TRY_DONE(add_number(&list, "loss", report->loss));
    SKY_TRY_DONE(add_number(&list, "loss_ce", report->loss_ce));
    SKY_TRY_DONE(add_number(&list, "loss_kl", report->loss_kl));
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
        snprintf(name, sizeof name, "loss_%s", sky_pair_loss_name(i));
        if (report->has_pairs[i]) SKY_TRY_DONE(add_number(&list, name, report->loss_pairs[i]));
    }
    SKY_TRY_DONE(sky_alloc(&labels, (size_t)label_count, sizeof *labels, "recorded labels"));
    for (int64_t i = 0; i < label_count; i++) labels[i] = batch->labels[i];
    SKY_TRY_DONE(sky_grow(&list.tensors, list.count, &list.capacity, sizeof *list.tensors, "tensors to write"));
    SKY_TRY_DONE(paths_json(trainer, batch, &paths));
    SKY_TRY_DONE(rates_json(report, &rates));
    struct sky_file_tensor *tensors = list.tensors;
    tensors[list.count] = (struct sky_file_tensor){.name = "labels", .dtype = SKY_I64, .rank = 1, .dim = {label_count}, .data = labels};
    const struct sky_file_text texts[2] = {{"paths", paths.text}, {"lr", rates.text}};
    char *path = NULL;
    snprintf(name, sizeof name, "step_%04lld.safetensors", (long long)report->step);
    SKY_TRY_DONE(sky_path_join(&path, trainer->config->debug.record, name));
    status = sky_safetensors_write(path, tensors, list.count + 1, texts, 2);
    free(path);
done:
    free(labels);
    sky_text_free(&paths);
    sky_text_free(&rates);
    sky_tensor_list_free(&list);
    return status;
}

sky_status sky_trainer_record(struct sky_trainer *trainer, const struct sky_batch *batch, const struct sky_step_report *report)
{
    if (report->step >= trainer->config->debug.record_steps) return SKY_OK;
    SKY_TRY(write_step(trainer, batch, report));
    if (report->step == 0) SKY_TRY(write_parameters(trainer, "gradients_0000.safetensors", SKY_ARENA_GRADS));
    if (report->step + 1 == trainer->config->debug.record_steps) SKY_TRY(write_parameters(trainer, "final.safetensors", SKY_ARENA_PARAMS));
    return SKY_OK;
}
