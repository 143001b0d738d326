/*
 * The CPU back end against the reference, and its bits from run to run and with one thread or two.
 */
#include "harness.h"

int main(int argc, char **argv)
{
    const struct sky_backend *const backends[] = {&sky_backend_cpu};
    return ops_main(argc, argv, backends, 1, "test,bitwise,support", "f32");
}
