/*
 * Looks through the process's loaded objects. Keeps nothing.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "library.h"

#include "fs.h"

#include <link.h>
#include <stdio.h>
#include <string.h>

struct search {
    const char *prefix;
    char *out;
    size_t out_bytes;
};

static int compare(struct dl_phdr_info *info, size_t size, void *context)
{
    const struct search *search = context;
    (void)size;
    if (strncmp(sky_path_base(info->dlpi_name), search->prefix, strlen(search->prefix))) return 0;
    snprintf(search->out, search->out_bytes, "%s", info->dlpi_name);
    return 1;
}

bool sky_library_path(const char *prefix, char *out, size_t out_bytes)
{
    struct search search = {prefix, out, out_bytes};
    return dl_iterate_phdr(compare, &search) == 1;
}
