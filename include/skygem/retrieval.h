/*
 * From a photo to a position, in C: an encoder turns pixels into a feature, an index holds the features of tiles with their places, a search finds the nearest.
 *
 *     sky_encoder_open(&encoder, "best.safetensors", NULL);      one a thread
 *     sky_index_open(&index, "tiles.index", NULL);               one for all threads: it never changes
 *     sky_search_open(&search, index, 5, 0);                     one a thread
 *     sky_encoder_embed(encoder, rgb, width, height, 0, feature);
 *     sky_search_run(search, feature, &answer);                  answer.candidates[0].tile, answer.margin, answer.confidence
 *
 * An index is shared by any number of threads; an encoder and a search belong to one thread at a time. After the first call with pictures of one size,
 * embedding and searching take no memory (what the machine's neural network library does inside is its own affair). Failures: status.h.
 */
#ifndef SKYGEM_RETRIEVAL_H
#define SKYGEM_RETRIEVAL_H

#include "skygem/config.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pixels to features ---- */

struct sky_encoder;

/* Zero-initialise for the defaults. */
struct sky_encoder_options {
    const char *experiment; /* .ini that describes the model; NULL: the experiment that the weights file carries, as checkpoints and best.safetensors do */
    const char *const *overrides; /* [override_count] "section.key=value": device.threads=2, eval.flip=no ... */
    int override_count;
    bool gallery;  /* with model.share_views = no: the satellite view's trunk instead of the drone's */
    bool ground;   /* pictures from the street: the trunk of a training with street images (data.views) */
    int64_t batch; /* pictures that sky_encoder_embed_many takes at once; 0: 1 */
};

/*
 * Reads the weights, builds the network with batch norm folded into its convolutions, and allocates all it needs. options may be NULL. The device keys of the
 * carried experiment are not taken over: this machine decides, unless overrides do. SKY_CONFIG: the file carries no experiment and none is given. SKY_FORMAT:
 * it is damaged, or of another model.
 */
sky_status sky_encoder_open(struct sky_encoder **out, const char *weights, const struct sky_encoder_options *options);
void sky_encoder_close(struct sky_encoder *encoder); /* NULL is fine */

int64_t sky_encoder_dimensions(const struct sky_encoder *encoder); /* length of a feature */
int64_t sky_encoder_image_size(const struct sky_encoder *encoder); /* side in pixels of what the network sees */
const char *sky_encoder_model(
    const struct sky_encoder *encoder); /* 16 hexadecimal digits: the parameters' checksum, then the settings' (image size, mirrored pass, model) */

/*
 * An RGB picture of any size, 8 bits a channel, rows from the top, `stride` bytes apart (0: 3 * width), resized as evaluation does (Pillow's antialiased
 * bicubic, to a square). out: [dimensions], of length 1 (0 for a picture in which the network sees nothing at all). SKY_USAGE: a picture without pixels.
 */
sky_status sky_encoder_embed(struct sky_encoder *encoder, const uint8_t *rgb, int width, int height, size_t stride, float *out);

/* The same for a JPEG, PNG or (built with libtiff) TIFF file, turned upright as its EXIF says; allocates while it decodes. SKY_DATA: it is damaged or no picture. */
sky_status sky_encoder_embed_file(struct sky_encoder *encoder, const char *path, float *out);

/*
 * count pictures (SKY_USAGE: not 1 to batch) that have the network's size S already: [count][S][S][3] to [count][dimensions]. SKY_NUMERIC, here and above: a
 * feature is not finite, as the parameters are not.
 */
sky_status sky_encoder_embed_many(struct sky_encoder *encoder, const uint8_t *images, int64_t count, float *out);

/* ---- tiles ---- */

struct sky_index; /* a file made by `skygem index`, mapped */

/* Zero-initialise for the defaults. */
struct sky_index_options {
    bool larger_than_memory; /* open it even when it does not fit: each search then reads the disk */
    bool skip_checksums;     /* believe the features, which are read once otherwise (about 2 GB/s); names, places and everything else are always checked */
};

struct sky_index_info {
    int64_t tiles, dimensions;
    int64_t located;     /* tiles whose place is known */
    const char *store;   /* "float32", "fp16", "int8" */
    const char *model;   /* of the encoder that made it: sky_encoder_model */
    const char *weights; /* its file, as an absolute path */
    const char *root;    /* the tiles' folder, likewise */
    double place_radius; /* metres: tiles no farther from each other are one place */
    size_t memory_bytes; /* what searching takes: the file, and a number a tile for each search */
    bool calibrated; /* confidence = 1 / (1 + exp(-(offset + slope * margin))), fitted to calibration_queries photos, of which calibration_right were found */
    double offset, slope;
    int64_t calibration_queries, calibration_right;
    int64_t sketch; /* numbers of a tile's sketch, for sky_search_set_candidates; 0: it has none */
};

struct sky_tile {
    const char *path;                             /* below the root; valid while the index is open */
    double latitude, longitude, metres_per_pixel; /* degrees, WGS 84; NaN: not known */
};

/*
 * The file is mapped while the index is open: replace it by renaming another one to its name, as skygem index does, never by writing over it.
 * SKY_USAGE: there is no such file. SKY_FORMAT: damaged, of another version, or no index. SKY_NOMEM: it does not fit this machine's free memory; the
 * message has both sizes.
 */
sky_status sky_index_open(struct sky_index **out, const char *path, const struct sky_index_options *options /* NULL: defaults */);
void sky_index_close(struct sky_index *index); /* NULL is fine */
const struct sky_index_info *sky_index_info(const struct sky_index *index);
/* tile: from 0; SKY_USAGE when there is none of this number. */
sky_status sky_index_tile(const struct sky_index *index, int64_t tile, struct sky_tile *out);
sky_status sky_index_feature(const struct sky_index *index, int64_t tile, float *out /* [dimensions] */); /* as stored */

/*
 * An encoder for an index's queries: its weights file (weights NULL), with the settings it was made with. overrides: [override_count], as in
 * sky_encoder_options. SKY_CONFIG when the weights are another model by now.
 */
sky_status sky_index_open_encoder(const struct sky_index *index, const char *weights, const char *const *overrides, int override_count,
                                  struct sky_encoder **out);

/* ---- the nearest ---- */

struct sky_search; /* one thread's place to work */

struct sky_candidate {
    int64_t tile;
    float similarity; /* inner product: 1 for equal features; the distance is sqrt(2 - 2 * similarity) */
};

struct sky_answer {
    int64_t count;                          /* the smaller of k and the number of tiles */
    const struct sky_candidate *candidates; /* most similar first, equal ones by number; valid until the next run */
    double margin;                          /* similarity of the first, less that of the best tile at another place; NaN: there is no other place */
    double confidence;                      /* that the first is right, if the photo's place is in the index at all; 0 .. 1, or NaN without calibration */
};

/* k: candidates wanted, at least 1 (else SKY_USAGE). threads: for one query, 0 = cores. Borrows the index. */
sky_status sky_search_open(struct sky_search **out, const struct sky_index *index, int64_t k, int threads);
void sky_search_close(struct sky_search *search); /* NULL is fine */
/*
 * For large indexes made with sketches (skygem index --sketch): from now on every tile's sketch is looked at, and only the `candidates` most promising tiles are
 * compared exactly. Their similarities are exact; a tile that its sketch hides is missed, and the margin is that among the candidates. 0: exact again.
 * SKY_USAGE: fewer than k, or no sketches.
 */
sky_status sky_search_set_candidates(struct sky_search *search, int64_t candidates);
/* feature: [dimensions], as sky_encoder_embed gives it. SKY_NUMERIC: one of its numbers is not finite. */
sky_status sky_search_run(struct sky_search *search, const float *feature, struct sky_answer *out);

#ifdef __cplusplus
}
#endif
#endif
