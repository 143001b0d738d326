/*
 * Convolutions of inference in 8-bit integers, for [eval] precision = int8. Each image's input map is quantised by itself, by its largest value: an image's result
 * depends on nothing but that image, and nothing has to be calibrated. Sums are whole numbers, so no bit depends on the number of threads either. Only maps that are
 * never negative, as ReLU leaves them, have all 8 bits for their values; convolutions of others stay in f32. Filters have a scale each and are packed once a ONCE
 * phase. y = relu?(scale of the image * scale of the filter * sum + bias + residual), all but the sum in f32.
 */
#include "conv_int8.h"

#include "base/memory.h"
#include "vector.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILTER_TOP = 127 };

struct sky_conv_int8 {
    struct sky_dnnl_conv *conv; /* of one image */
    int top;                    /* what an image's largest value becomes */
    int64_t image_in, image_out, filters, filter_length;
    size_t scales_at, plain_at, scratch_at; /* offsets in the scratch memory, behind the map u8 [H,W,C]: f32 [K], s8 [K,R,S,C], the library's own */
    void *kept;                                     /* packed filters, then the filters' scales f32 [K] */
    size_t kept_bytes, kept_scales_at;
    uint64_t kept_generation;
};

static bool is_never_negative(const struct sky_graph *graph, sky_value value)
{
    const int64_t producer = graph->tensors[value].producer;
    if (producer < 0) return false;
    const struct sky_node *node = &graph->nodes[producer];
    switch (node->op) {
    case SKY_OP_CONV: return node->attr.conv.relu;
    case SKY_OP_BN_APPLY: return node->attr.bn.relu;
    case SKY_OP_BLOCK_TAIL: return true;
    case SKY_OP_MAX_POOL:
    case SKY_OP_UPSAMPLE: return is_never_negative(graph, node->in[0]);
    default: return false;
    }
}

static sky_status memory_prepare(struct sky_kernel *kernel, const struct sky_dnnl_problem *problem, struct sky_conv_int8 *conv)
{
    const size_t packed = sky_dnnl_conv_packed_bytes(conv->conv, SKY_DNNL_FILTERS), scales = sky_cpu_align((size_t)problem->filters * sizeof(float));
    const size_t plain = sky_cpu_align((size_t)(conv->filters * conv->filter_length));
    conv->kept_scales_at = sky_cpu_align(packed ? packed : plain);
    conv->kept_bytes = conv->kept_scales_at + scales;
    conv->kept_generation = UINT64_MAX;
    conv->scales_at = sky_cpu_align((size_t)conv->image_in);
    conv->plain_at = conv->scales_at + scales;
    conv->scratch_at = conv->plain_at + plain;
    kernel->work_bytes = conv->scratch_at + sky_cpu_align(sky_dnnl_conv_scratch_bytes(conv->conv));
    return sky_block_alloc(&conv->kept, conv->kept_bytes, "packed filters");
}

sky_status sky_conv_int8_create(struct sky_kernel *kernel, const struct sky_dnnl_problem *problem, struct sky_conv_int8 **out)
{
    struct sky_conv_int8 *conv = NULL;
    struct sky_dnnl_problem of_one = *problem;
    sky_status status = SKY_OK;
    *out = NULL;
    if (!kernel->device->options.int8 || !is_never_negative(kernel->graph, kernel->node->in[0])) return SKY_OK;
    of_one.images = 1;
    of_one.inference = of_one.int8 = true;
    SKY_TRY(sky_alloc(&conv, 1, sizeof *conv, "a convolution in int8"));
    SKY_TRY_DONE(sky_dnnl_conv_create(sky_cpu_dnnl(kernel), &of_one, &conv->conv));
    if (!conv->conv) goto done;
    conv->top = sky_dnnl_int8_top();
    conv->image_in = problem->height * problem->width * problem->channels;
    conv->image_out = problem->out_height * problem->out_width * problem->filters;
    conv->filters = problem->filters, conv->filter_length = problem->rows * problem->columns * problem->channels;
    SKY_TRY_DONE(memory_prepare(kernel, problem, conv));
    snprintf(kernel->implementation, sizeof kernel->implementation, "int8 %s", sky_dnnl_conv_name(conv->conv));
    *out = conv;
    conv = NULL;
done:
    sky_conv_int8_destroy(conv);
    return status;
}

void sky_conv_int8_destroy(struct sky_conv_int8 *conv)
{
    if (!conv) return;
    sky_dnnl_conv_destroy(conv->conv);
    if (conv->kept) sky_block_free(conv->kept, conv->kept_bytes);
    free(conv);
}

/* The largest magnitude. Compared as whole numbers, which order as what they stand for, so that NaN is larger than everything and is not lost. */
static float largest(const float *x, int64_t count, int threads)
{
    int32_t most = 0;
#pragma omp parallel for simd num_threads(threads) schedule(static) reduction(max : most)
    for (int64_t i = 0; i < count; i++) {
        const int32_t magnitude = sky_bits_of(x[i]) & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    return sky_float_of(most);
}

/* What one step stands for when `most` becomes `top`, and how many steps 1 is. None where everything is as good as zero, or something is not finite: the scale is NaN
 * then. */
static float scale_of(float most, int top, float *steps)
{
    *steps = 0;
    if (!(most <= FLT_MAX)) return NAN;
    if (most < (float)top * FLT_MIN) return 0;
    *steps = (float)top / most;
    return most / (float)top;
}

/* On its own, so that compilers see that a stored byte changes no other variable. */
static void quantise(const float *restrict x, int64_t count, float steps, uint8_t *restrict out)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) out[i] = (uint8_t)(int32_t)(x[i] * steps + 0.5f);
}

/* Returns the scale. */
static float map_quantise(const float *x, int64_t count, int top, uint8_t *out, int threads)
{
    float steps;
    const float scale = scale_of(largest(x, count, threads), top, &steps);
    if (steps == 0) {
        memset(out, 0, (size_t)count);
        return scale;
    }
#pragma omp parallel num_threads(threads)
    {
        int64_t begin, end;
        sky_my_share(count, &begin, &end);
        quantise(x + begin, end - begin, steps, out + begin);
    }
    return scale;
}

static float filter_quantise(const float *restrict w, int64_t count, int8_t *restrict out)
{
    float steps;
    const float scale = scale_of(largest(w, count, 1), FILTER_TOP, &steps);
    for (int64_t i = 0; i < count; i++) out[i] = (int8_t)(steps == 0 ? 0 : (int32_t)sky_round(w[i] * steps));
    return scale;
}

static sky_status filters_pack(struct sky_conv_int8 *conv, const float *w, char *work, int threads)
{
    float *scales = (float *)((char *)conv->kept + conv->kept_scales_at);
    const bool packs = sky_dnnl_conv_packed_bytes(conv->conv, SKY_DNNL_FILTERS) != 0;
    int8_t *plain = packs ? (int8_t *)(work + conv->plain_at) : conv->kept;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t k = 0; k < conv->filters; k++) scales[k] = filter_quantise(w + k * conv->filter_length, conv->filter_length, plain + k * conv->filter_length);
    return packs ? sky_dnnl_conv_pack(conv->conv, SKY_DNNL_FILTERS, plain, conv->kept, work + conv->scratch_at) : SKY_OK;
}

static sky_status image_run(const struct sky_conv_int8 *conv, const struct sky_run *run, int64_t image, int threads)
{
    char *work = run->work;
    uint8_t *map = run->work;
    float *scales = (float *)(work + conv->scales_at);
    const float *filter_scales = (const float *)((const char *)conv->kept + conv->kept_scales_at), *residual = run->in[3];
    const float scale = map_quantise((const float *)run->in[0] + image * conv->image_in, conv->image_in, conv->top, map, threads);
    for (int64_t k = 0; k < conv->filters; k++) scales[k] = scale * filter_scales[k];
    const struct sky_dnnl_arguments arguments = {.x = map,
                                                 .filters = conv->kept,
                                                 .y = (float *)run->out[0] + image * conv->image_out,
                                                 .bias = run->in[2],
                                                 .residual = residual ? residual + image * conv->image_out : NULL,
                                                 .scales = scales,
                                                 .scratch = work + conv->scratch_at};
    return sky_dnnl_conv_execute(conv->conv, &arguments);
}

sky_status sky_conv_int8_run(struct sky_conv_int8 *conv, const struct sky_kernel *kernel, const struct sky_run *run)
{
    const int threads = sky_cpu_threads(kernel);
    const int64_t images = sky_cpu_in(kernel, 0)->dim[0];
    if (!kernel->device->options.constant_parameters || conv->kept_generation != kernel->device->generation) SKY_TRY(filters_pack(conv, run->in[1], run->work, threads));
    conv->kept_generation = kernel->device->generation;
    for (int64_t image = 0; image < images; image++) SKY_TRY(image_run(conv, run, image, threads));
    return SKY_OK;
}
