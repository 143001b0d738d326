/*
 * How sure the first tile is: P(right) = 1 / (1 + exp(-(offset + slope * margin))), fitted to photos whose place is known and which the model was not trained
 * on. Two numbers from one: what they say holds for photos like those, among the same tiles, whose place is in the index.
 */
#ifndef SKY_RETRIEVE_CALIBRATION_H
#define SKY_RETRIEVE_CALIBRATION_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sky_calibration {
    double offset, slope;
};

/*
 * Most likely offset and slope, with Platt's targets (n_right + 1) / (n_right + 2) and 1 / (n_wrong + 2) in place of 1 and 0, which keep both finite when the
 * margin separates perfectly. SKY_DATA: fewer than 20 photos, none right or none wrong, or margins that tell nothing (slope not above 0).
 */
sky_status sky_calibration_fit(const double *margins, const bool *right, int64_t count, struct sky_calibration *out);

double sky_calibration_probability(const struct sky_calibration *calibration, double margin);

/* How good probabilities were: mean squared error, and that of always saying the share of right ones; and by how much confidence and truth differ, averaged
 * over ten bins by their photos. */
struct sky_reliability {
    double brier, base_brier, gap;
    int64_t bin_count[10], bin_right[10];
    double bin_confidence[10]; /* mean */
};
void sky_reliability_measure(const double *probabilities, const bool *right, int64_t count, struct sky_reliability *out);

#endif
