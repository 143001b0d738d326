/*
 * What the files of `skygem weights` share.
 */
#ifndef SKY_CLI_WEIGHTS_H
#define SKY_CLI_WEIGHTS_H

#include "commands.h"

extern const struct sky_command sky_command_weights_show;
extern const struct sky_command sky_command_weights_import;
extern const struct sky_command sky_command_weights_export;

#endif
