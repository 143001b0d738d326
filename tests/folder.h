/*
 * A test's own folder: made with mkdtemp, with short-lived paths into it, and removed with everything below at the end.
 */
#ifndef SKY_TESTS_FOLDER_H
#define SKY_TESTS_FOLDER_H

#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/skygem-unit-XXXXXX";

/* The path of a name in the folder; valid until this thread's fourth next call. */
static inline const char *in_folder(const char *name)
{
    static _Thread_local char paths[4][256];
    static _Thread_local int turn;
    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

static inline void folder_make(void)
{
    if (mkdtemp(folder)) return;
    perror(folder);
    exit(1);
}

static inline void folder_remove(const char *path)
{
    struct sky_listing list = {0};
    if (sky_folder_list(path, &list) == SKY_OK) {
        for (int64_t i = 0; i < list.count; i++) {
            char *inner = NULL;
            if (sky_path_join(&inner, path, list.entries[i].name) != SKY_OK) continue;
            if (unlink(inner)) folder_remove(inner);
            free(inner);
        }
        sky_listing_free(&list);
    }
    rmdir(path);
}

#endif
