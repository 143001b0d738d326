/*
 * An experiment's inference network as an ONNX model: batch norm folded, parts, GeM, heads, and the feature as skygem saves it (unit length, index =
 * channel*P + part).
 */
#ifndef SKY_EVAL_ONNX_H
#define SKY_EVAL_ONNX_H

#include "backend/executor.h"
#include "model/model.h"

/*
 * Writes the model (of SKY_MODEL_INFER, float32, on a host back end, parameters filled in and SKY_PHASE_ONCE run) to path. Input `images` float32 [N,3,S,S]:
 * RGB / 255, less ImageNet's mean, over its deviation. Output `features` float32 [N, P*E], without the mirrored second pass. SKY_UNSUPPORTED names an
 * operation that cannot be written.
 */
sky_status sky_onnx_export(const char *path, const char *name, const struct sky_model *model, struct sky_executor *executor);

#endif
