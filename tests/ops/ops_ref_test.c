/*
 * The reference back end: gradients against central differences, contracts (untouched inputs, guards, accumulation, shared memory) against itself, and every operation covered.
 */
#include "harness.h"

int main(int argc, char **argv)
{
    const struct sky_backend *const backends[] = {&sky_backend_ref};
    return ops_main(argc, argv, backends, 1, "grad,test,bitwise,support", "f32,bf16,f16");
}
