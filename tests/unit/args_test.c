/*
 * Command lines against a table: every way to write an option, what is refused and how, reading values, help.
 */
#include "check.h"

#include "cli/args.h"

static sky_status nothing(const struct sky_args *args)
{
    (void)args;
    return SKY_OK;
}

static const struct sky_option find_options[] = {
    {"output", 'o', "DIR", "runs", "where it goes", false},
    {"count", 'k', "N", "5", "how many", false},
    {"scale", 0, "X", NULL, "how much", false},
    {"set", 0, "S.K=V", NULL, "override a key", true},
    {"json", 0, NULL, NULL, "print JSON", false},
    {0},
};
static const struct sky_command find = {"find", "FILE...", 1, 3, "finds things", "More about it.", find_options, nothing, false, NULL};
static const struct sky_command check = {"check", NULL, 0, 0, "checks things", NULL, NULL, nothing, false, NULL};
static const struct sky_command *const inner[] = {&find, &check, NULL};
static const struct sky_command outer = {.name = "data", .doc = "works on data", .commands = inner};

/* Splits a line at blanks and parses it; the texts live in `words` until the next call. */
static sky_status parse(struct sky_args *args, const struct sky_command *command, const char *line)
{
    static char words[256], *argv[32];
    int argc = 0;
    snprintf(words, sizeof words, "skygem %s", line);
    for (char *at = strtok(words, " "); at; at = strtok(NULL, " ")) argv[argc++] = at;
    argv[argc] = NULL;
    return sky_args_parse(args, command, argc, argv);
}

static void test_good(void)
{
    struct sky_args args = {0};
    const char **list = NULL;
    int count = 0;
    int64_t number = 0;
    double scale = 7;
    CHECK_OK(parse(&args, &find, "a -o out --count=9 b --set x.y=1 --json -v --set z= -- --c"));
    CHECK(args.operand_count == 3 && !strcmp(args.operands[0], "a") && !strcmp(args.operands[1], "b") && !strcmp(args.operands[2], "--c"));
    CHECK(!strcmp(sky_args_text(&args, "output"), "out") && sky_args_given(&args, "json") && args.verbose && !args.quiet && !args.help);
    CHECK_OK(sky_args_int(&args, "count", 1, 10, &number));
    CHECK(number == 9);
    CHECK_OK(sky_args_double(&args, "scale", 0, 1, &scale));
    CHECK(scale == 7 && !sky_args_given(&args, "scale") && sky_args_text(&args, "scale") == NULL);
    CHECK_OK(sky_args_list(&args, "set", &list, &count));
    CHECK(count == 2 && !strcmp(list[0], "x.y=1") && !strcmp(list[1], "z="));
    free(list);
    CHECK_FAILS(sky_args_int(&args, "count", 1, 8, &number), SKY_USAGE, "--count must be from 1 to 8, not 9");
    CHECK_FAILS(sky_args_int(&args, "absent", 1, 8, &number), SKY_INTERNAL, "absent");
    sky_args_free(&args);
    sky_args_free(&args);

    CHECK_OK(parse(&args, &find, "-oout -k 3 - -h"));
    CHECK(!strcmp(sky_args_text(&args, "output"), "out") && args.operand_count == 1 && !strcmp(args.operands[0], "-") && args.help);
    sky_args_free(&args);
    CHECK_OK(parse(&args, &find, "a"));
    CHECK(!strcmp(sky_args_text(&args, "output"), "runs") && !sky_args_given(&args, "output"));
    CHECK_OK(sky_args_int(&args, "count", 1, 10, &number));
    CHECK(number == 5);
    sky_args_free(&args);
    CHECK_OK(parse(&args, &find, "--help")); /* forgives the missing operand */
    sky_args_free(&args);
    CHECK_OK(parse(&args, &outer, "find --scale 0.5 a"));
    CHECK(!strcmp(args.path, "data find") && args.command == &find);
    CHECK_OK(sky_args_double(&args, "scale", 0, 1, &scale));
    CHECK(scale == 0.5);
    sky_args_free(&args);
}

static void test_bad(void)
{
    static const struct {
        const char *line, *what;
    } cases[] = {
        {"", "needs FILE..."},
        {"a b c d", "does not know what to do with 'd'"},
        {"a --cuont 3", "did you mean --count?"},
        {"a --zzzzzz", "'skygem find --help' lists all"},
        {"a -x", "unknown option -x"},
        {"a --count", "--count needs a value: N"},
        {"a -k", "--count needs a value: N"},
        {"a --output=", "--output needs a value (DIR) and is given an empty one"},
        {"a --json=yes", "--json takes no value, but is given 'yes'"},
        {"a -o x -o y", "--output is given twice: x and y"},
        {"a --=3", "unknown option --"},
    };
    struct sky_args args = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FAILS(parse(&args, &find, cases[i].line), SKY_USAGE, cases[i].what);
        CHECK(args.operands == NULL && args.given == NULL);
    }
    CHECK_FAILS(parse(&args, &outer, ""), SKY_USAGE, "needs a command");
    CHECK_FAILS(parse(&args, &outer, "chekc"), SKY_USAGE, "did you mean check?");
    CHECK_FAILS(parse(&args, &check, "x"), SKY_USAGE, "does not know what to do with 'x'");

    int64_t number = 0;
    double scale = 0;
    int choice = -1;
    static const char *const choices[] = {"full", "none"};
    CHECK_OK(parse(&args, &find, "a --count 3x --scale nan --output fulll"));
    CHECK_FAILS(sky_args_int(&args, "count", 1, 8, &number), SKY_USAGE, "whole number, not '3x'");
    CHECK_FAILS(sky_args_double(&args, "scale", 0, 1, &scale), SKY_USAGE, "must be a number, not 'nan'");
    CHECK_FAILS(sky_args_choice(&args, "output", choices, 2, &choice), SKY_USAGE, "did you mean full?");
    CHECK(choice == -1);
    sky_args_free(&args);
}

static void test_help(void)
{
    struct sky_args args = {0};
    char *help = NULL;
    CHECK_OK(parse(&args, &find, "--help"));
    CHECK_OK(sky_args_help(&args, &help));
    CHECK(strstr(help, "Usage: skygem find FILE... [options]\n") && strstr(help, "Finds things.") && strstr(help, "More about it."));
    CHECK(strstr(help, "  -o, --output DIR            where it goes (default: runs)\n"));
    CHECK(strstr(help, "      --set S.K=V             override a key; may be given several times\n") && strstr(help, "--quiet"));
    free(help);
    sky_args_free(&args);
    CHECK_OK(parse(&args, &outer, "--help"));
    CHECK_OK(sky_args_help(&args, &help));
    CHECK(strstr(help, "Usage: skygem data COMMAND\n") && strstr(help, "Works on data.") && strstr(help, "  find         finds things\n") && !strstr(help, "Options"));
    free(help);
    sky_args_free(&args);
}

int main(void)
{
    test_good();
    test_bad();
    test_help();
    return check_done();
}
