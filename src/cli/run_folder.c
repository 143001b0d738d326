/*
 * Prepares a run folder, so that a run can be understood and repeated from its folder alone. Owns the path and the lock.
 */
#include "run_folder.h"

#include "base/json.h"
#include "base/threads.h"
#include "io/checkpoint_file.h"
#include "skygem/log.h"
#include "skygem/skygem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

sky_status sky_experiment_path(const char *argument, char **out)
{
    if (!sky_path_is_folder(argument)) return sky_strdup(out, argument, "the experiment's path");
    SKY_TRY(sky_path_join(out, argument, "run.ini"));
    if (sky_path_is_file(*out)) return SKY_OK;
    free(*out);
    *out = NULL;
    sky_fail(SKY_USAGE, argument, "this folder has no run.ini: it is not a run folder");
    return sky_hint("give an experiment's .ini file or the folder of a run");
}

sky_status sky_environment_json(const struct sky_config *config, char **out)
{
    static const char *const variables[] = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "DNNL_MAX_CPU_ISA", "MALLOC_ARENA_MAX"};
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    struct utsname machine;
    memset(&machine, 0, sizeof machine);
    uname(&machine);
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "skygem", SKYGEM_VERSION);
    sky_json_string(&w, "compiler", __VERSION__);
    sky_json_string(&w, "system", machine.sysname);
    sky_json_string(&w, "release", machine.release);
    sky_json_string(&w, "processor", machine.machine);
    sky_json_int(&w, "cores", sky_thread_count_default());
    sky_json_int(&w, "threads", config->device.threads ? config->device.threads : sky_thread_count_default());
    sky_json_int(&w, "started_unix", (int64_t)time(NULL));
    sky_json_begin_object(&w, "environment");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (getenv(variables[i])) sky_json_string(&w, variables[i], getenv(variables[i]));
    sky_json_end_object(&w);
    sky_json_end_object(&w);
    sky_text_append(&text, "\n");
    const sky_status status = sky_text_status(&text, "env.json");
    if (status != SKY_OK) sky_text_free(&text);
    *out = status == SKY_OK ? text.text : NULL;
    return status;
}

static sky_status write_text(const char *folder, const char *name, const char *text)
{
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, folder, name));
    const sky_status status = sky_file_write_atomic(path, text, strlen(text));
    free(path);
    return status;
}

/* Left-over temporary files of a run that was killed before its first checkpoint do not count. */
static sky_status refuse_used(const char *folder)
{
    char *checkpoints = NULL;
    int64_t count = 0;
    SKY_TRY(sky_path_join(&checkpoints, folder, "checkpoints"));
    const sky_status status = sky_checkpoint_count(checkpoints, &count);
    free(checkpoints);
    SKY_TRY(status);
    if (!count) return SKY_OK;
    sky_fail(SKY_USAGE, folder, "this folder already holds a run with checkpoints");
    return sky_hint("go on with it: --resume; or choose another folder: -o DIR");
}

sky_status sky_run_folder_open(struct sky_run_folder *folder, const struct sky_config *config, const char *chosen, bool resume)
{
    sky_status status = SKY_OK;
    if (chosen) SKY_TRY(sky_strdup(&folder->path, chosen, "the run folder"));
    else SKY_TRY(sky_path_join(&folder->path, "runs", config->experiment.name));
    if (resume && !sky_path_is_folder(folder->path)) {
        sky_fail(SKY_USAGE, folder->path, "there is nothing to resume: no such folder");
        status = sky_hint("leave out --resume to start the run");
        goto done;
    }
    SKY_TRY_DONE(sky_folder_make(folder->path));
    SKY_TRY_DONE(sky_lock_take(&folder->lock, folder->path));
    if (!resume) SKY_TRY_DONE(refuse_used(folder->path));
done:
    if (status == SKY_IO) sky_hint("a run writes into its folder: make it writable, or choose another with -o DIR");
    if (status != SKY_OK) sky_run_folder_close(folder);
    return status;
}

/* The same text is left as it is, and as old as it is. */
static sky_status write_ini(const char *folder, const char *text)
{
    char *path = NULL, *old = NULL;
    size_t bytes = 0;
    SKY_TRY(sky_path_join(&path, folder, "run.ini"));
    const bool same = sky_path_is_file(path) && sky_file_read(path, (size_t)1 << 24, &old, &bytes) == SKY_OK && strcmp(old, text) == 0;
    const sky_status status = same ? SKY_OK : sky_file_write_atomic(path, text, strlen(text));
    free(path);
    free(old);
    return status;
}

sky_status sky_run_folder_describe(const struct sky_run_folder *folder, const struct sky_config *config, bool from_its_own_ini)
{
    char *text = NULL;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_config_text(config, &text));
    if (!from_its_own_ini) SKY_TRY_DONE(write_ini(folder->path, text));
    free(text);
    text = NULL;
    SKY_TRY_DONE(sky_environment_json(config, &text));
    SKY_TRY_DONE(write_text(folder->path, "env.json", text));
done:
    free(text);
    return status;
}

bool sky_run_folder_is_finished(const struct sky_run_folder *folder)
{
    static const char *const names[2] = {"run.ini", "report.html"};
    struct stat found[2] = {0};
    bool there = true;
    for (int i = 0; i < 2 && there; i++) {
        char *path = NULL;
        there = sky_path_join(&path, folder->path, names[i]) == SKY_OK && stat(path, &found[i]) == 0;
        free(path);
    }
    const struct timespec *ini = &found[0].st_mtim, *report = &found[1].st_mtim;
    return there && (report->tv_sec > ini->tv_sec || (report->tv_sec == ini->tv_sec && report->tv_nsec >= ini->tv_nsec));
}

void sky_run_folder_close(struct sky_run_folder *folder)
{
    sky_lock_release(&folder->lock);
    free(folder->path);
    memset(folder, 0, sizeof *folder);
}
