/*
 * The JSON reader's strictness, what it decodes, and that the writer's output reads back.
 */
#include "check.h"
#include "folder.h"

#include "base/json.h"

static sky_status parse(const char *text, struct sky_json_document **out)
{
    return sky_json_parse(text, strlen(text), "test.json", out);
}

static void test_refused(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "byte 0"}, {" ", "byte 1"}, {"{", "string was expected"}, {"[1,]", "comma before the end"}, {"{\"a\":1,}", "comma before the end"},
        {"[1 2]", "',' or ']'"}, {"{\"a\" 1}", "':'"}, {"{a:1}", "string was expected"}, {"[1]x", "behind the end"}, {"01", "starts with 0"},
        {"-", "value was expected"}, {"+1", "value was expected"}, {".5", "value was expected"}, {"1.", "decimal point"}, {"1e", "exponent"},
        {"1e999", "out of range"}, {"nan", "unknown word"}, {"NaN", "value was expected"}, {"tru", "unknown word"}, {"\"a", "does not end"},
        {"\"\\x\"", "unknown escape"}, {"\"\\u12\"", "four hexadecimal"}, {"\"\\u0000\"", "u0000"}, {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"}, {"\"\\udc00\"", "surrogate"}, {"\"a\nb\"", "control character"}, {"'a'", "value was expected"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "comes twice"}, {"{\"a\":1,\"\\u0061\":3}", "comes twice"}, {"[1}", "',' or ']'"}, {"/* */1", "value was expected"},
        {"\xef\xbb\xbf{}", "value was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_json_document *document = NULL;
        CHECK_FAILS(parse(cases[i].text, &document), SKY_FORMAT, cases[i].why);
        CHECK(document == NULL);
        CHECK(!strcmp(sky_error_last()->where, "test.json"));
    }
    struct sky_json_document *document = NULL;
    CHECK_FAILS(sky_json_parse("1\0", 2, "test.json", &document), SKY_FORMAT, "behind the end"); /* a NUL byte is not an end */
    CHECK_FAILS(sky_json_parse("\"a\0b\"", 5, "test.json", &document), SKY_FORMAT, "control character");
    char deep[200];
    memset(deep, '[', 65), memset(deep + 65, ']', 65), deep[130] = 0;
    CHECK_FAILS(parse(deep, &document), SKY_FORMAT, "nested too deeply");
    char number[600];
    memset(number, '1', sizeof number);
    CHECK_FAILS(sky_json_parse(number, sizeof number, "test.json", &document), SKY_FORMAT, "too long");
}

static void test_values(void)
{
    struct sky_json_document *document = NULL;
    static const char text[] = " {\"i\": 9223372036854775807, \"big\": 9223372036854775808, \"d\": -1.5e2, \"s\": \"a\\n\\\"\\/\\u00e9\\u20ac\\ud83d\\ude00\xc3\xa9\","
                               "\"t\": true, \"f\": false, \"n\": null, \"a\": [1, [], {}], \"\": 0}\r\n";
    if (!CHECK_OK(parse(text, &document))) return;
    const struct sky_json *root = sky_json_root(document), *value;
    CHECK(root->kind == SKY_JSON_OBJECT && root->count == 9);
    value = sky_json_get(root, "i");
    CHECK(value && value->is_integer && value->integer == INT64_MAX);
    value = sky_json_get(root, "big");
    CHECK(value && !value->is_integer && value->number == 9223372036854775808.0);
    value = sky_json_get(root, "d");
    CHECK(value && !value->is_integer && value->number == -150);
    value = sky_json_get(root, "s");
    CHECK(value && value->kind == SKY_JSON_STRING && !strcmp(value->string, "a\n\"/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"));
    CHECK(sky_json_get(root, "t")->boolean && !sky_json_get(root, "f")->boolean && sky_json_get(root, "f")->kind == SKY_JSON_BOOL);
    CHECK(sky_json_get(root, "n")->kind == SKY_JSON_NULL);
    value = sky_json_get(root, "a");
    CHECK(value && value->kind == SKY_JSON_ARRAY && value->count == 3 && value->first->integer == 1 && value->first->next->kind == SKY_JSON_ARRAY);
    CHECK(sky_json_get(root, "") != NULL);
    CHECK(sky_json_get(root, "absent") == NULL);
    CHECK(sky_json_get(value, "a") == NULL);
    CHECK(sky_json_get(NULL, "a") == NULL);
    sky_json_free(document);
    sky_json_free(NULL);
}

/* More values than one chunk holds: their addresses must not move. */
static void test_many(void)
{
    struct sky_text text = {0};
    struct sky_json_document *document = NULL;
    sky_text_append(&text, "{");
    for (int i = 0; i < 3000; i++) sky_text_format(&text, "%s\"k%d\": {\"v\": %d}", i ? "," : "", i, i);
    sky_text_append(&text, "}");
    if (CHECK_OK(parse(text.text, &document))) {
        int64_t expected = 0, wrong = 0;
        for (const struct sky_json *child = sky_json_root(document)->first; child; child = child->next) wrong += sky_json_get(child, "v")->integer != expected++;
        CHECK(expected == 3000 && wrong == 0);
    }
    sky_json_free(document);
    sky_text_free(&text);
}

static void test_writer(void)
{
    struct sky_text text = {0};
    struct sky_json_document *document = NULL;
    struct sky_json_writer w = {&text, false};
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "s", "tab\t quote\" back\\ line\n bell\x07 \xc3\xa9");
    sky_json_string(&w, "none", NULL);
    sky_json_begin_array(&w, "a");
    sky_json_int(&w, NULL, INT64_MIN);
    sky_json_bool(&w, NULL, true);
    sky_json_begin_object(&w, NULL);
    sky_json_end_object(&w);
    sky_json_end_array(&w);
    sky_json_double(&w, "d", 0.1);
    sky_json_double(&w, "nan", (double)NAN);
    sky_json_float(&w, "f", 0.1f);
    sky_json_float(&w, "inf", (float)INFINITY);
    sky_json_end_object(&w);
    CHECK_OK(sky_text_status(&text, "test"));
    CHECK(!strcmp(text.text, "{\"s\": \"tab\\u0009 quote\\\" back\\\\ line\\n bell\\u0007 \xc3\xa9\", \"none\": null, \"a\": [-9223372036854775808, true, {}], "
                             "\"d\": 0.1, \"nan\": null, \"f\": 0.1, \"inf\": null}"));
    if (CHECK_OK(parse(text.text, &document))) {
        CHECK(!strcmp(sky_json_get(sky_json_root(document), "s")->string, "tab\t quote\" back\\ line\n bell\x07 \xc3\xa9"));
        CHECK(sky_json_get(sky_json_root(document), "a")->first->integer == INT64_MIN);
    }
    sky_json_free(document);
    sky_text_free(&text);
}

/* Names of files are bytes: whatever they are, the text is valid JSON (and UTF-8), and reads back as the same bytes. */
static void test_bytes(void)
{
    static const struct {
        const char *bytes, *written;
    } cases[] = {{"\xff", "\\udcff"}, {"a\x80z", "a\\udc80z"}, {"\xc3\xa9\xc3", "\xc3\xa9\\udcc3"}, {"\xc0\xaf", "\\udcc0\\udcaf"}, {"\xe0\x80\x80", "\\udce0\\udc80\\udc80"},
                 {"\xed\xb2\x80", "\\udced\\udcb2\\udc80"}, {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}, {"\xf0\x8f\x98\x80", "\\udcf0\\udc8f\\udc98\\udc80"},
                 {"\xf4\x90\x80\x80", "\\udcf4\\udc90\\udc80\\udc80"}, {"\xe2\x82", "\\udce2\\udc82"}, {"\x7f", "\x7f"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_text text = {0};
        struct sky_json_document *document = NULL;
        struct sky_json_writer w = {&text, false};
        char want[64];
        snprintf(want, sizeof want, "\"%s\"", cases[i].written);
        sky_json_string(&w, NULL, cases[i].bytes);
        CHECK(!text.failed && !strcmp(text.text, want));
        if (CHECK_OK(parse(text.text, &document))) CHECK(!strcmp(sky_json_root(document)->string, cases[i].bytes));
        sky_json_free(document);
        sky_text_free(&text);
    }
}

static void test_shortcuts(void)
{
    struct sky_json_document *document = NULL;
    FILE *file;
    folder_make();
    file = fopen(in_folder("a.json"), "w");
    fputs("{\"n\": 2.5, \"s\": \"text\", \"l\": []}", file);
    fclose(file);
    if (CHECK_OK(sky_json_read(in_folder("a.json"), 1000, &document))) {
        const struct sky_json *root = sky_json_root(document);
        CHECK(sky_json_number(root, "n") == 2.5 && isnan(sky_json_number(root, "s")) && isnan(sky_json_number(root, "none")) && isnan(sky_json_number(NULL, "n")));
        CHECK(!strcmp(sky_json_text(root, "s"), "text") && !sky_json_text(root, "n") && !sky_json_text(root, "none") && !sky_json_text(NULL, "s"));
    }
    sky_json_free(document);
    CHECK(sky_json_read(in_folder("a.json"), 5, &document) != SKY_OK);
    CHECK_FAILS(sky_json_read(in_folder("none.json"), 1000, &document), SKY_IO, "none.json");
    folder_remove(folder);
}

int main(void)
{
    test_shortcuts();
    test_refused();
    test_values();
    test_many();
    test_writer();
    test_bytes();
    return check_done();
}
