/*
 * Protobuf by hand: a field is a key (number * 8 + wire type), then a varint, or a length and that many bytes. Messages inside messages are encoded on their
 * own first.
 */
#include "onnx_write.h"

#include "base/fs.h"
#include "skygem/skygem.h"

#include <string.h>

enum { VARINT = 0, BYTES = 2, FLOAT = 1, INT64 = 7, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7, IR_VERSION = 7, OPERATORS = 13 };

/* ---- the encoding ---- */

static void put_varint(struct sky_text *out, uint64_t value)
{
    char raw[10];
    size_t count = 0;
    for (; value >= 0x80; value >>= 7) raw[count++] = (char)(value | 0x80);
    raw[count++] = (char)value;
    sky_text_append_bytes(out, raw, count);
}

static void put_int(struct sky_text *out, int field, int64_t value)
{
    put_varint(out, (uint64_t)field << 3 | VARINT);
    put_varint(out, (uint64_t)value);
}

static void put_bytes(struct sky_text *out, int field, const void *bytes, size_t count)
{
    put_varint(out, (uint64_t)field << 3 | BYTES);
    put_varint(out, count);
    sky_text_append_bytes(out, bytes, count);
}

static void put_text(struct sky_text *out, int field, const char *text)
{
    put_bytes(out, field, text, strlen(text));
}

/* Moves a finished message into its parent. */
static void put_message(struct sky_text *out, int field, struct sky_text *message)
{
    if (message->failed) out->failed = true;
    put_bytes(out, field, message->text ? message->text : "", message->length);
    sky_text_free(message);
}

/* ---- tensors, nodes ---- */

static void put_tensor(struct sky_onnx *onnx, const char *name, int type, int rank, const int64_t *dim, size_t item_bytes, const void *data)
{
    struct sky_text tensor = {0};
    size_t bytes = item_bytes;
    for (int i = 0; i < rank; i++) {
        put_int(&tensor, 1, dim[i]);
        bytes *= (size_t)dim[i];
    }
    put_int(&tensor, 2, type);
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, data, bytes);
    put_message(&onnx->tensors, 5, &tensor);
}

void sky_onnx_floats(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim, const float *data)
{
    put_tensor(onnx, name, FLOAT, rank, dim, sizeof *data, data);
}

void sky_onnx_integers(struct sky_onnx *onnx, const char *name, int64_t count, const int64_t *data)
{
    put_tensor(onnx, name, INT64, 1, &count, sizeof *data, data);
}

void sky_onnx_attribute(struct sky_onnx *onnx, const char *name, int64_t value)
{
    struct sky_text attribute = {0};
    put_text(&attribute, 1, name);
    put_int(&attribute, 3, value);
    put_int(&attribute, 20, ATTRIBUTE_INT);
    put_message(&onnx->attributes, 5, &attribute);
}

void sky_onnx_attribute_list(struct sky_onnx *onnx, const char *name, int count, const int64_t *values)
{
    struct sky_text attribute = {0};
    put_text(&attribute, 1, name);
    for (int i = 0; i < count; i++) put_int(&attribute, 8, values[i]);
    put_int(&attribute, 20, ATTRIBUTE_INTS);
    put_message(&onnx->attributes, 5, &attribute);
}

void sky_onnx_node(struct sky_onnx *onnx, const char *operation, const char *output, int input_count, const char *const *inputs)
{
    struct sky_text node = {0};
    for (int i = 0; i < input_count; i++) put_text(&node, 1, inputs[i]);
    put_text(&node, 2, output);
    put_text(&node, 3, output);
    put_text(&node, 4, operation);
    if (onnx->attributes.length) sky_text_append_bytes(&node, onnx->attributes.text, onnx->attributes.length);
    if (onnx->attributes.failed) node.failed = true;
    sky_text_free(&onnx->attributes);
    put_message(&onnx->nodes, 1, &node);
}

static void put_value(struct sky_text *out, int field, const char *name, int rank, const int64_t *dim)
{
    struct sky_text shape = {0}, tensor = {0}, type = {0}, value = {0};
    for (int i = 0; i < rank; i++) {
        struct sky_text dimension = {0};
        if (dim[i] < 0) put_text(&dimension, 2, "N");
        else put_int(&dimension, 1, dim[i]);
        put_message(&shape, 1, &dimension);
    }
    put_int(&tensor, 1, FLOAT);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(out, field, &value);
}

void sky_onnx_input(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim)
{
    put_value(&onnx->inputs, 11, name, rank, dim);
}

void sky_onnx_output(struct sky_onnx *onnx, const char *name, int rank, const int64_t *dim)
{
    put_value(&onnx->outputs, 12, name, rank, dim);
}

/* ---- the file ---- */

sky_status sky_onnx_write(const struct sky_onnx *onnx, const char *path, const char *graph_name, const char *doc)
{
    const struct sky_text *const parts[] = {&onnx->nodes, NULL, &onnx->tensors, NULL, &onnx->inputs, &onnx->outputs}; /* NULL: name, doc */
    struct sky_text head = {0}, name = {0}, note = {0}, operators = {0}, tail = {0};
    struct sky_atomic_file file = {0};
    sky_status status = SKY_OK;
    size_t bytes = 0;
    put_text(&name, 2, graph_name);
    put_text(&note, 10, doc);
    for (int i = 0; i < 6; i++) {
        const struct sky_text *part = parts[i] ? parts[i] : i == 1 ? &name : &note;
        SKY_TRY_DONE(sky_text_status(part, "an ONNX model"));
        bytes += part->length;
    }
    if (bytes > INT32_MAX) {
        status = sky_fail(SKY_UNSUPPORTED, path, "the model is larger than the 2 GiB that ONNX allows");
        goto done;
    }
    put_int(&head, 1, IR_VERSION);
    put_text(&head, 2, "skygem");
    put_text(&head, 3, SKYGEM_VERSION);
    put_varint(&head, 7 << 3 | BYTES);
    put_varint(&head, bytes);
    put_text(&operators, 1, "");
    put_int(&operators, 2, OPERATORS);
    put_message(&tail, 8, &operators);
    SKY_TRY_DONE(sky_text_status(&head, "an ONNX model"));
    SKY_TRY_DONE(sky_text_status(&tail, "an ONNX model"));
    SKY_TRY_DONE(sky_atomic_open(&file, path));
    SKY_TRY_DONE(sky_atomic_write(&file, head.text, head.length));
    for (int i = 0; i < 6; i++) {
        const struct sky_text *part = parts[i] ? parts[i] : i == 1 ? &name : &note;
        if (part->length) SKY_TRY_DONE(sky_atomic_write(&file, part->text, part->length));
    }
    SKY_TRY_DONE(sky_atomic_write(&file, tail.text, tail.length));
    SKY_TRY_DONE(sky_atomic_commit(&file));
done:
    sky_atomic_abort(&file);
    sky_text_free(&head);
    sky_text_free(&name);
    sky_text_free(&note);
    sky_text_free(&operators);
    sky_text_free(&tail);
    return status;
}

void sky_onnx_free(struct sky_onnx *onnx)
{
    sky_text_free(&onnx->nodes);
    sky_text_free(&onnx->tensors);
    sky_text_free(&onnx->inputs);
    sky_text_free(&onnx->outputs);
    sky_text_free(&onnx->attributes);
}
