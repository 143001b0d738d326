/*
 * What every case shares: reading its text, making filled tensors, appending the gradient, drawing data. The subjects themselves are in cases.c and chains.c.
 */
#include "cases.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct ops_case ops_cases[] = {
#define CASE(name, text) {#name, text, false},
#define PERF(name, text) {#name, text, true},
#include "cases.def"
#undef CASE
#undef PERF
};
const int ops_case_count = (int)(sizeof ops_cases / sizeof *ops_cases);

static void fail(struct ops_subject *subject, const char *what, const char *name)
{
    char text[200];
    snprintf(text, sizeof text, "%s %s", what, name);
    sky_graph_fail(&subject->graph, SKY_USAGE, subject->from->name, text);
}

/* The text behind "name=" of the case, or NULL. */
static const char *find_key(struct ops_subject *subject, const char *name)
{
    const size_t length = strlen(name);
    const char *at = subject->from->text;
    for (int i = 0; *at; i++) {
        at += strspn(at, " ");
        const bool same = strncmp(at, name, length) == 0 && at[length] == '=';
        if (same) {
            subject->keys_read |= 1ull << i;
            return at + length + 1;
        }
        at += strcspn(at, " ");
    }
    return NULL;
}

static void check_keys(struct ops_subject *subject)
{
    const char *at = subject->from->text + strspn(subject->from->text, " ");
    for (int i = 0; *at; i++) {
        if (!(subject->keys_read >> i & 1)) fail(subject, "nothing reads", at);
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
}

double ops_number(struct ops_subject *subject, const char *name, double otherwise)
{
    const char *text = find_key(subject, name);
    if (!text) return otherwise;
    char *end;
    const double value = strtod(text, &end);
    if (end == text || (*end && *end != ' ')) fail(subject, "is no number:", name);
    return value;
}

int64_t ops_int(struct ops_subject *subject, const char *name, int64_t otherwise)
{
    return (int64_t)ops_number(subject, name, (double)otherwise);
}

int ops_word(struct ops_subject *subject, const char *name, const char *const *words, int count, int otherwise)
{
    const char *text = find_key(subject, name);
    if (!text) return otherwise;
    const size_t length = strcspn(text, " ");
    for (int i = 0; i < count; i++)
        if (strlen(words[i]) == length && strncmp(words[i], text, length) == 0) return i;
    fail(subject, "has an unknown word:", name);
    return otherwise;
}

static sky_value add_source(struct ops_subject *subject, sky_value value, enum ops_fill fill, double a, double b)
{
    if (value == SKY_NONE) return SKY_NONE;
    if (subject->source_count == OPS_MAX_SOURCES) return sky_graph_fail(&subject->graph, SKY_INTERNAL, subject->from->name, "too many inputs in one case");
    subject->sources[subject->source_count++] = (struct ops_source){value, fill, a, b};
    return value;
}

static int rank_of(const int64_t *dim)
{
    int rank = 0;
    while (dim[rank]) rank++;
    return rank;
}

sky_value ops_input_of(struct ops_subject *subject, const char *name, enum sky_dtype dtype, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    return add_source(subject, sky_graph_input(&subject->graph, name, dtype, rank_of(dim), dim), fill, a, b);
}

sky_value ops_input(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    return ops_input_of(subject, name, rank_of(dim) == 4 ? subject->graph.map_dtype : subject->graph.dtype, fill, a, b, dim);
}

sky_value ops_wanted(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    const sky_value value = ops_input(subject, name, fill, a, b, dim);
    if (value != SKY_NONE && !subject->lean) subject->wanted[subject->wanted_count++] = value;
    return value;
}

static sky_value declare(struct ops_subject *subject, const char *name, bool is_buffer, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    char *names[1] = {(char *)name};
    const struct sky_parameter parameter = {.is_buffer = is_buffer, .slice_count = 1, .slice_names = names};
    return add_source(subject, sky_graph_parameter(&subject->graph, &parameter, rank_of(dim), dim), fill, a, b);
}

sky_value ops_parameter(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    return declare(subject, name, false, fill, a, b, dim);
}

sky_value ops_filters(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    const sky_value parameter = declare(subject, name, false, fill, a, b, dim), copy = sky_graph_shadow(&subject->graph, parameter);
    return copy == parameter ? parameter : add_source(subject, copy, fill, a, b);
}

sky_value ops_buffer(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim)
{
    return declare(subject, name, true, fill, a, b, dim);
}

int64_t ops_node(struct ops_subject *subject, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int in_count)
{
    char name[40];
    snprintf(name, sizeof name, "%s_%lld", sky_op_name(op), (long long)subject->graph.node_count);
    return sky_graph_node(&subject->graph, op, SKY_PHASE_FORWARD, name, attr, in, in_count);
}

sky_value ops_out(struct ops_subject *subject, int64_t node, int index)
{
    return sky_graph_out(&subject->graph, node, index);
}

void ops_output(struct ops_subject *subject, sky_value value)
{
    if (value == SKY_NONE) return;
    const struct sky_tensor *tensor = sky_graph_get(&subject->graph, value);
    int64_t dim[SKY_MAX_RANK + 1] = {0};
    char name[40];
    memcpy(dim, tensor->dim, (size_t)tensor->rank * sizeof *dim);
    snprintf(name, sizeof name, "weight_%d", subject->output_count);
    subject->output[subject->output_count] = value;
    subject->weight[subject->output_count++] = ops_input(subject, name, OPS_NORMAL, 0, 1, dim);
    subject->has_gradient = true;
}

void ops_loss(struct ops_subject *subject, int64_t node, double weight)
{
    if (node < 0) return;
    const int i = subject->loss_count++;
    subject->loss[i] = ops_out(subject, node, 0), subject->dlogits[i] = ops_out(subject, node, 1);
    subject->logits[i] = subject->graph.nodes[node].in[0], subject->loss_weight[i] = weight;
    subject->has_gradient = true;
}

static sky_status append_gradient(struct ops_subject *subject)
{
    struct sky_graph *graph = &subject->graph;
    struct sky_seed seeds[OPS_MAX_OUTPUTS + 2];
    int count = 0;
    for (int i = 0; i < subject->output_count; i++) seeds[count++] = (struct sky_seed){subject->output[i], subject->weight[i]};
    for (int i = 0; i < subject->loss_count; i++) seeds[count++] = (struct sky_seed){subject->logits[i], subject->dlogits[i]};
    for (int i = 0; i < subject->output_count; i++) sky_graph_keep(graph, subject->output[i]);
    for (int i = 0; i < subject->loss_count; i++) sky_graph_keep(graph, subject->loss[i]), sky_graph_keep(graph, subject->dlogits[i]);
    SKY_TRY(sky_graph_backward(graph, seeds, count, subject->wanted, subject->wanted_count, subject->gradient));
    for (int i = 0; i < subject->wanted_count; i++) sky_graph_keep(graph, subject->gradient[i]);
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        if (graph->parameters[p].is_buffer) continue;
        subject->wanted[subject->wanted_count] = graph->parameters[p].value;
        subject->gradient[subject->wanted_count++] = graph->tensors[graph->parameters[p].value].gradient;
    }
    return SKY_OK;
}

static const char *const map_words[] = {"f32", "bf16", "f16"};
static const enum sky_dtype map_types[] = {SKY_F32, SKY_BF16, SKY_F16};

sky_status ops_subject_build(struct ops_subject *subject, const struct ops_case *from, enum sky_dtype dtype)
{
    memset(subject, 0, sizeof *subject);
    subject->from = from;
    SKY_TRY(sky_graph_init(&subject->graph, dtype == SKY_F64 ? SKY_F64 : SKY_F32));
    const int own_map = ops_word(subject, "map", map_words, 3, 0);
    if (dtype != SKY_F64) subject->graph.map_dtype = dtype == SKY_F32 ? map_types[own_map] : dtype;
    add_source(subject, subject->graph.scalars, OPS_SCALARS, 0, 0);
    subject->scalars = (struct sky_scalars){.seed = 12345, .step = 7, .lr = {0.001f, 0.01f, 0.1f}, .ema_decay = 0.99f, .gradient_scale = 1, .loss_scale = 1};
    subject->tolerance = ops_number(subject, "tol", 1e-5), subject->floor = ops_number(subject, "floor", 0);
    subject->accumulate = ops_int(subject, "acc", 0);
    subject->alias = ops_int(subject, "alias", 0);
    subject->lean = ops_int(subject, "lean", 0);
    subject->constant = ops_int(subject, "const", 0);
    subject->winograd = ops_int(subject, "winograd", 0);
    subject->fuse = ops_int(subject, "fuse", 0);
    const struct ops_builder *builder = ops_op_builders;
    while (builder->name && strcmp(builder->name, from->name) != 0) builder++;
    if (!builder->name) builder = ops_chain_builders;
    while (builder->name && strcmp(builder->name, from->name) != 0) builder++;
    if (builder->name) builder->build(subject);
    else fail(subject, "there is no subject", from->name);
    check_keys(subject);
    if (subject->has_gradient) SKY_TRY(append_gradient(subject));
    if (subject->fuse) SKY_TRY(sky_graph_fuse(&subject->graph, true, NULL));
    return sky_graph_check(&subject->graph);
}

void ops_subject_free(struct ops_subject *subject)
{
    sky_graph_free(&subject->graph);
}

static void store(enum sky_dtype dtype, void *to, int64_t i, double value)
{
    if (dtype == SKY_F64) ((double *)to)[i] = value;
    if (dtype == SKY_F32) ((float *)to)[i] = (float)value;
    if (dtype == SKY_BF16) ((uint16_t *)to)[i] = sky_float_to_bf16((float)value);
    if (dtype == SKY_F16) ((uint16_t *)to)[i] = sky_float_to_half((float)value);
    if (dtype == SKY_I32) ((int32_t *)to)[i] = (int32_t)value;
    if (dtype == SKY_U8) ((uint8_t *)to)[i] = (uint8_t)value;
}

/* Evenly spaced values, each moved by less than half of the space, in random order. */
static void fill_distinct(const struct sky_tensor *tensor, double low, double high, struct sky_rng *rng, void *to)
{
    const size_t size = sky_dtype_bytes(tensor->dtype);
    for (int64_t i = 0; i < tensor->count; i++) store(tensor->dtype, to, i, low + (high - low) * ((double)i + 0.25 + 0.25 * sky_rng_uniform(rng)) / (double)tensor->count);
    for (int64_t i = tensor->count - 1; i > 0; i--) {
        char keep[8], *a = (char *)to + (size_t)i * size, *b = (char *)to + (size_t)sky_rng_below(rng, (uint32_t)i + 1) * size;
        memcpy(keep, a, size), memmove(a, b, size), memcpy(b, keep, size);
    }
}

static void fill_erased(const struct sky_tensor *tensor, const struct ops_source *source, struct sky_rng *rng, int32_t *to)
{
    for (int64_t n = 0; n < tensor->dim[0]; n++) {
        const uint32_t height = (uint32_t)source->a, width = (uint32_t)source->b;
        to[4 * n] = (int32_t)sky_rng_below(rng, height), to[4 * n + 1] = (int32_t)sky_rng_below(rng, width);
        to[4 * n + 2] = n % 3 == 2 ? 0 : 1 + (int32_t)sky_rng_below(rng, height - (uint32_t)to[4 * n]);
        to[4 * n + 3] = n % 3 == 2 ? 0 : 1 + (int32_t)sky_rng_below(rng, width - (uint32_t)to[4 * n + 1]);
    }
}

static double draw(const struct sky_tensor *tensor, const struct ops_source *source, int64_t i, struct sky_rng *rng)
{
    const int64_t channel = i % tensor->dim[tensor->rank - 1];
    switch (source->fill) {
    case OPS_NORMAL: return source->a + source->b * sky_rng_normal(rng);
    case OPS_UNIFORM: return sky_rng_between(rng, source->a, source->b);
    case OPS_RELU: {
        const double value = fmax(0, source->a * sky_rng_normal(rng));
        return source->b > 0 && (channel + 1) % (int64_t)source->b == 0 ? 0 : value;
    }
    case OPS_BYTES: return sky_rng_below(rng, 256);
    case OPS_BELOW: return sky_rng_below(rng, (uint32_t)source->a);
    case OPS_CYCLE: return source->b > 0 && i >= (int64_t)source->b ? source->a + (double)i : (double)(i % (int64_t)source->a);
    case OPS_BROKEN: return i == tensor->count / 3 ? (source->a == 0 ? INFINITY : NAN) : sky_rng_normal(rng);
    case OPS_ZERO:
    case OPS_DISTINCT:
    case OPS_ERASED:
    case OPS_SCALARS: break;
    }
    return 0;
}

void ops_source_fill(const struct ops_subject *subject, int index, uint64_t seed, void *to)
{
    const struct ops_source *source = &subject->sources[index];
    const struct sky_tensor *tensor = sky_graph_get(&subject->graph, source->value);
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, sky_hash_name(subject->from->text), sky_hash_name(tensor->name));
    if (source->fill == OPS_SCALARS) memcpy(to, &subject->scalars, sizeof subject->scalars);
    else if (source->fill == OPS_DISTINCT) fill_distinct(tensor, source->a, source->b, &rng, to);
    else if (source->fill == OPS_ERASED) fill_erased(tensor, source, &rng, to);
    else
        for (int64_t i = 0; i < tensor->count; i++) store(tensor->dtype, to, i, draw(tensor, source, i, &rng));
}
