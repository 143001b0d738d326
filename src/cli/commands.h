/*
 * The program's commands, one a file: cmd_NAME.c defines `const struct sky_command sky_command_NAME` (its options table and run function); it is declared
 * here, one line a command, and has one row in the table in main.c. A command prints its results on stdout and nothing else there; messages go through
 * sky_log (stderr). It returns a status; main prints the failure and chooses the exit code.
 */
#ifndef SKY_CLI_COMMANDS_H
#define SKY_CLI_COMMANDS_H

#include "args.h"

extern const struct sky_command sky_command_train;
extern const struct sky_command sky_command_eval;
extern const struct sky_command sky_command_score;
extern const struct sky_command sky_command_embed, sky_command_index, sky_command_locate;
extern const struct sky_command sky_command_info;
extern const struct sky_command sky_command_init;
extern const struct sky_command sky_command_weights;
extern const struct sky_command sky_command_table;
extern const struct sky_command sky_command_report, sky_command_explain;
extern const struct sky_command sky_command_bench;
extern const struct sky_command sky_command_data, sky_command_data_check, sky_command_data_stats;
extern const struct sky_command sky_command_launch;
extern const struct sky_command sky_command_doctor;

#endif
