#!/usr/bin/env python3
"""Makes tests/golden/*.safetensors: small models, computed in float64 by PyTorch (torch_model.py), for model_golden_test.c to compare the engine with.

Run with a Python that has torch (Debian's python3-torch 1.13 made the committed files): python3 make_model_golden.py [-o FOLDER] [CASE...]

A file holds, for one configuration (metadata `overrides`, one "section.key=value" a line):
  images U8 [2,N,S/4,S/4,3] satellite then drone, each pixel to be drawn 4 x 4 times; erased I32 [2N,4], labels I32 [N]
  init/NAME F16             parameters and running statistics
  step0/, step1/            features [P,2N,E], logits [P,2N,K], gradient_norm [] and the losses that the case has (loss_ce, loss_kl, loss_triplet, ... []): of two
                            steps on the same batch
  gradient/NAME             of the first step
  after1/NAME, after2/NAME  parameters (learned and running statistics) after each step; momentum1/NAME, momentum2/NAME likewise, and AdamW's squares
  infer/plain, infer/mirror [P,2N,E]: inference features of all images after the second step
The case marked full holds all this in F64, but for large tensors of after2 and momentum2 (F32), and of after1 and momentum1 (left out). To keep the files
small, the other cases have gradient and after2 in F32, momentum2 and squares2 where the optimiser is AdamW, and no after1.

Float32 training is chaotic: a rounding error that flips one ReLU or one maximum changes a gradient visibly. So weights are well-conditioned (residual
branches start small, logits are about 1), and each case takes the first seed for which PyTorch's own float32, and float64 runs with noise in every layer,
follow the float64 run closely.
"""

import argparse
import copy
import os
import sys

import numpy
import torch

import safetensors_file
import torch_model

HERE = os.path.dirname(os.path.abspath(__file__))
CLASSES = 5
PAIRS = 6
COARSE = 4
AGREEMENT = 5e-5  # of PyTorch's own float32
NOISE, NOISY_RUNS, NOISY_AGREEMENT = 3e-7, 6, 1.5e-4  # several times float32's rounding: no ReLU and no maximum is near its switch
COMMON = [f"train.batch_size={PAIRS}", "model.width=0.03125", "model.embedding=8", "model.dropout=0", "optimizer.lr=0.004"]

# name: (full, erased, overrides). full: what the file holds, see above.
CASES = {
    "se_resnet50_legacy_msba": (True, False, ["data.image_size=64", "model.backbone=se_resnet50"]),
    "se_resnet50_timm_lpn": (False, False, ["data.image_size=64", "model.backbone=se_resnet50", "model.se_layout=timm", "model.partition=lpn", "model.blocks=2",
                                            "model.pooling=avg", "model.global_branch=none", "loss.reduction=mean", "optimizer.nesterov=no"]),
    "resnet50_whole_max": (False, True, ["data.image_size=64", "model.backbone=resnet50", "model.last_stride=2", "model.partition=none", "model.pooling=max",
                                         "model.global_branch=layer4", "loss.kl_direction=symmetric", "loss.kl_temperature=2", "loss.label_smoothing=0.1"]),
    "resnet18_msba_small_map": (False, False, ["data.image_size=80", "model.backbone=resnet18", "model.gem_learn=scalar", "model.gem_p=2.5",
                                               "loss.kl_detach=yes", "loss.ce=0.5", "loss.kl=2", "optimizer.gem_weight_decay=0.001"]),
    "se_resnet18_ring_attention": (False, False, ["data.image_size=112", "model.backbone=se_resnet18", "model.partition=lpn", "model.blocks=3",
                                                  "model.ring_norm=ring", "model.part_attention=yes", "model.gem_learn=part", "model.gem_p=1.01",
                                                  "model.global_branch=none", "loss.kl_direction=satellite||drone", "optimizer.clip_norm=2",
                                                  "optimizer.gem_lr_scale=5", "optimizer.gem_weight_decay=0.1"]),
    "resnet18_list_two_trunks": (False, False, ["data.image_size=96", "model.backbone=resnet18", "model.share_views=no", "model.partition=list",
                                                "model.parts=ring1,square2,ring3", "model.blocks=3", "model.pooling=max", "loss.kl=0"]),
    # the other systems of experiments/baselines
    "resnet50_instance": (False, False, ["data.image_size=64", "model.backbone=resnet50", "model.last_stride=2", "model.partition=none", "model.pooling=avg",
                                         "model.global_branch=none", "loss.kl=0"]),
    "resnet18_gem": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.partition=none", "model.global_branch=none", "loss.kl=0"]),
    "resnet18_lpn": (False, False, ["data.image_size=128", "model.backbone=resnet18", "model.partition=lpn", "model.pooling=avg", "model.global_branch=none",
                                    "loss.kl=0"]),
    "resnet18_contrastive": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.partition=none", "model.pooling=avg",
                                            "model.global_branch=none", "loss.ce=0", "loss.kl=0", "loss.contrastive=1"]),
    "resnet18_triplet": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.partition=none", "model.pooling=avg",
                                        "model.global_branch=layer4", "loss.ce=0", "loss.kl=0", "loss.triplet=1", "loss.reduction=mean"]),
    "resnet18_soft_margin": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.partition=none", "model.pooling=avg",
                                            "model.global_branch=none", "loss.ce=0", "loss.kl=0", "loss.soft_margin=1"]),
    "resnet18_info_nce": (False, False, ["data.image_size=128", "model.backbone=resnet18", "model.partition=lpn", "model.pooling=avg",
                                         "model.global_branch=none", "loss.kl=0", "loss.ce=0.1", "loss.info_nce=1", "loss.pair_features=joint"]),
    "resnet18_all_pairs": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.partition=none", "model.pooling=avg",
                                          "model.global_branch=layer4", "loss.contrastive=0.5", "loss.triplet=2", "loss.soft_margin=0.3",
                                          "loss.soft_margin_alpha=3", "loss.info_nce=0.7", "loss.info_nce_temperature=0.2", "loss.info_nce_learn=no",
                                          "loss.info_nce_smoothing=0"]),
    "vgg16_whole": (False, False, ["data.image_size=32", "model.backbone=vgg16", "model.partition=none", "model.pooling=avg", "model.global_branch=none"]),
    "resnet18_adamw": (False, False, ["data.image_size=64", "model.backbone=resnet18", "model.gem_learn=part", "optimizer.kind=adamw", "optimizer.lr=0.001",
                                      "optimizer.beta2=0.99", "optimizer.epsilon=1e-5", "optimizer.weight_decay=0.1", "optimizer.clip_norm=3",
                                      "loss.info_nce=1"]),
    "se_resnet18_timm_msba": (False, True, ["data.image_size=128", "model.backbone=se_resnet18", "model.se_layout=timm", "model.gem_learn=fixed",
                                            "model.part_attention=yes", "loss.kl_direction=symmetric", "loss.kl_detach=yes"]),
}


def place_images(random, size):
    """uint8 [2,N,S,S,3]: each place has its own colour and coarse pattern, which both views show with changes.

    Places unlike each other keep batch norm over few rows well-conditioned.
    """
    views = []
    colour, pattern = random.uniform(40, 215, (PAIRS, 1, 1, 3)), random.uniform(-1, 1, (PAIRS, 6, 6, 3)) * random.uniform(20, 90, (PAIRS, 1, 1, 1))
    for _ in range(2):
        coarse = torch.from_numpy(colour + pattern + random.uniform(-40, 40, pattern.shape)).permute(0, 3, 1, 2)
        fine = torch.nn.functional.interpolate(coarse, size=[size, size], mode="bicubic", align_corners=True)
        fine += torch.from_numpy(random.normal(0, 10, fine.shape))
        views.append(fine.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
    return numpy.stack(views)


def random_boxes(random, count, size):
    """I32 [count,4]: rectangles of zeros; every third image has none."""
    boxes = numpy.zeros((count, 4), numpy.int32)
    for n in range(count):
        if n % 3 != 2:
            height, width = random.integers(size // 8, size // 2, 2)
            boxes[n] = random.integers(0, size - height), random.integers(0, size - width), height, width
    return boxes


def condition(model, random):
    """Initial values, all half precision numbers: residual branches start small, heads give logits of about 1, nothing is zero or equal to its neighbour."""

    def normal(tensor, mean, deviation):
        tensor.copy_(torch.from_numpy((mean + deviation * random.normal(size=tuple(tensor.shape))).astype(numpy.float16)))

    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                fan_in = module.weight[0].numel()
                classifier = name.endswith("classifier.0")
                normal(module.weight, 0, (1 if classifier or "add_block" in name else 2**0.5) / fan_in**0.5)
                if module.bias is not None:
                    normal(module.bias, 0, 0.1)
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
                normal(module.weight, 1, 0.1)
                normal(module.bias, 0, 0.1)
                normal(module.running_mean, 0, 0.1)
                normal(module.running_var, 0, 0.1)
                module.running_var.exp_()
                module.running_var.copy_(module.running_var.half())
        for module in model.modules():
            if isinstance(module, torch_model.Block):
                normal(module.last_norm().weight, 0.15, 0.03)
        if model.gem is not None and model.gem.p.numel() > 1:
            p = model.gem.p
            normal(p, p.mean().item(), 0.01 if p.mean() < 2 else 0.2)
            p.clamp_(1, 16)
        if model.logit_scale is not None:
            normal(model.logit_scale, model.logit_scale.item(), 0.1)


def run(model, settings, images, erased, labels):
    """Two training steps and the inference features after them; everything as name -> float64 array."""
    kind = next(model.parameters()).dtype
    satellite, drone = (torch_model.prepare(images[view], erased[view * PAIRS : (view + 1) * PAIRS]).to(kind) for view in range(2))
    update = torch_model.Update(settings, model)
    out = {}

    def put(prefix, tensors):
        for name, tensor in tensors.items():
            out[prefix + name] = numpy.array(tensor.detach().double())

    put("init/", torch_model.tensors_of(model))
    model.train()
    for step in range(2):
        model.zero_grad()
        features, logits = model.together([satellite, drone])
        loss, terms = torch_model.losses(settings, model, features, logits, torch.from_numpy(numpy.tile(labels, 2)).long())
        loss.backward()
        if step == 0:
            put("gradient/", {name: p.grad for name, p in model.named_parameters()})
        put(f"step{step}/", {"features": features, **({"logits": logits} if "ce" in terms else {}), **{"loss_" + name: term for name, term in terms.items()}})
        out[f"step{step}/gradient_norm"] = numpy.array(update.step())
        put(f"after{step + 1}/", torch_model.tensors_of(model))
        for state, tensors in update.state().items():
            put(f"{state}{step + 1}/", tensors)
    model.eval()
    with torch.no_grad():
        for name, dims in (("plain", []), ("mirror", [3])):
            views = [torch_model.prepare(images[view]).to(kind).flip(dims) for view in range(2)]
            put("infer/", {name: torch.cat([model(x, view)[0] for view, x in enumerate(views)], 1)})
    return out


def shake(model, random, noise=NOISE):
    """Adds relative noise to every layer's output, as another order of summation in float32 would."""
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            module.register_forward_hook(lambda _module, _inputs, y: y * (1 + noise * torch.from_numpy(random.normal(size=tuple(y.shape)))))
    return model


def worst_difference(a, b):
    """The largest over all tensors of max|a-b| / max|b|, and its name.

    A gradient that vanishes (of a bias before batch norm) is judged by the whole gradient's norm instead.
    """
    worst, where = 0, ""
    for name in b:
        group, _, tensor = name.partition("/")
        scale = abs(b[name]).max()
        gradient = b.get("gradient/" + tensor)
        if group in ("gradient", "momentum1", "momentum2", "squares1", "squares2") and abs(gradient).max() < 1e-12 * b["step0/gradient_norm"]:
            scale = 0.01 * b["step0/gradient_norm"]
        difference = abs(a[name] - b[name]).max() / scale
        if not difference <= worst:
            worst, where = difference, name
    return worst, where


def make(name, folder):
    full, with_boxes, overrides = CASES[name]
    overrides = COMMON + overrides
    settings = torch_model.read_settings(overrides)
    size = settings["data.image_size"]
    for seed in range(1, 200):
        random = numpy.random.default_rng([seed, *name.encode()])
        stored = place_images(random, size // COARSE)
        images = stored.repeat(COARSE, 2).repeat(COARSE, 3)
        erased = random_boxes(random, 2 * PAIRS, size) if with_boxes else numpy.zeros((2 * PAIRS, 4), numpy.int32)
        labels = random.integers(0, CLASSES, PAIRS).astype(numpy.int32)
        model = torch_model.Model(settings, CLASSES).double()
        condition(model, random)
        result = run(copy.deepcopy(model), settings, images, erased, labels)
        difference, where = worst_difference(run(copy.deepcopy(model).float(), settings, images, erased, labels), result)
        noisy = (0, "")
        for _ in range(NOISY_RUNS):
            if difference > AGREEMENT or noisy[0] > NOISY_AGREEMENT:
                break
            noisy = max(noisy, worst_difference(run(shake(copy.deepcopy(model), random), settings, images, erased, labels), result))
        if difference <= AGREEMENT and noisy[0] <= NOISY_AGREEMENT:
            break
    else:
        sys.exit(f"{name}: no seed gives numbers that float32 can follow (last: {difference:.2g} at {where}; noise {noisy[0]:.2g} at {noisy[1]})")
    adamw = settings["optimizer.kind"] == "adamw"
    keep = {"images": stored, "erased": erased, "labels": labels}
    for key, value in result.items():
        group, small = key.split("/")[0], value.size <= 64
        if group == "init":
            keep[key] = value.astype(numpy.float16)
        elif group in ("step0", "step1", "infer") or full and (small or group == "gradient"):
            keep[key] = value
        elif group in ("gradient", "after2", "squares2") or group == "momentum2" and (full or adamw):
            keep[key] = value.astype(numpy.float32)
    path = os.path.join(folder, name + ".safetensors")
    safetensors_file.write(path, keep, {"overrides": "\n".join(overrides), "classes": str(CLASSES), "seed": str(seed), "torch": torch.__version__})
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{name}: seed {seed}, {parameters} parameters, {os.path.getsize(path) / 1e6:.2f} MB, "
          f"float32 agrees to {difference:.1e} ({where}), noise to {noisy[0]:.1e}, "
          + ", ".join(f"{key[6:]} {result[key]:.4f}" for key in sorted(result) if key.startswith("step0/loss_")))


def main():
    parser = argparse.ArgumentParser(description="Makes the golden files of the model test.")
    parser.add_argument("-o", "--out", default=HERE)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=" ".join(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.makedirs(arguments.out, exist_ok=True)
    for name in arguments.cases or CASES:
        make(name, arguments.out)


if __name__ == "__main__":
    main()
