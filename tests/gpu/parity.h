/*
 * Whole training steps of the paper's model on a back end: against the CPU's in fp32, low precisions against its own fp32, recorded steps against steps launched node by node.
 * Each comparison counts in itself; parity_done prints the closing line.
 */
#ifndef SKY_TESTS_PARITY_H
#define SKY_TESTS_PARITY_H

#include "backend/backend.h"

struct parity {
    const struct sky_backend *backend;
    const char *overrides[5]; /* of the default experiment: its size; one place is left for what a test varies */
    int override_count;
};

void parity_with_the_cpu(const struct parity *p); /* two steps: losses, gradients and parameters, 1e-4 of each tensor */
void parity_of_precision(const struct parity *p, const char *precision, double least_cosine); /* "train.precision=bf16": off by its rounding, never by a sign or a forgotten term */
void parity_of_fusion(const struct parity *p, const char *precision, double most_distance, double least_cosine);               /* two steps, [device] fusion = yes and no */
void parity_of_recording(const struct parity *p, const char *precision);                      /* six steps, bit for bit */
int parity_done(void);

#endif
