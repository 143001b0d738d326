/*
 * Writes the manual page and the completions. Owns nothing but the text it appends to.
 */
#include "manual.h"

#include "skygem/config.h"
#include "skygem/skygem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the manual page ---- */

/* Text as troff takes it: its own characters escaped, hyphens kept as typed, no line that begins like a request. */
static void append_troff(struct sky_text *out, const char *text)
{
    bool line_starts = true;
    for (; *text; text++) {
        if (line_starts && (*text == '.' || *text == '\'')) sky_text_append(out, "\\&");
        if (*text == '\\') sky_text_append(out, "\\e");
        else if (*text == '-') sky_text_append(out, "\\-");
        else sky_text_append_bytes(out, text, 1);
        line_starts = *text == '\n';
    }
}

static void append_option(struct sky_text *out, const struct sky_option *option)
{
    sky_text_append(out, ".TP\n\\fB");
    if (option->letter) sky_text_format(out, "\\-%c\\fR, \\fB", option->letter);
    sky_text_append(out, "\\-\\-");
    append_troff(out, option->name);
    sky_text_append(out, "\\fR");
    if (option->value) sky_text_append(out, " \\fI"), append_troff(out, option->value), sky_text_append(out, "\\fR");
    sky_text_append(out, "\n");
    append_troff(out, option->doc);
    if (option->repeats) sky_text_append(out, "; may be given several times");
    if (option->fallback) sky_text_append(out, " (default: "), append_troff(out, option->fallback), sky_text_append(out, ")");
    sky_text_append(out, "\n");
}

static void append_command(struct sky_text *out, const struct sky_command *command, const char *parent)
{
    char path[96];
    snprintf(path, sizeof path, "%s%s%s", parent, *parent ? " " : "", command->name);
    if (command->commands) {
        for (const struct sky_command *const *inner = command->commands; *inner; inner++) append_command(out, *inner, path);
        return;
    }
    sky_text_append(out, ".SS skygem ");
    append_troff(out, path);
    if (command->operands) sky_text_append(out, " "), append_troff(out, command->operands);
    sky_text_format(out, "\n%c", toupper((unsigned char)command->doc[0]));
    append_troff(out, command->doc + 1);
    sky_text_append(out, ".\n");
    if (command->details) sky_text_append(out, ".PP\n"), append_troff(out, command->details), sky_text_append(out, "\n");
    for (const struct sky_option *option = command->options; option && option->name; option++) append_option(out, option);
}

sky_status sky_manual_page(const struct sky_command *const *commands, struct sky_text *out)
{
    char *keys = NULL;
    SKY_TRY(sky_config_help(&keys));
    sky_text_append(out, ".TH SKYGEM 1 \"\" \"skygem " SKYGEM_VERSION "\"\n"
                         ".SH NAME\nskygem \\- cross-view image geo-localization: training, evaluation, retrieval\n"
                         ".SH SYNOPSIS\n.B skygem\n.I COMMAND\n[\\fIarguments\\fR]\n.SH DESCRIPTION\n"
                         "Given a drone photo, finds the satellite tile of the same place, and the other way round. "
                         "A model is trained as an experiment file (.ini) says, evaluated on places it\n"
                         "never saw, and used to find photographs among tiles. Results go to the standard output, everything else to the standard error.\n"
                         ".SH COMMANDS\n");
    for (const struct sky_command *const *command = commands; *command; command++) append_command(out, *command, "");
    sky_text_append(out, ".SS Options of every command\n");
    for (const struct sky_option *option = sky_args_common_options(); option->name; option++) append_option(out, option);
    sky_text_append(out, ".SH EXPERIMENT FILES\n.nf\n");
    append_troff(out, keys);
    sky_text_append(out, ".fi\n.SH EXIT STATUS\n.TP\n0\nsuccess\n.TP\n1\na failure while running\n.TP\n2\nwrong usage or configuration\n"
                         ".TP\n3\nwrong data\n.TP\n4\na device or library\n"
                         ".TP\n5\nanother rank\n.TP\n6\na number that is not finite\n.TP\n75\nstopped by a signal; a checkpoint to resume from was written\n"
                         ".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colours\n.TP\n.B OMP_WAIT_POLICY\nhow threads wait (default here: passive)\n");
    free(keys);
    return sky_text_status(out, "the manual page");
}

/* ---- completions ---- */

static void append_options(struct sky_text *out, const struct sky_option *table)
{
    for (const struct sky_option *option = table; option && option->name; option++) sky_text_format(out, "--%s ", option->name);
}

/* "train) words='--output ...' ;;" for each command; sub-commands as "data check)". */
static void append_cases(struct sky_text *out, const struct sky_command *const *commands, const char *parent)
{
    for (const struct sky_command *const *command = commands; *command; command++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s%s", parent, *parent ? " " : "", (*command)->name);
        sky_text_format(out, "    '%s') words='", path);
        for (const struct sky_command *const *inner = (*command)->commands; inner && *inner; inner++) sky_text_format(out, "%s ", (*inner)->name);
        append_options(out, (*command)->options);
        append_options(out, sky_args_common_options());
        sky_text_append(out, "' ;;\n");
        if ((*command)->commands) append_cases(out, (*command)->commands, path);
    }
}

static void append_names(struct sky_text *out, const struct sky_command *const *commands)
{
    for (const struct sky_command *const *command = commands; *command; command++) sky_text_format(out, "%s ", (*command)->name);
    sky_text_append(out, "help version");
}

static void append_keys(struct sky_text *out)
{
    const char *name;
    for (int i = 0; (name = sky_config_key_name(i)); i++) sky_text_format(out, "%s%s=", i ? " " : "", name);
}

/* Names of commands that have commands of their own, as a pattern: data|weights. */
static void append_parents(struct sky_text *out, const struct sky_command *const *commands)
{
    int count = 0;
    for (const struct sky_command *const *command = commands; *command; command++)
        if ((*command)->commands) sky_text_format(out, "%s%s", count++ ? "|" : "", (*command)->name);
}

void sky_manual_bash(const struct sky_command *const *commands, struct sky_text *out)
{
    sky_text_append(out, "# bash completion of skygem, made by 'skygem help bash'\n_skygem()\n{\n"
                         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} words\n"
                         "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W '");
    append_names(out, commands);
    sky_text_append(out, "' -- \"$word\"))\n        return\n    fi\n    if [ \"$before\" = --set ] || [ \"$before\" = -s ]; then\n"
                         "        compopt -o nospace\n        COMPREPLY=($(compgen -W '");
    append_keys(out);
    sky_text_append(out, "' -- \"$word\"))\n        return\n    fi\n    case $command in\n    ");
    append_parents(out, commands);
    sky_text_append(out, ") [ \"$COMP_CWORD\" -gt 2 ] && command=\"$command ${COMP_WORDS[2]}\" ;;\n    esac\n    case $command in\n");
    append_cases(out, commands, "");
    sky_text_append(out, "    esac\n    case $word in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n    *)\n"
                         "        COMPREPLY=($(compgen -W \"$(printf '%s\\n' $words | grep -v '^-')\" -- \"$word\"))\n        compopt -o filenames\n"
                         "        COMPREPLY+=($(compgen -f -- \"$word\"))\n        ;;\n"
                         "    esac\n}\ncomplete -F _skygem skygem\n");
}

void sky_manual_zsh(const struct sky_command *const *commands, struct sky_text *out)
{
    sky_text_append(out, "#compdef skygem\n# zsh completion of skygem, made by 'skygem help zsh'\n_skygem()\n{\n    local command=$words[2] before=$words[CURRENT-1] options\n"
                         "    if (( CURRENT == 2 )); then\n        compadd -- ");
    append_names(out, commands);
    sky_text_append(out, "\n        return\n    fi\n    if [[ $before == --set || $before == -s ]]; then\n        compadd -S '' -- ");
    append_keys(out);
    sky_text_append(out, "\n        return\n    fi\n    case $command in\n    ");
    append_parents(out, commands);
    sky_text_append(out, ") (( CURRENT > 3 )) && command=\"$command $words[3]\" ;;\n    esac\n    case $command in\n");
    struct sky_text cases = {0};
    append_cases(&cases, commands, "");
    for (const char *at = cases.text ? cases.text : ""; *at;) { /* in zsh, words is the command line itself */
        if (!strncmp(at, "words='", 7)) sky_text_append(out, "options='"), at += 7;
        else sky_text_append_bytes(out, at++, 1);
    }
    sky_text_free(&cases);
    sky_text_append(out, "    esac\n    if [[ $words[CURRENT] == -* ]]; then\n        compadd -- ${(M)${=options}:#-*}\n    else\n"
                         "        compadd -- ${${=options}:#-*}\n        _files\n    fi\n}\n_skygem \"$@\"\n");
}
