/*
 * Convolutions of oneDNN behind dnnl.h, in what the library's v2 and v3 have in common: primitives are executed on the caller's pointers, tensors
 * that the library wants in another layout are packed and unpacked by its reorders. Every call runs on exactly the device's number of threads, whatever
 * thread it comes from: the library sizes its scratch memory for that number.
 */
#include "dnnl.h"

#include "base/memory.h"
#include "dnnl_version.h"

#include <omp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sky_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
};

enum { SKY_DNNL_MOST_ARGUMENTS = 7 }; /* scratch, x, filters, y, residual, bias, scales */

/* One primitive with its memory objects, whose pointers are set before each execution. */
struct bound_primitive {
    dnnl_primitive_t primitive;
    size_t scratch_bytes;
    int count;
    struct {
        int argument;
        size_t pointer; /* where its pointer stands in struct sky_dnnl_arguments */
        dnnl_memory_t memory;
    } bound[SKY_DNNL_MOST_ARGUMENTS];
};

struct sky_dnnl_conv {
    struct sky_dnnl *dnnl;
    struct bound_primitive compute;
    struct bound_primitive pack[SKY_DNNL_TENSORS], unpack[SKY_DNNL_TENSORS]; /* empty where our layout fits */
    size_t packed_bytes[SKY_DNNL_TENSORS];
    char name[48];
};

static sky_status library_check(dnnl_status_t status, const char *doing)
{
    if (status == dnnl_success) return SKY_OK;
    return sky_fail(status == dnnl_out_of_memory ? SKY_NOMEM : SKY_DEVICE, "oneDNN", "%s failed with status %d", doing, (int)status);
}

sky_status sky_dnnl_open(struct sky_dnnl **out, int threads)
{
    struct sky_dnnl *dnnl = NULL;
    SKY_TRY(sky_alloc(&dnnl, 1, sizeof *dnnl, "oneDNN's handles"));
    dnnl->threads = threads;
    sky_status status = library_check(dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0), "opening the CPU engine");
    if (status == SKY_OK) status = library_check(dnnl_stream_create(&dnnl->stream, dnnl->engine, dnnl_stream_in_order), "opening a stream");
    if (status == SKY_OK) *out = dnnl;
    else sky_dnnl_close(dnnl);
    return status;
}

void sky_dnnl_close(struct sky_dnnl *dnnl)
{
    if (!dnnl) return;
    if (dnnl->stream) dnnl_stream_destroy(dnnl->stream);
    if (dnnl->engine) dnnl_engine_destroy(dnnl->engine);
    free(dnnl);
}

int sky_dnnl_int8_top(void)
{
    const int isa = (int)dnnl_get_effective_cpu_isa(), fast = dnnl_cpu_isa_avx2, wide = dnnl_cpu_isa_avx512_core_vnni, narrow = dnnl_cpu_isa_avx2_vnni;
    if ((isa & fast) != fast) return 0;
    return (isa & wide) == wide || (isa & narrow) == narrow ? 255 : 127;
}

static void bound_free(struct bound_primitive *bound)
{
    for (int i = 0; i < bound->count; i++) dnnl_memory_destroy(bound->bound[i].memory);
    if (bound->primitive) dnnl_primitive_destroy(bound->primitive);
    memset(bound, 0, sizeof *bound);
}

/* Adds an argument of the given layout, whose pointer is the given member of struct sky_dnnl_arguments; an empty layout is left out. */
static sky_status bound_add(struct bound_primitive *bound, dnnl_engine_t engine, int argument, size_t pointer, const void *layout)
{
    if (!layout || dnnl_memory_desc_get_size(layout) == 0) return SKY_OK;
    dnnl_memory_t memory = NULL;
    SKY_TRY(library_check(dnnl_memory_create(&memory, layout, engine, DNNL_MEMORY_NONE), "describing memory"));
    bound->bound[bound->count].argument = argument;
    bound->bound[bound->count].pointer = pointer;
    bound->bound[bound->count++].memory = memory;
    return SKY_OK;
}

static sky_status bound_create(struct bound_primitive *bound, dnnl_engine_t engine, dnnl_primitive_desc_t description)
{
    const void *scratch = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    SKY_TRY(library_check(dnnl_primitive_create(&bound->primitive, description), "creating a primitive"));
    if (scratch) bound->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return bound_add(bound, engine, DNNL_ARG_SCRATCHPAD, offsetof(struct sky_dnnl_arguments, scratch), scratch);
}

static sky_status bound_execute(const struct bound_primitive *bound, const struct sky_dnnl *dnnl, const struct sky_dnnl_arguments *pointers)
{
    dnnl_exec_arg_t list[SKY_DNNL_MOST_ARGUMENTS];
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < bound->count && status == dnnl_success; i++) {
        void *pointer;
        memcpy(&pointer, (const char *)pointers + bound->bound[i].pointer, sizeof pointer);
        status = dnnl_memory_set_data_handle(bound->bound[i].memory, pointer);
        list[i].arg = bound->bound[i].argument;
        list[i].memory = bound->bound[i].memory;
    }
    const int threads = omp_get_max_threads();
    omp_set_num_threads(dnnl->threads);
    if (status == dnnl_success) status = dnnl_primitive_execute(bound->primitive, dnnl->stream, bound->count, list);
    if (status == dnnl_success) status = dnnl_stream_wait(dnnl->stream);
    omp_set_num_threads(threads);
    return library_check(status, "execution");
}

static sky_status reorder_create(struct bound_primitive *bound, dnnl_engine_t engine, const void *from, const void *to)
{
    dnnl_primitive_desc_t description = NULL;
    SKY_TRY(library_check(sky_dnnl_describe_reorder(engine, from, to, &description), "describing a reorder"));
    sky_status status = bound_create(bound, engine, description);
    if (status == SKY_OK) status = bound_add(bound, engine, DNNL_ARG_FROM, offsetof(struct sky_dnnl_arguments, x), from);
    if (status == SKY_OK) status = bound_add(bound, engine, DNNL_ARG_TO, offsetof(struct sky_dnnl_arguments, y), to);
    dnnl_primitive_desc_destroy(description);
    return status;
}

static int post_operation(int index)
{
    return DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1;
}

/* What int8 convolutions take otherwise: scales, and their bias. */
static sky_status int8_fill(struct sky_dnnl_conv *conv, const struct sky_dnnl_problem *problem)
{
    const dnnl_engine_t engine = conv->dnnl->engine;
    void *channels = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_dnnl_channels_make(problem, &channels));
    SKY_TRY_DONE(bound_add(&conv->compute, engine, post_operation(0), offsetof(struct sky_dnnl_arguments, scales), channels));
    if (problem->bias) SKY_TRY_DONE(bound_add(&conv->compute, engine, post_operation(1), offsetof(struct sky_dnnl_arguments, bias), channels));
done:
    sky_dnnl_plain_free(channels);
    return status;
}

static sky_status conv_fill(struct sky_dnnl_conv *conv, const struct sky_dnnl_problem *problem, dnnl_primitive_desc_t description)
{
    static const struct {
        int argument[SKY_DNNL_TENSORS];
        dnnl_query_t query[SKY_DNNL_TENSORS];
        enum sky_dnnl_tensor result;
    } directions[] = {
        [SKY_DNNL_FORWARD] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md}, SKY_DNNL_Y},
        [SKY_DNNL_DGRAD] = {{DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                            {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
                            SKY_DNNL_X},
        [SKY_DNNL_WGRAD] = {{DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
                            {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md},
                            SKY_DNNL_FILTERS},
    };
    static const size_t pointers[SKY_DNNL_TENSORS] = {offsetof(struct sky_dnnl_arguments, x), offsetof(struct sky_dnnl_arguments, filters),
                                                      offsetof(struct sky_dnnl_arguments, y)};
    const dnnl_engine_t engine = conv->dnnl->engine;
    SKY_TRY(bound_create(&conv->compute, engine, description));
    void *plain = NULL;
    sky_status status = SKY_OK;
    for (int t = 0; t < SKY_DNNL_TENSORS && status == SKY_OK; t++) {
        const void *wanted = dnnl_primitive_desc_query_md(description, directions[problem->direction].query[t], 0);
        SKY_TRY_DONE(bound_add(&conv->compute, engine, directions[problem->direction].argument[t], pointers[t], wanted));
        SKY_TRY_DONE(sky_dnnl_plain_make(problem, (enum sky_dnnl_tensor)t, &plain));
        if (t == SKY_DNNL_Y && problem->residual)
            SKY_TRY_DONE(bound_add(&conv->compute, engine, post_operation(problem->int8 ? 1 + problem->bias : 0), offsetof(struct sky_dnnl_arguments, residual), plain));
        if (!dnnl_memory_desc_equal(wanted, plain)) {
            const bool result = t == (int)directions[problem->direction].result;
            conv->packed_bytes[t] = dnnl_memory_desc_get_size(wanted);
            SKY_TRY_DONE(result ? reorder_create(&conv->unpack[t], engine, wanted, plain) : reorder_create(&conv->pack[t], engine, plain, wanted));
        }
        sky_dnnl_plain_free(plain);
        plain = NULL;
    }
    if (problem->int8) SKY_TRY_DONE(int8_fill(conv, problem));
    else if (problem->bias)
        SKY_TRY_DONE(bound_add(&conv->compute, engine, DNNL_ARG_BIAS, offsetof(struct sky_dnnl_arguments, bias),
                               dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 1)));
done:
    sky_dnnl_plain_free(plain);
    return status;
}

sky_status sky_dnnl_conv_create(struct sky_dnnl *dnnl, const struct sky_dnnl_problem *problem, struct sky_dnnl_conv **out)
{
    const int threads = omp_get_max_threads();
    omp_set_num_threads(dnnl->threads);
    dnnl_primitive_desc_t description = NULL;
    struct sky_dnnl_conv *conv = NULL;
    sky_status status = SKY_OK;
    const dnnl_status_t described = sky_dnnl_describe_conv(dnnl->engine, problem, &description);
    const char *name = "";
    if (described == dnnl_unimplemented) goto done;
    SKY_TRY_DONE(library_check(described, "describing a convolution"));
    SKY_TRY_DONE(library_check(dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name), "asking a name"));
    if (strncmp(name, "ref", 3) == 0) goto done;
    SKY_TRY_DONE(sky_alloc(&conv, 1, sizeof *conv, "a convolution"));
    conv->dnnl = dnnl;
    snprintf(conv->name, sizeof conv->name, "%s", name);
    SKY_TRY_DONE(conv_fill(conv, problem, description));
    *out = conv;
    conv = NULL;
done:
    sky_dnnl_conv_destroy(conv);
    if (description) dnnl_primitive_desc_destroy(description);
    omp_set_num_threads(threads);
    return status;
}

void sky_dnnl_conv_destroy(struct sky_dnnl_conv *conv)
{
    if (!conv) return;
    bound_free(&conv->compute);
    for (int t = 0; t < SKY_DNNL_TENSORS; t++) bound_free(&conv->pack[t]), bound_free(&conv->unpack[t]);
    free(conv);
}

const char *sky_dnnl_conv_name(const struct sky_dnnl_conv *conv)
{
    return conv->name;
}

size_t sky_dnnl_conv_scratch_bytes(const struct sky_dnnl_conv *conv)
{
    size_t most = conv->compute.scratch_bytes;
    for (int t = 0; t < SKY_DNNL_TENSORS; t++) {
        if (conv->pack[t].scratch_bytes > most) most = conv->pack[t].scratch_bytes;
        if (conv->unpack[t].scratch_bytes > most) most = conv->unpack[t].scratch_bytes;
    }
    return most;
}

size_t sky_dnnl_conv_packed_bytes(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor)
{
    return conv->packed_bytes[tensor];
}

static sky_status reorder_execute(const struct sky_dnnl_conv *conv, const struct bound_primitive *reorder, const void *from, const void *to, void *scratch)
{
    const struct sky_dnnl_arguments pointers = {.x = from, .y = to, .scratch = scratch};
    return bound_execute(reorder, conv->dnnl, &pointers);
}

sky_status sky_dnnl_conv_pack(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor, const void *ours, void *packed, void *scratch)
{
    return reorder_execute(conv, &conv->pack[tensor], ours, packed, scratch);
}

sky_status sky_dnnl_conv_unpack(const struct sky_dnnl_conv *conv, enum sky_dnnl_tensor tensor, const void *packed, void *ours, void *scratch)
{
    return reorder_execute(conv, &conv->unpack[tensor], packed, ours, scratch);
}

sky_status sky_dnnl_conv_execute(const struct sky_dnnl_conv *conv, const struct sky_dnnl_arguments *arguments)
{
    return bound_execute(&conv->compute, conv->dnnl, arguments);
}
