/*
 * What a trainer puts into a checkpoint and takes out of it: parameters, momentum, squares, averages, buffers, and in the metadata the step and the experiment.
 * All randomness is keyed by counters, so the step number is the whole rest of the state.
 */
#include "base/crc32c.h"
#include "base/fs.h"
#include "base/str.h"
#include "io/checkpoint_file.h"
#include "parameters.h"
#include "skygem/log.h"
#include "skygem/skygem.h"
#include "trainer_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sky_status collect(struct sky_trainer *trainer, struct sky_tensor_list *list)
{
    struct sky_executor *executor = &trainer->executor;
    SKY_TRY(sky_parameters_collect(&trainer->model, executor, SKY_ARENA_PARAMS, "", list));
    if (executor->arena[SKY_ARENA_EMA]) SKY_TRY(sky_parameters_collect(&trainer->model, executor, SKY_ARENA_EMA, "ema/", list));
    if (executor->arena[SKY_ARENA_SQUARES]) SKY_TRY(sky_parameters_collect(&trainer->model, executor, SKY_ARENA_SQUARES, "squares/", list));
    return sky_parameters_collect(&trainer->model, executor, SKY_ARENA_MOMENTUM, "momentum/", list);
}

uint32_t sky_trainer_images_sum(const struct sky_train_set *set)
{
    uint32_t sum = 0;
    for (int view = 0; view < SKY_VIEW_COUNT; view++)
        for (int64_t i = 0; i < set->views[view].count; i++) sum = sky_crc32c(sum, set->views[view].paths[i], strlen(set->views[view].paths[i]) + 1);
    return sum;
}

/* Places of a step, over all ranks. */
static int64_t places_of(const struct sky_trainer *trainer)
{
    return trainer->config->train.batch_size * trainer->config->train.accumulate * trainer->ranks.size;
}

/* What several ranks make of the numbers beside how many they are; no part of the experiment's hash. */
static void print_exchange(const struct sky_trainer *trainer, char out[64])
{
    const bool low = trainer->config->distributed.gradients == SKY_GRADIENTS_BF16;
    snprintf(out, 64, "bn_sync = %s, gradients = %s", trainer->config->distributed.bn_sync ? "yes" : "no", low ? "bf16" : "fp32");
}

sky_status sky_trainer_write_checkpoint(struct sky_trainer *trainer)
{
    struct sky_tensor_list list = {0};
    char *folder = NULL, *path = NULL, *experiment = NULL, step[32], epoch[32], hash[16], counts[64], classes[32], images[16], scale[64], place[128], exchange[64];
    uint32_t config_hash = 0;
    sky_status status = SKY_OK;
    if (!trainer->run_folder) return sky_fail(SKY_USAGE, "checkpoint", "this trainer has no run folder");
    SKY_TRY_DONE(sky_path_join(&folder, trainer->run_folder, "checkpoints"));
    SKY_TRY_DONE(sky_folder_make(folder));
    SKY_TRY_DONE(sky_checkpoint_path(&path, folder, sky_trainer_next_step(trainer)));
    SKY_TRY_DONE(sky_config_text(trainer->config, &experiment));
    SKY_TRY_DONE(sky_config_hash(trainer->config, &config_hash));
    SKY_TRY_DONE(collect(trainer, &list));
    snprintf(step, sizeof step, "%lld", (long long)sky_trainer_next_step(trainer));
    snprintf(epoch, sizeof epoch, "%lld", (long long)(trainer->step / trainer->steps_per_epoch));
    snprintf(hash, sizeof hash, "%08x", config_hash);
    snprintf(counts, sizeof counts, "%lld %lld %lld", (long long)trainer->skipped_updates, (long long)trainer->skipped_images, (long long)trainer->clamped);
    snprintf(scale, sizeof scale, "%.0f %lld", trainer->scale.value, (long long)trainer->scale.streak);
    snprintf(place, sizeof place, "%lld %lld %lld %d", (long long)trainer->step, (long long)trainer->steps_per_epoch, (long long)places_of(trainer), trainer->ranks.size);
    print_exchange(trainer, exchange);
    snprintf(images, sizeof images, "%08x", sky_trainer_images_sum(&trainer->set));
    snprintf(classes, sizeof classes, "%lld", (long long)trainer->model.classes);
    const struct sky_file_text texts[] = {{"format", "skygem checkpoint 1"}, {"skygem", SKYGEM_VERSION}, {"step", step}, {"epoch", epoch},
                                          {"config_hash", hash}, {"counts", counts}, {"classes", classes}, {"images", images}, {"loss_scale", scale},
                                          {"config", experiment}, {"place", place}, {"distributed", exchange}};
    SKY_TRY_DONE(sky_checkpoint_write(path, list.tensors, list.count, texts, sizeof texts / sizeof *texts));
    SKY_TRY_DONE(sky_checkpoint_prune(folder, trainer->config->train.keep_checkpoints));
    sky_log(SKY_LOG_INFO, "checkpoint %s", path);
done:
    sky_tensor_list_free(&list);
    free(folder);
    free(path);
    free(experiment);
    return status;
}

/* "data.views = satellite, drone, street (satellite, drone)" of this experiment and the checkpoint's; NULL where that cannot be told. Heap text. */
static char *differences_to(const struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    const char *stored = sky_safetensors_text(file, "config");
    struct sky_config before = {0};
    char *text = NULL;
    if (!stored || sky_config_read_text(&before, file->path, stored, NULL, 0) != SKY_OK) return NULL;
    if (sky_config_differences(trainer->config, &before, &text) != SKY_OK) text = NULL;
    sky_config_free(&before);
    return text;
}

/* Another configuration would not continue the same run: say so instead of mixing two. */
static sky_status check_hash(const struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    const char *stored = sky_safetensors_text(file, "config_hash");
    char now[16];
    uint32_t hash = 0;
    SKY_TRY(sky_config_hash(trainer->config, &hash));
    snprintf(now, sizeof now, "%08x", hash);
    if (stored && strcmp(stored, now) == 0) return SKY_OK;
    char *differences = differences_to(trainer, file);
    sky_fail(SKY_CONFIG, file->path, "the checkpoint was made with other settings (hash %s, now %s%s%s): continuing would mix two experiments", stored ? stored : "none", now,
             differences && *differences ? "; now and then: " : "", differences ? differences : "");
    free(differences);
    return sky_hint("resume with the run's own run.ini: skygem train %s --resume; or start from its weights in a new folder: --set model.weights=%s",
                    trainer->run_folder, file->path);
}

/* Another number of places is another classifier. Other images of the same places are the user's choice (a broken one removed), but said. */
static sky_status check_data(const struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    const char *classes = sky_safetensors_text(file, "classes"), *images = sky_safetensors_text(file, "images");
    int64_t count = 0;
    char now[16];
    if (classes && sky_parse_int(classes, &count) && count != trainer->model.classes) {
        sky_fail(SKY_DATA, trainer->set.root, "has %lld training places, the run had %lld", (long long)trainer->model.classes, (long long)count);
        return sky_hint("a run is resumed on its own data: bring the places back, or start another run from its weights: --set model.weights=%s", file->path);
    }
    snprintf(now, sizeof now, "%08x", sky_trainer_images_sum(&trainer->set));
    if (images && strcmp(images, now) != 0)
        sky_log(SKY_LOG_WARNING, "%s: the training images are not those of the run so far: it goes on, but not to the same bits", trainer->set.root);
    return SKY_OK;
}

/* Alone these keys change nothing. */
static void compare_exchange(const struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    const char *before = sky_safetensors_text(file, "distributed");
    char now[64];
    print_exchange(trainer, now);
    if (!before || !strcmp(before, now) || trainer->ranks.size == 1) return;
    sky_log(SKY_LOG_WARNING, "[distributed] the run had %s, now it is %s: it goes on with that, and not to the same bits", before, now);
}

/*
 * Where in the epochs the run goes on. With as many ranks as before, at the next batch. With others a step takes another number of places: the run goes on in
 * the same epoch behind the places that were taken (up to a step's worth of them come again), and updates are counted on.
 */
static sky_status find_step(struct sky_trainer *trainer, const struct sky_safetensors *file, int64_t updates)
{
    const char *place = sky_safetensors_text(file, "place");
    long long step = 0, per_epoch = 0, places = 0;
    int ranks = 0;
    trainer->step = updates; /* a checkpoint from before there were ranks */
    if (!place) return SKY_OK;
    if (sscanf(place, "%lld %lld %lld %d", &step, &per_epoch, &places, &ranks) != 4 || step < 0 || per_epoch < 1 || places < 1)
        return sky_fail(SKY_FORMAT, file->path, "its place in the epoch is damaged");
    const int64_t now = places_of(trainer), epoch = step / per_epoch, within = step % per_epoch * places / now;
    trainer->step = places == now ? step : epoch * trainer->steps_per_epoch + (within < trainer->steps_per_epoch ? within : trainer->steps_per_epoch);
    trainer->shift = updates - trainer->step;
    if (ranks == trainer->ranks.size) return SKY_OK;
    sky_log(SKY_LOG_WARNING,
            "the run had %d rank%s, now it has %d: a step takes %lld places instead of %lld, an epoch %lld steps instead of %lld; it goes on in epoch %lld "
            "behind the places that were taken. The learning rate stays as the experiment says",
            ranks, ranks == 1 ? "" : "s", trainer->ranks.size, (long long)now, places, (long long)trainer->steps_per_epoch, per_epoch,
            (long long)(trainer->step / trainer->steps_per_epoch));
    return SKY_OK;
}

static sky_status restore(struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    struct sky_executor *executor = &trainer->executor;
    const char *counts = sky_safetensors_text(file, "counts"), *scale = sky_safetensors_text(file, "loss_scale");
    long long updates = 0, images = 0, clamped = 0, streak = 0;
    double value = 1;
    SKY_TRY(check_hash(trainer, file));
    SKY_TRY(check_data(trainer, file));
    SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_PARAMS, ""));
    SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_MOMENTUM, "momentum/"));
    if (executor->arena[SKY_ARENA_SQUARES]) SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_SQUARES, "squares/"));
    if (executor->arena[SKY_ARENA_EMA]) SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_EMA, "ema/"));
    if (!counts || sscanf(counts, "%lld %lld %lld", &updates, &images, &clamped) != 3) return sky_fail(SKY_FORMAT, file->path, "its counters are missing");
    if (trainer->scale.moves && (!scale || sscanf(scale, "%lf %lld", &value, &streak) != 2 || !(value >= 1))) return sky_fail(SKY_FORMAT, file->path, "its loss scale is missing");
    trainer->scale.value = value, trainer->scale.streak = streak;
    trainer->skipped_updates = updates, trainer->skipped_images = trainer->skipped_before = images, trainer->clamped = clamped;
    return SKY_OK;
}

sky_status sky_trainer_resume(struct sky_trainer *trainer)
{
    struct sky_safetensors file = {0};
    char *folder = NULL;
    int64_t step = 0;
    sky_status status = SKY_OK;
    if (!trainer->run_folder) return sky_fail(SKY_USAGE, "resume", "this trainer has no run folder");
    SKY_TRY_DONE(sky_path_join(&folder, trainer->run_folder, "checkpoints"));
    if (!sky_path_is_folder(folder)) {
        sky_fail(SKY_USAGE, trainer->run_folder, "there is no checkpoint to resume from");
        status = sky_hint("leave out --resume to start the run");
        goto done;
    }
    SKY_TRY_DONE(sky_checkpoint_find_newest(&file, folder, &step));
    SKY_TRY_DONE(restore(trainer, &file));
    SKY_TRY_DONE(find_step(trainer, &file, step));
    compare_exchange(trainer, &file);
    sky_log(SKY_LOG_INFO, "resumed from %s", file.path);
done:
    sky_safetensors_close(&file);
    free(folder);
    return status;
}
