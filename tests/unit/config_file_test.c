/*
 * Experiment files as files: their syntax, long lines, paths, includes and overrides, several errors at once, random damage, and every file that is shipped.
 */
#include "config_text.h"

#include "base/rng.h"

#include <unistd.h>

static void test_syntax(void)
{
    static const char *const good[] = {
        "[train]\nepochs=7",
        "[train]\nepochs = 7\n",
        "[train]\r\nepochs = 7\r\n",
        "\xef\xbb\xbf[train]\nepochs = 7\n",
        "[train] ; here\nepochs = 7 ; seven\n",
        "# x\n  ; indented comment\n\t\n[train]\nepochs\t=\t7\t;\n",
        "[train]\n[eval]\n[train]\nepochs = +7\n",
        "[train]\nepochs = 007",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) check_accepted(good[i], strlen(good[i]));

    static const struct {
        const char *text;
        int line;
        const char *why;
    } bad[] = {
        {"epochs = 7\n", 1, "before any [section]"},
        {"[train\nepochs = 7\n", 1, "']' is missing"},
        {"[]\n", 1, "letters, digits and _"},
        {"[ train ]\n", 1, "without blanks"},
        {"[train]]\n", 1, "behind the section's ']'"},
        {"[train] x\n", 1, "behind the section's ']'"},
        {" [train]\n", 1, "indented"},
        {"[train]\n= 7\n", 2, "no key"},
        {"[train]\nmy epochs = 7\n", 2, "letters, digits and _"},
        {"[train]\nepochs : 7 = 8\n", 2, "instead of ':'"},
        {"[train]\nepochs = 7\x01\n", 2, "control character"},
        {"[train]\n\xef\xbb\xbf"
         "epochs = 7\n",
         2, "letters, digits and _"},
        {"[train]\rlr = 1\n", 1, "control character"},
        {"\n\n\n[train]\nx\n", 5, "no '='"},
        {"[a_section_whose_name_is_longer_than_forty_eight_characters]\n", 1, "longer than 48"},
        {"[train]\na_key_whose_name_is_much_longer_than_forty_eight_characters = 1\n", 2, "longer than 48"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i].text, bad[i].line, NULL, bad[i].why, NULL);
    static const char utf16[] = "[\0t\0r\0a\0";
    struct sky_config c = {0};
    write_bytes(ini, utf16, 8);
    CHECK_FAILS(sky_config_read(&c, ini, NULL, 0), SKY_CONFIG, "UTF-16");
}

/* Lines around and beyond libinih's own buffer of 200 bytes, and around our limit. */
static void test_long_lines(void)
{
    static char text[20000];
    struct sky_config c = {0};
    for (int length = 150; length < 260; length++) {
        char name[300];
        memset(name, 'x', sizeof name);
        name[length] = 0;
        snprintf(text, sizeof text, "[experiment]\nnote = %s ; c\n; %s%s\nname = b%s\n[train]\nepochs = 7\nx = 1\n", name, name, name, name + 1);
        check_refused(text, 7, "train.x", NULL, NULL); /* no line is counted twice */
        text[strlen(text) - 6] = 0;
        if (!CHECK_OK(read_text(&c, text))) continue;
        CHECK(c.train.epochs == 7 && !strcmp(c.experiment.note, name) && c.experiment.name[0] == 'b' && !strcmp(c.experiment.name + 1, name + 1));
        CHECK(reads_back(&c));
        sky_config_free(&c);
    }
    char path[3400];
    memset(path, 'p', sizeof path);
    path[0] = '/', path[sizeof path - 1] = 0;
    snprintf(text, sizeof text, "[data]\nroot = %s\n[train]%250s; c\nepochs = 7", path, "");
    if (CHECK_OK(read_text(&c, text))) {
        CHECK(!strcmp(c.data.root, path) && c.train.epochs == 7 && reads_back(&c));
        sky_config_free(&c);
    }
    static char long_line[SKY_MAX_LIST + 5000];
    memset(long_line, 'y', sizeof long_line);
    long_line[4990] = 0;
    snprintf(text, sizeof text, "[data]\nroot = %s\n", long_line);
    check_refused(text, 2, NULL, "longer than 4096", NULL);
    snprintf(text, sizeof text, "[data]\nroot = %.3600s\n", long_line);
    check_refused(text, 2, "data.root", "at most 3500", NULL);
}

static void test_paths(void)
{
    struct sky_config c = {0};
    char real[4096], want[4200];
    CHECK(realpath(folder, real) != NULL);
    CHECK_OK(sky_folder_make(in_folder("sub/deep")));
    write_file("sub/data.ini", "[data]\nroot = ../tree/./x\npack = ./pack.bin\n[model]\nweights = ../../../../../../../../w.st\n[debug]\nrecord = ..\n");
    write_file("top.ini", "[include]\nfiles = sub/data.ini\n[experiment]\nname = n\n");
    if (CHECK_OK(sky_config_read(&c, in_folder("top.ini"), NULL, 0))) {
        snprintf(want, sizeof want, "%s/tree/./x", real);
        CHECK(!strcmp(c.data.root, want));
        snprintf(want, sizeof want, "%s/sub/pack.bin", real);
        CHECK(!strcmp(c.data.pack, want));
        CHECK(!strcmp(c.model.weights, "/w.st") && !strcmp(c.debug.record, real) && !strcmp(c.experiment.name, "n"));
        sky_config_free(&c);
    }
    const char *const overrides[] = {"data.root=here", "model.weights = none", " debug.record=off"};
    CHECK(getcwd(real, sizeof real) != NULL);
    if (CHECK_OK(sky_config_read(&c, in_folder("top.ini"), overrides, 3))) {
        snprintf(want, sizeof want, "%s/here", real);
        CHECK(!strcmp(c.data.root, want) && !c.model.weights && !c.debug.record && !strcmp(sky_config_origin_of(&c, "data.root"), "--set"));
        sky_config_free(&c);
    }
}

static void test_includes(void)
{
    struct sky_config c = {0};
    write_file("a.ini", "[train]\nepochs = 1\nbatch_size = 2\n[include]\nfiles = b.ini , c.ini\n[optimizer]\nlr = 5\n");
    write_file("b.ini", "[include]\nfiles = d.ini\n[train]\nepochs = 10\naccumulate = 3\n[optimizer]\nlr = 6\nmomentum = 0.5\n");
    write_file("c.ini", "[include]\nfiles = d.ini\n[train]\naccumulate = 4\n");
    write_file("d.ini", "[train]\naccumulate = 9\nkeep_checkpoints = 8\n");
    const char *const overrides[] = {"train.epochs=20", "train.epochs=21"};
    if (CHECK_OK(sky_config_read(&c, in_folder("a.ini"), overrides, 2))) {
        CHECK(c.train.epochs == 21 && c.train.batch_size == 2 && c.train.accumulate == 4 && c.train.keep_checkpoints == 8 && c.optimizer.lr == 5 &&
              c.optimizer.momentum == 0.5);
        CHECK(strstr(sky_config_origin_of(&c, "train.keep_checkpoints"), "d.ini:3") && strstr(sky_config_origin_of(&c, "optimizer.lr"), "a.ini:7"));
        CHECK(!strcmp(c.experiment.name, "a"));
        sky_config_free(&c);
    }
    write_file("d.ini", "\n[include]\nfiles = e.ini\n");
    CHECK_FAILS(sky_config_read(&c, in_folder("a.ini"), NULL, 0), SKY_CONFIG, "d.ini:3: include.files: ");
    CHECK(strstr(sky_error_last()->what, "e.ini: cannot open: No such file") && strstr(sky_error_last()->what, "b.ini:2, by ") &&
          strstr(sky_error_last()->what, "a.ini:5"));
    write_file("d.ini", "[include]\nfiles = ../../tmp/./nowhere/../b.ini, sub/../a.ini\n");
    CHECK_FAILS(sky_config_read(&c, in_folder("a.ini"), NULL, 0), SKY_CONFIG, "includes itself");
    write_file("d.ini", "[include]\nfiles = a.ini\nfiles = b.ini\n");
    CHECK_FAILS(sky_config_read(&c, in_folder("d.ini"), NULL, 0), SKY_CONFIG, "include.files: comes a second time");
    write_file("d.ini", "[include]\nfiles = d.ini\n");
    CHECK_FAILS(sky_config_read(&c, in_folder("d.ini"), NULL, 0), SKY_CONFIG, "d.ini includes itself");
    write_file("d.ini", "[include]\nfiles = \n");
    CHECK_FAILS(sky_config_read(&c, in_folder("d.ini"), NULL, 0), SKY_CONFIG, "empty name");
    for (int i = 0; i < 20; i++) { /* each file reads the next one twice: 2^20 reads unless somebody counts */
        char name[32], text[96];
        snprintf(name, sizeof name, "n%d.ini", i);
        snprintf(text, sizeof text, "[include]\nfiles = n%d.ini, n%d.ini\n", i + 1, i + 1);
        write_file(name, text);
    }
    CHECK_FAILS(sky_config_read(&c, in_folder("n0.ini"), NULL, 0), SKY_CONFIG, "is not read: more than");
    CHECK_FAILS(sky_config_read(&c, in_folder("none.ini"), NULL, 0), SKY_CONFIG, "No such file");
    CHECK_FAILS(sky_config_read(&c, folder, NULL, 0), SKY_CONFIG, "Is a directory");
    const char *const bad[] = {"include.files=a.ini", "epochs=3", "train.epochs", "=", "train.epochs=x", "modle.blocks=5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(sky_config_read(&c, NULL, &bad[i], 1), SKY_CONFIG, "--set: ");
    }
}

/* Everything wrong in a file is said at once, in the order of its lines; what does not fit is counted. */
static void test_all_at_once(void)
{
    static char text[8000] = "";
    struct sky_config c = {0};
    CHECK(read_text(&c, "[train]\nepochs = x\n junk\nbatch_size = 1\n[nope]\na = 1\nb = 1\n[loss]\nce = -1\n") == SKY_CONFIG);
    const char *at = sky_error_last()->what;
    static const int lines[] = {2, 3, 4, 5, 9};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char place[96];
        snprintf(place, sizeof place, "%s:%d: ", ini, lines[i]);
        at = strstr(at, place);
        if (!CHECK(at != NULL)) return;
    }
    CHECK(strchr(at, '\n') == NULL); /* the keys of an unknown section are not complained about one by one */
    strcpy(text, "[train]\n");
    for (int i = 0; i < 100; i++) strcat(text, "epochs = x\n");
    CHECK_FAILS(read_text(&c, text), SKY_CONFIG, "more");
}

static void test_overrides_fit_a_file(void)
{
    static const char *const bad[] = {"experiment.note=a ;b", "experiment.note=;b", "experiment.note=a\nb", "data.root=a\tb ;c"};
    struct sky_config c = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_FAILS(sky_config_read(&c, NULL, &bad[i], 1), SKY_CONFIG, "an .ini file can hold");
    const char *const good = "experiment.note=  a;b = c # d  ";
    if (CHECK_OK(sky_config_read(&c, NULL, &good, 1))) {
        CHECK(!strcmp(c.experiment.note, "a;b = c # d") && reads_back(&c));
        sky_config_free(&c);
    }
}

/* Random damage to a complete file: refused with lines that exist, or accepted and then stable. */
static void test_damage(void)
{
    enum { ROUNDS = 3000 };
    static const char letters[] = "\n\n=;[]#: \t\"0129.-,_abexyz\r\\\x01\xff";
    struct sky_rng rng = sky_rng_make(11, SKY_RNG_TEST, 0, 0);
    struct sky_config c = {0};
    char *base = NULL;
    int accepted = 0, refused = 0, wrong = 0;
    CHECK_OK(sky_config_read(&c, NULL, NULL, 0));
    CHECK_OK(sky_config_text(&c, &base));
    sky_config_free(&c);
    const size_t length = strlen(base);
    char *text = malloc(length * 2);
    for (int round = 0; round < ROUNDS; round++) {
        size_t count = length;
        memcpy(text, base, length);
        for (uint32_t i = sky_rng_below(&rng, 3) + 1; i > 0; i--) {
            const size_t at = sky_rng_below(&rng, (uint32_t)count), run = sky_rng_below(&rng, 40) + 1;
            switch (sky_rng_below(&rng, 4)) {
            case 0: text[at] = letters[sky_rng_below(&rng, sizeof letters)]; break;
            case 1: /* a piece is lost */
                if (at + run >= count) break;
                memmove(text + at, text + at + run, count - at - run);
                count -= run;
                break;
            case 2: /* a piece comes twice */
                if (at + run >= count || count + run > length * 2) break;
                memmove(text + at + run, text + at, count - at);
                count += run;
                break;
            default: count = at + 1; /* the end is lost */
            }
        }
        int lines = 1;
        for (size_t i = 0; i < count; i++) lines += text[i] == '\n';
        write_bytes(ini, text, count);
        const sky_status status = sky_config_read(&c, ini, NULL, 0);
        if (status == SKY_OK) {
            accepted++;
            wrong += !reads_back(&c);
            sky_config_free(&c);
            continue;
        }
        refused++;
        wrong += status != SKY_CONFIG;
        for (const char *line = sky_error_last()->what; line; line = strchr(line, '\n'), line += line != NULL) {
            int64_t number = 0;
            char digits[16] = "";
            if (!strncmp(line, ini, strlen(ini)))
                snprintf(digits, sizeof digits, "%.*s", (int)strspn(line + strlen(ini) + 1, "0123456789"), line + strlen(ini) + 1);
            else if (!strncmp(line, "and ", 4)) continue;
            wrong += !sky_parse_int(digits, &number) || number < 1 || number > lines;
        }
    }
    CHECK(wrong == 0);
    CHECK(accepted > 100 && refused > 1000);
    free(text);
    free(base);
}

/* Every file we ship can be read by itself, fragments too. Returns how many there are. */
static int read_shipped(const char *path)
{
    struct sky_listing list = {0};
    int count = 0;
    if (!CHECK_OK(sky_folder_list(path, &list))) return 0;
    for (int64_t i = 0; i < list.count; i++) {
        struct sky_config c = {0};
        char *inner = NULL;
        const char *name = list.entries[i].name;
        const size_t length = strlen(name);
        if (!CHECK_OK(sky_path_join(&inner, path, name))) continue;
        if (list.entries[i].is_folder) {
            count += read_shipped(inner);
        } else if (length > 4 && !strcmp(name + length - 4, ".ini")) {
            count++;
            CHECK_OK(sky_config_read(&c, inner, NULL, 0));
            sky_config_free(&c);
        }
        free(inner);
    }
    sky_listing_free(&list);
    return count;
}

/* An experiment within another file: read as its own text is, named in messages, and it includes nothing. */
static void test_texts(void)
{
    struct sky_config c = {0}, again = {0};
    char *text = NULL;
    uint32_t hash = 0, hash_again = 1, features = 0, features_again = 1;
    const char *const more[] = {"device.threads=3"};
    CHECK_OK(sky_config_read(&c, SKY_SOURCE_DIR "/experiments/demo/demo.ini", NULL, 0));
    CHECK_OK(sky_config_text(&c, &text));
    if (CHECK_OK(sky_config_read_text(&again, "a checkpoint", text, more, 1))) {
        CHECK_OK(sky_config_hash(&c, &hash));
        CHECK_OK(sky_config_hash(&again, &hash_again));
        CHECK_OK(sky_config_feature_hash(&c, &features));
        CHECK_OK(sky_config_feature_hash(&again, &features_again));
        CHECK(hash == hash_again && features == features_again && again.device.threads == 3);
        again.model.blocks++;
        CHECK_OK(sky_config_feature_hash(&again, &features_again));
        CHECK(features != features_again);
        sky_config_free(&again);
    }
    CHECK_FAILS(sky_config_read_text(&again, "a checkpoint", "[train]\nepoch = 7\n", NULL, 0), SKY_CONFIG, "a checkpoint:2");
    CHECK_FAILS(sky_config_read_text(&again, "a checkpoint", "[include]\nfiles = a.ini\n", NULL, 0), SKY_CONFIG, "is not read");
    free(text);
    sky_config_free(&c);
}

int main(void)
{
    folder_make();
    snprintf(ini, sizeof ini, "%s/bad.ini", folder);
    test_syntax();
    test_long_lines();
    test_paths();
    test_includes();
    test_all_at_once();
    test_overrides_fit_a_file();
    test_damage();
    test_texts();
    CHECK(read_shipped(SKY_SOURCE_DIR "/experiments") > 0);
    CHECK(read_shipped(SKY_SOURCE_DIR "/configs") > 0);
    folder_remove(folder);
    return check_done();
}
