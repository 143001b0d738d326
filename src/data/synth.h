/*
 * The synthetic world: procedural places ray-cast as one satellite tile, a descending spiral of drone frames and, if wanted, pictures from the street, in
 * University-1652's tree.
 * Deterministic from its seed. The demo's data; never a substitute for the real benchmark in a claim.
 */
#ifndef SKY_DATA_SYNTH_H
#define SKY_DATA_SYNTH_H

#include "skygem/status.h"

#include <stdint.h>

struct sky_synth_options {
    uint64_t seed;
    int size; /* pixels a side of every image */
    int train_places, test_places, distractor_places;
    int drone_views;  /* frames a place; 54 as in University-1652 */
    int street_views; /* pictures from the street a place; in training as many under google, each of another day */
    int workers;
};

sky_status sky_synth_make(const char *root, const struct sky_synth_options *options, void (*progress)(void *context, int64_t done, int64_t total),
                          void *context);

#endif
