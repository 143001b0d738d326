#!/usr/bin/env python3
"""The paper's model as a careful PyTorch user would write it, timed: the other side of compare_cpu.sh and of tests/gpu/run.sh.

Same trunk (tests/golden/torch_model.py), same seven heads, losses and optimiser as experiments/paper/se_resnet50_gem_256.ini, with what helps PyTorch: both views in one
batch, channels_last, x^p computed once for all parts, foreach or fused SGD; on a GPU autocast, torch.compile and its CUDA graphs as asked. Random data, no loader. Prints one line of JSON.

    pytorch_step.py train|embed [--images N] [--size PIXELS] [--seconds S] [--threads T] [--device cpu|cuda] [--precision fp32|tf32|bf16] [--mode eager|compile|graph]
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden"))
import torch_model  # noqa: E402

CLASSES, PARTS, WIDTH, EPSILON = 701, 6, 512, 1e-6


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torch_model.Trunk(torch_model.read_settings([]))
        self.p = nn.Parameter(torch.full((2048,), 3.0))
        widths = [2048] * PARTS + [3072]
        self.fc = nn.ModuleList([nn.Linear(w, WIDTH) for w in widths])
        self.bn = nn.ModuleList([nn.BatchNorm1d(WIDTH) for _ in widths])
        self.drop = nn.Dropout(0.75)
        self.classifier = nn.ModuleList([nn.Linear(WIDTH, CLASSES) for _ in widths])

    def pooled(self, x):
        """[N,2048,S,S] to six [N,2048]: rings and squares of the MSBA partition, GeM."""
        size = x.shape[2]
        power = x.clamp(min=EPSILON).pow(self.p.view(1, -1, 1, 1))
        box = [power[:, :, size // 2 - k * size // 8 : size // 2 + k * size // 8, size // 2 - k * size // 8 : size // 2 + k * size // 8].sum((2, 3)) for k in range(1, 5)]
        area = [(k * size // 4) ** 2 for k in range(1, 5)]
        sums = [box[0], box[1] - box[0], box[2] - box[1], box[1], box[2], box[3] - box[2]]
        return [(s / area[k]).pow(1 / self.p) for s, k in zip(sums, (0, 1, 2, 1, 2, 3))]

    def forward(self, x):
        layer3, layer4 = self.trunk(x)
        pooled = self.pooled(layer4) + [torch.cat([layer4.amax((2, 3)), layer3.amax((2, 3))], 1)]
        features = [bn(fc(p)) for p, fc, bn in zip(pooled, self.fc, self.bn)]
        if not self.training:
            return torch.stack(features)
        return torch.stack([c(self.drop(f)) for f, c in zip(features, self.classifier)])


def loss_of(logits, labels):
    """Cross entropy summed over heads and views, and KL(drone||satellite) summed over heads."""
    heads, rows, classes = logits.shape
    ce = 2 * heads * F.cross_entropy(logits.reshape(heads * rows, classes), labels.repeat(2 * heads))
    logs = F.log_softmax(logits, 2)
    return ce + heads * F.kl_div(logs[:, : rows // 2].reshape(-1, classes), logs[:, rows // 2 :].reshape(-1, classes), reduction="batchmean", log_target=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("train", "embed"))
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--mode", choices=("eager", "compile", "graph"), default="eager", dest="how")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    on_gpu = a.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.precision != "fp32"
    torch.backends.cudnn.benchmark = on_gpu
    net = Net().to(a.device, memory_format=torch.channels_last)
    x = torch.randn(a.images, 3, a.size, a.size).to(a.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (a.images // 2,)).to(a.device)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-5, momentum=0.9, weight_decay=5e-4, nesterov=True, **({"fused": True} if on_gpu else {"foreach": True}))
    net.train(a.mode == "train")
    forward = net if a.how == "eager" else torch.compile(net, mode="reduce-overhead" if a.how == "graph" else None)

    def step():
        with torch.autocast(a.device, torch.bfloat16, enabled=a.precision == "bf16"):
            if a.mode == "embed":
                with torch.no_grad():
                    return forward(x)
            logits = forward(x)
        optimizer.zero_grad(set_to_none=True)
        loss_of(logits.float(), labels).backward()
        return optimizer.step()

    def wait():
        if on_gpu:
            torch.cuda.synchronize()

    for _ in range(2 if not on_gpu else 8):
        step()
    wait()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < a.seconds:
        start = time.perf_counter()
        step()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"torch": torch.__version__, "mode": a.mode, "images": a.images, "runs": len(times), "median_ms": statistics.median(times), "min_ms": min(times),
                      "max_ms": max(times), "img_per_s": 1e3 * a.images / statistics.median(times), "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


main()
