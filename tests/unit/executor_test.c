/*
 * Recordings: a back end that can record replays exactly the nodes of the phases asked for, from the third run on; a failure while recording is reported and
 * the next run tries again. And what ranks exchange: each bucket once its node has run, all before the update, nothing while more is to be added to the
 * gradients. The back end is the reference with a recorder around its operations: what is recorded does not run until it is replayed, as on a GPU.
 */
#include "backend/executor.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CALLS = 64 };

struct call {
    const struct sky_kernel *kernel;
    struct sky_run run;
};

struct tape {
    struct call calls[MAX_CALLS];
    int count;
};

static struct tape *recording;
static int replays, freed, failing;

static sky_status taped_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    if (failing) return sky_fail(SKY_DEVICE, kernel->node->name, "planted");
    if (!recording) return sky_backend_ref.operations[kernel->node->op].run(kernel, run);
    recording->calls[recording->count++] = (struct call){kernel, *run};
    return SKY_OK;
}

static sky_status begin(struct sky_device *device)
{
    (void)device;
    recording = calloc(1, sizeof *recording);
    return recording ? SKY_OK : sky_fail(SKY_NOMEM, "test", "no memory");
}

static sky_status end(struct sky_device *device, void **out)
{
    (void)device;
    *out = recording, recording = NULL;
    return SKY_OK;
}

static sky_status replay(struct sky_device *device, void *tape)
{
    (void)device;
    const struct tape *calls = tape;
    replays++;
    for (int i = 0; i < calls->count; i++) SKY_TRY(taped_run(calls->calls[i].kernel, &calls->calls[i].run));
    return SKY_OK;
}

static void tape_free(struct sky_device *device, void *tape)
{
    (void)device;
    freed++;
    free(tape);
}

static struct sky_operation operations[SKY_OP_COUNT];

static struct sky_backend recorder(void)
{
    struct sky_backend backend = sky_backend_ref;
    for (int op = 0; op < SKY_OP_COUNT; op++) operations[op] = sky_backend_ref.operations[op], operations[op].run = taped_run;
    backend.record_begin = begin, backend.record_end = end, backend.replay = replay, backend.recording_free = tape_free, backend.operations = operations;
    return backend;
}

/* forward: b = a + a; backward: c = b + a; update: d = c + c. */
static void build(struct sky_graph *graph, sky_value value[4])
{
    const enum sky_phase phases[3] = {SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, SKY_PHASE_UPDATE};
    const int64_t dim[1] = {3};
    CHECK(sky_graph_init(graph, SKY_F32) == SKY_OK);
    value[0] = sky_graph_input(graph, "a", SKY_F32, 1, dim);
    for (int i = 0; i < 3; i++) {
        const sky_value in[2] = {value[i], i == 1 ? value[0] : value[i]};
        value[i + 1] = sky_graph_out(graph, sky_graph_node(graph, SKY_OP_ADD, phases[i], "sum", NULL, in, 2), 0);
        sky_graph_keep(graph, value[i + 1]);
    }
    CHECK(sky_graph_plan(graph, NULL) == SKY_OK);
}

static float first_of(struct sky_executor *executor, sky_value value)
{
    float data[3] = {0};
    CHECK(sky_executor_read(executor, value, data) == SKY_OK);
    return data[0];
}

static void run_with(float a, struct sky_executor *executor, const sky_value value[4], enum sky_phase last)
{
    const float data[3] = {a, a, a};
    CHECK(sky_executor_write(executor, value[0], data) == SKY_OK);
    CHECK(sky_executor_run_through(executor, SKY_PHASE_FORWARD, last, false) == SKY_OK);
}

/* What the hook was asked for, and how many nodes had run by then. */
static char asked[64];

static sky_status note_start(void *context, const struct sky_bucket *bucket)
{
    const struct sky_executor *executor = context;
    snprintf(asked + strlen(asked), sizeof asked - strlen(asked), "start %d (c is %g) ", (int)bucket->first,
             (double)*(float *)sky_executor_pointer(executor, executor->graph->nodes[1].out[0]));
    return SKY_OK;
}

static sky_status note_finish(void *context)
{
    (void)context;
    strcat(asked, "finish");
    return failing ? sky_fail(SKY_PEER, "test", "planted") : SKY_OK;
}

static void test_exchange(void)
{
    const struct sky_bucket buckets[2] = {{.after = 1, .first = 0, .count = 1}, {.after = 1, .first = 1, .count = 1}};
    const struct sky_device_options options = {.threads = 1};
    struct sky_graph graph;
    struct sky_executor executor;
    sky_value value[4];
    build(&graph, value);
    CHECK(sky_executor_create(&executor, &sky_backend_ref, &options, &graph, NULL) == SKY_OK);
    const struct sky_exchange exchange = {.context = &executor, .buckets = buckets, .bucket_count = 2, .start = note_start, .finish = note_finish};
    void *memory[SKY_EXECUTOR_BLOCKS + 1] = {NULL};
    for (int i = 0; i < SKY_EXECUTOR_BLOCKS; i++) CHECK_OK(sky_executor_reserve(&executor, 100, "a block", &memory[i]));
    CHECK(((const char *)memory[0])[99] == 0 && memory[0] != memory[1]);
    CHECK_FAILS(sky_executor_reserve(&executor, 100, "one more", &memory[SKY_EXECUTOR_BLOCKS]), SKY_INTERNAL, "4 blocks of memory are reserved already");
    executor.exchange = &exchange;
    executor.hold = true;
    run_with(1, &executor, value, SKY_PHASE_BACKWARD);
    CHECK(!strcmp(asked, ""));
    executor.hold = false;
    run_with(2, &executor, value, SKY_PHASE_UPDATE);
    CHECK(!strcmp(asked, "start 0 (c is 6) start 1 (c is 6) finish") && first_of(&executor, value[3]) == 12);
    *asked = 0, failing = 1;
    CHECK(sky_executor_run(&executor, SKY_PHASE_UPDATE, false) == SKY_PEER);
    failing = 0;
    sky_executor_destroy(&executor);
    sky_graph_free(&graph);
}

int main(void)
{
    test_exchange();
    const struct sky_backend backend = recorder();
    const struct sky_device_options options = {.threads = 1, .capture = true};
    struct sky_graph graph;
    struct sky_executor executor;
    sky_value value[4];
    build(&graph, value);
    CHECK(sky_executor_create(&executor, &backend, &options, &graph, NULL) == SKY_OK);

    for (int i = 1; i <= 5; i++) {
        run_with((float)i, &executor, value, SKY_PHASE_UPDATE);
        CHECK(first_of(&executor, value[3]) == 6 * (float)i);
        CHECK(replays == (i < 3 ? 0 : i - 2)); /* two runs node by node, then the recording */
    }
    run_with(100, &executor, value, SKY_PHASE_BACKWARD); /* another range has its own recording */
    CHECK(first_of(&executor, value[2]) == 300);
    CHECK(first_of(&executor, value[3]) == 30);
    CHECK(replays == 3);

    run_with(1, &executor, value, SKY_PHASE_BACKWARD);
    failing = 1;
    CHECK(sky_executor_run_through(&executor, SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, false) == SKY_DEVICE);
    CHECK(strcmp(sky_error_last()->what, "planted") == 0);
    CHECK(recording == NULL && freed == 1); /* the half-made one is gone */
    failing = 0;
    run_with(7, &executor, value, SKY_PHASE_BACKWARD);
    CHECK(first_of(&executor, value[2]) == 21);
    CHECK(replays == 4);

    sky_executor_destroy(&executor);
    CHECK(freed == 3);
    sky_graph_free(&graph);
    return check_done();
}
