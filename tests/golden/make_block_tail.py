#!/usr/bin/env python3
"""Makes tests/golden/block_tail.txt: the tail of an SE bottleneck in float64 by PyTorch's autograd, for block_tail_test.c.

Debian 12: apt-get install python3-torch; then run this file with /usr/bin/python3. Two blocks, both with batch norm a view (two views of three images) and a
gate of two small layers: one with a plain shortcut, one whose shortcut has a batch norm of its own. Two consumers read each block's output. The file
holds, in hexadecimal floating point and in skygem's layout (maps NHWC), all inputs, the outputs, every gradient and the running statistics behind the step.
"""
import os

import torch

torch.manual_seed(0)
VIEWS, IMAGES, CHANNELS, HEIGHT, WIDTH, REDUCED = 2, 3, 6, 3, 5, 4
MOMENTUM, EPSILON = 0.1, 1e-5
ROWS = VIEWS * IMAGES


def normal(*shape, mean=0.0, deviation=1.0):
    return mean + deviation * torch.randn(*shape, dtype=torch.float64)


def batch_norm(z, weight, bias, running_mean, running_var):
    """Each view by its own statistics; the running ones are updated once a view, in order."""
    views = [torch.nn.functional.batch_norm(view, running_mean, running_var, weight, bias, True, MOMENTUM, EPSILON) for view in z.split(IMAGES)]
    return torch.cat(views)


def block(name, shortcut_norm):
    learned = {
        "z": normal(ROWS, CHANNELS, HEIGHT, WIDTH, mean=3, deviation=2), "shortcut": normal(ROWS, CHANNELS, HEIGHT, WIDTH),
        "gamma": normal(CHANNELS, mean=1, deviation=0.5), "beta": normal(CHANNELS),
        "w1": normal(REDUCED, CHANNELS), "b1": normal(REDUCED), "w2": normal(CHANNELS, REDUCED), "b2": normal(CHANNELS),
    }
    buffers = {"running_mean": normal(CHANNELS), "running_var": 0.5 + torch.rand(CHANNELS, dtype=torch.float64)}
    if shortcut_norm:
        learned["gamma_s"], learned["beta_s"] = normal(CHANNELS, mean=1, deviation=0.5), normal(CHANNELS)
        buffers["running_mean_s"], buffers["running_var_s"] = normal(CHANNELS), 0.5 + torch.rand(CHANNELS, dtype=torch.float64)
    douts = {"dout": normal(ROWS, CHANNELS, HEIGHT, WIDTH), "dout2": normal(ROWS, CHANNELS, HEIGHT, WIDTH)}
    write(name, {**learned, **buffers, **douts})

    for tensor in learned.values():
        tensor.requires_grad_()
    y = batch_norm(learned["z"], learned["gamma"], learned["beta"], buffers["running_mean"], buffers["running_var"])
    shortcut = learned["shortcut"]
    if shortcut_norm:
        shortcut = batch_norm(shortcut, learned["gamma_s"], learned["beta_s"], buffers["running_mean_s"], buffers["running_var_s"])
    hidden = torch.relu(y.mean((2, 3)) @ learned["w1"].t() + learned["b1"])
    gate = torch.sigmoid(hidden @ learned["w2"].t() + learned["b2"])
    out = torch.relu(shortcut + y * gate[:, :, None, None])
    out.backward(douts["dout"] + douts["dout2"])
    write(name, {"out": out, "gate": gate, **{"d" + key: tensor.grad for key, tensor in learned.items()}})
    write(name, {"new_" + key: tensor for key, tensor in buffers.items()})


def write(block_name, tensors):
    for key, tensor in tensors.items():
        values = tensor.detach()
        if values.dim() == 4:
            values = values.permute(0, 2, 3, 1)
        values = values.reshape(-1).tolist()
        lines.append(f"{block_name}.{key} {len(values)}")
        lines.extend(" ".join(value.hex() for value in values[i:i + 6]) for i in range(0, len(values), 6))


lines = []
block("plain", False)
block("strided", True)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "block_tail.txt"), "w") as file:
    file.write("\n".join(lines) + "\n")
