/*
 * A paper's table beside the runs that reproduce it. The folder of experiments holds paper.csv and one .ini a row; runs stand in RUNS/ROW or, one a seed, in RUNS/ROW/ANYTHING.
 */
#ifndef SKY_REPORT_TABLE_H
#define SKY_REPORT_TABLE_H

#include "base/str.h"
#include "skygem/status.h"

#include <stdint.h>

enum sky_table_score { SKY_TABLE_D2S_R1, SKY_TABLE_D2S_AP, SKY_TABLE_S2D_R1, SKY_TABLE_S2D_AP, SKY_TABLE_SCORES };

struct sky_table_row {
    char *name, *method;                       /* the .ini without its ending; as the paper calls it */
    double paper[SKY_TABLE_SCORES];            /* percent */
    int64_t runs, unfinished;                  /* with final scores; without */
    double mean[SKY_TABLE_SCORES];             /* percent, over the finished runs */
    double deviation[SKY_TABLE_SCORES];        /* sample standard deviation; 0 with fewer than two runs */
    int64_t plain;                             /* runs whose scores are without the mirrored pass ([eval] flip = no) */
    char *differs;                             /* in what the first finished run's settings differ from the row's .ini; "" = nothing */
    char *mixed;                               /* in what some finished run differs from the first, seeds apart; "" = nothing */
};

struct sky_table {
    char *remarks; /* paper.csv's comment lines, newline-separated; "" without any */
    struct sky_table_row *rows;
    int64_t row_count;
};

/* SKY_DATA names line and fault of paper.csv or the damaged file of a run. A row without runs is no error. Zero-initialise; sky_table_free. */
sky_status sky_table_read(struct sky_table *table, const char *experiments, const char *runs);
void sky_table_free(struct sky_table *table);

void sky_table_text(const struct sky_table *table, struct sky_text *out); /* for people, at most 160 columns */
void sky_table_json(const struct sky_table *table, struct sky_text *out); /* a list, one object a row */

#endif
