/*
 * Which shared libraries this process really uses: for `skygem doctor`.
 */
#ifndef SKY_BASE_LIBRARY_H
#define SKY_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* A library as its headers were when we compiled, and as it is now; "" where it does not tell. */
struct sky_library {
    const char *name;
    char compiled[32], loaded[32];
};

/* The file of the first loaded library whose name starts with `prefix` ("libpng"); false when there is none. */
bool sky_library_path(const char *prefix, char *out, size_t out_bytes);

#endif
