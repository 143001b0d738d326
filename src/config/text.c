/*
 * A config as text: the complete run.ini, its hash, and the help of all keys. Results are heap texts the caller frees.
 */
#include "base/crc32c.h"
#include "base/fs.h"
#include "schema.h"
#include "skygem/skygem.h"

#include <string.h>

static sky_status hand_out(struct sky_text *text, char **out)
{
    const sky_status status = sky_text_status(text, "config");
    if (status != SKY_OK) return sky_text_free(text), status;
    *out = text->text;
    return SKY_OK;
}

sky_status sky_config_text(const struct sky_config *config, char **out)
{
    struct sky_text text = {0};
    sky_text_append(&text, "; The resolved experiment, written by skygem " SKYGEM_VERSION ". It reads back to the same values.\n");
    for (int s = 0; s < sky_section_count; s++) {
        sky_text_format(&text, "\n; %s\n[%s]\n", sky_sections[s].doc, sky_sections[s].name);
        for (int i = 0; i < sky_schema_count; i++) {
            const struct sky_key *key = &sky_schema[i];
            if (strcmp(key->section, sky_sections[s].name)) continue;
            const char *place = config->origins && config->origins[i].place ? config->origins[i].place : "default";
            sky_text_format(&text, "; %s%s%s%s [%s]\n%s = ", key->doc, *key->unit ? " (" : "", key->unit, *key->unit ? ")" : "", place, key->name);
            sky_value_print(config, key, &text);
            sky_text_append(&text, "\n");
        }
    }
    return hand_out(&text, out);
}

/* Weights may move to another folder. */
static void append_hashed(const struct sky_config *config, const struct sky_key *key, struct sky_text *out)
{
    const bool weights = !strcmp(key->section, "model") && !strcmp(key->name, "weights");
    if (!key->in_hash || (key->counts && !key->counts(config))) return;
    sky_text_format(out, "%s.%s = ", key->section, key->name);
    if (weights && config->model.weights) sky_text_append(out, sky_path_base(config->model.weights));
    else sky_value_print(config, key, out);
    sky_text_append(out, "\n");
}

sky_status sky_config_hash(const struct sky_config *config, uint32_t *out)
{
    struct sky_text text = {0};
    for (int i = 0; i < sky_schema_count; i++) append_hashed(config, &sky_schema[i], &text);
    const sky_status status = sky_text_status(&text, "config");
    if (status == SKY_OK) *out = sky_crc32c(0, text.text, text.length);
    sky_text_free(&text);
    return status;
}

sky_status sky_config_differences(const struct sky_config *config, const struct sky_config *from, char **out)
{
    struct sky_text text = {0}, here = {0}, there = {0};
    sky_text_append(&text, "");
    for (int i = 0; i < sky_schema_count; i++) {
        const struct sky_key *key = &sky_schema[i];
        if (!key->in_hash || !strcmp(key->name, "seed")) continue;
        sky_value_print(config, key, &here), sky_value_print(from, key, &there);
        text.failed = text.failed || here.failed || there.failed;
        if (here.text && there.text && strcmp(here.text, there.text) != 0)
            sky_text_format(&text, "%s%s.%s = %s (%s)", text.length ? ", " : "", key->section, key->name, key->kind == SKY_KEY_PATH ? sky_path_base(here.text) : here.text,
                            key->kind == SKY_KEY_PATH ? sky_path_base(there.text) : there.text);
        sky_text_free(&here), sky_text_free(&there);
    }
    return hand_out(&text, out);
}

static bool shapes_features(const struct sky_key *key)
{
    if (!strcmp(key->section, "model")) return strcmp(key->name, "weights") && strcmp(key->name, "dropout");
    return (!strcmp(key->section, "data") && !strcmp(key->name, "image_size")) || (!strcmp(key->section, "eval") && !strcmp(key->name, "flip"));
}

sky_status sky_config_feature_hash(const struct sky_config *config, uint32_t *out)
{
    struct sky_text text = {0};
    for (int i = 0; i < sky_schema_count; i++) {
        if (!shapes_features(&sky_schema[i])) continue;
        sky_text_format(&text, "%s.%s = ", sky_schema[i].section, sky_schema[i].name);
        sky_value_print(config, &sky_schema[i], &text);
        sky_text_append(&text, "\n");
    }
    const sky_status status = sky_text_status(&text, "config");
    if (status == SKY_OK) *out = sky_crc32c(0, text.text, text.length);
    sky_text_free(&text);
    return status;
}

sky_status sky_config_help(char **out)
{
    struct sky_text text = {0};
    sky_text_append(&text,
                    "An experiment is an .ini file: [section] lines, key = value lines, comments from ';' (at the start of a line or behind a blank).\n"
                    "Every key has a default; unknown keys are errors. Paths are relative to the file that names them. Any key can be set on the command\n"
                    "line: --set section.key=value.\n\n"
                    "[include]  files read before this one, whose keys this one's override\n"
                    "  files = none\n      paths separated by commas\n");
    for (int s = 0; s < sky_section_count; s++) {
        sky_text_format(&text, "\n[%s]  %s\n", sky_sections[s].name, sky_sections[s].doc);
        for (int i = 0; i < sky_schema_count; i++) {
            const struct sky_key *key = &sky_schema[i];
            if (strcmp(key->section, sky_sections[s].name)) continue;
            sky_text_format(&text, "  %s = %s\n      %s\n      ", key->name, key->fallback, key->doc);
            sky_key_allowed(key, &text);
            if (*key->unit) sky_text_format(&text, " (%s)", key->unit);
            sky_text_append(&text, "\n");
        }
    }
    return hand_out(&text, out);
}
