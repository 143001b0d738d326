/*
 * skygem table: a paper's numbers beside the runs found.
 */
#include "commands.h"

#include "base/fs.h"
#include "report/table.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sky_option options[] = {
    {"runs", 0, "DIR", NULL, "where the runs are: DIR/ROW, or DIR/ROW/SEED (default: runs/ and the folder's name)", false},
    {"json", 0, NULL, NULL, "print JSON: a list, one object a row", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static sky_status default_runs(const char *experiments, char **out)
{
    struct sky_text text = {0};
    char *absolute = realpath(experiments, NULL); /* "experiments/table3/" and "." have names too */
    if (!absolute) return sky_fail_errno(experiments, "opening");
    sky_text_format(&text, "runs/%s", sky_path_base(absolute));
    free(absolute);
    SKY_TRY(sky_text_status(&text, "a path"));
    *out = text.text;
    return SKY_OK;
}

static sky_status run_table(const struct sky_args *args)
{
    struct sky_table table = {0};
    struct sky_text text = {0};
    char *fallback = NULL;
    const char *runs = sky_args_text(args, "runs");
    sky_status status = SKY_OK;
    if (!runs) SKY_TRY_DONE(default_runs(args->operands[0], &fallback));
    if (runs && !sky_path_is_folder(runs)) SKY_TRY_DONE(sky_fail(SKY_USAGE, runs, "is not a folder"));
    SKY_TRY_DONE(sky_table_read(&table, args->operands[0], runs ? runs : fallback));
    if (sky_args_given(args, "json")) sky_table_json(&table, &text), sky_text_append(&text, "\n");
    else sky_table_text(&table, &text);
    SKY_TRY_DONE(sky_text_status(&text, "the table"));
    fputs(text.text, stdout);
done:
    sky_table_free(&table);
    sky_text_free(&text);
    free(fallback);
    return status;
}

const struct sky_command sky_command_table = {
    .name = "table",
    .operands = "DIR",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "a paper's numbers beside the runs found",
    .details = "DIR holds paper.csv and one .ini a row (experiments/table2, experiments/table3). Of each run the last scores count: the full gallery, with the mirrored\n"
               "pass where the run has it. Several runs of a row, one a seed, give mean and standard deviation.",
    .options = options,
    .run = run_table,
};
