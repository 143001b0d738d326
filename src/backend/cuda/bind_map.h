/*
 * From nodes to the launchers' descriptions of maps and norms.
 */
#ifndef SKY_BACKEND_CUDA_BIND_MAP_H
#define SKY_BACKEND_CUDA_BIND_MAP_H

#include "cuda.h"

/* groups only for nodes whose attributes are attr.bn; 0 there (no statistics) counts as one. */
static inline struct sky_cuda_map sky_cuda_map_of(const struct sky_kernel *kernel, const struct sky_tensor *z)
{
    const int groups = kernel->node->attr.bn.groups;
    return (struct sky_cuda_map){z->dim[0], z->dim[1] * z->dim[2], z->dim[3], groups > 0 ? groups : 1};
}

/* mean, invstd, gamma, beta are inputs first .. first + 3. */
static inline struct sky_cuda_norm sky_cuda_norm_of(const struct sky_run *run, int first)
{
    return (struct sky_cuda_norm){run->in[first], run->in[first + 1], run->in[first + 2], run->in[first + 3]};
}

#endif
