/*
 * The syntax of an .ini file, strictly: what libinih would misread in silence (indented lines, long lines and names, "key: value") is a complaint with its
 * exact line. Knows no keys. The rules:
 *   - a line is blank, a comment (its first character that is not blank is ; or #), "[section]" or "key = value"; sections and keys start in the first column;
 *   - names consist of letters, digits and _, at most 48 of them; a value goes to the end of the line, blanks around it dropped, up to a ';' behind a blank;
 *   - lines have at most 4096 bytes and no control characters; they end with LF or CR LF; a byte order mark at the start is fine.
 */
#ifndef SKY_CONFIG_INI_READ_H
#define SKY_CONFIG_INI_READ_H

#include "skygem/status.h"

#include <stddef.h>

enum { SKY_INI_LINE_LIMIT = 4096, SKY_INI_NAME_LIMIT = 48 };

/* What a reader is told, in the order of the file; all texts are valid during the call only. A failure ends the reading and is returned. */
struct sky_ini_events {
    void *context;
    sky_status (*section)(void *context, int line, const char *name);
    sky_status (*pair)(void *context, int line, const char *section, const char *key, const char *value);
    sky_status (*complaint)(void *context, int line, const char *what); /* the line is wrong and left out */
};

sky_status sky_ini_read(const char *text, size_t length, const struct sky_ini_events *events);

#endif
