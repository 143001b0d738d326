/*
 * skygem weights: the table of its sub-commands, one a file, and what two of them ask of their output.
 */
#include "weights.h"

#include <stddef.h>
#include <sys/stat.h>

sky_status sky_weights_check_output(const char *input, const char *output)
{
    struct stat in, out;
    if (!output || stat(input, &in) != 0 || stat(output, &out) != 0 || in.st_dev != out.st_dev || in.st_ino != out.st_ino) return SKY_OK;
    sky_fail(SKY_USAGE, output, "is the file that is read: it would be replaced");
    return sky_hint("give another --output");
}

static const struct sky_command *const commands[] = {&sky_command_weights_show, &sky_command_weights_import, &sky_command_weights_export, NULL};

const struct sky_command sky_command_weights = {
    .name = "weights",
    .doc = "what weights files hold; weights of PyTorch in, weights for PyTorch and ONNX out",
    .details = "Read are safetensors and .pth files of PyTorch, both its formats, without running anything of them.",
    .commands = commands,
};
