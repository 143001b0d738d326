/*
 * safetensors files: what we write is read back whole; what others write is read; some forty hostile files are refused, each with its message; mutated files
 * never do more than fail.
 */
#include "check.h"

#include "base/rng.h"
#include "io/safetensors.h"

#include <unistd.h>

static char folder[] = "/tmp/skygem-safetensors-XXXXXX", path[80];

static void write_bytes(const void *bytes, size_t count)
{
    unlink(path); /* truncating a file in place makes some file systems flush it */
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, count, file) != count) CHECK(!"the test can write its file");
    if (file) fclose(file);
}

static size_t compose(unsigned char *out, const char *header, const void *data, size_t data_bytes)
{
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(out + 8, header, length);
    if (data_bytes) memcpy(out + 8 + length, data, data_bytes);
    return 8 + length + data_bytes;
}

static const unsigned char zeros[256];

static void write_file(const char *header, size_t data_bytes)
{
    static unsigned char file[8192];
    write_bytes(file, compose(file, header, zeros, data_bytes));
}

static void test_round_trip(void)
{
    const float f32[6] = {1, -2, 3.5f, 4, 5, 6e30f};
    const double f64[2] = {1e300, -0.0};
    const int64_t i64[3] = {INT64_MIN, 0, INT64_MAX};
    const int32_t i32[1] = {-7};
    const uint8_t u8[5] = {1, 2, 3, 4, 255};
    const uint16_t f16[2] = {0x3c00, 0xc000}, bf16[2] = {0x3f80, 0xc000};
    const struct sky_file_tensor tensors[] = {{"a", SKY_F32, 2, {2, 3}, f32, 0},
                                              {"bytes", SKY_U8, 1, {5}, u8, 0},
                                              {"odd.place", SKY_F64, 1, {2}, f64, 0},
                                              {"empty", SKY_F32, 3, {4, 0, 2}, NULL, 0},
                                              {"i64", SKY_I64, 1, {3}, i64, 0},
                                              {"scalar", SKY_I32, 0, {0}, i32, 0},
                                              {"f16", SKY_F16, 2, {1, 2}, f16, 0},
                                              {"bf16", SKY_BF16, 8, {1, 1, 1, 1, 1, 1, 2, 1}, bf16, 0},
                                              {"\"quoted\\ \xc3\xa9", SKY_U8, 1, {1}, u8, 0}};
    const struct sky_file_text texts[] = {{"format", "pt"}, {"config", "[data]\n\troot = \"x\"\\\x01 \xc3\xa9"}, {"", ""}};
    enum { COUNT = sizeof tensors / sizeof *tensors };
    struct sky_safetensors file = {0};
    CHECK_OK(sky_safetensors_write(path, tensors, COUNT, texts, 3));
    if (!CHECK_OK(sky_safetensors_open(&file, path))) return;
    CHECK(file.tensor_count == COUNT && file.text_count == 3);
    CHECK((file.data - file.map.bytes) % 8 == 0 && file.map.bytes[8] == '{');
    for (int i = 0; i < 3; i++) CHECK(sky_safetensors_text(&file, texts[i].key) && !strcmp(sky_safetensors_text(&file, texts[i].key), texts[i].value));
    for (int i = 0; i < COUNT; i++) {
        const struct sky_file_tensor *found = sky_safetensors_find(&file, tensors[i].name);
        if (!CHECK(found != NULL)) continue;
        CHECK(found->dtype == tensors[i].dtype && found->rank == tensors[i].rank && found->bytes == sky_file_tensor_bytes(&tensors[i]));
        CHECK(!memcmp(found->dim, tensors[i].dim, (size_t)found->rank * sizeof *found->dim));
        CHECK(!found->bytes || !memcmp(found->data, tensors[i].data, found->bytes));
    }
    CHECK(!sky_safetensors_find(&file, "absent") && !sky_safetensors_text(&file, "absent"));
    float out[6] = {0};
    CHECK_OK(sky_file_tensor_floats(sky_safetensors_find(&file, "a"), path, out, 6));
    CHECK(!memcmp(out, f32, sizeof f32));
    CHECK_OK(sky_file_tensor_floats(sky_safetensors_find(&file, "odd.place"), path, out, 2)); /* at an odd address */
    CHECK(isinf(out[0]) && out[1] == 0 && signbit(out[1]));
    CHECK_OK(sky_file_tensor_floats(sky_safetensors_find(&file, "f16"), path, out, 2));
    CHECK(out[0] == 1 && out[1] == -2);
    CHECK_OK(sky_file_tensor_floats(sky_safetensors_find(&file, "bf16"), path, out, 2));
    CHECK(out[0] == 1 && out[1] == -2);
    CHECK_FAILS(sky_file_tensor_floats(sky_safetensors_find(&file, "a"), path, out, 5), SKY_FORMAT, "another size");
    CHECK_FAILS(sky_file_tensor_floats(sky_safetensors_find(&file, "scalar"), path, out, 1), SKY_FORMAT, "not a float");
    sky_safetensors_close(&file);
    sky_safetensors_close(&file); /* closed is fine */
    CHECK_OK(sky_safetensors_write(path, NULL, 0, NULL, 0));
    CHECK_OK(sky_safetensors_open(&file, path));
    CHECK(file.tensor_count == 0 && file.data_bytes == 0);
    sky_safetensors_close(&file);
}

static void test_half(void)
{
    static const struct {
        uint16_t half;
        float value;
    } cases[] = {{0, 0},          {1, 0x1p-24f},      {0x03ff, 0x1.ff8p-15f}, {0x0400, 0x1p-14f}, {0x3555, 0x1.554p-2f},
                 {0x7bff, 65504}, {0x7c00, INFINITY}, {0xfc00, -INFINITY},    {0x8001, -0x1p-24f}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) CHECK(sky_half_to_float(cases[i].half) == cases[i].value);
    CHECK(isnan(sky_half_to_float(0x7e01)) && signbit(sky_half_to_float(0x8000)));
}

/* Legal, though we would not write it so. */
static void test_foreign(void)
{
    static const struct {
        const char *header;
        size_t data_bytes;
        int tensors;
    } cases[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]},\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"data_offsets\":[0,4],\"shape\":[],"
         "\"dtype\":\"F32\"}}",
         7, 2},
        {"{\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[4,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, 2},
        {"{\"e\":{\"dtype\":\"F64\",\"shape\":[0,9223372036854775807],\"data_offsets\":[0,0]}}", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_safetensors file = {0};
        write_file(cases[i].header, cases[i].data_bytes);
        if (!CHECK_OK(sky_safetensors_open(&file, path))) printf("in %s\n", cases[i].header);
        else CHECK(file.tensor_count == cases[i].tensors);
        sky_safetensors_close(&file);
    }
}

#define TENSOR(NAME, DTYPE, SHAPE, OFFSETS) "\"" NAME "\":{\"dtype\":" DTYPE ",\"shape\":" SHAPE ",\"data_offsets\":" OFFSETS "}"

static void test_hostile(void)
{
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *message;
    } cases[] = {
        {"", 0, "bad JSON"},
        {"[]", 0, "no object"},
        {"null", 0, "no object"},
        {"{", 0, "bad JSON"},
        {"{}x", 0, "text behind the end"},
        {"{\"a\":1}", 0, "must hold dtype, shape and data_offsets"},
        {"{\"a\":{}}", 0, "must hold dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "must hold dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4, "must hold dtype, shape and data_offsets"},
        {"{\"a\":{\"type\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"form\":[1],\"data_offsets\":[0,4]}}", 4, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4, "data_offsets must be two numbers"},
        {"{" TENSOR("a", "\"F31\"", "[1]", "[0,4]") "}", 4, "unknown dtype"},
        {"{" TENSOR("a", "32", "[1]", "[0,4]") "}", 4, "no dtype"},
        {"{" TENSOR("a", "\"F32\"", "1", "[0,4]") "}", 4, "no shape"},
        {"{" TENSOR("a", "\"F32\"", "[-1]", "[0,4]") "}", 4, "no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[1.0]", "[0,4]") "}", 4, "no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[\"1\"]", "[0,4]") "}", 4, "no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[1e3]", "[0,4000]") "}", 4, "no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[99999999999999999999]", "[0,4]") "}", 4, "no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8 dimensions"},
        {"{" TENSOR("a", "\"F32\"", "[4611686018427387904]", "[0,0]") "}", 4, "size overflows"},
        {"{" TENSOR("a", "\"F32\"", "[4294967296,4294967296,4]", "[0,0]") "}", 4, "size overflows"},
        {"{" TENSOR("a", "\"F64\"", "[2305843009213693952]", "[0,0]") "}", 0, "size overflows"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0]") "}", 4, "must be two numbers"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4,4]") "}", 4, "must be two numbers"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "{\"0\":4}") "}", 4, "must be two numbers"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[-4,0]") "}", 4, "offset is no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4.5]") "}", 4, "offset is no whole number"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[4,0]") "}", 4, "outside the file"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[4,8]") "}", 4, "outside the file"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4, "outside the file"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,3]") "}", 4, "not as long as its shape"},
        {"{" TENSOR("a", "\"F32\"", "[2]", "[0,4]") "}", 4, "not as long as its shape"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[4,8]") "}", 8, "hole or an overlap"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4]") "," TENSOR("b", "\"F32\"", "[1]", "[0,4]") "}", 8, "hole or an overlap"},
        {"{" TENSOR("a", "\"F32\"", "[2]", "[0,8]") "," TENSOR("b", "\"F32\"", "[2]", "[4,12]") "}", 12, "hole or an overlap"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4]") "," TENSOR("b", "\"F32\"", "[1]", "[8,12]") "}", 12, "hole or an overlap"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4]") "}", 5, "longer than its tensors"},
        {"{}", 1, "longer than its tensors"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4]") "," TENSOR("a", "\"F32\"", "[1]", "[4,8]") "}", 8, "comes twice"},
        {"{" TENSOR("a", "\"F32\"", "[1]", "[0,4]") "," TENSOR("\\u0061", "\"F32\"", "[1]", "[4,8]") "}", 8, "comes twice"},
        {"{\"a\\u0000\":{}}", 0, "\\u0000"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "other than text"},
        {"{\"__metadata__\":{\"a\":{}}}", 0, "other than text"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "comes twice"},
    };
    struct sky_safetensors file = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].header, cases[i].data_bytes);
        if (!CHECK_FAILS(sky_safetensors_open(&file, path), SKY_FORMAT, cases[i].message)) printf("in %s\n", cases[i].header);
        CHECK(!file.path && !file.tensors && !file.header && !file.map.count);
    }
    char deep[300] = "{\"a\":";
    for (int i = 0; i < 200; i++) strcat(deep, "[");
    write_file(deep, 0);
    CHECK_FAILS(sky_safetensors_open(&file, path), SKY_FORMAT, "nested too deeply");
    static const struct {
        const char *bytes;
        size_t count;
    } raw[] = {{"", 0},
               {"\2\0\0", 3},
               {"\2\0\0\0\0\0\0\0", 8},
               {"\3\0\0\0\0\0\0\0{}", 10},
               {"\2\0\0\0\0\0\0\200{}", 10},
               {"\377\377\377\377\377\377\377\377{}", 10},
               {"\370\377\377\377\377\377\377\377{}", 10},
               {"<!DOCTYPE html><html></html>", 28},
               {"PK\3\4\0\0\0\0\0\0\0\0", 12}};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        write_bytes(raw[i].bytes, raw[i].count);
        CHECK_FAILS(sky_safetensors_open(&file, path), SKY_FORMAT, "header");
    }
    CHECK_FAILS(sky_safetensors_open(&file, folder), SKY_IO, "not a regular file");
    unlink(path);
    CHECK_FAILS(sky_safetensors_open(&file, path), SKY_IO, "No such file");
}

/* 100 MB and one byte of header, in a file that is that long (sparse, so it costs nothing). */
static void test_long_header(void)
{
    struct sky_safetensors file = {0};
    unsigned char length[8] = {0x01, 0xe1, 0xf5, 0x05};
    write_bytes(length, 8);
    CHECK(truncate(path, 8 + 100000001) == 0);
    CHECK_FAILS(sky_safetensors_open(&file, path), SKY_FORMAT, "100 MB");
}

static volatile unsigned touched; /* every byte that a tensor claims is read */

static void test_mutations(int count)
{
    static const char *const headers[] = {
        "{" TENSOR("a", "\"F32\"", "[2,3]", "[0,24]") "," TENSOR("b", "\"U8\"", "[8]", "[24,32]") ",\"__metadata__\":{\"format\":\"pt\"}}",
        "{" TENSOR("x.y", "\"F16\"", "[4,1]", "[0,8]") "," TENSOR("e", "\"I64\"", "[0]", "[8,8]") "," TENSOR("z", "\"F64\"", "[3]", "[8,32]") "}  ",
    };
    static const char likely[] = "\"\\{}[]:,0123456789-.eE FIUB _";
    struct sky_rng rng = sky_rng_make(12, SKY_RNG_TEST, 4, 0);
    unsigned char bytes[512];
    int accepted = 0, odd = 0;
    for (int i = 0; i < count; i++) {
        size_t length = compose(bytes, headers[i % 2], zeros, 32);
        struct sky_safetensors file = {0};
        for (uint32_t edits = 1 + sky_rng_below(&rng, 3); edits; edits--) {
            const uint32_t at = sky_rng_below(&rng, 16) ? 8 + sky_rng_below(&rng, (uint32_t)length - 8) : sky_rng_below(&rng, 8),
                           kind = sky_rng_below(&rng, 10);
            if (kind == 0 && length > 40) length -= 1 + sky_rng_below(&rng, 31);
            else if (kind == 1 && length < sizeof bytes - 8) memset(bytes + length, 0, 8), length += 8;
            else bytes[at] = kind < 6 ? (unsigned char)likely[sky_rng_below(&rng, sizeof likely - 1)] : (unsigned char)sky_rng_u32(&rng);
        }
        write_bytes(bytes, length);
        const sky_status status = sky_safetensors_open(&file, path);
        odd += status != SKY_OK && status != SKY_FORMAT;
        for (int64_t t = 0; status == SKY_OK && t < file.tensor_count; t++) {
            const unsigned char *data = file.tensors[t].data;
            for (size_t b = 0; b < file.tensors[t].bytes; b++) touched += data[b];
            odd += data < file.data || data + file.tensors[t].bytes > file.map.bytes + file.map.count || strlen(file.tensors[t].name) > length;
        }
        accepted += status == SKY_OK;
        sky_safetensors_close(&file);
    }
    CHECK(odd == 0);
    CHECK(accepted > count / 100 && accepted < count);
    printf("%d of %d mutated files accepted\n", accepted, count);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/a.safetensors", folder);
    test_round_trip();
    test_half();
    test_foreign();
    test_hostile();
    test_long_header();
    test_mutations(10000);
    unlink(path);
    rmdir(folder);
    return check_done();
}
