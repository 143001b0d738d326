/*
 * Between the two files that make a table: the reader of paper.csv (table.c) and the reader of runs (table_runs.c).
 */
#ifndef SKY_REPORT_TABLE_ROW_H
#define SKY_REPORT_TABLE_ROW_H

#include "skygem/config.h"
#include "table.h"

/* Fills everything of the row but what paper.csv says, from the runs in `folder` (itself a run, or a folder of runs; may be missing). */
sky_status sky_table_row_gather(struct sky_table_row *row, const char *folder, const struct sky_config *experiment);

#endif
