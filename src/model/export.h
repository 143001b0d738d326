/*
 * Our weights under the names of another layout, as a list for a writer.
 */
#ifndef SKY_MODEL_EXPORT_H
#define SKY_MODEL_EXPORT_H

#include "key_map.h"

struct sky_export_options {
    enum sky_layout layout;
    bool legacy;     /* an SE trunk of the legacy kind: the reference layout spells it as timm's legacy networks do */
    int views;       /* of the reference layout: 2 (satellite, drone) or 3 (satellite, street, drone) */
    bool classifier; /* add the ImageNet classifier that torch asks for, as zeros without data */
};

/* Names are the list's; data are those of `weights`. Zero-initialise; free with sky_export_free. */
struct sky_export {
    struct sky_file_tensor *tensors; /* [count] */
    int64_t count, capacity;
    bool averaged;       /* averaged parameters ("ema/") were there and are what is exported */
    bool has_classifier; /* zeros were added */
};

/* SKY_FORMAT when the file is not under our names; SKY_UNSUPPORTED when the layout cannot hold it (two trunks in one). */
sky_status sky_export_make(struct sky_export *list, const struct sky_safetensors *weights, const struct sky_export_options *options);
void sky_export_free(struct sky_export *list);

#endif
