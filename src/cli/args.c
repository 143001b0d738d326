/*
 * The option parser and help writer behind args.h. Two small heap arrays per command line (operands, options given), freed by sky_args_free; all
 * texts are borrowed. Prints nothing.
 */
#include "args.h"

#include "base/memory.h"
#include "base/str.h"
#include "skygem/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 30, MAX_CHOICES = 64 };

static const struct sky_option common_options[] = {
    {"help", 'h', NULL, NULL, "show this text", false},
    {"quiet", 'q', NULL, NULL, "say only warnings and errors", false},
    {"verbose", 'v', NULL, NULL, "say more about what is done", false},
    {0},
};

/* ---- tables ---- */

static const struct sky_option *find_in(const struct sky_option *table, const char *name, size_t length, char letter)
{
    for (const struct sky_option *option = table; option && option->name; option++) {
        if (letter ? option->letter == letter : strlen(option->name) == length && !memcmp(option->name, name, length)) return option;
    }
    return NULL;
}

/* By name, or by letter when that is not 0. */
static const struct sky_option *find_option(const struct sky_command *command, const char *name, size_t length, char letter)
{
    const struct sky_option *option = find_in(command->options, name, length, letter);
    return option ? option : find_in(common_options, name, length, letter);
}

sky_status sky_choose(const char *value, const char *what, const char *const *choices, int count, int *out)
{
    struct sky_text list = {0};
    for (int i = 0; i < count; i++) {
        if (!strcmp(value, choices[i])) {
            *out = i;
            sky_text_free(&list);
            return SKY_OK;
        }
        sky_text_format(&list, "%s%s", i ? ", " : "", choices[i]);
    }
    const int nearest = sky_nearest(value, choices, count);
    sky_fail(SKY_USAGE, what, "there is no '%s'; possible: %s", value, list.text ? list.text : "");
    if (nearest >= 0) sky_hint("did you mean %s?", choices[nearest]);
    sky_text_free(&list);
    return SKY_USAGE;
}

static sky_status fail_unknown(const struct sky_args *args, const char *argument)
{
    const char *names[MAX_CHOICES];
    int count = 0;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(argument, "="), argument);
    for (const struct sky_option *option = args->command->options; option && option->name && count < MAX_CHOICES; option++) names[count++] = option->name;
    for (const struct sky_option *option = common_options; option->name && count < MAX_CHOICES; option++) names[count++] = option->name;
    const int nearest = sky_nearest(name + strspn(name, "-"), names, count);
    sky_fail(SKY_USAGE, args->path, "unknown option %s", name);
    return nearest >= 0 ? sky_hint("did you mean --%s? 'skygem %s --help' lists all", names[nearest], args->path)
                        : sky_hint("'skygem %s --help' lists all options", args->path);
}

/* ---- parsing ---- */

/* An empty path would mean the current folder to some and nothing to others. */
static sky_status hint_empty(void)
{
    return sky_hint("in a shell, a variable that is not set gives an empty one");
}

static sky_status add_given(struct sky_args *args, const struct sky_option *option, const char *value)
{
    if (option == &common_options[0]) args->help = true;
    else if (option == &common_options[1]) args->quiet = true;
    else if (option == &common_options[2]) args->verbose = true;
    for (int i = 0; i < args->given_count && option->value && !option->repeats; i++) {
        if (args->given[i].option == option) {
            sky_fail(SKY_USAGE, args->path, "--%s is given twice: %s and %s", option->name, args->given[i].value, value);
            return sky_hint("remove one of them");
        }
    }
    args->given[args->given_count].option = option;
    args->given[args->given_count++].value = value;
    return SKY_OK;
}

/* One argument that starts with '-'; *at moves on when the value is the argument behind it. */
static sky_status parse_option(struct sky_args *args, int argc, char **argv, int *at)
{
    const char *const argument = argv[*at], *value = NULL;
    const bool is_long = argument[1] == '-';
    const char *const name = argument + 1 + is_long;
    const size_t length = strcspn(name, "=");
    const struct sky_option *option = find_option(args->command, name, length, is_long ? 0 : name[0]);
    if (!option || (is_long && !length)) return fail_unknown(args, argument);
    if (is_long && name[length] == '=') value = name + length + 1;
    else if (!is_long && name[1]) value = name + 1;
    if (!option->value && value) return sky_fail(SKY_USAGE, args->path, "--%s takes no value, but is given '%s'", option->name, value);
    if (option->value && !value) {
        if (*at + 1 >= argc) return sky_fail(SKY_USAGE, args->path, "--%s needs a value: %s", option->name, option->value);
        value = argv[++*at];
    }
    if (option->value && !*value) {
        sky_fail(SKY_USAGE, args->path, "--%s needs a value (%s) and is given an empty one", option->name, option->value);
        return hint_empty();
    }
    return add_given(args, option, value);
}

/* Descends into the sub-command named by argv[*at], if this command has any. */
static sky_status choose_command(struct sky_args *args, int argc, char **argv, int *at)
{
    while (args->command->commands) {
        const char *names[MAX_CHOICES];
        int count = 0, chosen = 0;
        while (count < MAX_CHOICES && args->command->commands[count]) names[count] = args->command->commands[count]->name, count++;
        if (*at < argc && (!strcmp(argv[*at], "--help") || !strcmp(argv[*at], "-h"))) return args->help = true, SKY_OK;
        if (*at >= argc) {
            sky_fail(SKY_USAGE, args->path, "needs a command behind it");
            return sky_hint("'skygem %s --help' lists them", args->path);
        }
        SKY_TRY(sky_choose(argv[*at], args->path, names, count, &chosen));
        args->command = args->command->commands[chosen];
        const size_t used = strlen(args->path);
        snprintf(args->path + used, sizeof args->path - used, " %s", args->command->name);
        ++*at;
    }
    return SKY_OK;
}

static sky_status check_operands(const struct sky_args *args)
{
    const struct sky_command *command = args->command;
    for (int i = 0; i < args->operand_count && !(i && command->passes_on); i++) {
        if (*args->operands[i]) continue;
        sky_fail(SKY_USAGE, args->path, "argument %d is empty", i + 1);
        return hint_empty();
    }
    if (args->operand_count < command->min_operands) {
        sky_fail(SKY_USAGE, args->path, "needs %s", command->operands);
        return sky_hint("usage: skygem %s %s; 'skygem %s --help' tells more", args->path, command->operands, args->path);
    }
    if (command->max_operands >= 0 && args->operand_count > command->max_operands) {
        sky_fail(SKY_USAGE, args->path, "does not know what to do with '%s'", args->operands[command->max_operands]);
        return sky_hint("'skygem %s --help' tells what it takes", args->path);
    }
    return SKY_OK;
}

sky_status sky_args_parse(struct sky_args *args, const struct sky_command *command, int argc, char **argv)
{
    sky_status status = SKY_OK;
    bool only_operands = false;
    int at = 1;
    memset(args, 0, sizeof *args);
    args->command = command;
    snprintf(args->path, sizeof args->path, "%s", command->name);
    SKY_TRY_DONE(sky_alloc(&args->operands, (size_t)argc + 1, sizeof *args->operands, "command line"));
    SKY_TRY_DONE(sky_alloc(&args->given, (size_t)argc + 1, sizeof *args->given, "command line"));
    SKY_TRY_DONE(choose_command(args, argc, argv, &at));
    for (; at < argc && !args->command->commands; at++) {
        const char *argument = argv[at];
        if (!only_operands && !strcmp(argument, "--")) only_operands = true;
        else if (only_operands || argument[0] != '-' || !argument[1]) {
            args->operands[args->operand_count++] = argument;
            only_operands = only_operands || args->command->passes_on;
        }
        else SKY_TRY_DONE(parse_option(args, argc, argv, &at));
    }
    if (!args->help) SKY_TRY_DONE(check_operands(args));
done:
    if (status != SKY_OK) sky_args_free(args);
    return status;
}

void sky_args_free(struct sky_args *args)
{
    free(args->operands);
    free(args->given);
    memset(args, 0, sizeof *args);
}

/* ---- reading ---- */

static const struct sky_given *last_given(const struct sky_args *args, const char *name)
{
    for (int i = args->given_count; i-- > 0;) {
        if (!strcmp(args->given[i].option->name, name)) return &args->given[i];
    }
    return NULL;
}

bool sky_args_given(const struct sky_args *args, const char *name)
{
    return last_given(args, name) != NULL;
}

const char *sky_args_text(const struct sky_args *args, const char *name)
{
    const struct sky_given *given = last_given(args, name);
    if (given) return given->value;
    const struct sky_option *option = find_option(args->command, name, strlen(name), 0);
    return option ? option->fallback : NULL;
}

static sky_status check_known(const struct sky_args *args, const char *name)
{
    if (find_option(args->command, name, strlen(name), 0)) return SKY_OK;
    return sky_fail(SKY_INTERNAL, args->path, "the command asks for --%s, which is not in its table", name);
}

sky_status sky_args_int(const struct sky_args *args, const char *name, int64_t low, int64_t high, int64_t *out)
{
    int64_t value = 0;
    SKY_TRY(check_known(args, name));
    const char *text = sky_args_text(args, name);
    if (!text) return SKY_OK;
    if (!sky_parse_int(text, &value)) return sky_fail(SKY_USAGE, args->path, "--%s must be a whole number, not '%s'", name, text);
    if (value < low || value > high)
        return sky_fail(SKY_USAGE, args->path, "--%s must be from %lld to %lld, not %s", name, (long long)low, (long long)high, text);
    *out = value;
    return SKY_OK;
}

sky_status sky_args_double(const struct sky_args *args, const char *name, double low, double high, double *out)
{
    double value = 0;
    SKY_TRY(check_known(args, name));
    const char *text = sky_args_text(args, name);
    if (!text) return SKY_OK;
    if (!sky_parse_double(text, &value)) return sky_fail(SKY_USAGE, args->path, "--%s must be a number, not '%s'", name, text);
    if (!(value >= low && value <= high)) return sky_fail(SKY_USAGE, args->path, "--%s must be from %g to %g, not %s", name, low, high, text);
    *out = value;
    return SKY_OK;
}

sky_status sky_args_choice(const struct sky_args *args, const char *name, const char *const *choices, int count, int *out)
{
    char what[64];
    SKY_TRY(check_known(args, name));
    const char *text = sky_args_text(args, name);
    if (!text) return SKY_OK;
    snprintf(what, sizeof what, "--%s", name);
    return sky_choose(text, what, choices, count, out);
}

sky_status sky_args_view(const struct sky_args *args, int *view)
{
    const char *names[SKY_VIEW_COUNT];
    for (int v = 0; v < SKY_VIEW_COUNT; v++) names[v] = sky_view_name(v);
    return sky_args_choice(args, "view", names, SKY_VIEW_COUNT, view);
}

sky_status sky_args_list(const struct sky_args *args, const char *name, const char ***out, int *count)
{
    const char **values = NULL;
    int found = 0;
    SKY_TRY(check_known(args, name));
    SKY_TRY(sky_alloc(&values, (size_t)args->given_count + 1, sizeof *values, "command line"));
    for (int i = 0; i < args->given_count; i++) {
        if (!strcmp(args->given[i].option->name, name)) values[found++] = args->given[i].value;
    }
    *out = values;
    *count = found;
    return SKY_OK;
}

/* ---- help ---- */

const struct sky_option *sky_args_common_options(void)
{
    return common_options;
}

static void help_options(struct sky_text *help, const struct sky_option *table)
{
    for (const struct sky_option *option = table; option && option->name; option++) {
        const size_t start = help->length;
        if (option->letter) sky_text_format(help, "  -%c, --%s", option->letter, option->name);
        else sky_text_format(help, "      --%s", option->name);
        if (option->value) sky_text_format(help, " %s", option->value);
        const size_t used = help->length - start;
        if (used + 2 > HELP_COLUMN) sky_text_format(help, "\n%*s", HELP_COLUMN, "");
        else sky_text_format(help, "%*s", (int)(HELP_COLUMN - used), "");
        sky_text_append(help, option->doc);
        if (option->repeats) sky_text_append(help, "; may be given several times");
        if (option->fallback) sky_text_format(help, " (default: %s)", option->fallback);
        sky_text_append(help, "\n");
    }
}

sky_status sky_args_help(const struct sky_args *args, char **out)
{
    struct sky_text help = {0};
    const struct sky_command *command = args->command;
    sky_text_format(&help, "Usage: skygem %s%s%s%s\n\n%c%s.\n", args->path, command->operands ? " " : "", command->operands ? command->operands : "",
                    command->commands ? " COMMAND" : " [options]", toupper((unsigned char)command->doc[0]), command->doc + 1);
    if (command->details) sky_text_format(&help, "\n%s\n", command->details);
    if (command->commands) {
        sky_text_append(&help, "\nCommands:\n");
        for (const struct sky_command *const *inner = command->commands; *inner; inner++) sky_text_format(&help, "  %-12s %s\n", (*inner)->name, (*inner)->doc);
    } else {
        sky_text_append(&help, "\nOptions:\n");
        help_options(&help, command->options);
        help_options(&help, common_options);
    }
    const sky_status status = sky_text_status(&help, "help");
    if (status == SKY_OK) *out = help.text;
    else sky_text_free(&help);
    return status;
}
