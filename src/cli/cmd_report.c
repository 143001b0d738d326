/*
 * skygem report: a run folder, or several side by side, as one HTML page.
 */
#include "commands.h"

#include "base/fs.h"
#include "run_report.h"
#include "skygem/log.h"

#include <stdlib.h>

static const struct sky_option options[] = {
    {"output", 'o', "FILE", NULL, "the page (default: report.html in the run folder; for several runs it must be given)", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static sky_status run_report(const struct sky_args *args)
{
    const char *output = sky_args_text(args, "output");
    char *path = NULL;
    sky_status status = SKY_OK;
    if (!output && args->operand_count > 1) {
        sky_fail(SKY_USAGE, "skygem report", "several runs in one page: where should it go?");
        return sky_hint("add -o FILE.html");
    }
    if (!output) SKY_TRY(sky_path_join(&path, args->operands[0], "report.html"));
    status = sky_run_report_write(args->operands, args->operand_count, output ? output : path);
    if (status == SKY_OK) sky_log(SKY_LOG_INFO, "%s", output ? output : path);
    free(path);
    return status;
}

const struct sky_command sky_command_report = {
    .name = "report",
    .operands = "RUN_DIR...",
    .min_operands = 1,
    .max_operands = -1,
    .doc = "a run as one HTML page: curves, scores, settings; several runs side by side",
    .details = "The page needs no other file and no network. 'skygem train' writes report.html into its run folder when it ends.",
    .options = options,
    .run = run_report,
};
