/*
 * The run folder: where it is, who holds it, run.ini and env.json in it.
 */
#ifndef SKY_CLI_RUN_FOLDER_H
#define SKY_CLI_RUN_FOLDER_H

#include "base/fs.h"
#include "skygem/config.h"

struct sky_run_folder {
    char *path;
    struct sky_lock lock;
};

/* Makes and locks the folder (chosen, or runs/NAME) and refuses one that already holds checkpoints unless `resume`. Zero-initialise. */
sky_status sky_run_folder_open(struct sky_run_folder *folder, const struct sky_config *config, const char *chosen, bool resume);
/*
 * Writes run.ini (unless it was read from there: its notes on where each value came from are worth keeping; or says the same) and env.json. Only once the run
 * is sure to start: a resume refused for its settings must not replace the run's own.
 */
sky_status sky_run_folder_describe(const struct sky_run_folder *folder, const struct sky_config *config, bool from_its_own_ini);
/* report.html, which is written last, is no older than run.ini: some training of these settings came to its end, scores and all. */
bool sky_run_folder_is_finished(const struct sky_run_folder *folder);
void sky_run_folder_close(struct sky_run_folder *folder);

/* An experiment argument: an .ini file, or a run folder, whose run.ini is meant. Heap text in *out, caller frees. */
sky_status sky_experiment_path(const char *argument, char **out);

/* env.json's text: versions, machine, threads, environment variables that change speed or results. Heap text in *out. */
sky_status sky_environment_json(const struct sky_config *config, char **out);

#endif
