/*
 * The reader behind csv.h: one pass over the file's text, which is cut into cells in place.
 */
#include "csv.h"

#include "base/fs.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_LIMIT = 1 << 30 };

struct reading {
    struct sky_csv *csv;
    const char *path;
    char *at, *end;
    int line;
    int64_t row_capacity, cell_count, cell_capacity;
};

static sky_status refuse(const struct reading *r, int line, const char *what)
{
    char where[1024];
    snprintf(where, sizeof where, "%s:%d", r->path, line);
    return sky_fail(SKY_DATA, where, "%s", what);
}

/* Cuts the cell at r->at out of the text: *cell ends with NUL, r->at stands behind it, *last tells whether the line ended. */
static sky_status read_cell(struct reading *r, char **cell, int *last)
{
    const int line = r->line;
    char *to;
    if (r->at < r->end && *r->at == '"') {
        *cell = to = ++r->at;
        for (;; r->at++) {
            if (r->at == r->end) return refuse(r, line, "a quote is opened and never closed");
            if (*r->at == '"' && r->at[1] != '"') break;
            if (*r->at == '"') r->at++;
            r->line += *r->at == '\n';
            *to++ = *r->at;
        }
        r->at++;
        if (r->at < r->end && *r->at == '\r' && r->at[1] == '\n') r->at++;
        if (r->at < r->end && *r->at != ',' && *r->at != '\n') return refuse(r, r->line, "something follows a closing quote");
    } else {
        *cell = r->at;
        while (r->at < r->end && *r->at != ',' && *r->at != '\n') {
            if (*r->at++ == '"') return refuse(r, line, "a quote in the middle of a cell; write the whole cell in quotes, and quotes in it doubled");
        }
        to = r->at > *cell && r->at < r->end && *r->at == '\n' && r->at[-1] == '\r' ? r->at - 1 : r->at;
    }
    *last = r->at == r->end || *r->at == '\n';
    if (r->at < r->end) r->line += *r->at++ == '\n';
    *to = 0;
    return SKY_OK;
}

static sky_status read_row(struct reading *r)
{
    const int line = r->line;
    const int64_t first = r->cell_count;
    int last = 0;
    SKY_TRY(sky_grow(&r->csv->rows, r->csv->count, &r->row_capacity, sizeof *r->csv->rows, r->path));
    while (!last) {
        SKY_TRY(sky_grow(&r->csv->cells, r->cell_count, &r->cell_capacity, sizeof *r->csv->cells, r->path));
        SKY_TRY(read_cell(r, &r->csv->cells[r->cell_count], &last));
        r->cell_count++;
    }
    if (r->cell_count - first == 1 && !*r->csv->cells[first]) r->cell_count = first; /* a blank line */
    else r->csv->rows[r->csv->count++] = (struct sky_csv_row){.line = line, .count = (int)(r->cell_count - first)};
    return SKY_OK;
}

sky_status sky_csv_read(struct sky_csv *csv, const char *path)
{
    size_t bytes = 0;
    sky_status status = SKY_OK;
    memset(csv, 0, sizeof *csv);
    SKY_TRY(sky_file_read(path, BYTES_LIMIT, &csv->text, &bytes));
    struct reading r = {.csv = csv, .path = path, .at = csv->text, .end = csv->text + bytes, .line = 1};
    if (memchr(csv->text, 0, bytes)) SKY_TRY_DONE(refuse(&r, 1, "it has a zero byte: not a text"));
    if (bytes >= 3 && !memcmp(csv->text, "\xef\xbb\xbf", 3)) r.at += 3;
    while (r.at < r.end) SKY_TRY_DONE(read_row(&r));
    char **cells = csv->cells; /* they do not move any more */
    for (int64_t i = 0; i < csv->count; i++) {
        csv->rows[i].cells = cells;
        cells += csv->rows[i].count;
    }
done:
    if (status != SKY_OK) sky_csv_free(csv);
    return status;
}

void sky_csv_free(struct sky_csv *csv)
{
    free(csv->rows);
    free(csv->cells);
    free(csv->text);
    memset(csv, 0, sizeof *csv);
}
