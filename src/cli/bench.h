/*
 * What the benchmarks share: samples, the list of results, ceilings. Each bench_*.c measures one thing and adds rows.
 */
#ifndef SKY_CLI_BENCH_H
#define SKY_CLI_BENCH_H

#include "args.h"
#include "backend/ceilings.h"
#include "base/str.h"

struct sky_bench_row {
    char bench[16], what[96];
    double median_ms, min_ms, max_ms;
    int runs;
    double floor_ms;                  /* what the machine's ceilings allow; 0: none stated */
    double rate;                      /* units a second */
    char unit[16];                    /* "img", "GB", "GFLOP" */
    double conv_ms, other_ms;         /* step only: negative = not given */
    double planned_bytes, peak_bytes; /* step only: negative = not given */
    double efficiency, exchange_ms;   /* step by several ranks: one rank's time over theirs, and what of it was waiting for gradients; negative = not given */
};

struct sky_bench_list {
    struct sky_bench_row *rows;
    int64_t count, capacity;
    bool silent; /* another rank prints */
};

/* Appends a zeroed row and gives it; NULL when memory is out. */
struct sky_bench_row *sky_bench_add(struct sky_bench_list *list, const char *bench, const char *what);
void sky_bench_samples(struct sky_bench_row *row, double *seconds, int count); /* sorts; sets median, min, max, runs */

sky_status sky_bench_step(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);
sky_status sky_bench_ops(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);
sky_status sky_bench_loader(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);
sky_status sky_bench_allreduce(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);
sky_status sky_bench_score(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);
sky_status sky_bench_search(const struct sky_args *args, struct sky_bench_list *list, struct sky_text *notes);

#endif
