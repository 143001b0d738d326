/*
 * Numbers to text and back in any locale, sizes, nearest names, the growing text.
 */
#include "check.h"

#include "base/rng.h"
#include "base/str.h"

#include <float.h>
#include <locale.h>

static void test_parse_int(void)
{
    static const char *const bad[] = {"", "-", "+", " 1", "1 ", "1x", "0x10", "1.0", "1e3", "9223372036854775808", "-9223372036854775809", "99999999999999999999", "--1", "1\n"};
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0}, {"-0", 0}, {"+7", 7}, {"007", 7}, {"9223372036854775807", INT64_MAX}, {"-9223372036854775808", INT64_MIN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t value = 77;
        CHECK(!sky_parse_int(bad[i], &value) && value == 77);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t value = 77;
        CHECK(sky_parse_int(good[i].text, &value) && value == good[i].value);
    }
}

static void test_parse_double(void)
{
    static const char *const bad[] = {"", ".", "-", "e5", "1e", "1e+", "nan", "inf", "-inf", "infinity", "0x1p3", " 1", "1 ", "1,5", "1.5f", "1e400", "1..2", "1.2.3", "+-1"};
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0}, {".5", 0.5}, {"5.", 5}, {"1e-3", 0.001}, {"-2.5E+2", -250}, {"+1", 1}, {"5e-324", 5e-324}, {"1e-400", 0}, {"0.1", 0.1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value = 77;
        CHECK(!sky_parse_double(bad[i], &value) && value == 77);
    }
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value = 77;
        CHECK(sky_parse_double(good[i].text, &value) && value == good[i].value);
    }
}

static int prints_double(double value, const char *want)
{
    char text[32];
    sky_print_double(value, text);
    return !strcmp(text, want);
}

static int prints_float(float value, const char *want)
{
    char text[32];
    sky_print_float(value, text);
    return !strcmp(text, want);
}

/* Every bit pattern drawn must come back, and the shortest text is the one a person would write. */
static void test_round_trip(void)
{
    struct sky_rng rng = sky_rng_make(3, SKY_RNG_TEST, 0, 0);
    int lost_doubles = 0, lost_floats = 0;
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = (uint64_t)sky_rng_u32(&rng) << 32 | sky_rng_u32(&rng);
        const uint32_t half = sky_rng_u32(&rng);
        double value, back = 0;
        float single;
        char text[32];
        memcpy(&value, &bits, sizeof value);
        memcpy(&single, &half, sizeof single);
        if (isfinite(value)) {
            sky_print_double(value, text);
            lost_doubles += !sky_parse_double(text, &back) || back != value;
        }
        if (isfinite(single)) {
            sky_print_float(single, text);
            lost_floats += !sky_parse_double(text, &back) || (float)back != single;
        }
    }
    CHECK(lost_doubles == 0);
    CHECK(lost_floats == 0);
    CHECK(prints_double(0.1, "0.1"));
    CHECK(prints_double(1e-6, "1e-06"));
    CHECK(prints_double(0.1 + 0.2, "0.30000000000000004"));
    CHECK(prints_double(100, "100"));
    CHECK(prints_double(-0.0, "-0"));
    CHECK(prints_double(5e-324, "5e-324"));
    CHECK(prints_double(DBL_MAX, "1.7976931348623157e+308"));
    CHECK(prints_double(5e-4, "0.0005"));
    CHECK(prints_float(0.1f, "0.1"));
    CHECK(prints_float(16777216.f, "16777216") || prints_float(16777216.f, "1.6777216e+07"));
    CHECK(prints_float(1e-45f, "1e-45"));
}

/* Under a locale with a decimal comma everything stays as it is. */
static void test_locale(void)
{
    struct sky_text text = {0};
    double value = 0;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "de_DE.utf8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        check_skip("decimal comma", "neither de_DE.UTF-8 nor fr_FR.UTF-8 is installed");
        return;
    }
    char comma[16];
    snprintf(comma, sizeof comma, "%.1f", 1.5);
    CHECK(!strcmp(comma, "1,5")); /* the locale is what this test is about */
    CHECK(prints_double(0.25, "0.25"));
    CHECK(prints_float(0.25f, "0.25"));
    CHECK(sky_parse_double("0.25", &value) && value == 0.25);
    CHECK(!sky_parse_double("0,25", &value));
    sky_text_format(&text, "%.2f", 0.25);
    CHECK(!strcmp(text.text, "0.25"));
    snprintf(comma, sizeof comma, "%.1f", 1.5);
    CHECK(!strcmp(comma, "1,5")); /* and it is given back */
    sky_text_free(&text);
    setlocale(LC_ALL, "C");
}

static void test_nearest(void)
{
    static const char *const keys[] = {"momentum", "weight_decay", "batch_size", "lr", "epochs"};
    CHECK(sky_nearest("momentun", keys, 5) == 0);
    CHECK(sky_nearest("Weight-Decay", keys, 5) == 1);
    CHECK(sky_nearest("wieght_decay", keys, 5) == 1);
    CHECK(sky_nearest("batch", keys, 5) == 2);
    CHECK(sky_nearest("rl", keys, 5) == 3);
    CHECK(sky_nearest("epoch", keys, 5) == 4);
    CHECK(sky_nearest("zzzzzz", keys, 5) == -1);
    CHECK(sky_nearest("", keys, 5) == -1);
    CHECK(sky_nearest("a name far longer than any key of any table could ever be, and longer than 64", keys, 5) == -1);
    CHECK(sky_nearest("lr", keys, 0) == -1);
}

static int prints_bytes(size_t bytes, const char *want)
{
    char text[32];
    sky_print_bytes(bytes, text);
    return !strcmp(text, want);
}

static void test_bytes(void)
{
    CHECK(prints_bytes(0, "0 B"));
    CHECK(prints_bytes(512, "512 B"));
    CHECK(prints_bytes(1023, "1.0 KiB"));
    CHECK(prints_bytes(1536, "1.5 KiB"));
    CHECK(prints_bytes(37u << 20, "37 MiB"));
    CHECK(prints_bytes(1288490189, "1.2 GiB"));
    CHECK(prints_bytes(10239, "10 KiB"));
    CHECK(prints_bytes(SIZE_MAX, "16 EiB"));
}

static void test_text(void)
{
    struct sky_text text = {0};
    char *copy = NULL;
    CHECK(text.text == NULL);
    sky_text_append(&text, "");
    CHECK(text.text && text.length == 0 && !*text.text);
    for (int i = 0; i < 1000; i++) sky_text_format(&text, "%d,", i % 10);
    sky_text_append_bytes(&text, "end and more", 3);
    CHECK(text.length == 2003 && strlen(text.text) == 2003 && !strncmp(text.text, "0,1,2,", 6) && !strcmp(text.text + 2000, "end"));
    CHECK_OK(sky_text_status(&text, "test"));
    CHECK_OK(sky_strdup(&copy, text.text, "test"));
    CHECK(copy && !strcmp(copy, text.text));
    free(copy);
    sky_text_free(&text);
    CHECK(text.text == NULL && text.length == 0);
    text.failed = true;
    sky_text_append(&text, "dropped");
    CHECK(text.text == NULL);
    CHECK_FAILS(sky_text_status(&text, "a report"), SKY_NOMEM, "a report");
}

static int separates(int count, const char *last, const char *want)
{
    struct sky_text text = {0};
    for (int i = 0; i < count; i++) {
        sky_text_separate(&text, i, count, last);
        sky_text_format(&text, "%d", i);
    }
    const int same = CHECK_OK(sky_text_status(&text, "test")) && !strcmp(text.text, want);
    sky_text_free(&text);
    return same;
}

static void test_separate(void)
{
    CHECK(separates(1, " and ", "0"));
    CHECK(separates(2, " and ", "0 and 1"));
    CHECK(separates(4, " or ", "0, 1, 2 or 3"));
}

int main(void)
{
    test_parse_int();
    test_parse_double();
    test_round_trip();
    test_locale();
    test_nearest();
    test_bytes();
    test_text();
    test_separate();
    return check_done();
}
