/*
 * One subject on one opened back end: every node prepared, every tensor in its own place between guard bytes, nodes run one by one with chosen pointers. No
 * planner and no executor here, so that an operation is judged by itself. Guards are 0xFF: written over, they show; read, they are NaN.
 */
#ifndef SKY_TESTS_OPS_BENCH_H
#define SKY_TESTS_OPS_BENCH_H

#include "backend/backend.h"
#include "cases.h"

struct ops_bench {
    const struct ops_subject *subject;
    struct sky_device device;
    bool opened;
    struct sky_kernel *kernels; /* [node_count] */
    const char **reasons;       /* [node_count] why the node cannot run here, or NULL */
    size_t *offsets;            /* [tensor_count] */
    size_t work_offset, work_bytes, bytes;
    void *memory;         /* the device's */
    unsigned char *image; /* the host's copy, for guards */
};

sky_status ops_bench_open(struct ops_bench *bench, const struct sky_backend *backend, int threads, const struct ops_subject *subject);
void ops_bench_close(struct ops_bench *bench);

sky_status ops_bench_write(struct ops_bench *bench, sky_value value, const void *from);
sky_status ops_bench_read(struct ops_bench *bench, sky_value value, void *to);
sky_status ops_bench_run(struct ops_bench *bench, int64_t node, bool accumulate, bool alias);

/* Whether this node may run with output 0 in input 0's memory. */
bool ops_can_alias(const struct ops_subject *subject, int64_t node);

/* Name of the first tensor (or "scratch") whose guards were written over, or NULL. */
const char *ops_bench_overrun(struct ops_bench *bench);

#endif
