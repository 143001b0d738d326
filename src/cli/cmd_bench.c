/*
 * skygem bench: runs one of the benchmarks and prints its rows as a table or as JSON. The measuring is in bench_*.c.
 */
#include "commands.h"

#include "base/json.h"
#include "base/memory.h"
#include "bench.h"
#include "skygem/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sky_bench_row *sky_bench_add(struct sky_bench_list *list, const char *bench, const char *what)
{
    if (sky_grow(&list->rows, list->count, &list->capacity, sizeof *list->rows, "benchmark rows") != SKY_OK) return NULL;
    struct sky_bench_row *row = &list->rows[list->count++];
    *row = (struct sky_bench_row){.conv_ms = -1, .other_ms = -1, .planned_bytes = -1, .peak_bytes = -1, .efficiency = -1, .exchange_ms = -1};
    snprintf(row->bench, sizeof row->bench, "%s", bench);
    snprintf(row->what, sizeof row->what, "%s", what);
    return row;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void sky_bench_samples(struct sky_bench_row *row, double *seconds, int count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, by_value);
    row->runs = count;
    row->min_ms = 1e3 * seconds[0], row->max_ms = 1e3 * seconds[count - 1];
    row->median_ms = 1e3 * (count % 2 ? seconds[count / 2] : (seconds[count / 2 - 1] + seconds[count / 2]) / 2);
}

static void print_json(const struct sky_bench_list *list, struct sky_text *out)
{
    struct sky_json_writer w = {.out = out};
    sky_json_begin_array(&w, NULL);
    for (int64_t i = 0; i < list->count; i++) {
        const struct sky_bench_row *row = &list->rows[i];
        char rate[32];
        sky_json_begin_object(&w, NULL);
        sky_json_string(&w, "bench", row->bench);
        sky_json_string(&w, "what", row->what);
        sky_json_double(&w, "median_ms", row->median_ms);
        sky_json_double(&w, "min_ms", row->min_ms);
        sky_json_double(&w, "max_ms", row->max_ms);
        sky_json_int(&w, "runs", row->runs);
        sky_json_double(&w, "floor_ms", row->floor_ms);
        snprintf(rate, sizeof rate, "%s_per_s", row->unit);
        if (*row->unit) sky_json_double(&w, rate, row->rate);
        if (row->conv_ms >= 0) sky_json_double(&w, "conv_ms", row->conv_ms);
        if (row->other_ms >= 0) sky_json_double(&w, "other_ms", row->other_ms);
        if (row->planned_bytes >= 0) sky_json_double(&w, "planned_bytes", row->planned_bytes);
        if (row->peak_bytes >= 0) sky_json_double(&w, "peak_bytes", row->peak_bytes);
        if (row->efficiency >= 0) sky_json_double(&w, "efficiency", row->efficiency);
        if (row->exchange_ms >= 0) sky_json_double(&w, "comm_ms", row->exchange_ms);
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    sky_text_append(out, "\n");
}

static void print_table(const struct sky_bench_list *list, struct sky_text *out)
{
    sky_text_format(out, "%-9s %-56s %10s %10s %10s %5s %10s %7s %14s\n", "bench", "what", "median ms", "min ms", "max ms", "runs", "floor ms", "x floor", "rate");
    for (int64_t i = 0; i < list->count; i++) {
        const struct sky_bench_row *row = &list->rows[i];
        char ratio[16] = "", rate[40] = "", floor_text[16] = "";
        if (row->floor_ms > 0) snprintf(ratio, sizeof ratio, "%.2f", row->median_ms / row->floor_ms), snprintf(floor_text, sizeof floor_text, "%.2f", row->floor_ms);
        if (*row->unit) snprintf(rate, sizeof rate, "%.1f %s/s", row->rate, row->unit);
        sky_text_format(out, "%-9s %-56s %10.2f %10.2f %10.2f %5d %10s %7s %14s\n", row->bench, row->what, row->median_ms, row->min_ms, row->max_ms, row->runs,
                        floor_text, ratio, rate);
    }
}

static sky_status run_bench(const struct sky_args *args, sky_status (*measure)(const struct sky_args *, struct sky_bench_list *, struct sky_text *))
{
    struct sky_bench_list list = {0};
    struct sky_text notes = {0}, out = {0};
    sky_status status = SKY_OK;
    if (getenv("OPENBLAS_CORETYPE")) sky_log(SKY_LOG_WARNING, "OPENBLAS_CORETYPE is set: an older processor's kernels may be timed; unset it");
    SKY_TRY_DONE(measure(args, &list, &notes));
    if (sky_args_given(args, "json")) print_json(&list, &out);
    else {
        print_table(&list, &out);
        if (notes.text) sky_text_append(&out, notes.text);
    }
    SKY_TRY_DONE(sky_text_status(&out, "benchmark results"));
    if (!list.silent) fputs(out.text, stdout);
done:
    free(list.rows);
    sky_text_free(&notes);
    sky_text_free(&out);
    return status;
}

static sky_status run_step(const struct sky_args *args)
{
    return run_bench(args, sky_bench_step);
}

static sky_status run_ops(const struct sky_args *args)
{
    return run_bench(args, sky_bench_ops);
}

static sky_status run_loader(const struct sky_args *args)
{
    return run_bench(args, sky_bench_loader);
}

static sky_status run_score(const struct sky_args *args)
{
    return run_bench(args, sky_bench_score);
}

static sky_status run_allreduce(const struct sky_args *args)
{
    return run_bench(args, sky_bench_allreduce);
}

static sky_status run_search(const struct sky_args *args)
{
    return run_bench(args, sky_bench_search);
}

#define EXPERIMENT_OPTIONS                                                                                                                                   \
    {"set", 's', "KEY=VALUE", NULL, "override a key", true}, {"runs", 'n', "N", "5", "timed runs after two warm-up runs", false},                            \
        {"infer", 0, NULL, NULL, "embedding (inference graph) instead of a training step", false}, {"json", 0, NULL, NULL, "print JSON", false}

static const struct sky_option experiment_options[] = {EXPERIMENT_OPTIONS, {NULL, 0, NULL, NULL, NULL, false}};
static const struct sky_option loader_options[] = {
    {"set", 's', "KEY=VALUE", NULL, "override a key", true},
    {"seconds", 't', "S", "3", "time a row", false},
    {"json", 0, NULL, NULL, "print JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};
static const struct sky_option score_options[] = {
    {"dimensions", 'd', "D", "2560", "length of a feature", false},
    {"runs", 'n', "N", "3", "timed runs", false},
    {"threads", 0, "N", "0", "threads (0 = cores)", false},
    {"cuda", 0, NULL, NULL, "counting on the GPU, whose limits are then the floor", false},
    {"json", 0, NULL, NULL, "print JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};
static const struct sky_option allreduce_options[] = {
    {"min-bytes", 0, "BYTES", "4096", "smallest size; the next is four times as large", false},
    {"max-bytes", 0, "BYTES", "67108864", "no size is larger", false},
    {"runs", 'n', "N", "10", "timed runs of a size, after two warm-up runs", false},
    {"timeout", 0, "S", "300", "a rank that keeps the others waiting for longer ends the run", false},
    {"cuda", 0, NULL, NULL, "memory of each rank's GPU, by NCCL", false},
    {"json", 0, NULL, NULL, "print JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static const struct sky_option search_options[] = {
    {"tiles", 'n', "N", "100000", "features to search", false},
    {"dimensions", 'd', "D", "3584", "length of a feature", false},
    {"queries", 0, "N", "20", "noisy copies of tiles to search for", false},
    {"noise", 0, "X", "2", "length of the noise, beside a feature's length of 1", false},
    {"sketch", 0, "N", "0", "also search through sketches of N numbers a tile", false},
    {"candidates", 0, "C", "1000", "with --sketch: tiles that are then compared exactly", false},
    {"runs", 0, "N", "3", "times each query is timed", false},
    {"threads", 0, "N", "0", "threads (0 = cores)", false},
    {"json", 0, NULL, NULL, "print JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static const struct sky_command step = {
    .name = "step", .operands = "[EXPERIMENT.ini]", .max_operands = 1, .doc = "whole training steps (or embeddings) on random images",
    .options = experiment_options, .run = run_step};
static const struct sky_command ops = {
    .name = "ops", .operands = "[EXPERIMENT.ini]", .max_operands = 1, .doc = "each kind of operation within a step, with its floor",
    .options = experiment_options, .run = run_ops};
static const struct sky_command loader = {
    .name = "loader", .operands = "FOLDER", .min_operands = 1, .max_operands = 1, .doc = "decode, resize and augment the images of a folder",
    .options = loader_options, .run = run_loader};
static const struct sky_command score = {.name = "score", .doc = "ranking and metrics at University-1652's sizes, on random features", .options = score_options, .run = run_score};
static const struct sky_command allreduce = {
    .name = "allreduce", .doc = "sums over ranks, by size (start it with skygem launch, mpirun or srun)", .options = allreduce_options, .run = run_allreduce};
static const struct sky_command search = {
    .name = "search", .doc = "exact search of an index of random features, as float32, fp16 and int8: time, memory, recall", .options = search_options, .run = run_search};
static const struct sky_command *const commands[] = {&step, &ops, &loader, &score, &search, &allreduce, NULL};

const struct sky_command sky_command_bench = {
    .name = "bench",
    .doc = "speed, beside what the machine allows",
    .details = "The default experiment is the paper's model at 256 px.",
    .commands = commands,
};
