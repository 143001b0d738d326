/*
 * cuDNN's part of an opened device: its handle and the plans made so far.
 */
#ifndef SKY_BACKEND_CUDA_CUDNN_HANDLE_H
#define SKY_BACKEND_CUDA_CUDNN_HANDLE_H

#include "cuda.h"

/* Fills cuda->cudnn and cuda->plans; refuses a loaded library older than the one compiled with. After a failure close frees what was made. */
sky_status sky_cudnn_open(struct sky_cuda *cuda, const struct sky_device_options *options);
void sky_cudnn_close(struct sky_cuda *cuda);
void sky_cudnn_versions(char compiled[32], char loaded[32]);

#endif
