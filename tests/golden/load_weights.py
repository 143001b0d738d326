#!/usr/bin/env python3
"""load_weights.py FOLDER: each NAME.out.pth (written by `skygem weights export`) against the NAME.pth it came from. The keys and bits must be equal but for the
ImageNet classifier (zeros), the counters and a VGG's biases (folded); torchvision's network, where there is one, must load it strictly. NAME.views.pth must load strictly into a
model with one network a view, as the reference repositories have it.
"""
import glob
import os
import sys

import torch
from torch import nn

try:
    import torchvision
except ImportError:
    torchvision = None

CLASSIFIERS = ("fc.", "last_linear.", "classifier.")


def network_of(name):
    names = {"vgg16": "vgg16_bn"}
    return getattr(torchvision.models, names.get(name, name))() if torchvision and not name.startswith("se_") else None


class Views(nn.Module):
    """One shared network under the names of satellite and drone, another for the street."""

    def __init__(self, name):
        super().__init__()
        self.model_1, self.model_2 = nn.Module(), nn.Module()
        self.model_1.model, self.model_2.model = network_of(name), network_of(name)
        self.model_3 = self.model_1


def folded(state):
    """A VGG's biases are zeros afterwards, and gone from the running means behind them."""
    state = dict(state)
    for key in [key for key in state if key.startswith("features.") and key.endswith(".weight") and state[key].dim() == 4 and key[: -len("weight")] + "bias" in state]:
        layer = key[: -len(".weight")]
        mean = layer.rpartition(".")[0] + f".{int(layer.rpartition('.')[2]) + 1}.running_mean"
        state[mean] = state[mean] - state[layer + ".bias"]
        state[layer + ".bias"] = torch.zeros_like(state[layer + ".bias"])
    return state


def compare(original, exported, prefix=""):
    original = folded(original)
    wanted = {key: value for key, value in original.items() if not key.startswith(CLASSIFIERS) and not key.endswith("num_batches_tracked")}
    found = {key: value for key, value in exported.items() if not key.startswith(CLASSIFIERS)}
    assert list(wanted) == list(found) or set(wanted) == set(found), set(wanted) ^ set(found)
    for key, value in wanted.items():
        assert torch.equal(value, found[key]), key


def main(folder):
    for path in sorted(glob.glob(os.path.join(folder, "*.out.pth"))):
        name = os.path.basename(path)[: -len(".out.pth")]
        exported = torch.load(path)
        compare(torch.load(os.path.join(folder, name + ".pth")), exported)
        network = network_of(name)
        if network is not None:
            network.load_state_dict(exported)
        print(f"{name}: {len(exported)} tensors, equal{'' if network is None else ', loaded by torchvision'}")
    for path in sorted(glob.glob(os.path.join(folder, "*.views.pth"))):
        name = os.path.basename(path)[: -len(".views.pth")]
        if torchvision is None:
            print(f"{name}: not loaded, torchvision is not there")
            continue
        views = Views(name)
        views.load_state_dict(torch.load(path))
        original = torch.load(os.path.join(folder, name + ".pth"))
        for view in (views.model_1, views.model_2, views.model_3):
            compare(original, {key: value for key, value in view.model.state_dict().items() if not key.endswith("num_batches_tracked")})
        print(f"{name}: loaded into three views")


main(sys.argv[1])
