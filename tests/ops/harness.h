/*
 * Runs the case table (cases.h) in one of these modes:
 *
 *   grad     the gradients of every subject that has one, on the reference back end in f64, against central differences of the executor's forward pass
 *   test     every node of every case, on each back end, against the reference run on the same inputs: values, untouched inputs, unwritten or overrun memory
 *   bitwise  every node run again, and with one thread and two: the same bits
 *   perf     time, GB/s and GFLOP/s of every node of the PERF lines
 *   support  which operations each back end can run, over all cases; an operation without any case is a failure
 *
 * A test program names its back ends and default modes and hands over its command line:
 *   PROGRAM [-p MODE[,MODE]] [-b BACKEND] [-o SUBJECT_OR_OPERATION] [-c PART_OF_THE_TEXT] [--map f32,bf16,f16] [--tf32] [--seed N] [--threads N] [-v] [--list]
 * A failing case prints its line, seed, node, tensor and worst element. To judge another back end, add it to the list of a program like ops_ref_test.c.
 */
#ifndef SKY_TESTS_OPS_HARNESS_H
#define SKY_TESTS_OPS_HARNESS_H

#include "bench.h"

enum { OPS_MAX_MAPS = 3 };

struct ops_options {
    const struct sky_backend *const *backends; /* [backend_count] */
    int backend_count;
    const char *backend, *name, *text; /* filters, or NULL */
    enum sky_dtype maps[OPS_MAX_MAPS]; /* types of the maps that test, bitwise and perf go through */
    int map_count;
    bool tf32; /* the device may round factors of f32 products to 10 bits */
    uint64_t seed;
    int threads;
    bool verbose;
};

int ops_main(int argc, char **argv, const struct sky_backend *const *backends, int backend_count, const char *default_modes, const char *default_maps);

/* One mode over all cases. Results are counted by tests/check.h's counters in harness.c. */
void ops_mode_grad(const struct ops_options *options);
void ops_mode_test(const struct ops_options *options);
void ops_mode_bitwise(const struct ops_options *options);
void ops_mode_perf(const struct ops_options *options);
void ops_mode_support(const struct ops_options *options);

/* For the modes. */
bool ops_selected(const struct ops_options *options, const struct ops_case *from, bool perf);
bool ops_node_selected(const struct ops_options *options, const struct ops_subject *subject, int64_t node); /* by -o: the subject's name, or the node's operation */
bool ops_build(struct ops_subject *subject, const struct ops_case *from, enum sky_dtype dtype); /* counts and shows a failure */
void ops_pass(void);
void ops_fail(const struct ops_options *options, const struct ops_case *from, const char *where, const char *format, ...) __attribute__((format(printf, 4, 5)));
void ops_skip(const struct ops_options *options, const struct ops_case *from, const char *where, const char *why);

bool ops_is_float(enum sky_dtype dtype);
/* Element i as a double. */
double ops_element(enum sky_dtype dtype, const void *data, int64_t i);

#endif
