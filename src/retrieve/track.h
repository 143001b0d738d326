/*
 * Consecutive frames of one flight together: a Bayesian filter over the tiles. Between two frames the drone has moved at most metres_per_second times the time,
 * and a tile's width more; a frame makes a tile exp(sharpness * similarity) times as likely. One part in a hundred of the belief is spread over all tiles each
 * time, so that a filter that went wrong finds back.
 */
#ifndef SKY_RETRIEVE_TRACK_H
#define SKY_RETRIEVE_TRACK_H

#include "index.h"

struct sky_track;

struct sky_track_options {
    double metres_per_second; /* the most the drone does */
    double sharpness;         /* 0: the calibration's slope, else 20 */
};

struct sky_track_fix {
    int64_t tile;       /* the most probable one */
    double probability; /* of it, after this frame; 0 .. 1 */
};

/* SKY_DATA: fewer than two tiles have a place. Borrows the index. Takes all its memory now. */
sky_status sky_track_open(struct sky_track **out, const struct sky_index *index, const struct sky_track_options *options);
void sky_track_close(struct sky_track *track);

/* similarities [tiles] of a frame taken `seconds` after the last one (the first frame's do not count; negative ones count as 0). */
void sky_track_update(struct sky_track *track, const float *similarities, double seconds, struct sky_track_fix *out);

#endif
