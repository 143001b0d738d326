/*
 * Queries made of other rows: the frames of one height, one frame a place, or the mean of several frames of a place. Knows paths, labels and rows; ranks
 * nothing.
 */
#ifndef SKY_EVAL_PICKS_H
#define SKY_EVAL_PICKS_H

#include "data/dataset.h"

/* Row i of the result is made of the rows members[first[i]] .. members[first[i + 1] - 1] of a set. Zero-initialise; free with sky_picks_free. */
struct sky_picks {
    int64_t count;
    int64_t *first;   /* [count + 1] */
    int64_t *members; /* [first[count]] */
};

/* The number a file name ends with ("image-07.jpeg": 7); -1 without one. */
int64_t sky_frame_number(const char *path);

/*
 * The frames first .. last (numbers, from 1), each by itself. SKY_DATA when a name has no number or no frame is left.
 */
sky_status sky_picks_frames(struct sky_picks *out, const struct sky_image_set *set, int64_t first, int64_t last);

/*
 * Means of k images of a place: of its n images, in the set's order, query j of n / k takes images j, j + n/k, j + 2n/k ...: each spans the flight. A place
 * with fewer than k gives one query of all it has.
 */
sky_status sky_picks_means(struct sky_picks *out, const struct sky_image_set *set, int64_t k);

/* rows [*, dimensions] to out [count, dimensions]; a mean of several rows is made a unit vector again (in double; a zero mean stays zero). */
void sky_picks_rows(const struct sky_picks *picks, const float *rows, int64_t dimensions, float *out);
void sky_picks_labels(const struct sky_picks *picks, const int64_t *labels, int64_t *out /* [count] */);
void sky_picks_free(struct sky_picks *picks);

#endif
