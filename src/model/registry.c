/*
 * The table of backbones by name. A new one is a row here and a builder file beside resnet.c.
 */
#include "base/str.h"
#include "build.h"

#include <string.h>

static const struct sky_backbone backbones[] = {
    {"resnet18", sky_build_resnet, {2, 2, 2, 2}, false, false},
    {"resnet34", sky_build_resnet, {3, 4, 6, 3}, false, false},
    {"resnet50", sky_build_resnet, {3, 4, 6, 3}, true, false},
    {"resnet101", sky_build_resnet, {3, 4, 23, 3}, true, false},
    {"se_resnet18", sky_build_resnet, {2, 2, 2, 2}, false, true},
    {"se_resnet34", sky_build_resnet, {3, 4, 6, 3}, false, true},
    {"se_resnet50", sky_build_resnet, {3, 4, 6, 3}, true, true},
    {"se_resnet101", sky_build_resnet, {3, 4, 23, 3}, true, true},
    {"vgg16", sky_build_vgg, {2, 2, 3, 3, 3}, false, false},
};
enum { COUNT = sizeof backbones / sizeof *backbones };

const struct sky_backbone *sky_backbone_find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(backbones[i].name, name) == 0) return &backbones[i];
    return NULL;
}

sky_status sky_model_check_backbone(const char *name)
{
    if (sky_backbone_find(name)) return SKY_OK;
    const char *names[COUNT];
    for (int i = 0; i < COUNT; i++) names[i] = backbones[i].name;
    const int nearest = sky_nearest(name, names, COUNT);
    sky_fail(SKY_CONFIG, "model.backbone", "there is no backbone '%s'", name);
    if (nearest >= 0) return sky_hint("did you mean %s? There are resnet18|34|50|101, se_resnet18|34|50|101 and vgg16", names[nearest]);
    return sky_hint("there are resnet18|34|50|101, se_resnet18|34|50|101 and vgg16");
}
