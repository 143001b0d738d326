#!/usr/bin/env python3
"""Replays the steps that `skygem train` recorded ([debug] record = FOLDER) in PyTorch, from the same start, on the same pixels, and compares.

    python3 replay.py FOLDER

Needs torch, numpy and the folder alone: the experiment stands in init.safetensors, learning rates and labels in the steps. The record must come from a run
without dropout.

The yardstick is PyTorch in float64. The engine trains in float32, and so does PyTorch a second time, because float32 training is chaotic: one ReLU that
switches moves many numbers. A tolerance is therefore a fixed one, or four times PyTorch's own float32 error where that is more (up to a cap: a record whose
start is ill-conditioned fails):
  losses      of each step, relative                                    1e-5 first step, 1e-3 later; cap 1e-2
  gradients   of the first step: |a-b| / |b| over all tensors together  1e-3; cap 2e-2
  each        the same, tensor by tensor (vanishing ones by the whole)  1e-2; cap 1e-1
  movement    |a-b| / |b - start| of the final parameters (*)           1e-2; cap 1e-1
  buffers     the same of the running statistics                        1e-3; cap 2e-2
(*) but those whose gradient vanishes: AdamW moves them by its sign, which is rounding's.
A divergence below 1e-4 (at a usual start it is 1e-6) is judged by the whole loss: it is a difference of nearly equal numbers.
"""

import argparse
import configparser
import glob
import json
import os
import sys

import numpy
import torch

import safetensors_file
import torch_model

LOOSER = 4
LIMITS = {  # kind: (fixed, cap)
    "first losses": (1e-5, 1e-2), "later losses": (1e-3, 1e-2), "gradients": (1e-3, 2e-2),
    "each": (1e-2, 1e-1), "movement": (1e-2, 1e-1), "buffers": (1e-3, 2e-2),
}


def read_record(folder):
    """(settings, start, steps, gradients, final)."""
    start, metadata = safetensors_file.read(os.path.join(folder, "init.safetensors"))
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#", ";"))
    parser.read_string(metadata["config"])
    settings = torch_model.read_settings([f"{section}.{key}={value}" for section in parser.sections() for key, value in parser[section].items()])
    if settings["model.dropout"] != 0:
        sys.exit("replay: the record was made with dropout, whose random numbers PyTorch does not have; record with --set model.dropout=0")
    steps = [safetensors_file.read(path) for path in sorted(glob.glob(os.path.join(folder, "step_*.safetensors")))]
    gradients, final = (safetensors_file.read(os.path.join(folder, name))[0] for name in ("gradients_0000.safetensors", "final.safetensors"))
    return settings, start, steps, gradients, final


def labels_of(tensors, views):
    """[VB] of the rows: the record has one label a place where all views show the same places."""
    labels, rows = tensors["labels"], views * len(next(tensors[name] for name in tensors if name.endswith(".images")))
    return torch.from_numpy(numpy.tile(labels, rows // len(labels)))


def replay(settings, start, steps, kind, change=None):
    """The same steps in PyTorch: (losses by step, gradients, final), numbers as float64. change(model) is called before the first step."""
    model = torch_model.Model(settings, len(start.get("classifier0.classifier.0.bias", ()))).to(kind)
    own = torch_model.tensors_of(model)
    unmatched = sorted(set(own) ^ set(start))
    if unmatched:
        sys.exit(f"replay: tensors on one side only: {', '.join(unmatched)}")
    for name, tensor in own.items():
        tensor.copy_(torch.from_numpy(start[name].copy()))
    if change:
        change(model)
    update = torch_model.Update(settings, model)
    model.train()
    losses, gradients = [], {}
    for tensors, metadata in steps:
        rates = json.loads(metadata["lr"])
        update.set_rates([torch_model.single(rates[group]) for group in ("backbone", "head", "gem")])
        images = [torch.from_numpy(tensors[view + ".images"].copy()).to(kind) for view in torch_model.views_of(settings)]
        model.zero_grad()
        features, logits = model.together(images)
        loss, terms = torch_model.losses(settings, model, features, logits, labels_of(tensors, len(images)))
        loss.backward()
        losses.append({"loss": loss.item(), "loss_ce": 0, "loss_kl": 0, **{"loss_" + name: term.item() for name, term in terms.items()}})
        gradients = gradients or {name: p.grad.double().numpy().copy() for name, p in model.named_parameters()}
        update.step()
    return losses, gradients, {name: tensor.double().numpy() for name, tensor in torch_model.tensors_of(model).items()}


def distance(a, b, names, origin=None):
    """|a-b| / |b - origin| over these tensors together."""
    up = sum(((a[name] - b[name]) ** 2).sum() for name in names)
    down = sum(((b[name] - (0 if origin is None else origin[name])) ** 2).sum() for name in names)
    return (up / down) ** 0.5


def errors(side, truth, start):
    """What the table compares: name -> (kind of limit, error)."""
    (losses, gradients, final), (true_losses, true_gradients, true_final) = side, truth
    out = {}
    for step, (a, b) in enumerate(zip(losses, true_losses)):
        for name in b:
            scale = b["loss"] if name == "loss_kl" and b[name] < 1e-4 else b[name]
            out[f"step {step} {name}"] = ("later losses" if step else "first losses", abs(a[name] - b[name]) / abs(scale) if scale else abs(a[name]))
    whole = sum((g**2).sum() for g in true_gradients.values()) ** 0.5
    out["gradients"] = ("gradients", distance(gradients, true_gradients, true_gradients))
    each = {name: distance(gradients, true_gradients, [name]) for name, g in true_gradients.items() if (g**2).sum() ** 0.5 > 1e-9 * whole}
    worst = max(each, key=each.get)
    out["gradient of " + worst] = ("each", each[worst])
    vanishing = max((abs(gradients[name]).max() for name in true_gradients if name not in each), default=0)
    out["gradients that vanish"] = ("gradients", vanishing / whole)
    buffers = [name for name in true_final if "running_" in name]
    out["final parameters"] = ("movement", distance(final, true_final, each, start))
    out["final buffers"] = ("buffers", distance(final, true_final, buffers, start))
    return out


def losses_of(steps):
    """The engine's, as recorded."""
    return [{name: float(tensors[name]) for name in tensors if name.startswith("loss")} for tensors, _ in steps]


def by_kind(found):
    """The worst error of each kind."""
    worst = {}
    for kind, error in found.values():
        worst[kind] = max(worst.get(kind, 0), error)
    return worst


def allowed(kind, own):
    """own: PyTorch's errors in float32 by kind."""
    fixed, cap = LIMITS[kind]
    return min(max(fixed, LOOSER * own[kind]), cap)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("folder")
    folder = arguments.parse_args().folder
    settings, start, steps, gradients, final = read_record(folder)
    truth, single = (replay(settings, start, steps, kind) for kind in (torch.float64, torch.float32))
    missing = sorted(set(truth[1]) ^ set(gradients)) + sorted(set(truth[2]) ^ set(final))
    if missing:
        sys.exit(f"replay: tensors on one side only: {', '.join(missing)}")
    engine = losses_of(steps), gradients, final
    own = by_kind(errors(single, truth, start))
    passed = failed = 0
    print(f"{'against PyTorch in float64':58} {'engine':>9} {'torch f32':>9} {'allowed':>9}")
    for name, (kind, error) in errors(engine, truth, start).items():
        good = error <= allowed(kind, own)  # a NaN is not
        passed, failed = passed + good, failed + (not good)
        print(f"{name:58} {error:9.1e} {own[kind]:9.1e} {allowed(kind, own):9.1e}{'' if good else '  FAILED'}")
    print(f"{len(steps)} steps replayed: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(main())
