/*
 * The experiment that `skygem init` writes, and the names of all keys. Made from the schema, so it cannot grow old.
 */
#include "schema.h"

#include <stdio.h>
#include <string.h>

/* What stands in a new experiment as a value and not as a comment; NULL: the default. */
static const struct {
    const char *key, *value;
} set_keys[] = {
    {"data.root", "path/to/dataset"}, {"data.image_size", NULL}, {"model.backbone", NULL},    {"model.partition", NULL},   {"model.pooling", NULL}, {"model.global_branch", NULL},
    {"optimizer.lr", NULL},           {"schedule.kind", NULL},   {"train.epochs", NULL},      {"train.batch_size", NULL},  {"train.eval_every", "10"},
};

const char *sky_config_key_name(int index)
{
    static _Thread_local char name[96];
    if (index < 0 || index >= sky_schema_count) return NULL;
    snprintf(name, sizeof name, "%s.%s", sky_schema[index].section, sky_schema[index].name);
    return name;
}

/* The value to write, or NULL for a comment. */
static const char *set_value(const struct sky_key *key, int index)
{
    const char *name = sky_config_key_name(index);
    for (size_t i = 0; i < sizeof set_keys / sizeof *set_keys; i++)
        if (!strcmp(set_keys[i].key, name)) return set_keys[i].value ? set_keys[i].value : key->fallback;
    return NULL;
}

static void append_key(struct sky_text *text, int index, const char *experiment)
{
    const struct sky_key *key = &sky_schema[index];
    const bool is_name = !strcmp(sky_config_key_name(index), "experiment.name");
    const char *value = is_name ? experiment : set_value(key, index);
    sky_text_format(text, "; %s; ", key->doc);
    sky_key_allowed(key, text);
    sky_text_format(text, "%s%s%s\n%s%s = %s\n", *key->unit ? " (" : "", key->unit, *key->unit ? ")" : "", value ? "" : ";", key->name, value ? value : key->fallback);
}

sky_status sky_config_template(const char *name, char **out)
{
    struct sky_text text = {0};
    sky_text_format(&text,
                    "; An experiment for skygem. Lines that begin with ';' are comments: "
                    "what a key does, what it may be, and behind that the key with its default, ready to be uncommented.\n"
                    ";   skygem train %s.ini --dry-run      checks it against the data and this machine\n"
                    ";   skygem train %s.ini                trains, evaluates, writes runs/%s\n"
                    "; The tree of the data set is University-1652's: "
                    "train/satellite/PLACE/*.jpg, train/drone/PLACE/*.jpg, test/query_drone, test/gallery_satellite, ...\n",
                    name, name, name);
    for (int s = 0; s < sky_section_count; s++) {
        sky_text_format(&text, "\n; ---- %s ----\n[%s]\n", sky_sections[s].doc, sky_sections[s].name);
        for (int i = 0; i < sky_schema_count; i++)
            if (!strcmp(sky_schema[i].section, sky_sections[s].name)) append_key(&text, i, name);
    }
    SKY_TRY(sky_text_status(&text, "an experiment"));
    *out = text.text;
    return SKY_OK;
}
