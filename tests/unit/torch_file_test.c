/*
 * PyTorch's .pth files: what we write is read back, what torch writes is read, strided or not; some sixty hostile pickles, storages and archives are refused,
 * each with its message; thousands of mutated files never do more than fail. Real files of torch are read in golden/weights_golden_test.c.
 */
#include "check.h"

#include "base/rng.h"
#include "folder.h"
#include "io/tensor_file.h"

static const char *const name = "file.pth";

static void write_bytes(const void *bytes, size_t count)
{
    unlink(in_folder(name)); /* truncating a file in place makes some file systems flush it */
    FILE *file = fopen(in_folder(name), "wb");
    if (!file || (count && fwrite(bytes, 1, count, file) != count)) CHECK(!"the test can write its file");
    if (file) fclose(file);
}

static unsigned char *read_bytes(size_t *count)
{
    char *bytes = NULL;
    CHECK_OK(sky_file_read(in_folder(name), 1 << 24, &bytes, count));
    return (unsigned char *)bytes;
}

/* ---- the older format, composed ---- */

#define STORAGE "(U\007storagectorch\nFloatStorage\nU\0010U\003cpuK\004tQ"
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define REST "\211}tR" /* no gradient, no hooks, call */
#define TENSOR REBUILD "(" STORAGE "K\000(K\002K\002t(K\002K\001t" REST
#define DICT(ITEMS) "\200\002}(" ITEMS "u."
#define ONE(TEXT) DICT("U\001a" TEXT)
#define KEYS "\200\002](U\0010e."
#define FOUR_FLOATS "\004\000\000\000\000\000\000\000" "\000\000\200\077" "\000\000\000\100" "\000\000\100\100" "\000\000\200\100"

static const char older_head[] = "\200\002\212\012\154\374\234\106\371\040\152\250\120\031." "\200\002M\351\003."
                                 "\200\002}(X\015\000\000\000little_endian\210u.";

static size_t compose(unsigned char *out, const char *dictionary, size_t dictionary_bytes, const char *data, size_t data_bytes)
{
    size_t used = sizeof older_head - 1;
    memcpy(out, older_head, used);
    memcpy(out + used, dictionary, dictionary_bytes);
    used += dictionary_bytes;
    memcpy(out + used, data, data_bytes);
    return used + data_bytes;
}

struct bytes {
    const char *text;
    size_t count;
};
#define BYTES(TEXT) {TEXT, sizeof(TEXT) - 1}

static void write_older(struct bytes dictionary, struct bytes data)
{
    static unsigned char out[1 << 16];
    write_bytes(out, compose(out, dictionary.text, dictionary.count, data.text, data.count));
}

/* ---- good files ---- */

static void test_round_trip(void)
{
    const float f32[6] = {1, -2, 3.5f, 4, 5, 6e30f};
    const double f64[2] = {1e300, -0.0};
    const int64_t i64[3] = {INT64_MIN, 0, INT64_MAX};
    const int32_t i32[1] = {-7};
    const uint8_t u8[5] = {1, 2, 3, 4, 255};
    const uint16_t f16[2] = {0x3c00, 0xc000}, bf16[2] = {0x3f80, 0xc000};
    const struct sky_file_tensor tensors[] = {
        {"a", SKY_F32, 2, {2, 3}, f32, 0},        {"bytes", SKY_U8, 1, {5}, u8, 0}, {"b.weight", SKY_F64, 1, {2}, f64, 0},
        {"empty", SKY_F32, 3, {4, 0, 2}, f32, 0}, {"i64", SKY_I64, 1, {3}, i64, 0}, {"scalar", SKY_I32, 0, {0}, i32, 0},
        {"f16", SKY_F16, 2, {1, 2}, f16, 0},      {"bf16", SKY_BF16, 4, {1, 1, 2, 1}, bf16, 0},
        {"alias", SKY_F32, 2, {2, 3}, f32, 0}, {"zeros", SKY_F32, 2, {3, 1000}, NULL, 0},
    };
    enum { COUNT = sizeof tensors / sizeof *tensors };
    static const float zeros[3000];
    struct sky_torch_file file = {0};
    size_t first_bytes = 0, second_bytes = 0;
    CHECK_OK(sky_torch_write(in_folder(name), tensors, COUNT));
    unsigned char *first = read_bytes(&first_bytes);
    CHECK(first_bytes < 6000); /* the alias and the zeros took no room */
    if (!CHECK_OK(sky_torch_open(&file, in_folder(name)))) return;
    CHECK(file.tensor_count == COUNT && !file.older && !*file.wrapper && file.others == 0);
    for (int i = 0; i < COUNT && i < file.tensor_count; i++) {
        const struct sky_file_tensor *found = &file.tensors[i];
        CHECK(!strcmp(found->name, tensors[i].name) && found->dtype == tensors[i].dtype && found->rank == tensors[i].rank);
        CHECK(found->bytes == sky_file_tensor_bytes(&tensors[i]));
        CHECK(!memcmp(found->dim, tensors[i].dim, (size_t)found->rank * sizeof *found->dim));
        if (tensors[i].data) CHECK(!memcmp(found->data, tensors[i].data, found->bytes));
        else CHECK(!memcmp(found->data, zeros, found->bytes));
    }
    CHECK(file.tensors[0].data == file.tensors[8].data && (uintptr_t)file.tensors[0].data % 64 == 0);
    sky_torch_close(&file);
    sky_torch_close(&file); /* closed is fine */
    CHECK_OK(sky_torch_write(in_folder(name), tensors, COUNT));
    unsigned char *second = read_bytes(&second_bytes);
    CHECK(first_bytes == second_bytes && !memcmp(first, second, first_bytes));
    free(first);
    free(second);
}

static void test_older(void)
{
    struct sky_tensor_file file = {0};
    write_older((struct bytes)BYTES(ONE(TENSOR)), (struct bytes)BYTES(KEYS FOUR_FLOATS));
    if (!CHECK_OK(sky_tensor_file_open(&file, in_folder(name)))) return;
    float out[4] = {0};
    CHECK(file.format == SKY_FORMAT_TORCH_OLDER && file.tensor_count == 1 && !strcmp(file.tensors[0].name, "a"));
    CHECK_OK(sky_file_tensor_floats(&file.tensors[0], file.path, out, 4));
    CHECK(out[0] == 1 && out[1] == 2 && out[2] == 3 && out[3] == 4);
    sky_tensor_file_close(&file);
}

/* What a tensor's sizes and strides make of the storage 1 2 3 4. */
static void test_strides(void)
{
    static const struct {
        struct bytes tensor;
        int count;
        float values[8];
    } cases[] = {
        {BYTES(ONE(REBUILD "(" STORAGE "K\000(K\002K\002t(K\001K\002t" REST)), 4, {1, 3, 2, 4}},       /* transposed */
        {BYTES(ONE(REBUILD "(" STORAGE "K\001(K\002t(K\002t" REST)), 2, {2, 4}},                       /* every second from the second */
        {BYTES(ONE(REBUILD "(" STORAGE "K\003(K\003t(K\000t" REST)), 3, {4, 4, 4}},                    /* expanded */
        {BYTES(ONE(REBUILD "(" STORAGE "K\002))" REST)), 1, {3}},                                      /* a scalar */
        {BYTES(ONE(REBUILD "(" STORAGE "K\000(K\003K\002t(K\001K\001t" REST)), 6, {1, 2, 2, 3, 3, 4}}, /* overlapping windows */
        {BYTES(ONE(REBUILD "(" STORAGE "K\002(K\001K\002t(J\377\377\377\177K\001t" REST)), 2, {3, 4}}, /* the stride of one row does not matter */
        {BYTES(ONE("ctorch._utils\n_rebuild_tensor\n(" STORAGE "K\001(K\002t(K\001ttR")), 2, {2, 3}},  /* of torch 0.3 */
        {BYTES(ONE("ctorch._utils\n_rebuild_parameter\n(" TENSOR "\211}tR")), 4, {1, 2, 3, 4}},
        {BYTES(ONE(REBUILD "(" STORAGE "K\000ctorch\nSize\n((K\004ttR(K\001t" REST)), 4, {1, 2, 3, 4}},
        {BYTES("\200\002}(U\012state_dict}(U\001b" TENSOR "uU\005epochK\003u."), 4, {1, 2, 3, 4}},
        {BYTES("\200\002ccollections\nOrderedDict\n(](](U\001k" TENSOR "eetR."), 4, {1, 2, 3, 4}},     /* as Python 2 wrote it */
        {BYTES("\200\004\225\000\000\000\000\000\000\000\000}\224(\214\001a" TENSOR "\224u."), 4, {1, 2, 3, 4}}, /* protocol 4 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_torch_file file = {0};
        float out[8] = {0};
        write_older(cases[i].tensor, (struct bytes)BYTES(KEYS FOUR_FLOATS));
        if (!CHECK_OK(sky_torch_open(&file, in_folder(name)))) {
            printf("case %zu\n", i);
            continue;
        }
        CHECK(file.tensor_count == 1);
        CHECK_OK(sky_file_tensor_floats(&file.tensors[0], "x", out, cases[i].count));
        if (!CHECK(!memcmp(out, cases[i].values, sizeof out))) printf("case %zu: %g %g %g\n", i, out[0], out[1], out[2]);
        sky_torch_close(&file);
    }
}

static void test_nested(void)
{
    struct sky_torch_file file = {0};
    static const struct bytes dictionary = BYTES(DICT("U\003net}(U\005inner}(U\001w" TENSOR "K\007" TENSOR "uU\001b" TENSOR "u"
                                                         "U\004lossG\000\000\000\000\000\000\000\000"));
    write_older(dictionary, (struct bytes)BYTES(KEYS FOUR_FLOATS));
    if (!CHECK_OK(sky_torch_open(&file, in_folder(name)))) return;
    CHECK(file.tensor_count == 2 && !strcmp(file.wrapper, "net") && file.others == 1);
    CHECK(!strcmp(file.tensors[0].name, "inner.w") && !strcmp(file.tensors[1].name, "b"));
    sky_torch_close(&file);
}

/* ---- hostile pickles and storages ---- */

static void test_hostile_older(void)
{
    static const struct {
        struct bytes dictionary, data;
        const char *message;
    } cases[] = {
#define PICKLE(TEXT, MESSAGE) {BYTES(TEXT), BYTES(KEYS FOUR_FLOATS), MESSAGE}
#define BARE(TEXT, MESSAGE) {BYTES(TEXT), BYTES("\200\002]."), MESSAGE} /* no storages */
        PICKLE("\200\002cposix\nsystem\n(U\007echo hitR.", "posix.system"),
        PICKLE("\200\002c__builtin__\neval\n(U\0011tR.", "__builtin__.eval"),
        PICKLE("\200\004\214\002os\214\006system\223(U\0011tR.", "os.system"),
        PICKLE(ONE("ctorch.nn.modules.linear\nLinear\n)R"), "torch.nn.modules.linear.Linear"),
        PICKLE(ONE("cnumpy.core.multiarray\nscalar\n)R"), "numpy.core.multiarray.scalar"),
        BARE(ONE("ctorch\nFloatStorage\n)R"), "no named tensors"),
        PICKLE(ONE("ctorch._utils\n_rebuild_tensor_v3\n)R"), "_rebuild_tensor_v3"),
        PICKLE(ONE("ctorch\n_utils _rebuild_tensor\n)R"), "torch._utils _rebuild_tensor"),
        PICKLE("\200\002(iposix\nsystem\n.", "opcode 0x69"),
        PICKLE("\200\002(oposix\nsystem\n.", "opcode 0x6f"),
        PICKLE("\200\002cposix\nsystem", "ends too early"),
        PICKLE("\200\002" "c" "posix\nsystem\n)\201.", "posix.system"),
        PICKLE("\200\002ccollections\nOrderedDict\n)\201.", "opcode 0x81"),
        PICKLE("\200\002\202\001.", "opcode 0x82"),
        PICKLE(ONE("I42\n"), "opcode 0x49"),
        PICKLE("\200\002}(U\001a" TENSOR "u", "opcode 0x04"), /* no STOP: it eats the next pickle */
        PICKLE("\200\002.", "empty stack"),
        PICKLE("\200\0020.", "empty stack"),
        PICKLE("\200\002(.", "empty stack"),
        PICKLE("\200\002N", "opcode 0x04"),
        BARE("\200\002N.", "no dictionary"),
        BARE("\200\002].", "no dictionary"),
        BARE("\200\002}.", "no named tensors"),
        PICKLE("\200\002}u.", "mark is missing"),
        PICKLE("\200\002N(NNu.", "no dictionary"),
        PICKLE("\200\002}(Nu.", "key without a value"),
        PICKLE("\200\002](N\206.", "empty stack"),
        PICKLE("\200\002N\206.", "empty stack"),
        PICKLE("\200\002(NNa.", "no list"),
        PICKLE("\200\002h\000.", "did not remember"),
        PICKLE("\200\002Nr\377\377\377\377.", "memo number"),
        PICKLE("\200\002X\377\377\377\377a.", "ends too early"),
        PICKLE("\200\002\215\377\377\377\377\377\377\377\377a.", "ends too early"),
        PICKLE("\200\002\212\377a.", "ends too early"),
        PICKLE("\200\002N)R.", "call of something without a name"),
        PICKLE("\200\002ccollections\nOrderedDict\nNR.", "without a name"),
        PICKLE("\200\002ccollections\nOrderedDict\n(NtR.", "OrderedDict of something"),
        PICKLE("\200\002ccollections\nOrderedDict\n(](NetR.", "OrderedDict of something"),
        PICKLE("\200\002]}b.", "attributes to something"),
        BARE(ONE(REBUILD ")R"), "has no storage"),
        BARE(ONE(REBUILD "(NK\000))" REST), "has no storage"),
        PICKLE(ONE(REBUILD "(NQK\000))" REST), "no storage"),
        PICKLE(ONE(REBUILD "((U\006moduleNNNNtQK\000))" REST), "no storage"),
        PICKLE(ONE(REBUILD "((U\007storageNU\0010U\003cpuK\004tQK\000))" REST), "no known type"),
        PICKLE(ONE(REBUILD "((U\007storageccollections\nOrderedDict\nU\0010U\003cpuK\004tQK\000))" REST), "no known type"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0010U\003cpuNtQK\000))" REST), "length is no whole number"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0010U\003cpuJ\377\377\377\377tQK\000))" REST), "length is no whole number"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0010U\003cpu\212\010\377\377\377\377\377\377\377\177tQK\000))" REST), "size overflows"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0010U\003cpuK\004(U\001vK\000K\002ttQK\000))" REST), "view of another"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0011U\003cpuK\004tQK\000))" REST), "no tensor uses"),
        PICKLE(ONE(REBUILD "((U\007storagectorch\nFloatStorage\nU\0010U\003cpuK\005tQK\000))" REST), "another length"),
        PICKLE(DICT("U\001a" TENSOR "U\001b" REBUILD "((U\007storagectorch\nIntStorage\nU\0010U\003cpuK\004tQK\000))" REST), "two types or lengths"),
        PICKLE(ONE(REBUILD "(" STORAGE "N))" REST), "offset is no whole number"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\004))" REST), "beyond its storage"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\001(K\002K\002t(K\002K\001t" REST), "beyond its storage"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(K\002K\002t(K\003K\001t" REST), "beyond its storage"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(K\002K\002t(K\002t" REST), "another number of strides"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(Nt(K\002t" REST), "no whole number"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(J\377\377\377\377t(K\002t" REST), "no whole number"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000N(K\002t" REST), "no tuple"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(K\001K\001K\001K\001K\001K\001K\001K\001K\001t(K\002t" REST), "more than 8"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(\212\010\377\377\377\377\377\377\377\177K\002t(K\000K\000t" REST), "overflows"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(K\003t(\212\010\377\377\377\377\377\377\377\177t" REST), "overflow"),
        PICKLE(ONE(REBUILD "(" STORAGE "K\000(J\000\000\000\100t(K\000t" REST), "repeat its data"),
        PICKLE(DICT("U\001a" TENSOR "U\001a" TENSOR), "comes twice"),
        PICKLE(DICT("U\000" TENSOR), "empty or too long"),
        PICKLE(DICT("U\002a\n" TENSOR), "control characters"),
        PICKLE("\200\002}q\000(U\001a" TENSOR "U\001bh\000u.", "6 deep"), /* a dictionary that holds itself */
        {BYTES(ONE(TENSOR)), BYTES(""), "ends too early"},
        {BYTES(ONE(TENSOR)), BYTES("\200\002N."), "list of storages"},
        {BYTES(ONE(TENSOR)), BYTES("\200\002]."), "missing from the file"},
        {BYTES(ONE(TENSOR)), BYTES("\200\002](K\001e."), "proper key"},
        {BYTES(ONE(TENSOR)), BYTES(KEYS), "cut short"},
        {BYTES(ONE(TENSOR)), BYTES(KEYS "\004\000\000\000\000\000\000\000abc"), "cut short"},
        {BYTES(ONE(TENSOR)), BYTES(KEYS "\003\000\000\000\000\000\000\000aaaabbbbcccc"), "another length"},
        {BYTES(ONE(TENSOR)), BYTES(KEYS FOUR_FLOATS "x"), "follows its last storage"},
        {BYTES(ONE(TENSOR)), BYTES("\200\002](U\0010U\0010e." FOUR_FLOATS FOUR_FLOATS), "comes twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_torch_file file = {0};
        write_older(cases[i].dictionary, cases[i].data);
        const bool right = CHECK_FAILS(sky_torch_open(&file, in_folder(name)), SKY_FORMAT, cases[i].message);
        if (!right) printf("in case %zu, which should say '%s'\n", i, cases[i].message);
        sky_torch_close(&file);
    }
}

/* Dictionaries that hold the one before several times: 20^6 tensors, were they all walked. */
static void test_many_shares(void)
{
    static unsigned char dictionary[4096];
    size_t used = 0;
    memcpy(dictionary, "\200\002", used = 2);
    for (int level = 0; level < 5; level++) {
        dictionary[used++] = '}', dictionary[used++] = 'q', dictionary[used++] = (unsigned char)level, dictionary[used++] = '(';
        for (int i = 0; i < 40; i++) {
            dictionary[used++] = 'U', dictionary[used++] = 1, dictionary[used++] = (unsigned char)('A' + i);
            if (level) dictionary[used++] = 'h', dictionary[used++] = (unsigned char)(level - 1);
            else dictionary[used++] = 'N';
        }
        dictionary[used++] = 'u';
        if (level < 4) dictionary[used++] = '0';
    }
    dictionary[used++] = '.';
    struct sky_torch_file file = {0};
    write_older((struct bytes){(const char *)dictionary, used}, (struct bytes)BYTES("\200\002]."));
    CHECK_FAILS(sky_torch_open(&file, in_folder(name)), SKY_FORMAT, "million entries");
    sky_torch_close(&file);
}

static void test_other_kinds(void)
{
    static char tar[512];
    struct sky_tensor_file file = {0};
    memcpy(tar + 257, "ustar", 5);
    write_bytes(tar, sizeof tar);
    CHECK_FAILS(sky_tensor_file_open(&file, in_folder(name)), SKY_FORMAT, "a tar archive");
    write_bytes("\200\003}.", 4);
    CHECK_FAILS(sky_tensor_file_open(&file, in_folder(name)), SKY_FORMAT, "a pickle, but not");
    write_bytes("<!DOCTYPE html><html></html>", 28);
    CHECK_FAILS(sky_tensor_file_open(&file, in_folder(name)), SKY_FORMAT, "a web page");
    write_bytes("", 0);
    CHECK_FAILS(sky_tensor_file_open(&file, in_folder(name)), SKY_FORMAT, "shorter than");
    CHECK_FAILS(sky_tensor_file_open(&file, in_folder("absent.pth")), SKY_USAGE, "no such weights file");
}

/* ---- hostile archives: a good one, with bytes changed ---- */

static unsigned char *make_archive(size_t *count)
{
    static const float values[300] = {1, 2, 3};
    const struct sky_file_tensor tensors[] = {{"a", SKY_F32, 2, {10, 30}, values, 0}, {"b", SKY_F32, 1, {4}, values + 1, 0}};
    CHECK_OK(sky_torch_write(in_folder(name), tensors, 2));
    return read_bytes(count);
}

static size_t find_bytes(const unsigned char *bytes, size_t count, const char *wanted, size_t length, int which)
{
    for (size_t i = 0; i + length <= count; i++)
        if (!memcmp(bytes + i, wanted, length) && which-- == 0) return i;
    CHECK(!"the archive holds what the test looks for");
    return 0;
}

static void test_hostile_archives(void)
{
#define END "PK\005\006"
#define CENTRAL "PK\001\002"
#define LOCAL "PK\003\004"
    static const struct {
        const char *mark; /* of four letters, or a name; the `which`-th of them */
        int which, offset;
        struct bytes change;
        const char *message;
    } cases[] = {
        {END, 0, 0, BYTES("X"), "directory is missing"},
        {END, 0, 4, BYTES("\001"), "several parts"},
        {END, 0, 10, BYTES("\377\377"), "fewer entries"},
        {END, 0, 10, BYTES("\006\000"), "directory is damaged"},
        {END, 0, 16, BYTES("\377\377\377\377"), "outside the file"},
        {END, 0, 12, BYTES("\377\377\377\177"), "outside the file"},
        {END, 0, 16, BYTES("\001\000\000\000"), "directory is damaged"},
        {END, 0, 20, BYTES("\001"), "directory is missing"},
        {CENTRAL, 0, 0, BYTES("X"), "directory is damaged"},
        {CENTRAL, 0, 8, BYTES("\001"), "encrypted"},
        {CENTRAL, 0, 10, BYTES("\014"), "not read"},
        {CENTRAL, 0, 10, BYTES("\010"), "deflated data are damaged"},
        {CENTRAL, 0, 16, BYTES("\000\000\000\000"), "checksum is wrong"},
        {CENTRAL, 0, 20, BYTES("\001"), "two sizes"},
        {CENTRAL, 0, 24, BYTES("\377\377\377\377"), "zip64 sizes"},
        {CENTRAL, 0, 28, BYTES("\000\000"), "without a proper name"},
        {CENTRAL, 0, 28, BYTES("\377\377"), "directory is damaged"},
        {CENTRAL, 0, 42, BYTES("\377\377\377\000"), "does not begin"},
        {CENTRAL, 0, 42, BYTES("\001\000\000\000"), "does not begin"},
        {CENTRAL, 0, 46, BYTES("x"), "another name"},
        {CENTRAL, 0, 50, BYTES("\000"), "proper name"},
        {LOCAL, 0, 26, BYTES("\001"), "another name"},
        {LOCAL, 0, 28, BYTES("\377\377"), "outside the archive"},
        {LOCAL, 2, 0, BYTES("X"), "does not begin"},
        {"archive/data/1", 0, 13, BYTES("0"), "another name"},
        {"little", 0, 0, BYTES("bigend"), "checksum is wrong"},
        {"OrderedDict", 0, 0, BYTES("o"), "checksum is wrong"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_torch_file file = {0};
        size_t count = 0;
        unsigned char *bytes = make_archive(&count);
        const size_t at = find_bytes(bytes, count, cases[i].mark, strlen(cases[i].mark), cases[i].which);
        memcpy(bytes + at + cases[i].offset, cases[i].change.text, cases[i].change.count);
        write_bytes(bytes, count);
        const bool right = CHECK_FAILS(sky_torch_open(&file, in_folder(name)), SKY_FORMAT, cases[i].message);
        if (!right) printf("in case %zu, which should say '%s'\n", i, cases[i].message);
        sky_torch_close(&file);
        free(bytes);
    }
}

/* Two entries of one name, and two that share bytes: the directory points both at one place. */
static void test_overlaps(void)
{
    struct sky_torch_file file = {0};
    size_t count = 0;
    unsigned char *bytes = make_archive(&count);
    const size_t one = find_bytes(bytes, count, CENTRAL, 4, 2), two = find_bytes(bytes, count, CENTRAL, 4, 3);
    memcpy(bytes + two, bytes + one, 46 + strlen("archive/data/1"));
    write_bytes(bytes, count);
    CHECK_FAILS(sky_torch_open(&file, in_folder(name)), SKY_FORMAT, "overlaps another");
    sky_torch_close(&file);
    free(bytes);
}

/* ---- the digest in a name ---- */

static void test_digest(void)
{
    static const struct {
        const char *name;
        int digits;
        bool right;
    } cases[] = {{"abc-ba7816bf.pth", 8, true}, {"abc-ba7816bf8f01cfea.th", 16, true}, {"net-ba7816be.pth", 8, false}, {"ba7816be.pth", 0, true},
                 {"net-0676ba6.pth", 0, true},  {"resnet50.pth", 0, true},             {"net-ba7816bf", 8, true},      {"abcba7816be.pth", 0, true},
                 {"net_ba7816be.pth", 0, true},  {"step-000000003.pth", 0, true},       {"net-20240131.pth", 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char hex[65] = "";
        int digits = -1;
        CHECK_OK(sky_file_write_atomic(in_folder(cases[i].name), "abc", 3));
        const sky_status status = sky_tensor_file_digest(in_folder(cases[i].name), hex, &digits);
        CHECK(status == (cases[i].right ? SKY_OK : SKY_FORMAT) && digits == cases[i].digits);
        CHECK(!strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    }
}

/* ---- mutations ---- */

static void mutate(struct sky_rng *rng, unsigned char *bytes, size_t *count)
{
    const int changes = 1 + (int)(sky_rng_u32(rng) % 6);
    for (int i = 0; i < changes; i++) {
        const size_t at = sky_rng_u32(rng) % *count;
        switch (sky_rng_u32(rng) % 4) {
        case 0: bytes[at] = (unsigned char)sky_rng_u32(rng); break;
        case 1: bytes[at] ^= (unsigned char)(1u << sky_rng_u32(rng) % 8); break;
        case 2: bytes[at] = sky_rng_u32(rng) % 2 ? 0xff : 0; break;
        default: {
            const size_t from = sky_rng_u32(rng) % *count, length = sky_rng_u32(rng) % 24;
            if (from + length <= *count && at + length <= *count) memmove(bytes + at, bytes + from, length);
        }
        }
    }
    if (sky_rng_u32(rng) % 16 == 0) *count = 1 + sky_rng_u32(rng) % *count;
}

static void test_mutations(const unsigned char *good, size_t good_bytes, int rounds, uint64_t seed)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 0, 0);
    unsigned char *bytes = malloc(good_bytes);
    int opened = 0, odd = 0;
    for (int round = 0; round < rounds; round++) {
        struct sky_tensor_file file = {0};
        size_t count = good_bytes;
        memcpy(bytes, good, good_bytes);
        mutate(&rng, bytes, &count);
        write_bytes(bytes, count);
        const sky_status status = sky_tensor_file_open(&file, in_folder(name));
        opened += status == SKY_OK;
        odd += status != SKY_OK && status != SKY_FORMAT;
        double sum = 0; /* whatever was accepted can be read to the last byte */
        for (int64_t t = 0; t < file.tensor_count; t++)
            for (size_t b = 0; b < file.tensors[t].bytes; b++) sum += ((const unsigned char *)file.tensors[t].data)[b];
        CHECK(sum >= 0);
        sky_tensor_file_close(&file);
    }
    CHECK(odd == 0);
    printf("%d of %d mutated files were still read\n", opened, rounds);
    free(bytes);
}

int main(void)
{
    static unsigned char older[4096];
    folder_make();
    test_round_trip();
    test_older();
    test_strides();
    test_nested();
    test_hostile_older();
    test_many_shares();
    test_other_kinds();
    test_hostile_archives();
    test_overlaps();
    test_digest();
    size_t count = 0;
    unsigned char *archive = make_archive(&count);
    test_mutations(archive, count, 3000, 1);
    free(archive);
    static const char dictionary[] = "\200\002}(U\012state_dict}(U\001a" TENSOR "U\001b" REBUILD "(" STORAGE "K\000(K\002K\002t(K\001K\002t" REST
                                     "uU\005epochK\003u.";
    count = compose(older, dictionary, sizeof dictionary - 1, KEYS FOUR_FLOATS, sizeof(KEYS FOUR_FLOATS) - 1);
    test_mutations(older, count, 5000, 2);
    folder_remove(folder);
    return check_done();
}
