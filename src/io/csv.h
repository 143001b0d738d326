/*
 * Comma-separated values: cells in "quotes" may hold commas, line breaks and doubled quotes; lines end with LF or CR LF; blank lines are left out; a byte order
 * mark is fine. Knows no columns.
 */
#ifndef SKY_IO_CSV_H
#define SKY_IO_CSV_H

#include "skygem/status.h"

#include <stdint.h>

struct sky_csv_row {
    int line;     /* where it starts */
    int count;    /* cells */
    char **cells; /* [count] */
};

/* Owns all texts. Zero-initialise; free with sky_csv_free. */
struct sky_csv {
    struct sky_csv_row *rows; /* [count] */
    int64_t count;
    char *text;   /* the file; the cells point into it */
    char **cells; /* of all rows, one behind the other */
};
sky_status sky_csv_read(struct sky_csv *csv, const char *path); /* SKY_DATA names file and line */
void sky_csv_free(struct sky_csv *csv);

#endif
