/*
 * Command lines from tables: a command lists its options once; parsing, --help with defaults, and "did you mean" come from that table.
 * Every command also understands --help, --quiet and --verbose. Long options may be written --name VALUE or --name=VALUE, short ones -n VALUE or
 * -nVALUE; options and operands mix freely; "--" ends the options.
 */
#ifndef SKY_CLI_ARGS_H
#define SKY_CLI_ARGS_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sky_option {
    const char *name;     /* "output" is written --output */
    char letter;          /* 'o' is written -o; 0 = no short form */
    const char *value;    /* what the value is, for the help: "DIR"; NULL = a switch without value */
    const char *fallback; /* default: shown in the help and returned by sky_args_text; NULL = none */
    const char *doc;      /* one line, lower case, no full stop */
    bool repeats;         /* may be given several times (read with sky_args_list) */
};

struct sky_args;

struct sky_command {
    const char *name;
    const char *operands; /* for the help: "EXPERIMENT.ini"; NULL = none */
    int min_operands, max_operands; /* max -1 = any number */
    const char *doc;      /* one line, lower case, no full stop: what the command does */
    const char *details;  /* more lines for --help, ending without newline, or NULL */
    const struct sky_option *options; /* ends with a row whose name is NULL; NULL = none */
    sky_status (*run)(const struct sky_args *args);
    bool passes_on;       /* all from the first operand on are operands, options too: a command line of its own */
    const struct sky_command *const *commands; /* sub-commands ("data check"), NULL at the end; then run and options are not used */
};

/* A parsed command line. Points into argv and the tables: valid as long as they are. */
struct sky_args {
    const struct sky_command *command;
    char path[64];        /* "data check": the command's full name */
    bool help, quiet, verbose;
    const char **operands; /* [operand_count] */
    int operand_count;
    struct sky_given {
        const struct sky_option *option;
        const char *value; /* NULL for a switch */
    } *given;             /* in the order of the command line */
    int given_count;
};

/*
 * Parses argv[1..] against `command`, descending into sub-commands. With --help anything that would be missing is forgiven. Zero-initialise;
 * free with sky_args_free. SKY_USAGE names what is wrong.
 */
sky_status sky_args_parse(struct sky_args *args, const struct sky_command *command, int argc, char **argv);
void sky_args_free(struct sky_args *args);

/* Reading. Asking for a name that is not in the command's table is SKY_INTERNAL in the functions with a status, NULL or false in the others. */
bool sky_args_given(const struct sky_args *args, const char *name);       /* a switch, or any option: was it on the command line? */
const char *sky_args_text(const struct sky_args *args, const char *name); /* the value, or the default, or NULL; the last one given wins */
sky_status sky_args_int(const struct sky_args *args, const char *name, int64_t low, int64_t high, int64_t *out); /* *out untouched without value or default */
sky_status sky_args_double(const struct sky_args *args, const char *name, double low, double high, double *out);
sky_status sky_args_choice(const struct sky_args *args, const char *name, const char *const *choices, int count, int *out); /* index of the choice */
sky_status sky_args_view(const struct sky_args *args, int *view); /* --view: enum sky_view */

/* All values of a repeatable option, in order. Heap array of borrowed texts in *out (NULL when none), caller frees the array. */
sky_status sky_args_list(const struct sky_args *args, const char *name, const char ***out, int *count);

/* Index of the choice `value` equals, or SKY_USAGE with all choices and the nearest. `what` is named: "--protocol", "command". */
sky_status sky_choose(const char *value, const char *what, const char *const *choices, int count, int *out);

/* What every command understands; ends with a row whose name is NULL. */
const struct sky_option *sky_args_common_options(void);

/* The text of "skygem PATH --help". Heap text in *out, caller frees. */
sky_status sky_args_help(const struct sky_args *args, char **out);

#endif
