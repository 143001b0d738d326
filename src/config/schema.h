/*
 * The schema of an experiment file: THE table of its keys, and reading and printing one value. Internal to src/config; others see skygem/config.h.
 */
#ifndef SKY_CONFIG_SCHEMA_H
#define SKY_CONFIG_SCHEMA_H

#include "base/str.h"
#include "skygem/config.h"

enum sky_key_kind {
    SKY_KEY_BOOL,    /* bool: yes | no */
    SKY_KEY_INT,     /* int64_t from low to high */
    SKY_KEY_NUMBER,  /* double from low to high */
    SKY_KEY_CHOICE,  /* int: index into choices, the value of the enum */
    SKY_KEY_NAME,    /* char *: one of choices */
    SKY_KEY_TEXT,    /* char *, NULL = none */
    SKY_KEY_PATH,    /* char *, absolute; NULL = none */
    SKY_KEY_PARTS,   /* char *: "ring1,square2"; NULL = none */
    SKY_KEY_INTS,    /* int64_t[limit], with a count; none = 0 of them */
    SKY_KEY_CHOICES  /* int[limit], with a count, each once */
};

/* Which ends of low..high do not belong to the range. */
enum sky_key_range { SKY_RANGE_CLOSED, SKY_RANGE_ABOVE_LOW, SKY_RANGE_BELOW_HIGH };

struct sky_key {
    const char *section, *name;
    size_t offset;              /* of the field in struct sky_config */
    enum sky_key_kind kind;
    const char *fallback;       /* the default, as it would stand in a file */
    const char *unit;           /* "pixels", or "" */
    double low, high;
    enum sky_key_range range;
    const char *const *choices; /* NULL at the end */
    size_t count_offset;        /* lists: of their int count */
    int limit;                  /* lists: the most items */
    bool is_set;                /* choices: kept in their own order, whatever the file's */
    bool in_hash;               /* changes the numbers of a run */
    bool (*counts)(const struct sky_config *config); /* of in_hash: only when this says so; NULL: always */
    const char *doc;            /* one line */
};

struct sky_section {
    const char *name, *doc;
};

extern const struct sky_key sky_schema[];
extern const int sky_schema_count;
extern const struct sky_section sky_sections[]; /* in the order of the file; [include] is not among them */
extern const int sky_section_count;

const struct sky_key *sky_schema_find(const char *section, const char *name); /* NULL: unknown */

/* What a value may be, in words: "a whole number from 1 to 16". */
void sky_key_allowed(const struct sky_key *key, struct sky_text *out);

/*
 * Reads `text` into the key's field, which must be zero or hold an earlier value (freed). Relative paths start at `folder`. What is wrong with the text
 * is appended to `problem`, and the field stays as it is; only a failing allocation is a failure.
 */
sky_status sky_value_read(struct sky_config *config, const struct sky_key *key, const char *text, const char *folder, struct sky_text *problem);

/* The value as it would stand in a file. */
void sky_value_print(const struct sky_config *config, const struct sky_key *key, struct sky_text *out);

/* Frees what the key's field owns and zeroes it. */
void sky_value_free(struct sky_config *config, const struct sky_key *key);

/* A rule over several keys. */
enum { SKY_RULE_KEYS = 6 };
struct sky_config_rule {
    const char *keys[SKY_RULE_KEYS];                                                   /* "section.key"; the first stands in the message */
    void (*check)(const struct sky_config *config, struct sky_text *problem); /* appends what is wrong */
};
extern const struct sky_config_rule sky_config_rules[];
extern const int sky_config_rule_count;

/* Where each key's value came from; [sky_schema_count]. */
struct sky_config_origin {
    char *place; /* "FILE:LINE" or "--set"; NULL = default */
    bool wrong;  /* while reading: its text was refused */
};

#endif
