/*
 * What the tests of experiment files share: writing one, reading it, and asking what it was refused for or read as. Functions that a program does not need cost it nothing.
 */
#ifndef SKY_TESTS_CONFIG_TEXT_H
#define SKY_TESTS_CONFIG_TEXT_H

#include "check.h"
#include "folder.h"

#include "base/fs.h"
#include "config/schema.h"

static char ini[64]; /* the file most cases write */

/* Not sky_file_write_atomic: thousands of small files need not survive a power cut. */
static __attribute__((unused)) void write_bytes(const char *path, const char *bytes, size_t count)
{
    unlink(path); /* truncating one that is there would make ext4 flush it */
    FILE *file = fopen(path, "we");
    CHECK(file && fwrite(bytes, 1, count, file) == count && !fclose(file));
}

static __attribute__((unused)) void write_file(const char *name, const char *text) { write_bytes(in_folder(name), text, strlen(text)); }

/* Reads a text as bad.ini; on success the config is the caller's. */
static __attribute__((unused)) sky_status read_text(struct sky_config *config, const char *text)
{
    write_file("bad.ini", text);
    return sky_config_read(config, ini, NULL, 0);
}

/* The text must be refused with a message that has all of these (NULL: none). */
static __attribute__((unused)) void check_refused(const char *text, int line, const char *name, const char *a, const char *b)
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
static __attribute__((unused)) char *all_values(const struct sky_config *config)
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
static __attribute__((unused)) int reads_back(const struct sky_config *config)
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

/* Accepted: the value of train.epochs is then 7. */
static __attribute__((unused)) void check_accepted(const char *text, size_t length)
{
    struct sky_config c = {0};
    write_bytes(ini, text, length);
    if (!CHECK_OK(sky_config_read(&c, ini, NULL, 0))) return;
    if (!CHECK(c.train.epochs == 7)) printf("  %s\n", text);
    sky_config_free(&c);
}

#endif
