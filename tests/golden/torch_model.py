"""The models, losses and optimiser of skygem in plain PyTorch, written from the formulas (no skygem code is used).

This is the yardstick of the golden files: one straightforward module a concept, each view forwarded by itself (satellite first), nothing fused. Module names
give the parameter names of skygem's files. Settings are read from the same "section.key=value" texts as skygem's own.
"""

import math

import numpy
import torch
from torch import nn
from torch.nn import functional as F

GEM_EPSILON = 1e-6
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

BACKBONES = {  # name: blocks a stage, bottleneck, squeeze and excitation
    "resnet18": ((2, 2, 2, 2), False, False),
    "resnet34": ((3, 4, 6, 3), False, False),
    "resnet50": ((3, 4, 6, 3), True, False),
    "resnet101": ((3, 4, 23, 3), True, False),
    "se_resnet18": ((2, 2, 2, 2), False, True),
    "se_resnet34": ((3, 4, 6, 3), False, True),
    "se_resnet50": ((3, 4, 6, 3), True, True),
    "se_resnet101": ((3, 4, 23, 3), True, True),
}
VGG16 = (2, 2, 3, 3, 3)  # convolutions between pools

DEFAULTS = {
    "data.image_size": 256, "data.views": "satellite, drone",
    "model.backbone": "se_resnet50", "model.se_layout": "legacy", "model.width": 1.0, "model.last_stride": 1, "model.pooling": "gem", "model.gem_p": 3.0,
    "model.gem_learn": "channel", "model.partition": "msba", "model.parts": "", "model.blocks": 4, "model.ring_norm": "square", "model.part_attention": False,
    "model.global_branch": "layer3+layer4", "model.embedding": 512, "model.dropout": 0.75, "model.share_views": True,
    "loss.ce": 1.0, "loss.kl": 1.0, "loss.kl_direction": "drone||satellite", "loss.kl_detach": False, "loss.kl_temperature": 1.0, "loss.reduction": "sum",
    "loss.label_smoothing": 0.0, "loss.contrastive": 0.0, "loss.contrastive_margin": 0.7, "loss.triplet": 0.0, "loss.triplet_margin": 0.3,
    "loss.soft_margin": 0.0, "loss.soft_margin_alpha": 10.0, "loss.info_nce": 0.0, "loss.info_nce_temperature": 0.07, "loss.info_nce_learn": True,
    "loss.info_nce_smoothing": 0.1, "loss.pair_features": "part",
    "optimizer.kind": "sgd", "optimizer.beta1": 0.9, "optimizer.beta2": 0.999, "optimizer.epsilon": 1e-8,
    "optimizer.lr": 1e-3, "optimizer.backbone_lr_scale": 0.1, "optimizer.gem_lr_scale": 1.0, "optimizer.momentum": 0.9, "optimizer.nesterov": True,
    "optimizer.weight_decay": 5e-4, "optimizer.gem_weight_decay": 0.0, "optimizer.clip_norm": 0.0,
}


def read_settings(overrides):
    """"section.key=value" texts over the defaults; keys that only the engine has (folders, threads) are left out."""
    settings = dict(DEFAULTS)
    for override in overrides:
        key, value = (side.strip() for side in override.split("=", 1))
        if key not in settings:
            continue
        kind = type(settings[key])
        settings[key] = value == "yes" if kind is bool else kind(value)
    return settings


def single(value):
    """A number as the engine holds it in float32: rates, decay, the input's mean and deviation."""
    return float(numpy.float32(value))


def prepare(images, erased=None):
    """uint8 [N,S,S,3] to normalised float64 [N,3,S,S]; erased [N,4]: top left height width of a rectangle of zeros."""
    mean, std = (torch.tensor([single(v) for v in values], dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD))
    x = torch.from_numpy(numpy.ascontiguousarray(images)).permute(0, 3, 1, 2).double()
    x = (x / 255 - mean) / std
    for n, (top, left, height, width) in enumerate([] if erased is None else erased.tolist()):
        x[n, :, top : top + height, left : left + width] = 0
    return x


# ---------------------------------------------------------------------------------------------------------------------------------- trunk


class Squeeze(nn.Module):
    """Squeeze and excitation: channel means through two small layers to a gate."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(4, channels // 16)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class Block(nn.Module):
    """A residual block: basic (two 3x3) or bottleneck (1x1, 3x3, 1x1), SE before the sum."""

    def __init__(self, inputs, middle, outputs, stride, bottleneck, squeeze, legacy):
        super().__init__()
        if bottleneck:
            first = stride if legacy else 1
            self.conv1, self.bn1 = nn.Conv2d(inputs, middle, 1, first, bias=False), nn.BatchNorm2d(middle)
            self.conv2, self.bn2 = nn.Conv2d(middle, middle, 3, stride // first, 1, bias=False), nn.BatchNorm2d(middle)
            self.conv3, self.bn3 = nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        else:
            self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.bottleneck = bottleneck
        self.se = Squeeze(outputs) if squeeze else None
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def last_norm(self):
        return self.bn3 if self.bottleneck else self.bn2

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        if self.se is not None:
            y = self.se(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Trunk(nn.Module):
    """ResNet or SE-ResNet without its classifier; gives the maps of layer3 and layer4."""

    def __init__(self, settings):
        super().__init__()
        blocks, bottleneck, squeeze = BACKBONES[settings["model.backbone"]]
        legacy = squeeze and settings["model.se_layout"] == "legacy"

        def scaled(channels):
            return max(8, 8 * math.floor(channels * settings["model.width"] / 8 + 0.5))

        inputs = scaled(64)
        self.conv1, self.bn1 = nn.Conv2d(3, inputs, 7, 2, 3, bias=False), nn.BatchNorm2d(inputs)
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True) if legacy else nn.MaxPool2d(3, 2, 1)
        for stage in range(4):
            middle = 64 << stage
            outputs = scaled(middle * (4 if bottleneck else 1))
            layer = []
            for i in range(blocks[stage]):
                stride = 1 if i > 0 or stage == 0 else settings["model.last_stride"] if stage == 3 else 2
                layer.append(Block(inputs, scaled(middle), outputs, stride, bottleneck, squeeze, legacy))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layer))
        self.channels3, self.channels4 = scaled(256 * (4 if bottleneck else 1)), inputs

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(F.relu(self.bn1(self.conv1(x))))))
        layer3 = self.layer3(x)
        return layer3, self.layer4(layer3)


class Vgg(nn.Module):
    """VGG16 with batch norm, without its classifier; its convolutions have no bias, which batch norm would take out again. Gives no layer3."""

    def __init__(self, settings):
        super().__init__()
        layers, inputs = [], 3
        for stage, count in enumerate(VGG16):
            channels = max(8, 8 * math.floor(min(64 << stage, 512) * settings["model.width"] / 8 + 0.5))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.channels3, self.channels4 = 0, inputs

    def forward(self, x):
        return None, self.features(x)


def make_trunk(settings):
    return Vgg(settings) if settings["model.backbone"] == "vgg16" else Trunk(settings)


# ---------------------------------------------------------------------------------------------------------------------------------- parts


def part_boxes(settings):
    """The parts in head order as (outer square, inner square or 0), counted in rings."""
    partition, blocks = settings["model.partition"], settings["model.blocks"]
    if partition == "none":
        return [(1, 0)]
    if partition == "list":
        names = settings["model.parts"].replace(" ", "").split(",")
        return [(int(name[4:]), int(name[4:]) - 1) if name.startswith("ring") else (int(name[6:]), 0) for name in names]
    parts = []
    for ring in range(1, blocks + 1):
        parts.append((ring, ring - 1))
        if partition == "msba" and ring == 3:
            parts += [(2, 0), (3, 0)]
    return parts


def square_mask(size, square, blocks):
    """0/1 map of square `square` of `blocks` around the centre; the last square is the whole map."""
    mask = torch.ones(size, size, dtype=torch.float64)
    if square < blocks:
        center, reach = size // 2, square * (size // (2 * blocks))
        mask.zero_()
        mask[center - reach : center + reach, center - reach : center + reach] = 1
    return mask


class GeM(nn.Module):
    """The learned exponents."""

    def __init__(self, count, p):
        super().__init__()
        self.p = nn.Parameter(torch.full((count,), float(p)))


class Parts(nn.Module):
    """Pools every part of a map [N,C,S,S] to [N,C,P]."""

    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.boxes = part_boxes(settings)
        self.blocks = 1 if settings["model.partition"] == "none" else settings["model.blocks"]

    def enlarged(self, x):
        size = x.shape[2]
        if self.settings["model.partition"] == "none" or size >= 2 * self.blocks:
            return x
        return F.interpolate(x, size=[size + 2 * (self.blocks - size // 2)] * 2, mode="bilinear", align_corners=True)

    def pixels(self, x, outer, inner):
        """The part's pixels [N,C,M]: a square with its hole as zeros, or the ring alone."""
        size = x.shape[2]
        square = square_mask(size, outer, self.blocks).bool()
        hole = square_mask(size, inner, self.blocks).bool() if inner else torch.zeros_like(square)
        if self.settings["model.ring_norm"] == "ring":
            return x[:, :, square & ~hole]
        return (x * (~hole).to(x.dtype))[:, :, square]

    def forward(self, x, p):
        x = self.enlarged(x)
        pooled = []
        for k, (outer, inner) in enumerate(self.boxes):
            pixels = self.pixels(x, outer, inner)
            if self.settings["model.pooling"] == "avg":
                pooled.append(pixels.mean(2))
            elif self.settings["model.pooling"] == "max":
                pooled.append(pixels.max(2).values)
            else:
                exponent = self.exponent(p, k, x)
                pooled.append(pixels.clamp(min=GEM_EPSILON).pow(exponent.unsqueeze(-1)).mean(2).pow(1 / exponent))
        return torch.stack(pooled, 2)

    def exponent(self, p, part, x):
        """[C] or [1], to raise [N,C,M] by."""
        if p is None:
            return torch.tensor([self.settings["model.gem_p"]], dtype=x.dtype)
        return p[part : part + 1] if self.settings["model.gem_learn"] == "part" else p


# ---------------------------------------------------------------------------------------------------------------------------------- model


class ClassBlock(nn.Module):
    """Linear, batch norm (the feature), classifier (unless classes is None). Dropout is 0 wherever this model is used."""

    def __init__(self, inputs, embedding, classes):
        super().__init__()
        self.add_block = nn.Sequential(nn.Linear(inputs, embedding), nn.BatchNorm1d(embedding))
        self.classifier = None if classes is None else nn.Sequential(nn.Linear(embedding, classes))

    def forward(self, x):
        feature = self.add_block(x)
        return feature, feature.new_zeros(len(feature), 0) if self.classifier is None else self.classifier(feature)


VIEWS = ("satellite", "drone", "street", "google")


def views_of(settings):
    """The views of a training, in the order in which they are forwarded."""
    named = [name.strip() for name in settings["data.views"].split(",")]
    return [view for view in VIEWS if view in named]


def trunk_name(settings, view):
    """Satellite and drone share a trunk or have one each; street and google look from the ground and share one."""
    if view in ("street", "google"):
        return "backbone_ground"
    return "backbone" if settings["model.share_views"] else "backbone_" + view


class Model(nn.Module):
    def __init__(self, settings, classes):
        super().__init__()
        self.settings = settings
        for name in dict.fromkeys(trunk_name(settings, view) for view in views_of(settings)):
            trunk = make_trunk(settings)
            setattr(self, name, trunk)
        self.parts = Parts(settings)
        self.gem = None
        if settings["model.pooling"] == "gem" and settings["model.gem_learn"] != "fixed":
            count = {"scalar": 1, "channel": trunk.channels4, "part": len(self.parts.boxes)}[settings["model.gem_learn"]]
            self.gem = GeM(count, settings["model.gem_p"])
        self.heads = [f"classifier{k}" for k in range(len(self.parts.boxes))]
        widths = [trunk.channels4] * len(self.heads)
        if settings["model.global_branch"] != "none":
            self.heads.append("classifier00")
            widths.append(trunk.channels4 + (trunk.channels3 if settings["model.global_branch"] == "layer3+layer4" else 0))
        needs_classes = settings["loss.ce"] > 0 or settings["loss.kl"] > 0
        for name, width in zip(self.heads, widths):
            setattr(self, name, ClassBlock(width, settings["model.embedding"], classes if needs_classes else None))
        self.logit_scale = None
        if settings["loss.info_nce"] > 0 and settings["loss.info_nce_learn"]:
            self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / settings["loss.info_nce_temperature"])]))

    def forward(self, x, view):
        """Images of one view to features [P,N,E] and logits [P,N,K]."""
        layer3, layer4 = getattr(self, trunk_name(self.settings, VIEWS[view]))(x)
        parts = self.parts(layer4, None if self.gem is None else self.gem.p)
        if self.settings["model.part_attention"]:
            parts = parts * parts.softmax(2)
        inputs = list(parts.unbind(2))
        if self.settings["model.global_branch"] != "none":
            top = layer4.amax((2, 3))
            inputs.append(torch.cat([top, layer3.amax((2, 3))], 1) if self.settings["model.global_branch"] == "layer3+layer4" else top)
        outputs = [getattr(self, name)(x) for name, x in zip(self.heads, inputs)]
        return torch.stack([f for f, _ in outputs]), torch.stack([z for _, z in outputs])

    def together(self, images):
        """Each view by itself, so batch norm's statistics are per view; running statistics and rows in the order of views_of, as are the images."""
        outputs = [self(x, VIEWS.index(view)) for x, view in zip(images, views_of(self.settings))]
        return [torch.cat(parts, 1) for parts in zip(*outputs)]


def tensors_of(model):
    """Name -> tensor: parameters and running statistics, as skygem's files name them."""
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


# ---------------------------------------------------------------------------------------------------------------------------------- losses, update


def rows_of(settings, view, count):
    """Which of `count` rows of all views are this one's."""
    views = views_of(settings)
    places = count // len(views)
    return slice(views.index(view) * places, (views.index(view) + 1) * places)


def cross_entropy(settings, logits, labels):
    """logits [P,VN,K], labels [VN] of the rows: mean over a view's images, summed over views, summed (or averaged) over heads."""
    smoothing = settings["loss.label_smoothing"]
    rows = [rows_of(settings, view, len(labels)) for view in views_of(settings)]
    terms = [F.cross_entropy(head[r], labels[r], label_smoothing=smoothing) for head in logits for r in rows]
    return sum(terms) / (logits.shape[0] if settings["loss.reduction"] == "mean" else 1)


def divergence(settings, logits):
    """KL(p||q) between satellite and drone of each place: p the first named view (the target)."""
    temperature, total = settings["loss.kl_temperature"], 0
    satellite, drone = (rows_of(settings, view, logits.shape[1]) for view in ("satellite", "drone"))
    directions = {"drone||satellite": ["d"], "satellite||drone": ["s"], "symmetric": ["d", "s"]}[settings["loss.kl_direction"]]
    for head in logits:
        logs = {"s": F.log_softmax(head[satellite] / temperature, 1), "d": F.log_softmax(head[drone] / temperature, 1)}
        for target in directions:
            p, q = logs[target], logs["s" if target == "d" else "d"]
            if settings["loss.kl_detach"]:
                p = p.detach()
            total = total + temperature**2 * (p.exp() * (p - q)).sum() / len(p)
    return total / (logits.shape[0] if settings["loss.reduction"] == "mean" else 1)


def contrastive(cosines, same, margin):
    """cosines [M,M] between the views, same [M,M] bool: half squared distances of pairs, half squared gaps of others; summed, over M."""
    distance = (2 - 2 * cosines).clamp(min=1e-6).sqrt()
    return torch.where(same, 1 - cosines, (margin - distance).clamp(min=0) ** 2 / 2).sum() / len(cosines)


def triplet(cosines, same, hinge):
    """Anchors are the images of both views: the farthest of its place and the nearest other in the other view."""
    distance = (2 - 2 * cosines).clamp(min=1e-6).sqrt()
    terms = [hinge(d.masked_fill(~s, -1).max(1).values - d.masked_fill(s, 9).min(1).values) for d, s in ((distance, same), (distance.t(), same.t()))]
    return torch.cat(terms).mean()


def info_nce(scaled, same, smoothing):
    """Cross entropy of every row and column of the scaled cosines against the places that match."""
    def one_way(z, same):
        same = same.to(z.dtype)
        target = (1 - smoothing) * same / same.sum(1, keepdim=True) + smoothing / z.shape[1]
        return -(target * z.log_softmax(1)).sum(1).mean()

    return (one_way(scaled, same) + one_way(scaled.t(), same.t())) / 2


PAIR_LOSSES = ("contrastive", "triplet", "soft_margin", "info_nce")


def pair_losses(settings, features, labels, logit_scale):
    """Name -> loss before its weight, of features [P,VN,E]: each head by itself, or the heads' unit features end to end (over sqrt(P))."""
    if not any(settings["loss." + name] > 0 for name in PAIR_LOSSES):
        return {}
    satellite, drone = (rows_of(settings, view, len(labels)) for view in ("satellite", "drone"))
    same = labels[satellite].unsqueeze(1) == labels[drone].unsqueeze(0)
    units = features / features.norm(dim=2, keepdim=True)
    if settings["loss.pair_features"] == "joint":
        units = torch.cat(list(units), 1).unsqueeze(0) / len(features) ** 0.5
    cosines = [unit[satellite] @ unit[drone].t() for unit in units]
    alpha = settings["loss.soft_margin_alpha"]
    scale = 1 / settings["loss.info_nce_temperature"] if logit_scale is None else logit_scale.exp()
    formulas = {
        "contrastive": lambda s: contrastive(s, same, settings["loss.contrastive_margin"]),
        "triplet": lambda s: triplet(s, same, lambda d: (d + settings["loss.triplet_margin"]).clamp(min=0)),
        "soft_margin": lambda s: triplet(s, same, lambda d: F.softplus(alpha * d, threshold=1e9)),
        "info_nce": lambda s: info_nce(s * scale, same, settings["loss.info_nce_smoothing"]),
    }
    divisor = len(cosines) if settings["loss.reduction"] == "mean" else 1
    return {name: sum(formulas[name](s) for s in cosines) / divisor for name in PAIR_LOSSES if settings["loss." + name] > 0}


def losses(settings, model, features, logits, labels):
    """labels [2N] of the rows. The weighted sum, and its terms by name before their weights; a term is absent where its weight is 0 (cross entropy: where the
    divergence's is too)."""
    terms = pair_losses(settings, features, labels, model.logit_scale)
    if settings["loss.ce"] > 0 or settings["loss.kl"] > 0:
        terms["ce"] = cross_entropy(settings, logits, labels)
    if settings["loss.kl"] > 0:
        terms["kl"] = divergence(settings, logits)
    return sum(settings["loss." + name] * term for name, term in terms.items()), terms


class Update:
    """SGD or AdamW by parameter groups, after clipping, and the clamp of the GeM exponents."""

    def __init__(self, settings, model):
        self.settings, self.model = settings, model
        lr = settings["optimizer.lr"]
        trunk = [p for name, p in model.named_parameters() if name.startswith("backbone")]
        heads = [p for name, p in model.named_parameters() if name.startswith("classifier")]
        groups = [{"params": trunk, "lr": single(lr * settings["optimizer.backbone_lr_scale"])}, {"params": heads, "lr": single(lr)}]
        if model.logit_scale is not None:
            groups.append({"params": [model.logit_scale], "lr": single(lr), "weight_decay": 0})
        if model.gem is not None:
            groups.append({"params": [model.gem.p], "lr": single(lr * settings["optimizer.gem_lr_scale"]),
                           "weight_decay": single(settings["optimizer.gem_weight_decay"])})
        decay = single(settings["optimizer.weight_decay"])
        if settings["optimizer.kind"] == "adamw":
            betas = settings["optimizer.beta1"], settings["optimizer.beta2"]
            self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=settings["optimizer.epsilon"], weight_decay=decay)
        else:
            self.optimizer = torch.optim.SGD(groups, lr=lr, momentum=settings["optimizer.momentum"], nesterov=settings["optimizer.nesterov"],
                                             weight_decay=decay)

    def set_rates(self, rates):
        """Learning rates of trunk, heads (and the temperature with them) and GeM exponents, where a schedule changes them."""
        trunk, head, gem = rates
        for group, rate in zip(self.optimizer.param_groups, [trunk, head] + ([] if self.model.logit_scale is None else [head]) + [gem]):
            group["lr"] = rate

    def step(self):
        """Returns the gradient's norm, before clipping."""
        gradients = [p.grad for p in self.model.parameters()]
        norm = torch.stack([g.pow(2).sum() for g in gradients]).sum().sqrt().item()
        if 0 < self.settings["optimizer.clip_norm"] < norm:
            for g in gradients:
                g.mul_(self.settings["optimizer.clip_norm"] / norm)
        self.optimizer.step()
        if self.model.gem is not None:
            self.model.gem.p.data.clamp_(1, 16)
        if self.model.logit_scale is not None:
            self.model.logit_scale.data.clamp_(0, math.log(100))
        return norm

    def state(self):
        """"momentum" and, of AdamW, "squares" -> name -> tensor."""
        names = {"momentum": "exp_avg", "squares": "exp_avg_sq"} if self.settings["optimizer.kind"] == "adamw" else {"momentum": "momentum_buffer"}
        return {ours: {name: self.optimizer.state[p][theirs] for name, p in self.model.named_parameters()} for ours, theirs in names.items()}
