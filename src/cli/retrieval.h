/*
 * What embed, index and locate share on the command line: the encoder's options, progress, what to do with bad pictures.
 */
#ifndef SKY_CLI_RETRIEVAL_H
#define SKY_CLI_RETRIEVAL_H

#include "args.h"
#include "progress.h"
#include "retrieve/gather.h"

/* Rows for an options table; each command that uses them reads them with the functions below. */
#define SKY_WEIGHTS_OPTION                                                                                                                                    \
    {"weights", 'w', "FILE", NULL, "checkpoint, best.safetensors or other weights", false}
#define SKY_ENCODER_OPTIONS                                                                                                                                   \
    {"experiment", 0, "FILE.ini", NULL, "what model the weights are of, where they do not say so themselves", false},                                         \
        {"set", 's', "KEY=VALUE", NULL, "override a key of the experiment (device.threads=2, eval.flip=no)", true}
#define SKY_VIEW_OPTION(fallback)                                                                                                                             \
    {"view", 0, "WHICH", fallback, "satellite, drone, street or google: whose trunk, for a model that has several", false}
#define SKY_EXIF_OPTION                                                                                                                                       \
    {"exif", 0, "WHAT", "apply", "apply: turn pictures upright as their EXIF says; ignore: as stored, like training and eval", false}
#define SKY_BAD_IMAGE_OPTION(fallback)                                                                                                                        \
    {"on-bad-image", 0, "WHAT", fallback, "fail, or skip: name, count and leave out; exit code 3 at the end says that there were some", false}

/* --weights (needed), --experiment, --set. view (enum sky_view): of the pictures, which says whose trunk. */
void sky_choose_trunk(struct sky_encoder_options *options, int view);
sky_status sky_open_encoder(const struct sky_args *args, int view, int64_t batch, struct sky_encoder **out);
sky_status sky_read_exif(const struct sky_args *args, enum sky_exif *out);
sky_status sky_read_bad_image(const struct sky_args *args, bool *skip);

/* For sky_gather.progress, with a struct sky_progress that was begun as the context's first member. A signal ends the work. */
bool sky_show_gather(void *context, int64_t done, int64_t total);

/* SKY_OK without any; else SKY_DATA, saying how many were left out. */
sky_status sky_skipped_status(int64_t skipped, int64_t total);

#endif
