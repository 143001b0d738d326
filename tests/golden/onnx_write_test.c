/*
 * ONNX by our own protobuf writer against the onnx package's bytes for the same model (make_onnx_golden.py, tiny.onnx).
 */
#include "check.h"

#include "folder.h"
#include "io/onnx_write.h"

static unsigned char *read_file(const char *path, size_t *count)
{
    char *bytes = NULL;
    CHECK_OK(sky_file_read(path, 1 << 20, &bytes, count));
    return (unsigned char *)bytes;
}

/* Where the graph begins: behind the version of the format, the producer's name and its version, which changes with ours. */
static size_t graph_at(const unsigned char *bytes, size_t count)
{
    return CHECK(count > 16 && bytes[0] == 8 && bytes[2] == 0x12 && bytes[10] == 0x1a) ? 12 + (size_t)bytes[11] : 0;
}

int main(void)
{
    float weight[12];
    struct sky_onnx onnx = {0};
    size_t want_bytes = 0, got_bytes = 0;
    const float half = 0.25f;
    folder_make();
    for (int i = 0; i < 12; i++) weight[i] = (float)i / 8 - 0.5f;
    sky_onnx_input(&onnx, "images", 4, (const int64_t[]){-1, 3, 1, 200});
    sky_onnx_floats(&onnx, "w", 4, (const int64_t[]){2, 3, 1, 2}, weight);
    sky_onnx_attribute_list(&onnx, "kernel_shape", 2, (const int64_t[]){1, 2});
    sky_onnx_attribute_list(&onnx, "pads", 4, (const int64_t[]){0, 0, 0, 0});
    sky_onnx_attribute_list(&onnx, "strides", 2, (const int64_t[]){1, 300});
    sky_onnx_node(&onnx, "Conv", "y", 2, (const char *const[]){"images", "w"});
    sky_onnx_attribute(&onnx, "ceil_mode", 1);
    sky_onnx_attribute_list(&onnx, "kernel_shape", 2, (const int64_t[]){1, 1});
    sky_onnx_node(&onnx, "MaxPool", "p", 1, (const char *const[]){"y"});
    sky_onnx_integers(&onnx, "shape", 2, (const int64_t[]){0, -1});
    sky_onnx_floats(&onnx, "half", 0, NULL, &half);
    sky_onnx_node(&onnx, "Reshape", "features", 2, (const char *const[]){"p", "shape"});
    sky_onnx_output(&onnx, "features", 2, (const int64_t[]){-1, 2});
    CHECK_OK(sky_onnx_write(&onnx, in_folder("a.onnx"), "tiny", "a model of three nodes"));
    sky_onnx_free(&onnx);
    unsigned char *want = read_file(SKY_SOURCE_DIR "/tests/golden/tiny.onnx", &want_bytes), *got = read_file(in_folder("a.onnx"), &got_bytes);
    if (want && got) {
        const size_t a = graph_at(want, want_bytes), b = graph_at(got, got_bytes);
        CHECK(a && b && !memcmp(want, got, 11));
        CHECK(a && b && want_bytes - a == got_bytes - b && !memcmp(want + a, got + b, want_bytes - a));
    }
    free(want);
    free(got);
    folder_remove(folder);
    return check_done();
}
