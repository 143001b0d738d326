/*
 * Which pixels a part's vector is made of: no class and no gradient is asked, only the pooling itself. Of each channel a pixel has a share of the part's pooled
 * sum (GeM: x^p over the sum of x^p; mean: x over the sum; maximum: all of it at the maximum); a heat map is the mean of these shares over the channels, and
 * sums to 1 over its part.
 */
#ifndef SKY_EVAL_EXPLAIN_H
#define SKY_EVAL_EXPLAIN_H

#include "embed.h"

/* Owns `share`. Zero-initialise; sky_heat_free. */
struct sky_heat {
    int64_t parts, height, width;
    float *share; /* [parts, height, width]; 0 outside a part */
};

/* image u8 [S][S][3], as the network takes it. SKY_UNSUPPORTED with maps of low precision. */
sky_status sky_explain(struct sky_embedder *embedder, const uint8_t *image, struct sky_heat *out);
void sky_heat_free(struct sky_heat *heat);

/* The mean over the parts, [height, width]. */
void sky_heat_mean(const struct sky_heat *heat, float *out);

#endif
