/*
 * The shared part of embed, index and locate. Keeps nothing.
 */
#include "retrieval.h"

#include "base/signals.h"

#include <stdlib.h>

void sky_choose_trunk(struct sky_encoder_options *options, int view)
{
    options->gallery = view == SKY_VIEW_SATELLITE, options->ground = view == SKY_VIEW_STREET || view == SKY_VIEW_GOOGLE;
}

sky_status sky_open_encoder(const struct sky_args *args, int view, int64_t batch, struct sky_encoder **out)
{
    const char *weights = sky_args_text(args, "weights"), **overrides = NULL;
    struct sky_encoder_options options = {.experiment = sky_args_text(args, "experiment"), .batch = batch};
    sky_choose_trunk(&options, view);
    if (!weights) {
        sky_fail(SKY_USAGE, args->path, "--weights is missing");
        return sky_hint("give a checkpoint or best.safetensors of a run: --weights runs/NAME/best.safetensors");
    }
    SKY_TRY(sky_args_list(args, "set", &overrides, &options.override_count));
    options.overrides = overrides;
    const sky_status status = sky_encoder_open(out, weights, &options);
    free(overrides);
    return status;
}

sky_status sky_read_exif(const struct sky_args *args, enum sky_exif *out)
{
    static const char *const choices[] = {"ignore", "apply"}; /* order of enum sky_exif */
    int chosen = SKY_EXIF_APPLY;
    SKY_TRY(sky_args_choice(args, "exif", choices, 2, &chosen));
    *out = (enum sky_exif)chosen;
    return SKY_OK;
}

sky_status sky_read_bad_image(const struct sky_args *args, bool *skip)
{
    static const char *const choices[] = {"fail", "skip"};
    int chosen = 0;
    SKY_TRY(sky_args_choice(args, "on-bad-image", choices, 2, &chosen));
    *skip = chosen == 1;
    return SKY_OK;
}

bool sky_show_gather(void *context, int64_t done, int64_t total)
{
    struct sky_progress *progress = context;
    sky_progress_show(progress, done, 1, NULL);
    if (done == total) sky_progress_end(progress);
    return !sky_signal_received();
}

sky_status sky_skipped_status(int64_t skipped, int64_t total)
{
    if (!skipped) return SKY_OK;
    sky_fail(SKY_DATA, "pictures", "%lld of %lld were left out", (long long)skipped, (long long)total);
    return sky_hint("each is named above; everything else is done");
}
