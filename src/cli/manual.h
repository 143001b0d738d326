/*
 * The manual page and the shells' completions, made from the tables of commands and keys. `skygem help man|bash|zsh` prints them, `cmake --install` puts them
 * where the system looks.
 */
#ifndef SKY_CLI_MANUAL_H
#define SKY_CLI_MANUAL_H

#include "args.h"
#include "base/str.h"

/* `commands` ends with NULL, here and below. */
sky_status sky_manual_page(const struct sky_command *const *commands, struct sky_text *out);    /* troff, for man(1) */
void sky_manual_bash(const struct sky_command *const *commands, struct sky_text *out);
void sky_manual_zsh(const struct sky_command *const *commands, struct sky_text *out);

#endif
