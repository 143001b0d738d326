/*
 * The keys of experiment files: every key read, printed and read back; every key wrong in six and more ways, each with file, line, key and what is allowed;
 * rules between keys, the hash, the help.
 */
#include "config_text.h"

#include "model/model.h"

#include <locale.h>

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
    case SKY_KEY_CHOICES: sky_text_append(out, !strcmp(key->name, "views") ? "satellite, drone, street" : key->choices[1]); break;
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
        "[train]\nepochs=7\n[optimizer]\nkind = adamw\nmomentum = 0\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) check_accepted(good[i], strlen(good[i]));
    check_refused("[model]\nblocks = x\npartition = msba\n", 2, "model.blocks", "'x'", NULL);
    CHECK(!strstr(sky_error_last()->what, "at least 4")); /* a refused key breaks no rule as well */
}

/* [data] views: a set in an order of its own, and what the rest of an experiment asks of it. */
static void test_views(void)
{
    static const struct {
        const char *text;
        int line;
        const char *name, *why;
    } bad[] = {
        {"[data]\nviews = drone, sattelite\n", 2, "data.views", "'sattelite' is none of them; did you mean satellite?"},
        {"[data]\nviews = streets\n", 2, "data.views", "did you mean street?"},
        {"[data]\nviews = drone, street, drone\n", 2, "data.views", "drone comes twice"},
        {"[data]\nviews = drone, satellite, street, google, drone\n", 2, "data.views", "drone comes twice"},
        {"[data]\nviews = drone,\n", 2, "data.views", "is none of them"},
        {"[data]\nviews = satellite, street\n", 2, "loss.kl", "between drone and satellite, but data.views = satellite, street; set kl = 0"},
        {"[data]\nviews = drone, street\n[loss]\nkl = 0\ntriplet = 1\n", 2, "data.views", "leaves loss.triplet nothing to compare"},
        {"[data]\nviews = street, google\n[loss]\nkl = 0\n", 2, "eval.direction",
         "= both scores drone images, which no trunk sees with data.views = street, google"},
        {"[data]\nviews = satellite\n[loss]\nkl = 0\n[model]\nshare_views = no\n", 2, "eval.direction",
         "scores drone images, which no trunk sees with data.views = satellite and model.share_views = no"},
        {"[eval]\ndirection = all\n", 2, "eval.direction", "= all scores street images, which no trunk sees with data.views = satellite, drone"},
        {"[eval]\ndirection = satellite2streets\n", 2, "eval.direction", "did you mean satellite2street?"},
    };
    static const char *const good[] = {
        "[data]\nviews = google,street,drone,satellite\n[eval]\ndirection = all\n[train]\nepochs=7\n",
        "[data]\nviews = drone\n[loss]\nkl = 0\n[train]\nepochs=7\n",
        "[data]\nviews = google, satellite\n[loss]\nkl = 0\n[eval]\ndirection = street2satellite\n[train]\nepochs=7\n",
        "[data]\nviews = street, satellite\n[loss]\nkl = 0\n[model]\nshare_views = no\n[eval]\ndirection = satellite2street\n[train]\nepochs=7\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i].text, bad[i].line, bad[i].name, bad[i].why, NULL);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) check_accepted(good[i], strlen(good[i]));
    struct sky_config c = {0};
    CHECK_OK(read_text(&c, "[data]\nviews = google,street , drone,satellite\n"));
    CHECK(c.data.views.count == 4);
    for (int v = 0; v < 4; v++) CHECK(c.data.views.list[v] == v && sky_views_index(&c.data.views, v) == v);
    CHECK(!strcmp(sky_trunk_name(&c, SKY_VIEW_DRONE), "backbone") && !strcmp(sky_trunk_name(&c, SKY_VIEW_STREET), "backbone_ground"));
    c.model.share_views = false;
    CHECK(!strcmp(sky_trunk_name(&c, SKY_VIEW_SATELLITE), "backbone_satellite") && !strcmp(sky_trunk_name(&c, SKY_VIEW_DRONE), "backbone_drone") &&
          !strcmp(sky_trunk_name(&c, SKY_VIEW_GOOGLE), "backbone_ground"));
    sky_config_free(&c);
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        char name[64];
        snprintf(name, sizeof name, "%s2%s", sky_view_name(sky_direction_query(d)), sky_view_name(sky_direction_gallery(d)));
        CHECK(!strcmp(name, sky_direction_name(d)) && sky_direction_has(SKY_DIRECTION_ALL, d) && sky_direction_has(d, d) && sky_direction_has(SKY_DIRECTION_BOTH, d) == (d < 2));
    }
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
                                       "device.backend=ref", "optimizer.kind=sgd", "optimizer.beta1=0.8" /* not SGD's */,
                                       /* a run that was stopped may go on without what stopped it: */ "data.on_bad_image=skip", "train.on_nonfinite=skip"};
    static const char *const different[] = {"experiment.seed=2",   "optimizer.lr=0.0011",   "model.width=0.5", "train.batch_size=9", "augment.flip=0",
                                            "device.winograd=yes", "model.weights=/a/w.st", "data.exif=apply", "loss.kl_detach=yes", "schedule.kind=cosine",
                                            "data.views=satellite,drone,street", "optimizer.kind=adamw"};
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

/* The backbones a file may name are those the models know. */
static void test_backbones(void)
{
    const struct sky_key *key = sky_schema_find("model", "backbone");
    for (int i = 0; key->choices[i]; i++) CHECK_OK(sky_model_check_backbone(key->choices[i]));
}

int main(void)
{
    folder_make();
    snprintf(ini, sizeof ini, "%s/bad.ini", folder);
    test_defaults();
    test_every_key();
    test_bad_keys();
    test_rules();
    test_views();
    test_hash();
    test_help();
    test_locale();
    test_backbones();
    folder_remove(folder);
    return check_done();
}
