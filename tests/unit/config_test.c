/*
 * Experiment files: every key read, printed and read back; every key wrong in six and more ways, each with file, line, key and what is allowed; includes,
 * overrides, rules between keys, the hash, and random damage.
 */
#include "check.h"
#include "folder.h"

#include "base/fs.h"
#include "base/rng.h"
#include "config/schema.h"
#include "model/model.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

static char ini[64]; /* the file most cases write */

/* Not sky_file_write_atomic: thousands of small files need not survive a power cut. */
static void write_bytes(const char *path, const char *bytes, size_t count)
{
    unlink(path); /* truncating one that is there would make ext4 flush it */
    FILE *file = fopen(path, "we");
    CHECK(file && fwrite(bytes, 1, count, file) == count && !fclose(file));
}

static void write_file(const char *name, const char *text) { write_bytes(in_folder(name), text, strlen(text)); }

/* Reads a text as bad.ini; on success the config is the caller's. */
static sky_status read_text(struct sky_config *config, const char *text)
{
    write_file("bad.ini", text);
    return sky_config_read(config, ini, NULL, 0);
}

/* The text must be refused with a message that has all of these (NULL: none). */
static void check_refused(const char *text, int line, const char *name, const char *a, const char *b)
{
    struct sky_config config = {0};
    char place[128];
    const char *what = sky_error_last()->what;
    if (!CHECK(read_text(&config, text) == SKY_CONFIG)) {
        printf("  accepted: %s\n", text);
        sky_config_free(&config);
        return;
    }
    snprintf(place, sizeof place, "%s:%d: ", ini, line);
    const bool good = strstr(what, place) && (!name || strstr(what, name)) && (!a || strstr(what, a)) && (!b || strstr(what, b)) &&
                      !strcmp(sky_error_last()->where, ini) && strstr(sky_error_last()->hint, "help config");
    if (!CHECK(good)) printf("  %.300s\n  gave: %s\n  wanted: %s %s %s %s\n", text, what, place, name ? name : "", a ? a : "", b ? b : "");
}

/* Texts of every key, to compare two configs. Caller frees. */
static char *all_values(const struct sky_config *config)
{
    struct sky_text text = {0};
    for (int i = 0; i < sky_schema_count; i++) {
        sky_text_format(&text, "%s.%s = ", sky_schema[i].section, sky_schema[i].name);
        sky_value_print(config, &sky_schema[i], &text);
        sky_text_append(&text, "\n");
    }
    return text.text;
}

/* The resolved text must read back to the same values and hash. */
static int reads_back(const struct sky_config *config)
{
    struct sky_config again = {0};
    char *text = NULL, *values = all_values(config), *values_again = NULL;
    uint32_t hash = 0, hash_again = 1;
    int good = sky_config_text(config, &text) == SKY_OK;
    if (good) write_file("run.ini", text);
    good = good && sky_config_read(&again, in_folder("run.ini"), NULL, 0) == SKY_OK;
    if (good) {
        values_again = all_values(&again);
        good =
            !strcmp(values, values_again) && sky_config_hash(config, &hash) == SKY_OK && sky_config_hash(&again, &hash_again) == SKY_OK && hash == hash_again;
        if (!good) printf("%s\nbecame\n%s\n", values, values_again);
        sky_config_free(&again);
    } else {
        printf("%s: %s\n", sky_error_last()->where, sky_error_last()->what);
    }
    free(text);
    free(values);
    free(values_again);
    return good;
}

static void test_defaults(void)
{
    struct sky_config c = {0};
    if (!CHECK_OK(sky_config_read(&c, NULL, NULL, 0))) return;
    CHECK(c.data.image_size == 256 && c.data.sampler == SKY_SAMPLER_PAIRED && c.data.root == NULL && c.data.on_bad_image == SKY_BAD_IMAGE_FAIL);
    CHECK(c.augment.pad == 10 && c.augment.crop && c.augment.flip == 0.5 && c.augment.satellite_rotation == 90 && c.augment.drone_rotation == 0);
    CHECK(!strcmp(c.model.backbone, "se_resnet50") && c.model.se_layout == SKY_SE_LEGACY && c.model.width == 1 && c.model.last_stride == 1);
    CHECK(c.model.pooling == SKY_POOL_GEM && c.model.gem_p == 3 && c.model.gem_learn == SKY_GEM_CHANNEL && c.model.partition == SKY_PARTITION_MSBA);
    CHECK(c.model.blocks == 4 && c.model.global_branch == SKY_GLOBAL_LAYER3_LAYER4 && c.model.embedding == 512 && c.model.dropout == 0.75 &&
          c.model.share_views);
    CHECK(c.loss.ce == 1 && c.loss.kl == 1 && c.loss.kl_direction == SKY_KL_DRONE_SATELLITE && c.loss.reduction == SKY_REDUCE_SUM);
    CHECK(c.optimizer.lr == 1e-3 && c.optimizer.backbone_lr_scale == 0.1 && c.optimizer.momentum == 0.9 && c.optimizer.nesterov &&
          c.optimizer.weight_decay == 5e-4);
    CHECK(c.schedule.kind == SKY_SCHEDULE_STEP && c.schedule.step == 80 && c.schedule.gamma == 0.1 && c.schedule.milestone_count == 0);
    CHECK(c.train.epochs == 120 && c.train.batch_size == 8 && c.train.accumulate == 1 && c.train.on_nonfinite == SKY_NONFINITE_STOP);
    CHECK(c.eval.batch_size == 32 && c.eval.flip && c.eval.direction == SKY_DIRECTION_BOTH && c.eval.protocol_count == 2);
    CHECK(c.eval.protocols[0] == SKY_PROTOCOL_FULL && c.eval.protocols[1] == SKY_PROTOCOL_NO_DISTRACTORS);
    CHECK(c.device.backend == SKY_BACKEND_AUTO && c.device.deterministic && c.log.every == 20 && c.debug.record == NULL && c.debug.record_steps == 10);
    CHECK(!strcmp(sky_config_origin_of(&c, "train.epochs"), "default") && sky_config_origin_of(&c, "train.epohs") == NULL);
    CHECK(reads_back(&c));
    sky_config_free(&c);
    sky_config_free(&c); /* zero by now */
}

/* A valid value that is not the default; which of several, so that rules between keys hold. */
static void other_value(const struct sky_key *key, struct sky_text *out)
{
    char number[32];
    out->length = 0;
    switch (key->kind) {
    case SKY_KEY_BOOL: sky_text_append(out, key->fallback[0] == 'y' ? "no" : "yes"); break;
    case SKY_KEY_INT:
        sky_text_append(out, !strcmp(key->name, "image_size") ? "320" : !strcmp(key->name, "blocks") ? "7" : !strcmp(key->name, "last_stride") ? "2" : "9");
        break;
    case SKY_KEY_NUMBER:
        sky_print_double(key->high >= 2 ? 1.0 / 3 + 1 : 1.0 / 3, number); /* 17 digits */
        sky_text_append(out, number);
        break;
    case SKY_KEY_CHOICE: sky_text_append(out, key->choices[!strcmp(key->name, "sampler") ? 0 : !strcmp(key->name, "partition") ? 3 : 1]); break;
    case SKY_KEY_NAME: sky_text_append(out, key->choices[0]); break;
    case SKY_KEY_TEXT: sky_text_append(out, "caf\xc3\xa9 a=b #1, \"x\" [y]:;z"); break;
    case SKY_KEY_PATH: sky_text_append(out, "/data/a b/c;d"); break;
    case SKY_KEY_PARTS: sky_text_append(out, "ring1,square2,ring7"); break;
    case SKY_KEY_INTS: sky_text_append(out, "3, 70, 110"); break;
    case SKY_KEY_CHOICES: sky_text_append(out, key->choices[1]); break;
    }
}

/* One file with every key at another value: read, typed, printed, read back, origins. */
static void test_every_key(void)
{
    struct sky_text text = {0}, value = {0}, want = {0};
    struct sky_config c = {0};
    char origin[128];
    int line = 0;
    for (int i = 0; i < sky_schema_count; i++) {
        other_value(&sky_schema[i], &value);
        sky_text_format(&text, "[%s]\n%s =   %s\t\n", sky_schema[i].section, sky_schema[i].name, value.text);
        sky_text_format(&want, "%s.%s = %s\n", sky_schema[i].section, sky_schema[i].name, value.text);
    }
    if (CHECK_OK(read_text(&c, text.text))) {
        char *values = all_values(&c);
        if (!CHECK(!strcmp(values, want.text))) printf("wanted\n%s\ngot\n%s\n", want.text, values);
        free(values);
        for (int i = 0; i < sky_schema_count; i++) {
            char name[96];
            line += 2;
            snprintf(origin, sizeof origin, "%s:%d", ini, line);
            snprintf(name, sizeof name, "%s.%s", sky_schema[i].section, sky_schema[i].name);
            CHECK(!strcmp(sky_config_origin_of(&c, name), origin));
        }
        CHECK(reads_back(&c));
        sky_config_free(&c);
    }
    sky_text_free(&text);
    sky_text_free(&value);
    sky_text_free(&want);
}

/* "from 1 to 16" and the like must stand in a message. */
static void bad_values(const struct sky_key *key)
{
    static const char *const mistyped[] = {
        [SKY_KEY_BOOL] = "maybe",      [SKY_KEY_INT] = "3.5",       [SKY_KEY_NUMBER] = "0,5",  [SKY_KEY_CHOICE] = "zzzz", [SKY_KEY_NAME] = "zzzz",
        [SKY_KEY_TEXT] = "\"quoted\"", [SKY_KEY_PATH] = "'quoted'", [SKY_KEY_PARTS] = "ring0", [SKY_KEY_INTS] = "1, x",   [SKY_KEY_CHOICES] = "zzzz",
    };
    static const char *const nearly[] = {
        /* what a careless reader would take */
        [SKY_KEY_BOOL] = "True",     [SKY_KEY_INT] = "12x",         [SKY_KEY_NUMBER] = "nan",         [SKY_KEY_CHOICE] = "-1", [SKY_KEY_NAME] = "RESNET50",
        [SKY_KEY_TEXT] = "'quoted'", [SKY_KEY_PATH] = "\"quoted\"", [SKY_KEY_PARTS] = "ring1, ring1", [SKY_KEY_INTS] = "1,,2", [SKY_KEY_CHOICES] = "full, full",
    };
    struct sky_text text = {0}, allowed = {0};
    char name[96];
    snprintf(name, sizeof name, "%s.%s: ", key->section, key->name);
    sky_key_allowed(key, &allowed);
    const bool free_text = key->kind == SKY_KEY_TEXT || key->kind == SKY_KEY_PATH;
    const char *const values[2] = {mistyped[key->kind], nearly[key->kind]};
    for (int i = 0; i < 2; i++) {
        text.length = 0;
        sky_text_format(&text, "; first\n[%s]\n%s = %s\n", key->section, key->name, values[i]);
        check_refused(text.text, 3, name, free_text ? "quotes" : values[i], free_text ? NULL : allowed.text);
    }
    if (key->kind == SKY_KEY_INT || key->kind == SKY_KEY_NUMBER || key->kind == SKY_KEY_INTS) {
        const double outside[2] = {key->range == SKY_RANGE_ABOVE_LOW ? key->low : key->low - 1, key->range == SKY_RANGE_BELOW_HIGH ? key->high : key->high + 1};
        for (int i = 0; i < 2; i++) {
            text.length = 0;
            sky_text_format(&text, "[%s]\n%s = %.17g\n", key->section, key->name, outside[i]);
            check_refused(text.text, 2, name, "is not allowed", allowed.text);
        }
    }
    sky_text_free(&text);
    sky_text_free(&allowed);
}

static void bad_lines(const struct sky_key *key)
{
    struct sky_text text = {0};
    char name[96], meant[128], place[64];
    snprintf(name, sizeof name, "%s.%s: ", key->section, key->name);
    snprintf(meant, sizeof meant, "did you mean %s.%s?", key->section, key->name);

    sky_text_format(&text, "[%s]\n\n%sx = 1\n", key->section, key->name); /* a letter too many */
    check_refused(text.text, 3, key->section, "no such key", meant);
    text.length = 0;
    sky_text_format(&text, "[%s]\n%s = %s\n; between\n%s = %s\n", key->section, key->name, key->fallback, key->name, key->fallback);
    check_refused(text.text, 4, name, "second time", "line 2");
    text.length = 0;
    sky_text_format(&text, "[%s]\n%s =\n", key->section, key->name);
    check_refused(text.text, 2, name, "no value", "allowed");
    text.length = 0;
    sky_text_format(&text, "[%s]\n%s\n", key->section, key->name);
    check_refused(text.text, 2, NULL, "no '='", NULL);
    text.length = 0;
    sky_text_format(&text, "[%s]\nx = 1\n  %s = %s\n", key->section, key->name, key->fallback);
    check_refused(text.text, 3, NULL, "indented", NULL);
    text.length = 0;
    sky_text_format(&text, "[%s]\n%s: %s\n", key->section, key->name, key->fallback);
    check_refused(text.text, 2, NULL, "instead of ':'", NULL);
    text.length = 0;
    sky_text_format(&text, "[include]\n%s = %s\n", key->name, key->fallback);
    check_refused(text.text, 2, "include", "files", NULL);
    text.length = 0;
    sky_text_format(&text, "[%sx]\n%s = %s\n", key->section, key->name, key->fallback);
    snprintf(place, sizeof place, "did you mean [%s]?", key->section);
    check_refused(text.text, 1, key->section, "no such section", place);

    text.length = 0;
    sky_text_format(&text, "%s.%s=", key->section, key->name);
    struct sky_config c = {0};
    const char *const override = text.text;
    CHECK_FAILS(sky_config_read(&c, NULL, &override, 1), SKY_CONFIG, name);
    CHECK(!strncmp(sky_error_last()->what, "--set: ", 7));
    sky_text_free(&text);
}

static void test_bad_keys(void)
{
    for (int i = 0; i < sky_schema_count; i++) {
        bad_values(&sky_schema[i]);
        bad_lines(&sky_schema[i]);
    }
    check_refused("[train]\nlr = 1\n", 2, "train.lr", "did you mean optimizer.lr?", NULL); /* right key, wrong section */
    check_refused("[loss]\nkl_direction = symetric\n", 2, "loss.kl_direction", "did you mean symmetric?", NULL);
    check_refused("[model]\nshare_views = True\n", 2, "model.share_views", "did you mean yes?", NULL);
    check_refused("[model]\nshare_views = No\n", 2, "model.share_views", "did you mean no?", NULL);
    check_refused("[train]\nepochs = 10 # ten\n", 2, "train.epochs", "starts with ' ;'", NULL);
}

/* Accepted: the value of train.epochs is then 7. */
static void check_accepted(const char *text, size_t length)
{
    struct sky_config c = {0};
    write_bytes(ini, text, length);
    if (!CHECK_OK(sky_config_read(&c, ini, NULL, 0))) return;
    if (!CHECK(c.train.epochs == 7)) printf("  %s\n", text);
    sky_config_free(&c);
}

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

static void test_rules(void)
{
    static const struct {
        const char *text;
        int line;
        const char *name, *why;
    } bad[] = {
        {"[data]\nimage_size = 250\n", 2, "data.image_size", "240 and 256"},
        {"[data]\nsampler = unpaired\n", 2, "loss.kl", "kl = 0 or sampler = paired"},
        {"[loss]\nce = 0\nkl = 0\n", 2, "loss.ce", "nothing to learn"},
        {"[model]\nblocks = 3\n", 2, "model.blocks", "at least 4"},
        {"[model]\npartition = list\n", 2, "model.parts", "must list"},
        {"[model]\nparts = ring1\n", 2, "model.parts", "only with"},
        {"[model]\npartition = list\nparts = ring1, square5\n", 3, "model.parts", "square 5"},
        {"[model]\npartition = none\npart_attention = yes\n", 3, "model.part_attention", "only one"},
        {"[schedule]\nkind = multistep\n", 2, "schedule.milestones", "must list"},
        {"[schedule]\nkind = multistep\nmilestones = 70, 110, 110\n", 3, "schedule.milestones", "must increase"},
        {"[schedule]\nkind = cosine\nwarmup_epochs = 3\n[train]\nepochs = 3\n", 3, "schedule.warmup_epochs", "less than"},
        {"[optimizer]\nmomentum = 0\n", 2, "optimizer.nesterov", "nesterov = no"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i].text, bad[i].line, bad[i].name, bad[i].why, NULL);
    static const char *const good[] = {
        "[train]\nepochs=7\n[data]\nsampler = unpaired\n[loss]\nkl = 0\n",
        "[train]\nepochs=7\n[model]\nblocks = 3\npartition = lpn\n",
        "[train]\nepochs=7\n[model]\npartition = list\nparts = ring1 , square4,ring4\n",
        "[train]\nepochs=7\n[schedule]\nkind = multistep\nmilestones = 2,5\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) check_accepted(good[i], strlen(good[i]));
    check_refused("[model]\nblocks = x\npartition = msba\n", 2, "model.blocks", "'x'", NULL);
    CHECK(!strstr(sky_error_last()->what, "at least 4")); /* a refused key breaks no rule as well */
}

static uint32_t hash_with(const char *override)
{
    struct sky_config c = {0};
    uint32_t hash = 0;
    CHECK_OK(sky_config_read(&c, NULL, override ? &override : NULL, override != NULL));
    CHECK_OK(sky_config_hash(&c, &hash));
    sky_config_free(&c);
    return hash;
}

static void test_hash(void)
{
    static const char *const same[] = {"experiment.name=x",        "data.root=/x",   "data.workers=3",  "device.threads=1", "log.every=5",
                                       "train.checkpoint_every=1", "train.epochs=3", "debug.record=/x", "eval.flip=no",     "optimizer.lr=1e-3",
                                       "device.backend=ref", "data.on_bad_image=skip", "train.on_nonfinite=skip"}; /* the last two: a run that was stopped may go on without what stopped it */
    static const char *const different[] = {"experiment.seed=2",   "optimizer.lr=0.0011",   "model.width=0.5", "train.batch_size=9", "augment.flip=0",
                                            "device.winograd=yes", "model.weights=/a/w.st", "data.exif=apply", "loss.kl_detach=yes", "schedule.kind=cosine"};
    const uint32_t base = hash_with(NULL);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) CHECK(hash_with(same[i]) == base);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++) CHECK(hash_with(different[i]) != base);
    CHECK(hash_with("model.weights=/a/w.st") == hash_with("model.weights=/b/w.st"));
    const char *const cosine[] = {"schedule.kind=cosine", "train.epochs=3"};
    struct sky_config c = {0};
    uint32_t hash = 0;
    CHECK_OK(sky_config_read(&c, NULL, cosine, 2));
    CHECK_OK(sky_config_hash(&c, &hash));
    CHECK(hash != hash_with("schedule.kind=cosine"));
    sky_config_free(&c);
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

static void test_help(void)
{
    char *help = NULL;
    if (!CHECK_OK(sky_config_help(&help))) return;
    for (int i = 0; i < sky_schema_count; i++) {
        char row[96];
        snprintf(row, sizeof row, "\n  %s = %s\n", sky_schema[i].name, sky_schema[i].fallback);
        CHECK(strstr(help, row) && strstr(help, sky_schema[i].doc));
    }
    free(help);
}

static void test_locale(void)
{
    struct sky_config c = {0};
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        check_skip("decimal comma", "neither de_DE.UTF-8 nor fr_FR.UTF-8 is installed");
        return;
    }
    if (CHECK_OK(read_text(&c, "[optimizer]\nlr = 0.25\n"))) {
        CHECK(c.optimizer.lr == 0.25 && reads_back(&c));
        sky_config_free(&c);
    }
    check_refused("[optimizer]\nlr = 0,25\n", 2, "optimizer.lr", "'0,25'", NULL);
    setlocale(LC_ALL, "C");
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

/* The backbones a file may name are those the models know. */
static void test_backbones(void)
{
    const struct sky_key *key = sky_schema_find("model", "backbone");
    for (int i = 0; key->choices[i]; i++) CHECK_OK(sky_model_check_backbone(key->choices[i]));
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

int main(void)
{
    folder_make();
    snprintf(ini, sizeof ini, "%s/bad.ini", folder);
    test_defaults();
    test_every_key();
    test_bad_keys();
    test_syntax();
    test_long_lines();
    test_paths();
    test_includes();
    test_all_at_once();
    test_rules();
    test_hash();
    test_overrides_fit_a_file();
    test_help();
    test_locale();
    test_damage();
    test_backbones();
    CHECK(read_shipped(SKY_SOURCE_DIR "/experiments") > 0);
    CHECK(read_shipped(SKY_SOURCE_DIR "/configs") > 0);
    folder_remove(folder);
    return check_done();
}
