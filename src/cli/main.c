/*
 * The program: one table of commands, the choice among them, help and version, and the only place where a failure becomes an exit code.
 * The locale is never set, so every number the program reads or prints has a decimal point.
 */
#include "commands.h"
#include "console.h"
#include "manual.h"

#include "base/str.h"
#include "skygem/skygem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of the overview. */
static const struct sky_command *const commands[] = {
    &sky_command_init,
    &sky_command_train,
    &sky_command_eval,
    &sky_command_score,
    &sky_command_embed,
    &sky_command_index,
    &sky_command_locate,
    &sky_command_info,
    &sky_command_weights,
    &sky_command_data,
    &sky_command_table,
    &sky_command_report,
    &sky_command_explain,
    &sky_command_bench,
    &sky_command_launch,
    &sky_command_doctor,
    NULL,
};

static int is_one_of(const char *argument, const char *a, const char *b, const char *c)
{
    return !strcmp(argument, a) || !strcmp(argument, b) || !strcmp(argument, c);
}

static void print_overview(FILE *to)
{
    fputs("skygem " SKYGEM_VERSION ": cross-view geo-localization. Given a drone photo, find the satellite tile of the same place, and the other way round.\n\n"
          "Usage: skygem COMMAND [arguments]\n\nCommands:\n", to);
    for (const struct sky_command *const *command = commands; *command; command++) fprintf(to, "  %-10s %s\n", (*command)->name, (*command)->doc);
    fputs("  help       what a command takes (skygem help COMMAND) and every key of an experiment file (skygem help config);\n"
          "             skygem help man, bash, zsh: the manual page and the shells' completions\n"
          "  version    the program's version\n\n"
          "Exit codes: 0 ok, 1 run time, 2 usage or configuration, 3 data, 4 device or library, 5 another rank, 6 not a number, 75 stopped by a signal\n"
          "with a checkpoint to resume from.\n", to);
}

static sky_status choose(const char *name, const struct sky_command **out)
{
    const char *names[sizeof commands / sizeof *commands + 2];
    int count = 0, chosen = 0;
    for (; commands[count]; count++) names[count] = commands[count]->name;
    names[count] = "help";
    names[count + 1] = "version";
    if (sky_choose(name, "skygem", names, count + 2, &chosen) != SKY_OK)
        return *sky_error_last()->hint ? SKY_USAGE : sky_hint("'skygem help' tells what each does");
    *out = chosen < count ? commands[chosen] : NULL;
    return SKY_OK;
}

static sky_status run_command(const struct sky_command *command, int argc, char **argv)
{
    sky_status status = SKY_OK;
    struct sky_args args = {0};
    char *help = NULL;
    SKY_TRY(sky_args_parse(&args, command, argc, argv));
    sky_console_open(args.quiet ? SKY_LOG_WARNING : args.verbose ? SKY_LOG_DEBUG : SKY_LOG_INFO);
    if (args.help) {
        SKY_TRY_DONE(sky_args_help(&args, &help));
        fputs(help, stdout);
    } else {
        SKY_TRY_DONE(args.command->run(&args));
    }
done:
    free(help);
    sky_args_free(&args);
    return status;
}

static sky_status print_config_help(void)
{
    char *text = NULL;
    SKY_TRY(sky_config_help(&text));
    fputs(text, stdout);
    free(text);
    return SKY_OK;
}

/* The manual page or a shell's completion. */
static sky_status print_manual(const char *kind)
{
    struct sky_text text = {0};
    sky_status status = SKY_OK;
    if (!strcmp(kind, "man")) status = sky_manual_page(commands, &text);
    else if (!strcmp(kind, "bash")) sky_manual_bash(commands, &text);
    else sky_manual_zsh(commands, &text);
    if (status == SKY_OK) status = sky_text_status(&text, "the manual");
    if (status == SKY_OK) fputs(text.text, stdout);
    sky_text_free(&text);
    return status;
}

/* skygem help config, skygem help man|bash|zsh, or skygem help [COMMAND [SUB-COMMAND]] is skygem COMMAND [SUB-COMMAND] --help. */
static sky_status run_help(int argc, char **argv)
{
    char option[] = "--help";
    char *arguments[4] = {argv[0]};
    const struct sky_command *command = NULL;
    if (argc < 3) return print_overview(stdout), SKY_OK;
    if (argc > 4) return sky_fail(SKY_USAGE, "skygem help", "takes a command's name, not %d words", argc - 2);
    if (argc > 3 && !strcmp(argv[2], "config")) return sky_fail(SKY_USAGE, "skygem help config", "prints every key of every section and takes no further word");
    if (argc == 3 && !strcmp(argv[2], "config")) return print_config_help();
    if (argc == 3 && is_one_of(argv[2], "man", "bash", "zsh")) return print_manual(argv[2]);
    SKY_TRY(choose(argv[2], &command));
    if (!command) return print_overview(stdout), SKY_OK;
    for (int i = 3; i < argc; i++) arguments[i - 2] = argv[i];
    arguments[argc - 2] = option;
    return run_command(command, argc - 1, arguments);
}

static sky_status run_program(int argc, char **argv)
{
    const struct sky_command *command = NULL;
    if (argc < 2) {
        print_overview(stderr);
        return SKY_USAGE;
    }
    if (is_one_of(argv[1], "--version", "-V", "version")) return puts("skygem " SKYGEM_VERSION), SKY_OK;
    if (is_one_of(argv[1], "--help", "-h", "help")) return run_help(argc, argv);
    SKY_TRY(choose(argv[1], &command));
    return run_command(command, argc - 1, argv + 1);
}

/*
 * OpenMP reads its waiting policy when it is loaded. Threads that spin burn whole time slices of each other and of the loader's threads wherever a core is shared (steps took three
 * times as long); sleeping costs nothing that can be measured on a quiet machine. So sleep, unless the user chose: set it and start again.
 */
static void wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("KMP_BLOCKTIME")) return;
    if (setenv("OMP_WAIT_POLICY", "passive", 1) == 0) execv("/proc/self/exe", argv); /* without /proc we go on as we are */
}

int main(int argc, char **argv)
{
    wait_passively(argv);
    sky_console_open(SKY_LOG_INFO);
    sky_status status = run_program(argc, argv);
    if (status != SKY_OK && argc > 1) sky_console_error(sky_error_last());
    const sky_status closed = sky_console_close();
    if (closed != SKY_OK && status == SKY_OK) {
        status = closed;
        sky_console_error(sky_error_last());
    }
    return sky_status_exit_code(status);
}
