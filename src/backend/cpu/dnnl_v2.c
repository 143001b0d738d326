/*
 * oneDNN's v2 C API (Debian 12: 2.6.3): operation descriptors first, then primitive descriptors; memory descriptors are open structs. Nothing but creation is
 * here.
 */
#include "base/memory.h"
#include "dnnl_version.h"

#include <stdlib.h>

static dnnl_status_t tensor_describe(const struct sky_dnnl_problem *p, enum sky_dnnl_tensor tensor, dnnl_format_tag_t tag, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims[SKY_DNNL_TENSORS] = {
        {p->images, p->channels, p->height, p->width},
        {p->filters, p->channels, p->rows, p->columns},
        {p->images, p->filters, p->out_height, p->out_width},
    };
    return dnnl_memory_desc_init_by_tag(out, 4, dims[tensor], sky_dnnl_type(p, tensor), tag);
}

sky_status sky_dnnl_plain_make(const struct sky_dnnl_problem *problem, enum sky_dnnl_tensor tensor, void **out)
{
    dnnl_memory_desc_t *descriptor = NULL;
    SKY_TRY(sky_alloc(&descriptor, 1, sizeof *descriptor, "a layout"));
    const dnnl_format_tag_t tag = tensor == SKY_DNNL_FILTERS && problem->filters_by_channel ? dnnl_ihwo : dnnl_nhwc;
    if (tensor_describe(problem, tensor, tag, descriptor) != dnnl_success) {
        free(descriptor);
        return sky_fail(SKY_DEVICE, "oneDNN", "a tensor's shape was refused");
    }
    *out = descriptor;
    return SKY_OK;
}

static dnnl_status_t channels_describe(const struct sky_dnnl_problem *p, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims = {1, p->filters, 1, 1};
    return dnnl_memory_desc_init_by_tag(out, 4, dims, dnnl_f32, dnnl_nhwc);
}

sky_status sky_dnnl_channels_make(const struct sky_dnnl_problem *problem, void **out)
{
    dnnl_memory_desc_t *descriptor = NULL;
    SKY_TRY(sky_alloc(&descriptor, 1, sizeof *descriptor, "a layout"));
    if (channels_describe(problem, descriptor) != dnnl_success) {
        free(descriptor);
        return sky_fail(SKY_DEVICE, "oneDNN", "a vector's shape was refused");
    }
    *out = descriptor;
    return SKY_OK;
}

void sky_dnnl_plain_free(void *descriptor)
{
    free(descriptor);
}

static dnnl_status_t attributes_make(const struct sky_dnnl_problem *p, const dnnl_memory_desc_t *residual, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_memory_desc_t channels;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && p->int8) status = channels_describe(p, &channels);
    if (status == dnnl_success && (p->relu || p->residual || p->int8)) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success && p->int8) status = dnnl_post_ops_append_binary(ops, dnnl_binary_mul, &channels);
        if (status == dnnl_success && p->int8 && p->bias) status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, &channels);
        if (status == dnnl_success && p->residual) status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, residual);
        if (status == dnnl_success && p->relu) status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, ops);
        dnnl_post_ops_destroy(ops);
    }
    if (status != dnnl_success) dnnl_primitive_attr_destroy(attributes);
    else *out = attributes;
    return status;
}

dnnl_status_t sky_dnnl_describe_conv(dnnl_engine_t engine, const struct sky_dnnl_problem *p, dnnl_primitive_desc_t *out)
{
    const dnnl_format_tag_t activations = p->free_layout ? dnnl_format_tag_any : dnnl_nhwc;
    const dnnl_alg_kind_t kind = dnnl_convolution_direct;
    const dnnl_dims_t strides = {p->stride, p->stride}, pads = {p->pad, p->pad}, bias_dims = {p->filters};
    dnnl_memory_desc_t x, filters, y, plain_y, bias;
    if (tensor_describe(p, SKY_DNNL_X, activations, &x) || tensor_describe(p, SKY_DNNL_FILTERS, dnnl_format_tag_any, &filters) ||
        tensor_describe(p, SKY_DNNL_Y, activations, &y) || tensor_describe(p, SKY_DNNL_Y, dnnl_nhwc, &plain_y) ||
        dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_x))
        return dnnl_invalid_arguments;

    dnnl_convolution_desc_t operation;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (p->direction) {
    case SKY_DNNL_FORWARD:
        status = dnnl_convolution_forward_desc_init(&operation, p->inference ? dnnl_forward_inference : dnnl_forward_training, kind, &x, &filters,
                                                    p->bias && !p->int8 ? &bias : NULL, &y, strides, pads, pads);
        break;
    case SKY_DNNL_DGRAD: status = dnnl_convolution_backward_data_desc_init(&operation, kind, &x, &filters, &y, strides, pads, pads); break;
    case SKY_DNNL_WGRAD: status = dnnl_convolution_backward_weights_desc_init(&operation, kind, &x, &filters, NULL, &y, strides, pads, pads); break;
    }
    if (status != dnnl_success) return status;

    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t hint = NULL; /* gradients are described relative to a forward convolution */
    status = attributes_make(p, &plain_y, &attributes);
    if (status != dnnl_success) return status;
    if (p->direction != SKY_DNNL_FORWARD) {
        dnnl_convolution_desc_t forward;
        status = dnnl_convolution_forward_desc_init(&forward, dnnl_forward_training, kind, &x, &filters, NULL, &y, strides, pads, pads);
        if (status == dnnl_success) status = dnnl_primitive_desc_create(&hint, &forward, attributes, engine, NULL);
    }
    if (status == dnnl_success) status = dnnl_primitive_desc_create(out, &operation, attributes, engine, hint);
    if (hint) dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

dnnl_status_t sky_dnnl_describe_reorder(dnnl_engine_t engine, const void *from, const void *to, dnnl_primitive_desc_t *out)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status != dnnl_success) return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) status = dnnl_reorder_primitive_desc_create(out, from, engine, to, engine, attributes);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}
