/*
 * What the CPU back end stands on, for `skygem doctor`.
 */
#ifndef SKY_BACKEND_CPU_LIBRARY_H
#define SKY_BACKEND_CPU_LIBRARY_H

#include "base/library.h"

#include <stdbool.h>

void sky_cpu_library(struct sky_library *onednn);
bool sky_cpu_has_winograd(void); /* [device] winograd = yes means something in this build */
bool sky_cpu_has_int8(void);     /* [eval] precision = int8 runs on this processor */

#endif
