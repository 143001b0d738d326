/*
 * skygem weights: the table of its sub-commands, one a file.
 */
#include "weights.h"

#include <stddef.h>

static const struct sky_command *const commands[] = {&sky_command_weights_show, &sky_command_weights_import, &sky_command_weights_export, NULL};

const struct sky_command sky_command_weights = {
    .name = "weights",
    .doc = "what weights files hold; weights of PyTorch in, weights for PyTorch and ONNX out",
    .details = "Read are safetensors and .pth files of PyTorch, both its formats, without running anything of them.",
    .commands = commands,
};
