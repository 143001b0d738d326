/*
 * report.html of a run folder, as the commands write it.
 */
#ifndef SKY_CLI_RUN_REPORT_H
#define SKY_CLI_RUN_REPORT_H

#include "skygem/status.h"

/* Reads the run folders and writes the page, atomically. */
sky_status sky_run_report_write(const char *const *folders, int count, const char *path);

#endif
