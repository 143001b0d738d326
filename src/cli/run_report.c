/*
 * Ties the reading of run folders, of their newest parameters and the page together. Owns what it reads.
 */
#include "run_report.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"
#include "io/checkpoint_file.h"
#include "io/safetensors.h"
#include "report/page.h"
#include "report/sheet.h"
#include "skygem/config.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "seed-1" of several experiments are told apart by the folder above. */
static sky_status tell_apart(struct sky_run_data *runs, int count)
{
    bool same = false;
    for (int a = 0; a < count; a++)
        for (int b = 0; b < a; b++) same = same || !strcmp(runs[a].name, runs[b].name);
    for (int r = 0; same && r < count; r++) {
        char *folder = NULL;
        struct sky_text name = {0};
        SKY_TRY(sky_path_folder(&folder, runs[r].path));
        sky_text_format(&name, "%s/%s", sky_path_base(folder), runs[r].name);
        free(folder);
        SKY_TRY(sky_text_status(&name, "a run's name"));
        free(runs[r].name);
        runs[r].name = name.text;
    }
    return SKY_OK;
}

/* GeM's exponents in the newest checkpoint; none when there is none, or none with exponents. */
static sky_status read_exponents(const char *run, struct sky_page_extra *extra, float **owned)
{
    struct sky_safetensors file = {0};
    char *folder = NULL;
    int64_t checkpoints = 0;
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_path_join(&folder, run, "checkpoints"));
    SKY_TRY_DONE(sky_checkpoint_count(folder, &checkpoints));
    if (!checkpoints) goto done;
    SKY_TRY_DONE(sky_checkpoint_find_newest(&file, folder, &extra->exponents_step));
    const struct sky_file_tensor *p = sky_safetensors_find(&file, "gem.p");
    if (!p || p->rank != 1) goto done;
    SKY_TRY_DONE(sky_alloc(owned, (size_t)p->dim[0], sizeof **owned, "exponents"));
    SKY_TRY_DONE(sky_file_tensor_floats(p, file.path, *owned, p->dim[0]));
    extra->exponents = *owned, extra->exponent_count = p->dim[0];
done:
    sky_safetensors_close(&file);
    free(folder);
    return status;
}

/* The sheets of the run's newest evaluation; NULL when it left none. Pictures that are not there any more are said. */
static sky_status read_sheets(const struct sky_run_data *run, char **out)
{
    const int64_t step = run->score_count ? run->scores[run->score_count - 1].step : -1;
    struct sky_json_document *document = NULL;
    struct sky_config config = {0};
    struct sky_text html = {0};
    char name[64], *path = NULL, *ini = NULL;
    int64_t missing = 0;
    sky_status status = SKY_OK;
    snprintf(name, sizeof name, "eval/retrievals-%09lld.json", (long long)step);
    SKY_TRY_DONE(sky_path_join(&path, run->path, name));
    if (step < 0 || !sky_path_is_file(path)) goto done;
    SKY_TRY_DONE(sky_path_join(&ini, run->path, "run.ini"));
    SKY_TRY_DONE(sky_config_read(&config, ini, NULL, 0));
    SKY_TRY_DONE(sky_json_read(path, (size_t)64 << 20, &document));
    SKY_TRY_DONE(sky_sheet_html(sky_json_root(document), config.data.root ? config.data.root : "", (enum sky_exif)config.data.exif, &html, &missing));
    SKY_TRY_DONE(sky_text_status(&html, "retrieval sheets"));
    if (missing) sky_log(SKY_LOG_WARNING, "%lld pictures of the sheets cannot be read from %s", (long long)missing, config.data.root ? config.data.root : "(no data.root)");
    *out = html.text, html.text = NULL;
done:
    sky_text_free(&html);
    sky_json_free(document);
    sky_config_free(&config);
    free(path), free(ini);
    return status;
}

sky_status sky_run_report_write(const char *const *folders, int count, const char *path)
{
    struct sky_run_data *runs = NULL;
    struct sky_page_extra *extras = NULL;
    float **exponents = NULL; /* [count], owned */
    char *sheets = NULL; /* of a run alone */
    struct sky_text page = {0};
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_alloc(&runs, (size_t)count, sizeof *runs, "a report"));
    SKY_TRY_DONE(sky_alloc(&extras, (size_t)count, sizeof *extras, "a report"));
    SKY_TRY_DONE(sky_alloc(&exponents, (size_t)count, sizeof *exponents, "a report"));
    for (int r = 0; r < count; r++) {
        SKY_TRY_DONE(sky_run_data_read(&runs[r], folders[r]));
        SKY_TRY_DONE(read_exponents(folders[r], &extras[r], &exponents[r]));
        if (count == 1) SKY_TRY_DONE(read_sheets(&runs[r], &sheets));
        extras[r].sheets = sheets;
    }
    SKY_TRY_DONE(tell_apart(runs, count));
    SKY_TRY_DONE(sky_page_write(runs, extras, count, &page));
    SKY_TRY_DONE(sky_file_write_atomic(path, page.text, page.length));
done:
    for (int r = 0; runs && r < count; r++) sky_run_data_free(&runs[r]);
    for (int r = 0; exponents && r < count; r++) free(exponents[r]);
    free(runs);
    free(extras);
    free(exponents);
    free(sheets);
    sky_text_free(&page);
    return status;
}
