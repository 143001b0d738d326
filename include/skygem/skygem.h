/*
 * Everything an embedding program needs from skygem. The version is set here and nowhere else.
 */
#ifndef SKYGEM_SKYGEM_H
#define SKYGEM_SKYGEM_H

#define SKYGEM_VERSION "0.1.0"

#include "skygem/config.h"
#include "skygem/log.h"
#include "skygem/retrieval.h"
#include "skygem/status.h"
#include "skygem/trainer.h"

#endif
