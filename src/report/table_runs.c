/*
 * The runs behind one row of a table: finds them, reads each one's last scores and settings, and sums them up. Owns what it reads while it runs; results go into the row.
 */
#include "run_data.h"
#include "table_row.h"

#include "base/fs.h"
#include "skygem/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Scores of all finished runs, run by run. */
struct gathered {
    double sum[SKY_TABLE_SCORES], squares[SKY_TABLE_SCORES];
    struct sky_config first; /* settings of the first finished run */
    bool has_first;
};

/* A run is over when its newest scores are those of its last step, and that step ends its last epoch. */
static bool is_finished(const struct sky_run_data *run, const struct sky_config *config)
{
    const int64_t scored = run->score_count ? run->scores[run->score_count - 1].step : -1;
    return run->step_count > 0 && run->steps[run->step_count - 1] + 1 == (double)scored && run->last_epoch + 1 == config->train.epochs;
}

/* The paper's numbers rank the whole gallery; the mirrored pass counts where the run has it. */
static sky_status read_scores(const struct sky_run_data *run, double scores[SKY_TABLE_SCORES], bool *plain)
{
    static const char *const directions[2] = {"drone2satellite", "satellite2drone"};
    for (int d = 0; d < 2; d++) {
        const struct sky_run_score *score = sky_run_data_score(run, run->scores[run->score_count - 1].step, directions[d], "full");
        if (!score || !(score->r1 >= 0) || !(score->ap >= 0))
            return sky_fail(SKY_DATA, run->path, "its newest evaluation has no r1 and ap of %s over the full gallery", directions[d]);
        scores[2 * d] = score->r1, scores[2 * d + 1] = score->ap, *plain = !score->flip;
    }
    return SKY_OK;
}

static sky_status read_settings(const char *run, struct sky_config *config)
{
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, run, "run.ini"));
    const sky_status status = sky_config_read(config, path, NULL, 0);
    free(path);
    return status;
}

/* Keeps the first run's difference from the experiment, and what any later run does not share with the first. */
static sky_status compare_settings(struct sky_table_row *row, struct gathered *all, struct sky_config *config, const struct sky_config *experiment)
{
    if (!all->has_first) {
        all->first = *config, all->has_first = true;
        *config = (struct sky_config){0};
        return sky_config_differences(&all->first, experiment, &row->differs);
    }
    if (row->mixed && *row->mixed) return SKY_OK;
    free(row->mixed);
    row->mixed = NULL;
    return sky_config_differences(config, &all->first, &row->mixed);
}

static sky_status add_run(struct sky_table_row *row, struct gathered *all, const char *folder, const struct sky_config *experiment)
{
    struct sky_config config = {0};
    struct sky_run_data run = {0};
    double scores[SKY_TABLE_SCORES];
    bool plain = false;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(read_settings(folder, &config));
    SKY_TRY_DONE(sky_run_data_read(&run, folder));
    if (!is_finished(&run, &config)) {
        row->unfinished++;
        goto done;
    }
    SKY_TRY_DONE(read_scores(&run, scores, &plain));
    SKY_TRY_DONE(compare_settings(row, all, &config, experiment));
    for (int k = 0; k < SKY_TABLE_SCORES; k++) all->sum[k] += scores[k], all->squares[k] += scores[k] * scores[k];
    row->runs++, row->plain += plain;
done:
    sky_config_free(&config);
    sky_run_data_free(&run);
    return status;
}

static bool is_run(const char *folder)
{
    char *path = NULL;
    const bool is = sky_path_join(&path, folder, "run.ini") == SKY_OK && sky_path_is_file(path);
    free(path);
    return is;
}

static void sum_up(struct sky_table_row *row, const struct gathered *all)
{
    const double n = (double)row->runs;
    for (int k = 0; k < SKY_TABLE_SCORES && row->runs > 0; k++) {
        row->mean[k] = all->sum[k] / n;
        const double variance = row->runs > 1 ? (all->squares[k] - n * row->mean[k] * row->mean[k]) / (n - 1) : 0;
        row->deviation[k] = variance > 0 ? sqrt(variance) : 0;
    }
}

sky_status sky_table_row_gather(struct sky_table_row *row, const char *folder, const struct sky_config *experiment)
{
    struct gathered all = {0};
    struct sky_listing listing = {0};
    sky_status status = SKY_OK;
    if (is_run(folder)) SKY_TRY_DONE(add_run(row, &all, folder, experiment));
    else if (sky_path_is_folder(folder)) SKY_TRY_DONE(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count && status == SKY_OK; i++) {
        char *run = NULL;
        status = sky_path_join(&run, folder, listing.entries[i].name);
        if (status == SKY_OK && is_run(run)) status = add_run(row, &all, run, experiment);
        free(run);
    }
    sum_up(row, &all);
done:
    sky_listing_free(&listing);
    if (all.has_first) sky_config_free(&all.first);
    return status;
}
