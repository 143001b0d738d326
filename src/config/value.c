/*
 * One value of the schema: text to field and back, and in words what is allowed. Text fields are heap copies owned by the config. Numbers are read and
 * printed independently of the locale, and what is printed reads back to the same bits.
 */
#include "base/fs.h"
#include "schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEM_LIMIT = 64 }; /* characters of one item of a list */

static void *field_of(struct sky_config *config, const struct sky_key *key)
{
    return (char *)config + key->offset;
}

static const void *value_of(const struct sky_config *config, const struct sky_key *key)
{
    return (const char *)config + key->offset;
}

static int *count_of(struct sky_config *config, const struct sky_key *key)
{
    return (int *)(void *)((char *)config + key->count_offset);
}

static bool owns_text(const struct sky_key *key)
{
    return key->kind == SKY_KEY_NAME || key->kind == SKY_KEY_TEXT || key->kind == SKY_KEY_PATH || key->kind == SKY_KEY_PARTS;
}

static int choice_count(const struct sky_key *key)
{
    int count = 0;
    while (key->choices[count]) count++;
    return count;
}

static int find_choice(const struct sky_key *key, const char *text)
{
    for (int i = 0; key->choices[i]; i++) {
        if (!strcmp(key->choices[i], text)) return i;
    }
    return -1;
}

/* Cuts the next item off *list (blanks around it dropped); false at the end. An empty item, or one too long, is "". */
static bool next_item(const char **list, char item[ITEM_LIMIT])
{
    if (!*list) return false;
    const char *start = *list + strspn(*list, " \t"), *end = start + strcspn(start, ",");
    *list = *end ? end + 1 : NULL;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) end--;
    snprintf(item, ITEM_LIMIT, "%.*s", end - start < ITEM_LIMIT ? (int)(end - start) : 0, start);
    return true;
}

/* ---- in words ---- */

static void append_number(struct sky_text *out, double value)
{
    char text[32];
    if (value == (double)(int64_t)value) return sky_text_format(out, "%lld", (long long)value);
    sky_print_double(value, text);
    sky_text_append(out, text);
}

static void append_range(const struct sky_key *key, struct sky_text *out)
{
    sky_text_append(out, key->range == SKY_RANGE_ABOVE_LOW ? "above " : "from ");
    append_number(out, key->low);
    sky_text_append(out, key->range == SKY_RANGE_BELOW_HIGH ? " to below " : key->range == SKY_RANGE_ABOVE_LOW ? " up to " : " to ");
    append_number(out, key->high);
}

static void append_choices(const struct sky_key *key, struct sky_text *out)
{
    int count = 0;
    while (key->choices[count]) count++;
    for (int i = 0; i < count; i++) {
        sky_text_separate(out, i, count, " or ");
        sky_text_append(out, key->choices[i]);
    }
}

void sky_key_allowed(const struct sky_key *key, struct sky_text *out)
{
    switch (key->kind) {
    case SKY_KEY_BOOL: sky_text_append(out, "yes or no"); break;
    case SKY_KEY_INT:
        sky_text_append(out, "a whole number ");
        append_range(key, out);
        break;
    case SKY_KEY_NUMBER:
        sky_text_append(out, "a number ");
        append_range(key, out);
        break;
    case SKY_KEY_CHOICE:
    case SKY_KEY_NAME: append_choices(key, out); break;
    case SKY_KEY_TEXT: sky_text_append(out, "a text, or none"); break;
    case SKY_KEY_PATH: sky_text_append(out, "a path, or none"); break;
    case SKY_KEY_PARTS: sky_text_format(out, "ringK and squareK separated by commas, up to %d, or none", key->limit); break;
    case SKY_KEY_INTS:
        sky_text_format(out, "up to %d whole numbers ", key->limit);
        append_range(key, out);
        sky_text_append(out, ", separated by commas, or none");
        break;
    case SKY_KEY_CHOICES:
        append_choices(key, out);
        sky_text_append(out, ", or several separated by commas");
        break;
    }
}

/* Names the first item of a list that is no choice, or comes again. Returns what may have been meant by it, or NULL. */
static const char *blame_item(const struct sky_key *key, const char *text, struct sky_text *problem)
{
    char item[ITEM_LIMIT];
    bool seen[SKY_MAX_LIST] = {false};
    for (const char *at = text; next_item(&at, item);) {
        const int choice = find_choice(key, item);
        if (choice >= 0 && seen[choice]) {
            sky_text_format(problem, "; %s comes twice", item);
            return NULL;
        }
        if (choice >= 0) {
            seen[choice] = true;
            continue;
        }
        const int nearest = sky_nearest(item, key->choices, choice_count(key));
        if (strchr(text, ',')) sky_text_format(problem, "; '%s' is none of them", item);
        return nearest >= 0 ? key->choices[nearest] : NULL;
    }
    return NULL;
}

/* "'x' is not allowed; allowed: ...", and what may have been meant. Always SKY_OK: the problem is the message. */
static sky_status refuse(const struct sky_key *key, const char *text, struct sky_text *problem)
{
    static const char *const yes[] = {"true", "on", "1", "y", "t"}, *const no[] = {"false", "off", "0", "n", "f"};
    const char *meant = NULL;
    sky_text_format(problem, "'%.80s'%s is not allowed; allowed: ", text, strlen(text) > 80 ? "..." : "");
    sky_key_allowed(key, problem);
    if (key->kind == SKY_KEY_BOOL) {
        char word[ITEM_LIMIT];
        snprintf(word, sizeof word, "%s", text);
        for (char *c = word; *c; c++) *c = (char)tolower((unsigned char)*c);
        for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) meant = !strcmp(word, yes[i]) ? "yes" : !strcmp(word, no[i]) ? "no" : meant;
        if (!meant && (!strcmp(word, "yes") || !strcmp(word, "no"))) meant = word[0] == 'y' ? "yes" : "no";
    } else if (key->kind == SKY_KEY_CHOICES) {
        meant = blame_item(key, text, problem);
    } else if (key->choices) {
        const int nearest = sky_nearest(text, key->choices, choice_count(key));
        if (nearest >= 0) meant = key->choices[nearest];
    }
    if (meant) sky_text_format(problem, "; did you mean %s?", meant);
    else if (strstr(text, " #")) sky_text_append(problem, "; a comment behind a value starts with ' ;'");
    return SKY_OK;
}

/* ---- reading ---- */

static bool in_range(const struct sky_key *key, double value)
{
    const bool above = key->range == SKY_RANGE_ABOVE_LOW ? value > key->low : value >= key->low;
    const bool below = key->range == SKY_RANGE_BELOW_HIGH ? value < key->high : value <= key->high;
    return above && below;
}

static bool read_int(const struct sky_key *key, const char *text, int64_t *out)
{
    int64_t value;
    if (!sky_parse_int(text, &value) || !in_range(key, (double)value)) return false;
    *out = value;
    return true;
}

static bool read_ints(struct sky_config *config, const struct sky_key *key, const char *text)
{
    int64_t values[SKY_MAX_LIST];
    char item[ITEM_LIMIT];
    int count = 0;
    for (const char *at = text; next_item(&at, item); count++) {
        if (count == key->limit || !read_int(key, item, &values[count])) return false;
    }
    memcpy(field_of(config, key), values, (size_t)count * sizeof *values);
    *count_of(config, key) = count;
    return true;
}

static bool read_choices(struct sky_config *config, const struct sky_key *key, const char *text)
{
    int values[SKY_MAX_LIST];
    char item[ITEM_LIMIT];
    int count = 0;
    for (const char *at = text; next_item(&at, item); count++) {
        if (count == key->limit || (values[count] = find_choice(key, item)) < 0) return false;
        for (int i = 0; i < count; i++) {
            if (values[i] == values[count]) return false;
        }
    }
    for (int i = 1; key->is_set && i < count; i++)
        for (int k = i; k > 0 && values[k - 1] > values[k]; k--) {
            const int later = values[k - 1];
            values[k - 1] = values[k], values[k] = later;
        }
    memcpy(field_of(config, key), values, (size_t)count * sizeof *values);
    *count_of(config, key) = count;
    return true;
}

/* "ring1 ,square2" becomes "ring1,square2"; false when an item is neither or comes twice. */
static bool tidy_parts(const struct sky_key *key, const char *text, struct sky_text *out)
{
    char item[ITEM_LIMIT], wrapped[ITEM_LIMIT + 2], so_far[2048] = ",";
    int count = 0;
    for (const char *at = text; next_item(&at, item); count++) {
        int64_t number = 0;
        const char *digits = !strncmp(item, "ring", 4) ? item + 4 : !strncmp(item, "square", 6) ? item + 6 : "";
        if (count == key->limit || *digits < '1' || *digits > '9' || !sky_parse_int(digits, &number) || number > 16) return false;
        snprintf(wrapped, sizeof wrapped, ",%s,", item);
        if (strstr(so_far, wrapped)) return false;
        strncat(so_far, wrapped + 1, sizeof so_far - strlen(so_far) - 1);
        sky_text_format(out, "%s%s", count ? "," : "", item);
    }
    return count > 0;
}

/* Is this a text that a file could hold as it is? --set values have not been through the reader. */
static bool fits_file(const char *text)
{
    const size_t length = strlen(text);
    if (length > 3500 || strchr(" \t;", text[0]) || (length && strchr(" \t", text[length - 1]))) return false;
    for (const char *at = text; *at; at++) {
        if (((unsigned char)*at < 0x20 && *at != '\t') || *at == 0x7f) return false;
        if (*at == ';' && (at[-1] == ' ' || at[-1] == '\t')) return false;
    }
    return true;
}

/* `folder` is absolute and free of links, so leading "./" and "../" can be taken off both. */
static sky_status resolve_path(char **out, const char *folder, const char *text)
{
    sky_status status = SKY_OK;
    char *base = NULL;
    SKY_TRY(sky_strdup(&base, folder, "path"));
    while (text[0] == '.') {
        const size_t dots = text[1] == '.' ? 2 : 1;
        if (text[dots] && text[dots] != '/') break;
        if (dots == 2) {
            char *parent = NULL;
            SKY_TRY_DONE(sky_path_folder(&parent, base));
            free(base);
            base = parent;
        }
        text += dots + strspn(text + dots, "/");
    }
    if (*text) status = sky_path_join(out, base, text);
    else *out = base, base = NULL;
done:
    free(base);
    return status;
}

static sky_status read_text(struct sky_config *config, const struct sky_key *key, const char *text, const char *folder, struct sky_text *problem)
{
    sky_status status = SKY_OK;
    struct sky_text parts = {0};
    char *value = NULL;
    const size_t length = strlen(text);
    const bool none = key->kind != SKY_KEY_NAME && (!strcmp(text, "none") || (key->kind == SKY_KEY_PATH && !strcmp(text, "off")));
    if (length > 1 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
        sky_text_append(problem, "is in quotes, which would belong to the value; write it without");
        goto done;
    }
    if (!none && key->kind == SKY_KEY_NAME && find_choice(key, text) < 0) status = refuse(key, text, problem);
    else if (!none && key->kind == SKY_KEY_PARTS && !tidy_parts(key, text, &parts)) status = refuse(key, text, problem);
    else if (!none && key->kind == SKY_KEY_PATH) status = resolve_path(&value, folder, text);
    else if (!none) status = sky_strdup(&value, parts.text ? parts.text : text, key->name);
    if (status != SKY_OK || problem->length) goto done;
    if (value && !fits_file(value)) {
        sky_text_append(problem, "is not a text an .ini file can hold: no ';' at the start or behind a blank, no control characters, at most 3500 bytes");
        goto done;
    }
    sky_value_free(config, key);
    memcpy(field_of(config, key), &value, sizeof value);
    value = NULL;
done:
    free(value);
    sky_text_free(&parts);
    return status;
}

sky_status sky_value_read(struct sky_config *config, const struct sky_key *key, const char *text, const char *folder, struct sky_text *problem)
{
    void *field = field_of(config, key);
    int64_t whole;
    double number;
    int index;
    if (!*text) {
        sky_text_append(problem, "has no value; allowed: ");
        sky_key_allowed(key, problem);
        return SKY_OK;
    }
    switch (key->kind) {
    case SKY_KEY_BOOL:
        if (strcmp(text, "yes") && strcmp(text, "no")) return refuse(key, text, problem);
        *(bool *)field = text[0] == 'y';
        return SKY_OK;
    case SKY_KEY_INT:
        if (!read_int(key, text, &whole)) return refuse(key, text, problem);
        *(int64_t *)field = whole;
        return SKY_OK;
    case SKY_KEY_NUMBER:
        if (!sky_parse_double(text, &number) || !in_range(key, number)) return refuse(key, text, problem);
        *(double *)field = number;
        return SKY_OK;
    case SKY_KEY_CHOICE:
        index = find_choice(key, text);
        if (index < 0) return refuse(key, text, problem);
        *(int *)field = index;
        return SKY_OK;
    case SKY_KEY_INTS:
        if (!strcmp(text, "none")) *count_of(config, key) = 0;
        else if (!read_ints(config, key, text)) return refuse(key, text, problem);
        return SKY_OK;
    case SKY_KEY_CHOICES: return read_choices(config, key, text) ? SKY_OK : refuse(key, text, problem);
    case SKY_KEY_NAME:
    case SKY_KEY_TEXT:
    case SKY_KEY_PATH:
    case SKY_KEY_PARTS: return read_text(config, key, text, folder, problem);
    }
    return SKY_OK;
}

/* ---- printing ---- */

void sky_value_print(const struct sky_config *config, const struct sky_key *key, struct sky_text *out)
{
    const void *value = value_of(config, key);
    char number[32];
    if (owns_text(key)) {
        const char *text = *(char *const *)value;
        return sky_text_append(out, text ? text : "none");
    }
    const int count = key->limit ? *count_of((struct sky_config *)config, key) : 0;
    switch (key->kind) {
    case SKY_KEY_BOOL: sky_text_append(out, *(const bool *)value ? "yes" : "no"); break;
    case SKY_KEY_INT: sky_text_format(out, "%lld", (long long)*(const int64_t *)value); break;
    case SKY_KEY_NUMBER:
        sky_print_double(*(const double *)value, number);
        sky_text_append(out, number);
        break;
    case SKY_KEY_CHOICE: sky_text_append(out, key->choices[*(const int *)value]); break;
    case SKY_KEY_INTS:
        for (int i = 0; i < count; i++) sky_text_format(out, "%s%lld", i ? ", " : "", (long long)((const int64_t *)value)[i]);
        if (!count) sky_text_append(out, "none");
        break;
    case SKY_KEY_CHOICES:
        for (int i = 0; i < count; i++) sky_text_format(out, "%s%s", i ? ", " : "", key->choices[((const int *)value)[i]]);
        break;
    default: break;
    }
}

void sky_value_free(struct sky_config *config, const struct sky_key *key)
{
    if (!owns_text(key)) return;
    char **text = field_of(config, key);
    free(*text);
    *text = NULL;
}
