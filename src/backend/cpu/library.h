/*
 * oneDNN's version, for `skygem doctor`.
 */
#ifndef SKY_BACKEND_CPU_LIBRARY_H
#define SKY_BACKEND_CPU_LIBRARY_H

#include "base/library.h"

void sky_cpu_library(struct sky_library *onednn);

#endif
