/*
 * An experiment's inference network as an ONNX model: batch norm folded, parts, GeM, heads, and the feature as skygem saves it (unit length, index = channel*P + part).
 */
#ifndef SKY_EVAL_ONNX_H
#define SKY_EVAL_ONNX_H

#include "io/safetensors.h"
#include "skygem/config.h"

/*
 * Writes the model to path. Input `images` float32 [N,3,S,S]: RGB / 255, less ImageNet's mean, over its deviation. Output `features` float32 [N, P*E], without the mirrored second
 * pass. view (enum sky_view): whose trunk, when views are not shared. averaged: the file's "ema/" parameters are taken. SKY_UNSUPPORTED names an operation that cannot be written.
 */
sky_status sky_onnx_export(const char *path, const struct sky_config *config, const struct sky_safetensors *weights, int view, bool averaged);

#endif
