/*
 * From files and overrides to one checked config: defaults < included files < the file < --set, then the rules between keys. Every error is
 * collected, one line each, and reported at once; nothing is half read. The config owns its texts and origins.
 */
#include "base/fs.h"
#include "base/memory.h"
#include "ini_read.h"
#include "schema.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_LIMIT = 1 << 20, DEPTH_LIMIT = 16, FILES_LIMIT = 256, PROBLEMS_BYTES = 1900 };

/* One line of a file. */
struct item {
    int line;
    char *section, *key, *value; /* key NULL: "[section]"; section NULL: value is a complaint about the line */
};

/* A file being read, and the one that includes it. */
struct file {
    const char *path;   /* as shown in messages */
    char *canonical;    /* absolute, without links */
    char *folder;       /* of canonical */
    struct item *items;
    int64_t count, capacity;
    int include_line;   /* of "[include] files" here, while an included file is read */
    const struct file *includer;
};

struct reading {
    struct sky_config *config;
    struct sky_text problems;
    int64_t left_out; /* problems beyond the room of a message */
    int files_read;
};

/* ---- problems ---- */

/* place (a file) and line (0: none) and key (NULL: none), and what is wrong. */
static void add_problem(struct reading *r, const char *place, int line, const char *key, const char *what)
{
    struct sky_text text = {0};
    sky_text_append(&text, place);
    if (line) sky_text_format(&text, ":%d", line);
    if (key) sky_text_format(&text, ": %s", key);
    sky_text_format(&text, ": %s", what);
    const bool room = !text.failed && r->problems.length + text.length + 1 < PROBLEMS_BYTES;
    if (room) sky_text_format(&r->problems, "%s%s", r->problems.length ? "\n" : "", text.text);
    else r->left_out++;
    sky_text_free(&text);
}

/* "not a key of [train]; did you mean ...?" */
static void describe_unknown(const char *section, const char *name, struct sky_text *out)
{
    const char *names[128] = {0}, *nearest = NULL, *nearest_section = section;
    int count = 0;
    for (int i = 0; i < sky_schema_count; i++) {
        if (!strcmp(sky_schema[i].section, section) && count < 128) names[count++] = sky_schema[i].name;
        else if (!nearest && !strcmp(sky_schema[i].name, name)) nearest = name, nearest_section = sky_schema[i].section;
    }
    const int found = sky_nearest(name, names, count);
    if (!nearest && found >= 0) nearest = names[found];
    sky_text_format(out, "there is no such key in [%s]; allowed: ", section);
    for (int i = 0; i < count; i++) sky_text_format(out, "%s%s", i ? ", " : "", names[i]);
    if (nearest) sky_text_format(out, "; did you mean %s.%s?", nearest_section, nearest);
}

static void describe_unknown_section(const char *section, struct sky_text *out)
{
    const char *names[32] = {0};
    int count = 0;
    for (; count < sky_section_count; count++) names[count] = sky_sections[count].name;
    names[count++] = "include";
    const int nearest = sky_nearest(section, names, count);
    sky_text_append(out, "there is no such section; allowed: ");
    for (int i = 0; i < count; i++) sky_text_format(out, "%s%s", i ? ", " : "", names[i]);
    if (nearest >= 0) sky_text_format(out, "; did you mean [%s]?", names[nearest]);
}

static bool is_section(const char *name)
{
    for (int i = 0; i < sky_section_count; i++) {
        if (!strcmp(sky_sections[i].name, name)) return true;
    }
    return !strcmp(name, "include");
}

/* ---- one value ---- */

static sky_status set_origin(struct sky_config *config, const struct sky_key *key, const char *place, int line)
{
    struct sky_text text = {0};
    struct sky_config_origin *origin = &config->origins[key - sky_schema];
    sky_text_append(&text, place);
    if (line) sky_text_format(&text, ":%d", line);
    SKY_TRY(sky_text_status(&text, place));
    free(origin->place);
    origin->place = text.text;
    return SKY_OK;
}

/* A key of a file or an override; what is wrong becomes a problem. */
static sky_status apply(struct reading *r, const char *place, int line, const char *section, const char *name, const char *value, const char *folder)
{
    sky_status status = SKY_OK;
    struct sky_text full_name = {0}, what = {0};
    const struct sky_key *key = sky_schema_find(section, name);
    sky_text_format(&full_name, "%s.%s", section, name);
    if (!is_section(section)) {
        describe_unknown_section(section, &what);
    } else if (!key) {
        describe_unknown(section, name, &what);
    } else {
        SKY_TRY_DONE(sky_value_read(r->config, key, value, folder, &what));
        SKY_TRY_DONE(set_origin(r->config, key, place, line));
        if (what.length) r->config->origins[key - sky_schema].wrong = true;
    }
    SKY_TRY_DONE(sky_text_status(&full_name, place));
    SKY_TRY_DONE(sky_text_status(&what, place));
    if (what.length) add_problem(r, place, line, full_name.text, what.text);
done:
    sky_text_free(&full_name);
    sky_text_free(&what);
    return status;
}

/* ---- files ---- */

static sky_status add_item(struct file *file, int line, const char *section, const char *key, const char *value)
{
    SKY_TRY(sky_grow(&file->items, file->count, &file->capacity, sizeof *file->items, file->path));
    struct item *item = &file->items[file->count++];
    memset(item, 0, sizeof *item);
    item->line = line;
    if (section) SKY_TRY(sky_strdup(&item->section, section, file->path));
    if (key) SKY_TRY(sky_strdup(&item->key, key, file->path));
    if (value) SKY_TRY(sky_strdup(&item->value, value, file->path));
    return SKY_OK;
}

static sky_status on_section(void *context, int line, const char *name)
{
    return add_item(context, line, name, NULL, NULL);
}

static sky_status on_pair(void *context, int line, const char *section, const char *key, const char *value)
{
    return add_item(context, line, section, key, value);
}

static sky_status on_complaint(void *context, int line, const char *what)
{
    return add_item(context, line, NULL, NULL, what);
}

static void file_free(struct file *file)
{
    for (int64_t i = 0; i < file->count; i++) {
        free(file->items[i].section);
        free(file->items[i].key);
        free(file->items[i].value);
    }
    free(file->items);
    free(file->canonical);
    free(file->folder);
}

/* Applies a file's lines in order; includes have been read before. */
static sky_status apply_items(struct reading *r, const struct file *file)
{
    sky_status status = SKY_OK;
    struct sky_text what = {0};
    bool known = false; /* the section whose lines are at hand */
    int *first_line = NULL; /* [sky_schema_count + 1] where each key stood in this file; the last is include.files */
    SKY_TRY(sky_alloc(&first_line, (size_t)sky_schema_count + 1, sizeof *first_line, file->path));
    for (int64_t i = 0; i < file->count; i++) {
        const struct item *item = &file->items[i];
        what.length = 0;
        if (!item->section) {
            add_problem(r, file->path, item->line, NULL, item->value);
            continue;
        }
        if (!item->key) {
            known = is_section(item->section);
            if (known) continue;
            describe_unknown_section(item->section, &what);
            SKY_TRY_DONE(sky_text_status(&what, file->path));
            add_problem(r, file->path, item->line, item->section, what.text);
            continue;
        }
        if (!known) continue; /* said once, at the header */
        const struct sky_key *key = sky_schema_find(item->section, item->key);
        const bool include = !strcmp(item->section, "include") && !strcmp(item->key, "files");
        int *first = key ? &first_line[key - sky_schema] : include ? &first_line[sky_schema_count] : NULL;
        if (first && *first) {
            sky_text_format(&what, "comes a second time in this file; the first is in line %d", *first);
            SKY_TRY_DONE(sky_text_status(&what, file->path));
            struct sky_text name = {0};
            sky_text_format(&name, "%s.%s", item->section, item->key);
            add_problem(r, file->path, item->line, name.text ? name.text : item->key, what.text);
            sky_text_free(&name);
            continue;
        }
        if (first) *first = item->line;
        if (!strcmp(item->section, "include")) {
            if (!include) add_problem(r, file->path, item->line, "include", "has only the key files");
            continue;
        }
        SKY_TRY_DONE(apply(r, file->path, item->line, item->section, item->key, item->value, file->folder));
    }
done:
    free(first_line);
    sky_text_free(&what);
    return status;
}

static sky_status read_file(struct reading *r, const char *path, const struct file *includer, bool *opened);

/* " (included by a.ini:3, by b.ini:1)" */
static void append_chain(const struct file *file, struct sky_text *out)
{
    if (!file->includer) return;
    for (const char *before = " (itself included by "; file; file = file->includer, before = ", by ") {
        if (file->includer) sky_text_format(out, "%s%s:%d", before, file->includer->path, file->includer->include_line);
    }
    sky_text_append(out, ")");
}

/* One name of "[include] files" in `file`. */
static sky_status include_one(struct reading *r, struct file *file, int line, const char *name)
{
    sky_status status = SKY_OK;
    struct sky_text what = {0};
    char *folder = NULL, *path = NULL, real[PATH_MAX];
    int depth = 0;
    bool opened = false, cycle = false;
    file->include_line = line;
    SKY_TRY_DONE(sky_path_folder(&folder, file->path));
    SKY_TRY_DONE(sky_path_join(&path, strcmp(folder, ".") ? folder : "", name));
    for (const struct file *open = file; open; open = open->includer, depth++) cycle = cycle || (realpath(path, real) && !strcmp(real, open->canonical));
    if (cycle) {
        sky_text_format(&what, "%s includes itself", path);
    } else if (depth >= DEPTH_LIMIT || r->files_read >= FILES_LIMIT) {
        sky_text_format(&what, "%s is not read: more than %d files deep or %d files in all", path, DEPTH_LIMIT, FILES_LIMIT);
    } else {
        SKY_TRY_DONE(read_file(r, path, file, &opened));
        if (!opened) sky_text_format(&what, "%s: %s", path, sky_error_last()->what);
    }
    if (what.length) append_chain(file, &what);
    SKY_TRY_DONE(sky_text_status(&what, file->path));
    if (what.length) add_problem(r, file->path, line, "include.files", what.text);
done:
    sky_text_free(&what);
    free(folder);
    free(path);
    return status;
}

static sky_status include_all(struct reading *r, struct file *file)
{
    for (int64_t i = 0; i < file->count; i++) {
        const struct item *item = &file->items[i];
        if (!item->key || strcmp(item->section, "include") || strcmp(item->key, "files")) continue;
        char *const names = item->value; /* cut in place: nobody reads it again */
        for (char *at = names, *end; at; at = end) {
            at += strspn(at, " \t");
            end = strchr(at, ',');
            if (end) *end++ = 0;
            for (size_t length = strlen(at); length && strchr(" \t", at[length - 1]); length--) at[length - 1] = 0;
            if (*at) SKY_TRY(include_one(r, file, item->line, at));
            else add_problem(r, file->path, item->line, "include.files", "has an empty name; write files = a.ini, b.ini");
        }
        return SKY_OK; /* a second one is a duplicate, reported with the other keys */
    }
    return SKY_OK;
}

/* The lines of a file that has its path, canonical path and folder. */
static sky_status read_lines(struct reading *r, struct file *file, const char *text, size_t length)
{
    const struct sky_ini_events events = {file, on_section, on_pair, on_complaint};
    SKY_TRY(sky_ini_read(text, length, &events));
    SKY_TRY(include_all(r, file));
    return apply_items(r, file);
}

/* *opened false: the file could not be read, and sky_error_last says why. Everything else that is wrong becomes a problem. */
static sky_status read_file(struct reading *r, const char *path, const struct file *includer, bool *opened)
{
    sky_status status = SKY_OK;
    struct file file = {.path = path, .includer = includer};
    char *text = NULL;
    size_t length = 0;
    *opened = sky_file_read(path, FILE_BYTES_LIMIT, &text, &length) == SKY_OK;
    if (!*opened) return sky_error_last()->status == SKY_NOMEM ? SKY_NOMEM : SKY_OK;
    r->files_read++;
    file.canonical = realpath(path, NULL);
    if (!file.canonical) {
        status = sky_fail_errno(path, "cannot resolve");
        goto done;
    }
    SKY_TRY_DONE(sky_path_folder(&file.folder, file.canonical));
    SKY_TRY_DONE(read_lines(r, &file, text, length));
done:
    file_free(&file);
    free(text);
    return status;
}

/* An experiment that lies in another file. What sky_config_text writes includes nothing. */
static sky_status read_text(struct reading *r, const char *name, const char *text)
{
    sky_status status = SKY_OK;
    struct file file = {.path = name};
    r->files_read = FILES_LIMIT; /* so nothing is included */
    SKY_TRY_DONE(sky_strdup(&file.canonical, name, name));
    SKY_TRY_DONE(sky_strdup(&file.folder, "/", name));
    SKY_TRY_DONE(read_lines(r, &file, text, strlen(text)));
done:
    file_free(&file);
    return status;
}

/* ---- overrides, defaults, rules ---- */

static sky_status apply_override(struct reading *r, const char *text, const char *folder)
{
    sky_status status = SKY_OK;
    char *copy = NULL;
    SKY_TRY(sky_strdup(&copy, text, "--set"));
    char *section = copy + strspn(copy, " \t"), *sign = strchr(copy, '='), *dot = strchr(copy, '.');
    if (!sign || !dot || dot > sign || dot == section) {
        struct sky_text what = {0};
        sky_text_format(&what, "'%.80s' must be section.key=value", text);
        add_problem(r, "--set", 0, NULL, what.text ? what.text : text);
        sky_text_free(&what);
        goto done;
    }
    *dot = *sign = 0;
    char *value = sign + 1 + strspn(sign + 1, " \t");
    for (size_t length = strlen(dot + 1); length && strchr(" \t", dot[length]); length--) dot[length] = 0;
    for (size_t length = strlen(value); length && strchr(" \t", value[length - 1]); length--) value[length - 1] = 0;
    if (!strcmp(section, "include")) add_problem(r, "--set", 0, "include.files", "can stand only in a file");
    else status = apply(r, "--set", 0, section, dot + 1, value, folder);
done:
    free(copy);
    return status;
}

static sky_status apply_overrides(struct reading *r, const char *const *overrides, int count)
{
    char folder[PATH_MAX];
    if (!count) return SKY_OK;
    if (!realpath(".", folder)) return sky_fail_errno(".", "cannot find the current folder");
    for (int i = 0; i < count; i++) SKY_TRY(apply_override(r, overrides[i], folder));
    return SKY_OK;
}

static sky_status apply_defaults(struct reading *r)
{
    struct sky_text what = {0};
    for (int i = 0; i < sky_schema_count; i++) {
        SKY_TRY(sky_value_read(r->config, &sky_schema[i], sky_schema[i].fallback, "/", &what));
        if (what.length) return sky_fail(SKY_INTERNAL, sky_schema[i].name, "its default is wrong: %s", what.text);
    }
    return SKY_OK;
}

/* The file's name without ".ini" is the run's name unless it has one. */
static sky_status default_name(struct sky_config *config, const char *path)
{
    if (config->experiment.name) return SKY_OK;
    const char *base = path ? sky_path_base(path) : "experiment";
    SKY_TRY(sky_strdup(&config->experiment.name, base, "experiment.name"));
    const size_t length = strlen(base);
    if (length > 4 && !strcmp(base + length - 4, ".ini")) config->experiment.name[length - 4] = 0;
    return SKY_OK;
}

static struct sky_config_origin *origin_of(const struct sky_config *config, const char *section_dot_key)
{
    for (int i = 0; i < sky_schema_count && config->origins; i++) {
        const size_t length = strlen(sky_schema[i].section);
        const bool same = !strncmp(sky_schema[i].section, section_dot_key, length) && section_dot_key[length] == '.';
        if (same && !strcmp(sky_schema[i].name, section_dot_key + length + 1)) return &config->origins[i];
    }
    return NULL;
}

static void check_rules(struct reading *r)
{
    for (int i = 0; i < sky_config_rule_count; i++) {
        const struct sky_config_rule *rule = &sky_config_rules[i];
        const char *place = "defaults";
        struct sky_text what = {0};
        bool skip = false;
        for (int k = SKY_RULE_KEYS - 1; k >= 0; k--) {
            const struct sky_config_origin *origin = rule->keys[k] ? origin_of(r->config, rule->keys[k]) : NULL;
            if (origin && origin->place) place = origin->place;
            skip = skip || (origin && origin->wrong);
        }
        if (!skip) rule->check(r->config, &what);
        if (what.length) add_problem(r, place, 0, rule->keys[0], what.text);
        sky_text_free(&what);
    }
}

static sky_status report_problems(const struct reading *r, const char *path)
{
    if (!r->problems.length && !r->left_out) return SKY_OK;
    if (r->left_out) sky_fail(SKY_CONFIG, path ? path : "--set", "%s\nand %lld more", r->problems.text ? r->problems.text : "", (long long)r->left_out);
    else sky_fail(SKY_CONFIG, path ? path : "--set", "%s", r->problems.text);
    return sky_hint("'skygem help config' lists every key with what it may be");
}

/* path: the file to read, or the name of `text` (NULL: read the file). */
static sky_status read_config(struct sky_config *config, const char *path, const char *text, const char *const *overrides, int override_count)
{
    sky_status status = SKY_OK;
    struct sky_config fresh;
    struct reading r = {.config = &fresh};
    memset(&fresh, 0, sizeof fresh);
    SKY_TRY_DONE(sky_alloc(&fresh.origins, (size_t)sky_schema_count, sizeof *fresh.origins, "config"));
    SKY_TRY_DONE(apply_defaults(&r));
    if (text) {
        SKY_TRY_DONE(read_text(&r, path, text));
    } else if (path) {
        bool opened = false;
        SKY_TRY_DONE(read_file(&r, path, NULL, &opened));
        if (!opened) {
            status = sky_fail(SKY_CONFIG, path, "%s", sky_error_last()->what);
            sky_hint("give the path of an experiment's .ini file");
            goto done;
        }
    }
    SKY_TRY_DONE(apply_overrides(&r, overrides, override_count));
    SKY_TRY_DONE(default_name(&fresh, path));
    check_rules(&r);
    SKY_TRY_DONE(report_problems(&r, path));
    *config = fresh;
    memset(&fresh, 0, sizeof fresh);
done:
    sky_text_free(&r.problems);
    sky_config_free(&fresh);
    return status;
}

sky_status sky_config_read(struct sky_config *config, const char *path, const char *const *overrides, int override_count)
{
    return read_config(config, path, NULL, overrides, override_count);
}

sky_status sky_config_read_text(struct sky_config *config, const char *name, const char *text, const char *const *overrides, int override_count)
{
    return read_config(config, name, text, overrides, override_count);
}

void sky_config_free(struct sky_config *config)
{
    for (int i = 0; i < sky_schema_count; i++) {
        sky_value_free(config, &sky_schema[i]);
        if (config->origins) free(config->origins[i].place);
    }
    free(config->origins);
    memset(config, 0, sizeof *config);
}

const char *sky_config_origin_of(const struct sky_config *config, const char *section_dot_key)
{
    const struct sky_config_origin *origin = origin_of(config, section_dot_key);
    return !origin ? NULL : origin->place ? origin->place : "default";
}
