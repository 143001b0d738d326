/*
 * oneDNN's v3 C API (Debian 13, Ubuntu 24.04): primitive descriptors in one call, memory descriptors behind handles. Nothing but creation is here.
 */
#include "dnnl_version.h"

static dnnl_status_t tensor_describe(const struct sky_dnnl_problem *p, enum sky_dnnl_tensor tensor, dnnl_format_tag_t tag, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims[SKY_DNNL_TENSORS] = {
        {p->images, p->channels, p->height, p->width},
        {p->filters, p->channels, p->rows, p->columns},
        {p->images, p->filters, p->out_height, p->out_width},
    };
    return dnnl_memory_desc_create_with_tag(out, 4, dims[tensor], sky_dnnl_type(p, tensor), tag);
}

sky_status sky_dnnl_plain_make(const struct sky_dnnl_problem *problem, enum sky_dnnl_tensor tensor, void **out)
{
    const dnnl_format_tag_t tag = tensor == SKY_DNNL_FILTERS && problem->filters_by_channel ? dnnl_ihwo : dnnl_nhwc;
    dnnl_memory_desc_t descriptor = NULL;
    if (tensor_describe(problem, tensor, tag, &descriptor) != dnnl_success) return sky_fail(SKY_DEVICE, "oneDNN", "a tensor's shape was refused");
    *out = descriptor;
    return SKY_OK;
}

static dnnl_status_t channels_describe(const struct sky_dnnl_problem *p, dnnl_memory_desc_t *out)
{
    const dnnl_dims_t dims = {1, p->filters, 1, 1};
    return dnnl_memory_desc_create_with_tag(out, 4, dims, dnnl_f32, dnnl_nhwc);
}

sky_status sky_dnnl_channels_make(const struct sky_dnnl_problem *problem, void **out)
{
    dnnl_memory_desc_t descriptor = NULL;
    if (channels_describe(problem, &descriptor) != dnnl_success) return sky_fail(SKY_DEVICE, "oneDNN", "a vector's shape was refused");
    *out = descriptor;
    return SKY_OK;
}

void sky_dnnl_plain_free(void *descriptor)
{
    if (descriptor) dnnl_memory_desc_destroy(descriptor);
}

static dnnl_status_t attributes_make(const struct sky_dnnl_problem *p, const_dnnl_memory_desc_t residual, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_memory_desc_t channels = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success && p->int8) status = channels_describe(p, &channels);
    if (status == dnnl_success && (p->relu || p->residual || p->int8)) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success && p->int8) status = dnnl_post_ops_append_binary(ops, dnnl_binary_mul, channels);
        if (status == dnnl_success && p->int8 && p->bias) status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, channels);
        if (status == dnnl_success && p->residual) status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, residual);
        if (status == dnnl_success && p->relu) status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
        if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attributes, ops);
        dnnl_post_ops_destroy(ops);
    }
    if (channels) dnnl_memory_desc_destroy(channels);
    if (status != dnnl_success) dnnl_primitive_attr_destroy(attributes);
    else *out = attributes;
    return status;
}

dnnl_status_t sky_dnnl_describe_conv(dnnl_engine_t engine, const struct sky_dnnl_problem *p, dnnl_primitive_desc_t *out)
{
    const dnnl_format_tag_t activations = p->free_layout ? dnnl_format_tag_any : dnnl_nhwc;
    const dnnl_alg_kind_t kind = dnnl_convolution_direct;
    const dnnl_dims_t strides = {p->stride, p->stride}, pads = {p->pad, p->pad}, dilates = {0, 0}, bias_dims = {p->filters};
    dnnl_memory_desc_t x = NULL, filters = NULL, y = NULL, plain_y = NULL, bias = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t hint = NULL; /* gradients are described relative to a forward convolution */
    dnnl_status_t status = tensor_describe(p, SKY_DNNL_X, activations, &x);
    if (status == dnnl_success) status = tensor_describe(p, SKY_DNNL_FILTERS, dnnl_format_tag_any, &filters);
    if (status == dnnl_success) status = tensor_describe(p, SKY_DNNL_Y, activations, &y);
    if (status == dnnl_success) status = tensor_describe(p, SKY_DNNL_Y, dnnl_nhwc, &plain_y);
    if (status == dnnl_success && p->bias && !p->int8) status = dnnl_memory_desc_create_with_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_x);
    if (status == dnnl_success) status = attributes_make(p, plain_y, &attributes);
    if (status == dnnl_success && p->direction != SKY_DNNL_FORWARD)
        status = dnnl_convolution_forward_primitive_desc_create(&hint, engine, dnnl_forward_training, kind, x, filters, NULL, y, strides, dilates, pads, pads,
                                                                attributes);
    if (status == dnnl_success) {
        switch (p->direction) {
        case SKY_DNNL_FORWARD:
            status = dnnl_convolution_forward_primitive_desc_create(out, engine, p->inference ? dnnl_forward_inference : dnnl_forward_training, kind, x,
                                                                    filters, bias, y, strides, dilates, pads, pads, attributes);
            break;
        case SKY_DNNL_DGRAD:
            status = dnnl_convolution_backward_data_primitive_desc_create(out, engine, kind, x, filters, y, strides, dilates, pads, pads, hint, attributes);
            break;
        case SKY_DNNL_WGRAD:
            status =
                dnnl_convolution_backward_weights_primitive_desc_create(out, engine, kind, x, filters, NULL, y, strides, dilates, pads, pads, hint, attributes);
            break;
        }
    }
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (attributes) dnnl_primitive_attr_destroy(attributes);
    const dnnl_memory_desc_t made[] = {x, filters, y, plain_y, bias};
    for (int i = 0; i < 5; i++)
        if (made[i]) dnnl_memory_desc_destroy(made[i]);
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
