/*
 * .npy files: what numpy writes in its three versions, every number type, Fortran order, the labels' conversions; hostile headers each with its message; our
 * own files read back; mutated files never do more than fail.
 */
#include "check.h"

#include "base/rng.h"
#include "io/npy.h"

#include <unistd.h>

static char folder[] = "/tmp/skygem-npy-XXXXXX", path[64];

static void write_bytes(const void *bytes, size_t count)
{
    unlink(path); /* truncating a file in place makes some file systems flush it */
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, count, file) != count) CHECK(!"the test can write its file");
    if (file) fclose(file);
}

/* A file as numpy lays it out, header padded to 16 or 64 bytes; returns its length. */
static size_t compose(unsigned char *out, int version, const char *dictionary, int alignment, const void *data, size_t data_bytes)
{
    const size_t prefix = version == 1 ? 10 : 12, text = strlen(dictionary);
    size_t total = prefix + text + 1;
    while (alignment && total % (size_t)alignment) total++;
    memset(out, ' ', total);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (unsigned char)version, out[7] = 0;
    for (size_t i = 8; i < prefix; i++) out[i] = (unsigned char)((total - prefix) >> (8 * (i - 8)));
    memcpy(out + prefix, dictionary, text);
    out[total - 1] = '\n';
    if (data_bytes) memcpy(out + total, data, data_bytes);
    return total + data_bytes;
}

static void write_array(int version, const char *dictionary, const void *data, size_t bytes)
{
    static unsigned char file[4096];
    write_bytes(file, compose(file, version, dictionary, 64, data, bytes));
}

static void check_matrix(const char *what, int64_t want_rows, int64_t want_columns, const float *want)
{
    struct sky_npy npy = {0};
    int64_t rows = 0, columns = 0;
    const float *values = NULL;
    CHECK_OK(sky_npy_open(&npy, path));
    if (CHECK_OK(sky_npy_matrix(&npy, &rows, &columns, &values)) && CHECK(rows == want_rows && columns == want_columns)) {
        for (int64_t i = 0; i < rows * columns; i++)
            if (!CHECK(values[i] == want[i])) printf("%s: element %lld is %g\n", what, (long long)i, (double)values[i]);
    }
    sky_npy_close(&npy);
}

static void check_labels(const char *what, int64_t want_count, const int64_t *want)
{
    struct sky_npy npy = {0};
    int64_t count = 0;
    const int64_t *labels = NULL;
    CHECK_OK(sky_npy_open(&npy, path));
    if (CHECK_OK(sky_npy_labels(&npy, &count, &labels)) && CHECK(count == want_count)) {
        for (int64_t i = 0; i < count; i++)
            if (!CHECK(labels[i] == want[i])) printf("%s: label %lld is %lld\n", what, (long long)i, (long long)labels[i]);
    }
    sky_npy_close(&npy);
}

static void test_versions(void)
{
    static const char dictionary[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    const float values[6] = {1, -2, 3.5f, 4, 5, 6e30f};
    unsigned char file[512];
    for (int version = 1; version <= 3; version++) {
        for (int alignment = 0; alignment <= 64; alignment += 16) { /* 0: the data at any address, a copy is made */
            write_bytes(file, compose(file, version, dictionary, alignment, values, sizeof values));
            check_matrix("version", 2, 3, values);
        }
    }
    write_array(1, "{\"descr\":\"<f4\",\"shape\":(2,3),\"fortran_order\":False}", values, sizeof values);
    check_matrix("dense header", 2, 3, values);
    write_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", values, sizeof values);
    check_matrix("Python 2", 2, 3, values);
    const float by_columns[6] = {1, 4, -2, 5, 3.5f, 6e30f};
    write_array(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", by_columns, sizeof by_columns);
    check_matrix("Fortran order", 2, 3, values);
}

static void test_matrix_types(void)
{
    const float values[4] = {0, 1, 2, 3}, signs[4] = {-1, 1, -128, 127};
    const double f8[4] = {0, 1, 2, 3}, tiny[4] = {1e-300, 0x1.000001p0, -1e39, 5};
    const uint16_t f2[4] = {0x3c00, 0xc000, 0x0001, 0x7bff};
    const float from_f2[4] = {1, -2, 0x1p-24f, 65504}, from_tiny[4] = {0, 1, -INFINITY, 5};
    const int8_t i1[4] = {-1, 1, -128, 127};
    const int16_t i2[4] = {-1, 1, -128, 127};
    const int32_t i4[4] = {-1, 1, -128, 127};
    const int64_t i8[4] = {-1, 1, -128, 127};
    const uint8_t u1[4] = {0, 1, 2, 3};
    const uint16_t u2[4] = {0, 1, 2, 3};
    const uint32_t u4[4] = {0, 1, 2, 3};
    const uint64_t u8[4] = {0, 1, 2, UINT64_MAX};
    const float from_u8[4] = {0, 1, 2, 0x1p64f};
    const struct {
        const char *type;
        const void *data;
        size_t bytes;
        const float *want;
    } cases[] = {{"<f8", f8, 32, values}, {"<f8", tiny, 32, from_tiny}, {"<f2", f2, 8, from_f2}, {"|i1", i1, 4, signs},  {"<i1", i1, 4, signs},
                 {"<i2", i2, 8, signs},   {"<i4", i4, 16, signs},       {"<i8", i8, 32, signs},  {"|u1", u1, 4, values}, {"|b1", u1, 4, values},
                 {"<u2", u2, 8, values},  {"<u4", u4, 16, values},      {"<u8", u8, 32, from_u8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dictionary[100];
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (2, 2), }", cases[i].type);
        write_array(1, dictionary, cases[i].data, cases[i].bytes);
        check_matrix(cases[i].type, 2, 2, cases[i].want);
    }
}

static void check_label_failure(const char *text)
{
    struct sky_npy npy = {0};
    int64_t count;
    const int64_t *labels;
    CHECK_OK(sky_npy_open(&npy, path));
    CHECK_FAILS(sky_npy_labels(&npy, &count, &labels), SKY_DATA, text);
    sky_npy_close(&npy);
}

static void test_labels(void)
{
    const int64_t want[3] = {839, -1, 7}, i8[3] = {839, -1, 7};
    const int32_t i4[3] = {839, -1, 7};
    const int16_t i2[3] = {839, -1, 7};
    const float f4[3] = {839, -1, 7}, half[3] = {1, 2, 2.5f}, not_a_number[3] = {1, NAN, 2};
    const double f8[3] = {839, -1, 7}, huge[3] = {1, 2, 0x1p63};
    const uint64_t u8[3] = {1, 1ull << 63, 2};
    write_array(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }", i8, sizeof i8);
    check_labels("i8", 3, want);
    write_array(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 3), }", i8, sizeof i8); /* as a .mat file gives them */
    check_labels("row", 3, want);
    write_array(1, "{'descr': '<i4', 'fortran_order': True, 'shape': (3, 1), }", i4, sizeof i4);
    check_labels("column", 3, want);
    write_array(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (3,), }", i2, sizeof i2);
    check_labels("i2", 3, want);
    write_array(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", f4, sizeof f4);
    check_labels("f4", 3, want);
    write_array(3, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", f8, sizeof f8);
    check_labels("f8", 3, want);
    write_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", half, sizeof half);
    check_label_failure("label 2 (counted from 0) is 2.5, not a whole number");
    write_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", not_a_number, sizeof not_a_number);
    check_label_failure("label 1 (counted from 0) is nan");
    write_array(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", huge, sizeof huge);
    check_label_failure("label 2");
    write_array(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (3,), }", u8, sizeof u8);
    check_label_failure("label 1 (counted from 0) does not fit");
    write_array(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 1, 1), }", huge, sizeof huge);
    check_label_failure("3 dimensions");
}

static void test_shapes(void)
{
    struct sky_npy npy = {0};
    int64_t rows = -1, columns = -1, count = -1;
    const float *values, data[3] = {1, 2, 3};
    const int64_t *labels;
    write_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", data, sizeof data);
    CHECK_OK(sky_npy_open(&npy, path));
    CHECK_FAILS(sky_npy_matrix(&npy, &rows, &columns, &values), SKY_DATA, "this array has 1 dimensions");
    sky_npy_close(&npy);
    write_array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", data, 4);
    CHECK_OK(sky_npy_open(&npy, path));
    CHECK(npy.rank == 0 && npy.count == 1);
    CHECK_FAILS(sky_npy_labels(&npy, &count, &labels), SKY_DATA, "0 dimensions");
    sky_npy_close(&npy);
    write_array(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000000000, 0), }", data, 0); /* no work for nothing */
    CHECK_OK(sky_npy_open(&npy, path));
    CHECK_OK(sky_npy_matrix(&npy, &rows, &columns, &values));
    CHECK(rows == 4000000000000000000 && columns == 0);
    sky_npy_close(&npy);
}

/* Everything a header can lie about. */
static void test_hostile(void)
{
    static const struct {
        const char *dictionary, *message;
    } cases[] = {
        {"", "no dictionary"},
        {"[]", "no dictionary"},
        {"{", "a quoted word was expected"},
        {"{}", "lacks descr"},
        {"{'descr': '<f4', 'fortran_order': False, }", "lacks descr"},
        {"{'descr': '<f4', 'shape': (2, 3), }", "lacks descr"},
        {"{'fortran_order': False, 'shape': (2, 3), }", "lacks descr"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", "unknown or repeated"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", "unknown or repeated"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3), }", "comma is missing"},
        {"{'descr' '<f4', 'fortran_order': False, 'shape': (2, 3), }", "colon is missing"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x", "something follows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ", "quoted word was expected"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }", "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': Fals", "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3], }", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6), }", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,, 3), }", "no whole number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", "no whole number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2.0, 3), }", "no tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6), }", "more than 8 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3), }", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 2), }", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,), }", "overflows"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "has 24 bytes of data, its shape and type need 32"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", "has 24 bytes of data, its shape and type need 16"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "type '>f4'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", "type '|O'"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", "type '<c8'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (3,), }", "type ''"},
        {"{'descr': '<U6', 'fortran_order': False, 'shape': (1,), }", "type '<U6'"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (6,), }", "records are not read"},
        {"{'descr': '<f4", "does not end"},
        {"{'descr': '<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4<f4', 'fortran_order': False, 'shape': (6,), }", "does not end"},
    };
    const float values[6] = {1, 2, 3, 4, 5, 6};
    struct sky_npy npy = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_array(1, cases[i].dictionary, values, sizeof values);
        if (!CHECK_FAILS(sky_npy_open(&npy, path), SKY_DATA, cases[i].message)) printf("in %s\n", cases[i].dictionary);
    }
    static const struct {
        const char *bytes;
        size_t count;
        const char *message;
    } raw[] = {{"", 0, "does not begin"},
               {"PK\3\4......", 10, "does not begin"},
               {"\x93NUMPX\1\0\2\0{}", 12, "does not begin"},
               {"\x93NUMPY", 6, "ends within its header"},
               {"\x93NUMPY\1\0\2", 9, "ends within its header"},
               {"\x93NUMPY\2\0\2\0\0", 11, "ends within its header"},
               {"\x93NUMPY\1\0\377\377{}", 12, "ends within its header"},
               {"\x93NUMPY\2\0\377\377\377\377{}", 14, "ends within its header"},
               {"\x93NUMPY\0\0\2\0\0\0{}", 14, "version"},
               {"\x93NUMPY\4\0\2\0\0\0{}", 14, "version"},
               {"\x93NUMPY\1\1\2\0{}", 12, "version"}};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
        write_bytes(raw[i].bytes, raw[i].count);
        CHECK_FAILS(sky_npy_open(&npy, path), SKY_DATA, raw[i].message);
    }
    CHECK_FAILS(sky_npy_open(&npy, folder), SKY_DATA, "is a folder");
    unlink(path);
    CHECK_FAILS(sky_npy_open(&npy, path), SKY_DATA, "there is no such file");
}

static void test_round_trip(void)
{
    struct sky_npy npy = {0};
    const float values[6] = {1, -2, 3.5f, 4, 5, 6e30f};
    const int64_t labels[3] = {INT64_MIN, 0, INT64_MAX};
    CHECK_OK(sky_npy_write_floats(path, values, 3, 2));
    check_matrix("ours", 3, 2, values);
    CHECK_OK(sky_npy_open(&npy, path));
    CHECK(npy.rank == 2 && !npy.fortran_order && npy.item_bytes == 4 && (npy.data - npy.map.bytes) % 64 == 0 && npy.map.bytes[6] == 1);
    int64_t rows, columns;
    const float *seen = NULL;
    CHECK_OK(sky_npy_matrix(&npy, &rows, &columns, &seen));
    CHECK((const unsigned char *)seen == npy.data); /* in place */
    sky_npy_close(&npy);
    CHECK_OK(sky_npy_write_labels(path, labels, 3));
    check_labels("ours", 3, labels);
    sky_npy_close(&npy); /* closed is fine */
}

/* Whatever a file holds, reading it ends well or with SKY_DATA; the sanitizers watch. */
static void test_mutations(int count)
{
    struct sky_rng rng = sky_rng_make(11, SKY_RNG_TEST, 3, 0);
    unsigned char file[512];
    const float values[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    int accepted = 0, odd = 0;
    for (int i = 0; i < count; i++) {
        size_t bytes = compose(
            file, 1 + i % 3, i % 2 ? "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }" : "{'descr': '<i8', 'fortran_order': True, 'shape': (6,), }",
            64, values, sizeof values);
        struct sky_npy npy = {0};
        for (uint32_t edits = 1 + sky_rng_below(&rng, 4); edits; edits--) {
            const uint32_t at = sky_rng_below(&rng, sky_rng_below(&rng, 2) ? 75 : (uint32_t)bytes);
            static const char likely[] = "'\"(){},:0123456789<>|fiub \nTL";
            if (sky_rng_below(&rng, 8) == 0) bytes = at + 1;
            else file[at] = sky_rng_below(&rng, 2) ? (unsigned char)likely[sky_rng_below(&rng, sizeof likely - 1)] : (unsigned char)sky_rng_u32(&rng);
        }
        write_bytes(file, bytes);
        const sky_status status = sky_npy_open(&npy, path);
        odd += status != SKY_OK && status != SKY_DATA;
        if (status != SKY_OK) continue;
        int64_t rows, columns;
        const float *matrix;
        const int64_t *labels;
        accepted++;
        if (sky_npy_matrix(&npy, &rows, &columns, &matrix) == SKY_OK && npy.count) odd += matrix[npy.count - 1] > 1e39;
        if (sky_npy_labels(&npy, &rows, &labels) == SKY_OK && npy.count) odd += labels[npy.count - 1] == 12345;
        sky_npy_close(&npy);
    }
    CHECK(odd == 0);
    CHECK(accepted > count / 100 && accepted < count);
    printf("%d of %d mutated files accepted\n", accepted, count);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/a.npy", folder);
    test_versions();
    test_matrix_types();
    test_labels();
    test_shapes();
    test_hostile();
    test_round_trip();
    test_mutations(10000);
    unlink(path);
    rmdir(folder);
    return check_done();
}
