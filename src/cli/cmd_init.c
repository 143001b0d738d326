/*
 * skygem init: a commented experiment to start from.
 */
#include "commands.h"

#include "base/fs.h"
#include "base/str.h"
#include "skygem/config.h"
#include "skygem/log.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const struct sky_option options[] = {
    {"force", 'f', NULL, NULL, "write over a file that is there", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

/* Names are folders' names later, and stand in the file's own text. */
static sky_status check_name(const char *name)
{
    bool good = *name && *name != '.' && *name != '-';
    for (const char *at = name; *at; at++) good = good && (isalnum((unsigned char)*at) || strchr("-_.", *at));
    if (good) return SKY_OK;
    sky_fail(SKY_USAGE, "skygem init", "'%s' cannot be an experiment's name", name);
    return sky_hint("letters, digits, '-', '_' and '.', and not '-' or '.' first");
}

static sky_status run_init(const struct sky_args *args)
{
    const char *name = args->operands[0];
    struct sky_text path = {0};
    char *text = NULL;
    sky_status status = SKY_OK;
    const size_t length = strlen(name);
    char *bare = NULL;
    SKY_TRY_DONE(sky_strdup(&bare, name, "a name"));
    if (length > 4 && !strcmp(name + length - 4, ".ini")) bare[length - 4] = 0; /* "my.ini" means my */
    SKY_TRY_DONE(check_name(bare));
    sky_text_format(&path, "%s.ini", bare);
    SKY_TRY_DONE(sky_text_status(&path, "a path"));
    if (sky_path_is_file(path.text) && !sky_args_given(args, "force")) {
        sky_fail(SKY_USAGE, path.text, "is there already");
        SKY_TRY_DONE(sky_hint("choose another name, or --force to write over it"));
    }
    SKY_TRY_DONE(sky_config_template(bare, &text));
    SKY_TRY_DONE(sky_file_write_atomic(path.text, text, strlen(text)));
    sky_log(SKY_LOG_INFO, "wrote %s: set data.root in it, then: skygem train %s --dry-run", path.text, path.text);
done:
    sky_text_free(&path);
    free(text);
    free(bare);
    return status;
}

const struct sky_command sky_command_init = {
    .name = "init",
    .operands = "NAME",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "write NAME.ini, a commented experiment to start from",
    .options = options,
    .run = run_init,
};
