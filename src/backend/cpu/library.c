/*
 * What oneDNN says of itself: the same call in both of its interfaces.
 */
#include "library.h"

#include "dnnl.h"
#include "winograd.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>

void sky_cpu_library(struct sky_library *onednn)
{
    const dnnl_version_t *loaded = dnnl_version();
    *onednn = (struct sky_library){.name = "oneDNN"};
    snprintf(onednn->compiled, sizeof onednn->compiled, "%d.%d.%d", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);
    snprintf(onednn->loaded, sizeof onednn->loaded, "%d.%d.%d", loaded->major, loaded->minor, loaded->patch);
}

bool sky_cpu_has_winograd(void)
{
    return sky_winograd_is_fast();
}

bool sky_cpu_has_int8(void)
{
    return sky_dnnl_int8_top() > 0;
}
