/*
 * The back end's count_keys and top_keys.
 */
#ifndef SKY_BACKEND_CUDA_BIND_RANKING_H
#define SKY_BACKEND_CUDA_BIND_RANKING_H

#include "cuda.h"

sky_status sky_cuda_rank(struct sky_device *device, struct sky_key_count *task);
sky_status sky_cuda_top(struct sky_device *device, struct sky_top_keys *task);

#endif
