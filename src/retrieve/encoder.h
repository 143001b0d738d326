/*
 * What the program needs of an encoder beyond skygem/retrieval.h: its experiment, and pixels from files with the time that each part took.
 */
#ifndef SKY_RETRIEVE_ENCODER_H
#define SKY_RETRIEVE_ENCODER_H

#include "eval/explain.h"
#include "image/image.h"
#include "skygem/retrieval.h"

const struct sky_config *sky_encoder_config(const struct sky_encoder *encoder);
/* Heat maps of the picture in a file, and in *pixels the picture as the network took it, [image size][image size][3], lent until the next call. */
sky_status sky_encoder_explain(struct sky_encoder *encoder, const char *path, enum sky_exif exif, struct sky_heat *out, const uint8_t **pixels);
const char *sky_encoder_weights(const struct sky_encoder *encoder); /* absolute path */
int64_t sky_encoder_batch(const struct sky_encoder *encoder);

/* Like sky_encoder_open with the experiment as a text (an index holds one). */
sky_status sky_encoder_open_text(struct sky_encoder **out, const char *weights, const char *name, const char *experiment,
                                 const struct sky_encoder_options *options);

/* A picture in memory (a frame of a stream) or, bytes NULL, in the file `name`. Sets the seconds of decoding (with resizing) and of the network. */
struct sky_encoder_times {
    double decode, network;
};
sky_status sky_encoder_embed_picture(struct sky_encoder *encoder, const char *name, const uint8_t *bytes, size_t count, enum sky_exif exif, float *out,
                                     struct sky_encoder_times *times);

#endif
