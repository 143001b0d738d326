/*
 * The strict line reader in front of libinih. Every line is checked here first and then handed over one at a time, so libinih's line count, its
 * 200-byte buffer, its continuation lines and its cut names never decide anything; a wrong line reaches it as an empty one. A value too long for
 * its buffer is kept here and put back in its place. No memory is allocated.
 */
#include "ini_read.h"

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct feed {
    const char *at, *end;
    int line;               /* of the last line handed over, from 1 */
    bool in_section;        /* a section has begun and its header was right */
    bool header_was_wrong;  /* the lines behind a wrong header are left out: their section is unknown */
    bool pair_expected;     /* libinih has been given a pair and not called back yet */
    bool value_kept;        /* `value` holds the value of the current line */
    char value[SKY_INI_LINE_LIMIT + 1];
    sky_status status;
    const struct sky_ini_events *events;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static size_t name_length(const char *text, size_t length)
{
    size_t count = 0;
    while (count < length && ((text[count] >= 'a' && text[count] <= 'z') || (text[count] >= 'A' && text[count] <= 'Z') ||
                              (text[count] >= '0' && text[count] <= '9') || text[count] == '_')) count++;
    return count;
}

static size_t skip_blanks(const char *text, size_t length, size_t at)
{
    while (at < length && is_blank(text[at])) at++;
    return at;
}

static void complain(struct feed *feed, const char *what)
{
    if (feed->status == SKY_OK) feed->status = feed->events->complaint(feed->events->context, feed->line, what);
}

/* "[name]", then nothing but blanks and a comment. Reports the section or complains; true when right. */
static bool check_header(struct feed *feed, const char *line, size_t length)
{
    char name[SKY_INI_NAME_LIMIT + 1];
    const char *what = NULL;
    const size_t count = name_length(line + 1, length - 1), behind = skip_blanks(line, length, count + 2);
    if (!memchr(line, ']', length)) what = "the section's ']' is missing";
    else if (line[1 + count] != ']' || !count) what = "a section's name consists of letters, digits and _, without blanks: [name]";
    else if (count > SKY_INI_NAME_LIMIT) what = "the section's name is longer than 48 characters";
    else if (behind < length && line[behind] != ';') what = "something stands behind the section's ']'";
    feed->in_section = !what;
    feed->header_was_wrong = what != NULL;
    if (what) return complain(feed, what), false;
    memcpy(name, line + 1, count);
    name[count] = 0;
    if (feed->status == SKY_OK) feed->status = feed->events->section(feed->events->context, feed->line, name);
    return true;
}

/* What is wrong with a line that should be a pair, or NULL. */
static const char *check_pair(const struct feed *feed, const char *line, size_t length)
{
    const size_t count = name_length(line, length), sign = skip_blanks(line, length, count);
    if (is_blank(line[0])) return "the line is indented; start it in the first column";
    if (!memchr(line, '=', length)) return memchr(line, ':', length) ? "write '=' instead of ':' between key and value" : "there is no '='; write key = value";
    if (line[0] == '=') return "there is no key before '='";
    if (sign < length && line[sign] == ':') return "write '=' instead of ':' between key and value";
    if (!count || sign >= length || line[sign] != '=') return "a key consists of letters, digits and _: key = value";
    if (count > SKY_INI_NAME_LIMIT) return "the key is longer than 48 characters";
    if (!feed->in_section) return "the key stands before any [section]";
    return NULL;
}

/* Keeps what stands behind '=' up to a comment, without the blanks around it: libinih's rule, for lines that do not fit its buffer. */
static void keep_value(struct feed *feed, const char *line, size_t length)
{
    const size_t start = skip_blanks(line, length, (size_t)((const char *)memchr(line, '=', length) - line) + 1);
    size_t end = start;
    while (end < length && !(line[end] == ';' && is_blank(line[end - 1]))) end++;
    while (end > start && is_blank(line[end - 1])) end--;
    memcpy(feed->value, line + start, end - start);
    feed->value[end - start] = 0;
    feed->value_kept = true;
}

/* True when the line is to be handed to libinih; false: it is a comment, blank or wrong (and has been complained about). */
static bool accept_line(struct feed *feed, const char *line, size_t length)
{
    const size_t first = skip_blanks(line, length, 0);
    if (memchr(line, 0, length)) return complain(feed, "a zero byte: this is not a text file, or it is UTF-16"), false;
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f) return complain(feed, "a control character"), false;
    }
    if (length > SKY_INI_LINE_LIMIT) return complain(feed, "the line is longer than 4096 bytes"), false;
    if (first == length || line[first] == ';' || line[first] == '#') return false;
    if (line[0] == '[') return check_header(feed, line, length);
    if (feed->header_was_wrong) return false;
    const char *what = check_pair(feed, line, length);
    if (what) return complain(feed, what), false;
    feed->pair_expected = true;
    return true;
}

/* libinih's fgets: one line a call, whatever is on it; NULL at the end. */
static char *next_line(char *buffer, int size, void *stream)
{
    struct feed *feed = stream;
    if (feed->pair_expected) complain(feed, "the line is not understood");
    feed->pair_expected = feed->value_kept = false;
    if (feed->at == feed->end || feed->status != SKY_OK) return NULL;
    const char *const line = feed->at, *const newline = memchr(line, '\n', (size_t)(feed->end - line));
    size_t length = (size_t)((newline ? newline : feed->end) - line);
    feed->at = newline ? newline + 1 : feed->end;
    feed->line++;
    if (length && line[length - 1] == '\r') length--;
    buffer[0] = 0;
    if (!accept_line(feed, line, length)) return buffer;
    if (length + 2 < (size_t)size) {
        memcpy(buffer, line, length);
        buffer[length] = 0;
    } else if (line[0] == '[') {
        snprintf(buffer, (size_t)size, "%.*s", (int)(strcspn(line, "]") + 1), line); /* without the long comment behind it */
    } else {
        keep_value(feed, line, length);
        snprintf(buffer, (size_t)size, "%.*s = kept", (int)name_length(line, length), line);
    }
    return buffer;
}

static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    struct feed *feed = user;
    feed->pair_expected = false;
    if (feed->status == SKY_OK) feed->status = feed->events->pair(feed->events->context, feed->line, section, name, feed->value_kept ? feed->value : value);
    return 1;
}

sky_status sky_ini_read(const char *text, size_t length, const struct sky_ini_events *events)
{
    struct feed feed = {.at = text, .end = text + length, .events = events};
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) feed.at += 3;
    if (ini_parse_stream(next_line, &feed, take_pair, &feed) && feed.status == SKY_OK) complain(&feed, "libinih refuses a line above");
    return feed.status;
}
