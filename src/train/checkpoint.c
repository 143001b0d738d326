/*
 * What a trainer puts into a checkpoint and takes out of it: parameters, momentum, averages, buffers, and in the metadata the step and the experiment. All randomness is keyed by
 * counters, so the step number is the whole rest of the state.
 */
#include "base/fs.h"
#include "base/memory.h"
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
    return sky_parameters_collect(&trainer->model, executor, SKY_ARENA_MOMENTUM, "momentum/", list);
}

sky_status sky_trainer_write_checkpoint(struct sky_trainer *trainer)
{
    struct sky_tensor_list list = {0};
    char *folder = NULL, *path = NULL, *experiment = NULL, step[32], epoch[32], hash[16], counts[64];
    uint32_t config_hash = 0;
    sky_status status = SKY_OK;
    if (!trainer->run_folder) return sky_fail(SKY_USAGE, "checkpoint", "this trainer has no run folder");
    SKY_TRY_DONE(sky_path_join(&folder, trainer->run_folder, "checkpoints"));
    SKY_TRY_DONE(sky_folder_make(folder));
    SKY_TRY_DONE(sky_checkpoint_path(&path, folder, trainer->step));
    SKY_TRY_DONE(sky_config_text(trainer->config, &experiment));
    SKY_TRY_DONE(sky_config_hash(trainer->config, &config_hash));
    SKY_TRY_DONE(collect(trainer, &list));
    snprintf(step, sizeof step, "%lld", (long long)trainer->step);
    snprintf(epoch, sizeof epoch, "%lld", (long long)(trainer->step / trainer->steps_per_epoch));
    snprintf(hash, sizeof hash, "%08x", config_hash);
    snprintf(counts, sizeof counts, "%lld %lld %lld", (long long)trainer->skipped_updates, (long long)trainer->skipped_images, (long long)trainer->clamped);
    char classes[32];
    snprintf(classes, sizeof classes, "%lld", (long long)trainer->model.classes);
    const struct sky_file_text texts[] = {{"format", "skygem checkpoint 1"}, {"skygem", SKYGEM_VERSION}, {"step", step},     {"epoch", epoch},
                                          {"config_hash", hash},             {"counts", counts},         {"classes", classes}, {"config", experiment}};
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

/* Another configuration would not continue the same run: say so instead of mixing two. */
static sky_status check_hash(const struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    const char *stored = sky_safetensors_text(file, "config_hash");
    char now[16];
    uint32_t hash = 0;
    SKY_TRY(sky_config_hash(trainer->config, &hash));
    snprintf(now, sizeof now, "%08x", hash);
    if (stored && strcmp(stored, now) == 0) return SKY_OK;
    sky_fail(SKY_CONFIG, file->path, "the checkpoint was made with other settings (hash %s, now %s): continuing would mix two experiments", stored ? stored : "none", now);
    return sky_hint("resume with the run's own run.ini: skygem train %s --resume; or start from its weights in a new folder: --set model.weights=%s", trainer->run_folder, file->path);
}

static sky_status restore(struct sky_trainer *trainer, const struct sky_safetensors *file)
{
    struct sky_executor *executor = &trainer->executor;
    const char *counts = sky_safetensors_text(file, "counts");
    long long updates = 0, images = 0, clamped = 0;
    SKY_TRY(check_hash(trainer, file));
    SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_PARAMS, ""));
    SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_MOMENTUM, "momentum/"));
    if (executor->arena[SKY_ARENA_EMA]) SKY_TRY(sky_parameters_read(&trainer->model, executor, file, SKY_ARENA_EMA, "ema/"));
    if (!counts || sscanf(counts, "%lld %lld %lld", &updates, &images, &clamped) != 3) return sky_fail(SKY_FORMAT, file->path, "its counters are missing");
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
    trainer->step = step;
    sky_log(SKY_LOG_INFO, "resumed from %s", file.path);
done:
    sky_safetensors_close(&file);
    free(folder);
    return status;
}
