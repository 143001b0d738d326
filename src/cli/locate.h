/*
 * What the files of skygem locate share: one opened index with all that answers a picture, and one answer.
 */
#ifndef SKY_CLI_LOCATE_H
#define SKY_CLI_LOCATE_H

#include "frames.h"
#include "locate_options.h"
#include "retrieve/encoder.h"
#include "retrieve/shard.h"
#include "retrieve/track.h"

struct sky_locator {
    struct sky_index *index;
    struct sky_encoder *encoder; /* rank 0 */
    struct sky_comm *comm;       /* NULL: alone */
    struct sky_shards *shards;
    float *feature; /* [dimensions] */
    enum sky_exif exif;
};

struct sky_located {
    struct sky_answer answer;
    struct sky_encoder_times embed;
    double search; /* seconds */
};

/* Embeds and searches one picture. SKY_DATA, SKY_IO, SKY_FORMAT: the picture is bad. */
sky_status sky_locate_frame(struct sky_locator *locator, const struct sky_frame *frame, struct sky_located *out);
bool sky_is_bad_picture(sky_status status);

/* Result of one picture on stdout, flushed. track may be NULL. */
sky_status sky_located_print(const struct sky_locator *locator, const char *name, const struct sky_located *located, const struct sky_track_fix *track,
                             bool json);
sky_status sky_located_print_error(const char *name, const struct sky_error *error); /* JSON only */

/*
 * Photos whose place is known, `rows` of the CSV asked->known (path,lat,lon or path,tile; paths relative to it): how many are found, how far off, how good the
 * confidence is, as a table on stdout. asked->fit: the index at `path` gets the calibration that fits them. A photo counts as right within asked->within metres
 * of the truth, or at the tile that is nearest to it.
 */
sky_status sky_locate_known(struct sky_locator *locator, const char *path, const struct sky_geo_table *rows, const struct sky_locate_options *asked);

#endif
