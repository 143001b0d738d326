/*
 * Tables of tiles and their places (CSV).
 */
#include "fuzz.h"

#include "retrieve/geo.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_geo_table table = {0};
    int handle;
    const char *path = fuzz_file(bytes, count, &handle);
    if (sky_geo_table_read(&table, path) == SKY_OK) sky_geo_table_free(&table);
    fuzz_file_end(handle);
    return 0;
}
