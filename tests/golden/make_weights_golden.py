#!/usr/bin/env python3
"""Makes tests/golden/weights: small .pth files of every layout that `skygem weights import` reads, and what PyTorch computes with them.

Debian 12: apt-get install python3-torch python3-torchvision; then run this file with /usr/bin/python3. Each NAME.pth has its NAME.expected.safetensors: the
experiment (metadata `overrides`), the images, the features [heads, images, embedding] that the network gives in float64, and, where the file is a trunk
alone, heads to put on it. To stay small the tensors of a .pth are views, at random places and some with turned strides, into one table: torch stores that
once.

make_weights_golden.py --full FOLDER IMAGE...: the same at full size, from torchvision's own networks where there are some, on the given images. Not for
committing: weights_golden_test.sh calls it where torch is installed.
"""
import os
import sys

import numpy
import torch
from PIL import Image
from torch import nn

import safetensors_file
from torch_model import Model, prepare, read_settings

HERE = os.path.dirname(os.path.abspath(__file__))
TRUNK = ["model.partition=none", "model.pooling=avg", "model.embedding=16", "model.dropout=0"]  # layer4's mean; layer3's and layer4's maximum


def legacy_name(name):
    name = name.replace(".se.", ".se_module.")
    return "layer0." + name if name.startswith(("conv1.", "bn1.")) else name


class Table:
    """Tensors as views into one array of normal and one of positive numbers."""

    def __init__(self, dtype):
        self.normal = (0.05 * torch.randn(40000)).to(dtype)
        self.positive = (0.7 + 0.6 * torch.rand(2000)).to(dtype)

    def view(self, name, shape):
        positive = name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight"))
        source = self.positive if positive else self.normal
        count = int(numpy.prod(shape)) if len(shape) else 1
        offset = int(torch.randint(0, source.numel() - count + 1, (1,)))
        strides = list(torch.empty(shape).stride())
        if len(shape) == 4 and torch.rand(1) < 0.3:  # as channels_last has it
            strides = [shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]]
        return source.as_strided(shape, strides, offset)


def pictures(size):
    out = []
    for name in ("square.png", "photo.png"):
        with Image.open(os.path.join(HERE, "image", name)) as image:
            out.append(numpy.asarray(image.convert("RGB").resize((size, size), Image.BICUBIC)))
    return numpy.stack(out)


def features_of(model, images, view):
    model.double().eval()
    with torch.no_grad():
        return model(prepare(images), view)[0].numpy()


def write_expected(folder, name, overrides, images, tensors):
    print(f"{name}: features {[list(value.shape) for key, value in tensors.items() if key.startswith('features')]}")
    safetensors_file.write(os.path.join(folder, name + ".expected.safetensors"), {"images": images, **tensors}, {"overrides": "\n".join(overrides)})


def heads_of(model):
    heads = {name: value for name, value in model.state_dict().items() if name.startswith("classifier") and ".classifier." not in name}
    return {"head/" + name: value.float().numpy() for name, value in heads.items() if not name.endswith("num_batches_tracked")}


def small_model(overrides, dtype):
    """A model whose every parameter is a view into a table; the state dict has the views, the model their values."""
    model = Model(read_settings(overrides), 5)
    table = Table(dtype)
    state = {name: table.view(name, tuple(value.shape)) for name, value in model.state_dict().items() if value.is_floating_point()}
    for name, value in state.items():
        if name == "gem.p":
            state[name] = (2 + 2 * torch.rand(value.shape)).to(dtype)
    model.load_state_dict(state, strict=False)
    return model, state


def trunk_of(state, rename=lambda name: name):
    out = {rename(name[len("backbone."):]): value for name, value in state.items() if name.startswith("backbone.")}
    for name in [name for name in out if name.endswith("running_mean")]:
        out[name.replace("running_mean", "num_batches_tracked")] = torch.tensor(7)
    return out


def make_trunk(folder, name, backbone, dtype, older, extra=(), rename=lambda name: name, wrap=lambda state: state):
    overrides = ["data.image_size=64", "model.width=0.125", "model.backbone=" + backbone, *TRUNK, *extra]
    model, state = small_model(overrides, dtype)
    trunk = trunk_of(state, rename)
    last = "last_linear" if rename is legacy_name else "fc"
    trunk[last + ".weight"], trunk[last + ".bias"] = torch.zeros(1, 1).expand(1000, 64), torch.zeros(1000)
    torch.save(wrap(trunk), os.path.join(folder, name + ".pth"), _use_new_zipfile_serialization=not older)
    images = pictures(64)
    write_expected(folder, name, overrides, images, {"features/0": features_of(model, images, 0), **heads_of(model)})


def make_reference(folder, name, extra, prefix="", views=3, single=False):
    """A checkpoint of the reference repositories: a trunk a view (torch stores a shared one once), heads beside them or, with a prefix, inside."""
    overrides = ["data.image_size=64", "model.width=0.125", "model.backbone=resnet18", "model.embedding=16", "model.dropout=0", *extra]
    model, state = small_model(overrides, torch.float32)
    shared = model.settings["model.share_views"]
    out = {}
    for view in range(1, views + 1):
        trunk = "backbone." if shared else "backbone_drone." if view == views else "backbone_satellite."
        for key, value in state.items():
            if key.startswith(trunk):
                out[f"model_{view}.model.{key[len(trunk):]}"] = torch.ones(1).expand(value.shape) if view == 2 and views == 3 else value
        if "gem.p" in state:
            out[f"model_{view}.model.gem2.p"] = state["gem.p"]
        out[f"model_{view}.model.fc.weight"] = torch.zeros(3, 64)
    for key, value in state.items():
        if key.startswith("classifier"):
            out[prefix + (key.replace("classifier0.", "classifier.", 1) if single else key)] = value
    torch.save(out, os.path.join(folder, name + ".pth"))
    images = pictures(64)
    write_expected(folder, name, overrides, images, {f"features/{view}": features_of(model, images, view) for view in range(2)})


def make_small():
    folder = os.path.join(HERE, "weights")
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(1)
    wrap = lambda state: {"epoch": 3, "best_prec1": 76.5, "state_dict": {"module." + name: value for name, value in state.items()}}
    make_trunk(folder, "torchvision_resnet18", "resnet18", torch.float32, False)
    make_trunk(folder, "torchvision_resnet50_older", "resnet50", torch.float32, True, wrap=wrap)
    make_trunk(folder, "timm_se_resnet50", "se_resnet50", torch.float16, False, ["model.se_layout=timm"])
    make_trunk(folder, "legacy_se_resnet50_older", "se_resnet50", torch.bfloat16, True, ["model.se_layout=legacy"], legacy_name)
    make_reference(folder, "reference_lpn", ["model.partition=lpn", "model.pooling=avg", "model.global_branch=none"])
    make_reference(folder, "reference_baseline", ["model.partition=none", "model.global_branch=none", "model.share_views=no"], views=2, single=True)
    make_reference(folder, "reference_msba", ["model.partition=msba", "model.pooling=avg", "model.part_attention=yes"], prefix="model_1.", views=2)


# ------------------------------------------------------------------------------------------------------------------------------ full size


def settle(trunk, images):
    """Running statistics of the images themselves, so that random weights give maps of ordinary size. Residual branches are small, or rounding would grow
    a hundredfold on its way through a deep network."""
    names = [name for name, module in trunk.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name, module in trunk.named_modules():
        if name in names:
            last = name.endswith("bn3") or (name.endswith("bn2") and name[:-1] + "3" not in names)
            module.momentum = None  # plain average
            nn.init.uniform_(module.weight, 0.1 if last else 0.5, 0.3 if last else 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    trunk.train()
    with torch.no_grad():
        trunk(images)
    trunk.eval()


class TorchvisionTrunk(nn.Module):
    """torchvision's network with the last stage at stride 1, as the reference repositories change it."""

    def __init__(self, network):
        super().__init__()
        first = network.layer4[0]
        convolution = first.conv2 if hasattr(first, "conv3") else first.conv1
        convolution.stride = first.downsample[0].stride = (1, 1)
        self.network = network

    def forward(self, x):
        n = self.network
        layer3 = n.layer3(n.layer2(n.layer1(n.maxpool(n.relu(n.bn1(n.conv1(x)))))))
        return layer3, n.layer4(layer3)


class VGGTrunk(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        layer4 = self.network.features(x)
        return layer4, layer4


def make_full(folder, files):
    torch.manual_seed(2)
    size = 128
    loaded = []
    for file in files:
        with Image.open(file) as image:
            loaded.append(numpy.asarray(image.convert("RGB").resize((size, size), Image.BICUBIC)))
    images = numpy.stack(loaded)
    try:
        import torchvision
    except ImportError:
        torchvision = None
    backbones = ["resnet18", "resnet34", "resnet50", "resnet101"] + (["vgg16"] if torchvision else []) + ["se_resnet50:timm", "se_resnet50:legacy"]
    for number, choice in enumerate(backbones):
        backbone, _, layout = choice.partition(":")
        vgg = backbone == "vgg16"
        overrides = [f"data.image_size={size}", "model.backbone=" + backbone, *TRUNK] + (["model.se_layout=" + layout] if layout else [])
        overrides += ["model.global_branch=layer4"] if vgg else []
        as_wide = [text.replace("vgg16", "resnet18") for text in overrides]  # torch_model.py's heads need a trunk as wide as VGG16
        model = Model(read_settings(as_wide), 5)
        if vgg:
            network = torchvision.models.vgg16_bn(num_classes=1)
            for layer in network.features:
                if isinstance(layer, nn.Conv2d):
                    nn.init.normal_(layer.bias, std=0.2)  # torchvision's are zero at first, a trained one's are not
            trunk = VGGTrunk(network)
        elif torchvision and not layout:
            network = getattr(torchvision.models, backbone)()
            trunk = TorchvisionTrunk(network)
        else:
            network = trunk = model.backbone
        settle(trunk, prepare(images).float())
        state = network.state_dict()
        if layout == "legacy":
            state = {legacy_name(name): value for name, value in state.items()}
        model.backbone = trunk
        torch.save(state, os.path.join(folder, f"{choice.replace(':', '_')}.pth"), _use_new_zipfile_serialization=number % 2 == 0)
        write_expected(folder, choice.replace(":", "_"), overrides, images, {"features/0": features_of(model, images, 0), **heads_of(model)})


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "--full":
        make_full(sys.argv[2], sys.argv[3:])
    else:
        make_small()
