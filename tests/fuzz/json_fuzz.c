/*
 * The JSON reader.
 */
#include "fuzz.h"

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_json_document *document = NULL;
    if (sky_json_parse((const char *)bytes, count, "fuzz", &document) == SKY_OK && !sky_json_root(document)) abort();
    sky_json_free(document);
    return 0;
}
