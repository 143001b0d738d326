/*
 * What the files of `skygem weights` share.
 */
#ifndef SKY_CLI_WEIGHTS_H
#define SKY_CLI_WEIGHTS_H

#include "commands.h"

/* SKY_USAGE where the output (may be NULL) is the file that is read: it would be lost. */
sky_status sky_weights_check_output(const char *input, const char *output);

extern const struct sky_command sky_command_weights_show;
extern const struct sky_command sky_command_weights_import;
extern const struct sky_command sky_command_weights_export;

#endif
