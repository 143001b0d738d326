/*
 * A paper's table beside our runs: reads paper.csv, has each row's runs gathered (table_runs.c), and prints both with their differences. Knows nothing of any one table.
 */
#include "table.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/memory.h"
#include "table_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char columns[] = "row,method,drone2satellite_r1,drone2satellite_ap,satellite2drone_r1,satellite2drone_ap";
static const char *const score_names[SKY_TABLE_SCORES] = {"drone2satellite_r1", "drone2satellite_ap", "satellite2drone_r1", "satellite2drone_ap"};

static sky_status bad_line(const char *path, int line, const char *what)
{
    char where[1100];
    snprintf(where, sizeof where, "%s:%d", path, line);
    sky_fail(SKY_DATA, where, "%s", what);
    return sky_hint("the file's first line that is no comment must be '%s', and every further line one row of that form", columns);
}

/* "name,method,1.5,2,3,4": cuts the line at its commas. */
static sky_status read_row(struct sky_table_row *row, char *line, const char *path, int number)
{
    char *field[2 + SKY_TABLE_SCORES];
    int count = 0;
    for (char *at = line; at;) {
        if (count == 2 + SKY_TABLE_SCORES) return bad_line(path, number, "has too many columns");
        field[count++] = at;
        at = strchr(at, ',');
        if (at) *at++ = 0;
    }
    if (count < 2 + SKY_TABLE_SCORES) return bad_line(path, number, "has too few columns");
    for (int k = 0; k < SKY_TABLE_SCORES; k++)
        if (!sky_parse_double(field[2 + k], &row->paper[k]) || row->paper[k] < 0 || row->paper[k] > 100) return bad_line(path, number, "a score is not a number from 0 to 100");
    SKY_TRY(sky_strdup(&row->name, field[0], "a row's name"));
    return sky_strdup(&row->method, field[1], "a row's method");
}

static sky_status read_lines(struct sky_table *table, char *text, const char *path)
{
    struct sky_text remarks = {0};
    int64_t room = 1;
    bool header = false;
    int number = 0;
    sky_status status = SKY_OK;
    for (const char *at = text; *at; at++) room += *at == '\n';
    SKY_TRY(sky_alloc(&table->rows, (size_t)room, sizeof *table->rows, "a table"));
    for (char *line = text, *next; line && status == SKY_OK; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        number++;
        if (!*line) continue;
        if (*line == '#') sky_text_format(&remarks, "%s%s", remarks.length ? "\n" : "", line + 1 + (line[1] == ' '));
        else if (header) status = read_row(&table->rows[table->row_count++], line, path, number);
        else if (strcmp(line, columns)) status = bad_line(path, number, "the columns are not those of a table");
        else header = true;
    }
    if (status == SKY_OK && !table->row_count) status = bad_line(path, number, "there is no row");
    if (status == SKY_OK) status = sky_text_status(&remarks, "remarks");
    if (status == SKY_OK) status = sky_strdup(&table->remarks, remarks.text ? remarks.text : "", "remarks");
    sky_text_free(&remarks);
    return status;
}

static sky_status read_paper(struct sky_table *table, const char *experiments)
{
    char *path = NULL, *text = NULL;
    size_t bytes = 0;
    SKY_TRY(sky_path_join(&path, experiments, "paper.csv"));
    sky_status status = sky_file_read(path, (size_t)1 << 20, &text, &bytes);
    if (status != SKY_OK) sky_hint("a table's folder holds paper.csv and one .ini a row: experiments/table2, experiments/table3");
    if (status == SKY_OK) status = read_lines(table, text, path);
    free(text);
    free(path);
    return status;
}

static sky_status gather(struct sky_table_row *row, const char *experiments, const char *runs)
{
    struct sky_config experiment = {0};
    struct sky_text name = {0};
    char *ini = NULL, *folder = NULL;
    sky_status status = SKY_OK;
    sky_text_format(&name, "%s.ini", row->name);
    SKY_TRY_DONE(sky_text_status(&name, "a row's name"));
    SKY_TRY_DONE(sky_path_join(&ini, experiments, name.text));
    SKY_TRY_DONE(sky_config_read(&experiment, ini, NULL, 0));
    SKY_TRY_DONE(sky_path_join(&folder, runs, row->name));
    status = sky_table_row_gather(row, folder, &experiment);
done:
    sky_config_free(&experiment);
    sky_text_free(&name);
    free(ini);
    free(folder);
    return status;
}

sky_status sky_table_read(struct sky_table *table, const char *experiments, const char *runs)
{
    sky_status status = read_paper(table, experiments);
    for (int64_t i = 0; i < table->row_count && status == SKY_OK; i++) status = gather(&table->rows[i], experiments, runs);
    if (status != SKY_OK) sky_table_free(table);
    return status;
}

void sky_table_free(struct sky_table *table)
{
    for (int64_t i = 0; i < table->row_count; i++) {
        struct sky_table_row *row = &table->rows[i];
        free(row->name), free(row->method), free(row->differs), free(row->mixed);
    }
    free(table->rows);
    free(table->remarks);
    memset(table, 0, sizeof *table);
}

/* One score: the paper's, ours with its deviation over several runs, and the difference. */
static void append_score(const struct sky_table_row *row, int score, struct sky_text *out)
{
    char ours[32] = "-", difference[16] = "";
    if (row->runs) {
        snprintf(difference, sizeof difference, "%+.2f", row->mean[score] - row->paper[score]);
        if (row->runs > 1) snprintf(ours, sizeof ours, "%.2f +-%.2f", row->mean[score], row->deviation[score]);
        else snprintf(ours, sizeof ours, "%.2f", row->mean[score]);
    }
    sky_text_format(out, " | %6.2f %13s %7s", row->paper[score], ours, difference);
}

static void append_notes(const struct sky_table_row *row, struct sky_text *out)
{
    if (row->unfinished) sky_text_format(out, "%s: %lld run%s without final scores, not counted\n", row->name, (long long)row->unfinished, row->unfinished > 1 ? "s" : "");
    if (row->plain) sky_text_format(out, "%s: %lld of %lld runs scored without the mirrored pass\n", row->name, (long long)row->plain, (long long)row->runs);
    if (row->differs && *row->differs) sky_text_format(out, "%s: not the table's experiment: %s\n", row->name, row->differs);
    if (row->mixed && *row->mixed) sky_text_format(out, "%s: RUNS OF DIFFERENT SETTINGS ARE AVERAGED: %s\n", row->name, row->mixed);
}

void sky_table_text(const struct sky_table *table, struct sky_text *out)
{
    sky_text_format(out, "%-30s %4s | %-28s | %-28s | %-28s | %-28s\n", "", "", "drone -> satellite R@1", "drone -> satellite AP", "satellite -> drone R@1",
                    "satellite -> drone AP");
    sky_text_format(out, "%-30s %4s", "method", "runs");
    for (int k = 0; k < SKY_TABLE_SCORES; k++) sky_text_format(out, " | %6s %13s %7s", "paper", "ours", "diff");
    sky_text_append(out, "\n");
    for (int64_t i = 0; i < table->row_count; i++) {
        sky_text_format(out, "%-30s %4lld", table->rows[i].method, (long long)table->rows[i].runs);
        for (int k = 0; k < SKY_TABLE_SCORES; k++) append_score(&table->rows[i], k, out);
        sky_text_append(out, "\n");
    }
    if (*table->remarks) sky_text_format(out, "%s\n", table->remarks);
    for (int64_t i = 0; i < table->row_count; i++) append_notes(&table->rows[i], out);
}

static void append_scores_json(struct sky_json_writer *w, const char *name, const double scores[SKY_TABLE_SCORES])
{
    sky_json_begin_object(w, name);
    for (int k = 0; k < SKY_TABLE_SCORES; k++) sky_json_double(w, score_names[k], scores[k]);
    sky_json_end_object(w);
}

void sky_table_json(const struct sky_table *table, struct sky_text *out)
{
    struct sky_json_writer w = {.out = out};
    sky_json_begin_array(&w, NULL);
    for (int64_t i = 0; i < table->row_count; i++) {
        const struct sky_table_row *row = &table->rows[i];
        sky_json_begin_object(&w, NULL);
        sky_json_string(&w, "row", row->name);
        sky_json_string(&w, "method", row->method);
        sky_json_int(&w, "runs", row->runs);
        sky_json_int(&w, "unfinished", row->unfinished);
        append_scores_json(&w, "paper", row->paper);
        if (row->runs) append_scores_json(&w, "mean", row->mean);
        if (row->runs > 1) append_scores_json(&w, "deviation", row->deviation);
        sky_json_string(&w, "differs", row->differs ? row->differs : "");
        sky_json_string(&w, "mixed", row->mixed ? row->mixed : "");
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
}
