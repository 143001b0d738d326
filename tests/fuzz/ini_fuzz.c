/*
 * Experiment files: reading, and writing what was understood.
 */
#include "fuzz.h"

#include "skygem/config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_config config = {0};
    char *text = malloc(count + 1), *written = NULL;
    if (!text) abort();
    memcpy(text, bytes, count);
    text[count] = 0;
    /* An include may name any file of the machine: that is no matter of the reader. */
    if (!strcasestr(text, "files") && sky_config_read_text(&config, "fuzz.ini", text, NULL, 0) == SKY_OK && sky_config_text(&config, &written) == SKY_OK) free(written);
    sky_config_free(&config);
    free(text);
    return 0;
}
