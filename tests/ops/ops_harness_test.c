/*
 * Does the harness see what it should? A back end that is the reference but for one planted fault must fail the mode meant for it, and pass without the fault.
 * Each run is a child process with its output thrown away: the failures printed there are wanted.
 */
#include "check.h"
#include "harness.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum fault { NONE, VALUE, NOT_A_NUMBER, BEHIND, BEFORE, READS_BEHIND, UNWRITTEN, INPUT_CHANGED, FAILS, EACH_RUN, EACH_THREAD_COUNT, NO_ACCUMULATION };

static enum fault planted;
static int runs;
static struct sky_operation operations[SKY_OP_COUNT];

/* ADD with the planted fault. y may be a's memory. */
static sky_status faulty_add(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int64_t count = sky_graph_get(kernel->graph, kernel->node->out[0])->count;
    const float *a = run->in[0];
    float *b = run->in[1], *y = run->out[0];
    const float last = y[count - 1];
    if (planted == FAILS) return sky_fail(SKY_INTERNAL, "ADD", "a planted failure");
    if (planted == READS_BEHIND) y[0] = a[0] + b[count];
    else y[0] = a[0] + b[0];
    for (int64_t i = 1; i < count; i++) y[i] = a[i] + b[i];
    if (planted == VALUE) y[count / 2] += 1e-3f;
    if (planted == NOT_A_NUMBER) y[count / 2] = NAN;
    if (planted == BEHIND) y[count] = 0;
    if (planted == BEFORE) y[-1] = 0;
    if (planted == UNWRITTEN) y[count - 1] = last;
    if (planted == INPUT_CHANGED) b[0] += 1;
    if (planted == EACH_RUN && runs++ % 2) y[0] = nextafterf(y[0], 10);
    if (planted == EACH_THREAD_COUNT && kernel->device->options.threads == 1) y[0] = nextafterf(y[0], 10);
    return SKY_OK;
}

static sky_status faulty_wgrad(const struct sky_kernel *kernel, const struct sky_run *run)
{
    struct sky_run copy = *run;
    if (planted == NO_ACCUMULATION) copy.accumulate = false;
    return sky_backend_ref.operations[SKY_OP_CONV_WGRAD].run(kernel, &copy);
}

/* Exit status of the harness on the faulty back end. */
static int harness_status(enum fault fault, const char *mode, const char *name, const char *text)
{
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const struct sky_backend faulty = {.name = "faulty", .open = sky_backend_ref.open, .close = sky_backend_ref.close, .arena_alloc = sky_backend_ref.arena_alloc,
                                           .arena_free = sky_backend_ref.arena_free, .copy_in = sky_backend_ref.copy_in, .copy_out = sky_backend_ref.copy_out,
                                           .synchronize = sky_backend_ref.synchronize, .operations = operations};
        const struct sky_backend *const backends[] = {&faulty};
        const char *arguments[] = {"ops", "-p", mode, "-o", name, "-c", text};
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        planted = fault;
        const int result = ops_main(7, (char **)arguments, backends, 1, "test", "f32");
        fflush(stdout);
        _exit(result);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    memcpy(operations, sky_backend_ref.operations, sizeof operations);
    operations[SKY_OP_ADD].run = faulty_add, operations[SKY_OP_CONV_WGRAD].run = faulty_wgrad;
    const char *add = "n=2 h=3 w=3 c=5", *conv = "n=2 h=7 w=5 c=3 k=4 r=3 acc=1";
    CHECK(harness_status(NONE, "test,bitwise", "ADD", add) == 0);
    CHECK(harness_status(NONE, "test,bitwise", "CONV", conv) == 0);
    for (int fault = VALUE; fault <= FAILS; fault++) {
        char detail[40];
        snprintf(detail, sizeof detail, "fault %d", fault);
        check_that(harness_status((enum fault)fault, "test", "ADD", add) == 1, "the planted fault is seen", __FILE__, __LINE__, detail);
    }
    CHECK(harness_status(EACH_RUN, "bitwise", "ADD", add) == 1);
    CHECK(harness_status(EACH_THREAD_COUNT, "bitwise", "ADD", add) == 1);
    CHECK(harness_status(NO_ACCUMULATION, "test", "CONV", conv) == 1);
    return check_done();
}
