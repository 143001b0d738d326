/*
 * Writes ONNX models: a graph put together node by node, then one protobuf file (onnx.proto of ONNX 1.8: IR 7, operators of version 13). Fields come in the
 * order in which protobuf's own writer has them, so the bytes are those of the onnx package for the same model.
 */
#ifndef SKY_IO_ONNX_WRITE_H
#define SKY_IO_ONNX_WRITE_H

#include "base/str.h"
#include "skygem/status.h"

#include <stdint.h>

/* A model being made; zero-initialise, free with sky_onnx_free. A failed allocation is kept and told by sky_onnx_write. */
struct sky_onnx {
    struct sky_text nodes, tensors, inputs, outputs; /* encoded fields of the graph */
    struct sky_text attributes;                      /* of the node to come */
};

/* Constants by name. data [product of dim], copied. */
void sky_onnx_floats(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim, const float *data);
void sky_onnx_integers(struct sky_onnx *onnx, const char *name, int64_t count, const int64_t *data);

/* Attributes of the next node, in the order of their names. */
void sky_onnx_attribute(struct sky_onnx *onnx, const char *name, int64_t value);
void sky_onnx_attribute_list(struct sky_onnx *onnx, const char *name, int count, const int64_t *values);

/* A node with one output; takes the attributes given since the last one. */
void sky_onnx_node(struct sky_onnx *onnx, const char *operation, const char *output, int input_count, const char *const *inputs);

/* What goes in and out: float32, dimensions of -1 are the batch, called N. */
void sky_onnx_input(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim);
void sky_onnx_output(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim);

/* The file, written atomically. doc: what input and output are, for people. */
sky_status sky_onnx_write(const struct sky_onnx *onnx, const char *path, const char *graph_name, const char *doc);
void sky_onnx_free(struct sky_onnx *onnx);

#endif
