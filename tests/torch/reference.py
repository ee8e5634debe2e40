"""Pro-AD written a second time, in plain PyTorch, to compare the C++ network with.

Written from the equations alone: nothing is fused, folded or cached. A network is a flat dict of float32
tensors: the encoder under the names of the official DINOv2 checkpoints, the trainable part under the names
of a checkpoint's model.safetensors.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F

Weights = dict[str, torch.Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAP_SIDE = 256
TOP_PIXELS = int(0.01 * MAP_SIDE * MAP_SIDE)


@dataclasses.dataclass(frozen=True)
class Config:
    """The same facts as ModelConfig in model/spec/config.h."""

    preset: str = "proad-base"
    width: int = 768
    heads: int = 12
    blocks: int = 10
    patch: int = 14
    registers: int = 4
    position_grid: int = 37
    position_resize: str = "official"
    taps: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8, 9)
    decoder_layers: int = 8
    groups: int = 2
    height: int = 392
    width_px: int = 392
    adaptive_noisy_bottleneck: bool = True
    dynamic_decoder: bool = True
    prototype_constraint: bool = True

    @property
    def grid(self) -> tuple[int, int]:
        return self.height // self.patch, self.width_px // self.patch

    @property
    def prefix(self) -> int:
        return 1 + self.registers

    @property
    def tokens(self) -> int:
        return self.prefix + self.grid[0] * self.grid[1]


PRESETS = {
    "proad-tiny": Config(preset="proad-tiny", width=192, heads=3, position_grid=28, decoder_layers=4,
                         height=280, width_px=280),
    "proad-small": Config(preset="proad-small", width=384, heads=6),
    "proad-base": Config(preset="proad-base"),
    "proad-large": Config(preset="proad-large", width=1024, heads=16, blocks=19,
                          taps=(4, 6, 8, 10, 12, 14, 16, 18)),
}


# ------------------------------------------------------------------------------------------- encoder


def linear(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(weights: Weights, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def positions(weights: Weights, config: Config) -> tuple[torch.Tensor, torch.Tensor]:
    """The class slot's position [1, 1, C] and the grid's positions [1, h * w, C]."""
    stored = weights["pos_embed"].float()
    class_slot, grid = stored[:, :1], stored[:, 1:]
    side, (height, width) = config.position_grid, config.grid
    if height == side and width == side:
        return class_slot, grid
    grid = grid.reshape(1, side, side, config.width).permute(0, 3, 1, 2)
    if config.position_resize == "official":
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", antialias=True)
    elif config.position_resize == "lineage":
        factors = (float(height + 0.1) / side, float(width + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=factors, mode="bicubic", antialias=False)
    else:
        raise ValueError(f"position_resize is '{config.position_resize}'")
    assert grid.shape[-2:] == (height, width)
    return class_slot, grid.permute(0, 2, 3, 1).reshape(1, height * width, config.width)


def self_attention(weights: Weights, name: str, x: torch.Tensor, heads: int) -> torch.Tensor:
    batch, tokens, width = x.shape
    qkv = linear(weights, f"{name}.qkv", x).reshape(batch, tokens, 3, heads, width // heads)
    q, k, v = (qkv[:, :, i].transpose(1, 2) for i in range(3))
    attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(width // heads), dim=-1)
    return linear(weights, f"{name}.proj", (attention @ v).transpose(1, 2).reshape(batch, tokens, width))


def encode(weights: Weights, config: Config, pixels: torch.Tensor) -> list[torch.Tensor]:
    """The taps of a normalised batch [B, 3, H, W]: each [B, N, C]."""
    batch = pixels.shape[0]
    patches = F.conv2d(pixels, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"],
                       stride=config.patch).flatten(2).transpose(1, 2)
    class_position, grid_positions = positions(weights, config)
    cls = (weights["cls_token"] + class_position).expand(batch, -1, -1)
    registers = weights["register_tokens"].expand(batch, -1, -1)
    x = torch.cat((cls, registers, patches + grid_positions), dim=1)
    outputs = []
    for i in range(config.blocks):
        block = f"blocks.{i}"
        attended = self_attention(weights, f"{block}.attn",
                                  layer_norm(weights, f"{block}.norm1", x, 1e-6), config.heads)
        x = x + weights[f"{block}.ls1.gamma"] * attended
        hidden = gelu(linear(weights, f"{block}.mlp.fc1", layer_norm(weights, f"{block}.norm2", x, 1e-6)))
        x = x + weights[f"{block}.ls2.gamma"] * linear(weights, f"{block}.mlp.fc2", hidden)
        outputs.append(x)
    return [outputs[tap] for tap in config.taps]


# ------------------------------------------------------------------------------- bottleneck and decoder


def bottleneck(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """Eq. 1 and 2 at inference, where dropout does nothing."""
    return linear(weights, "bottleneck.fc2", gelu(linear(weights, "bottleneck.fc1", x)))


def linear_cross_attention(weights: Weights, name: str, a: torch.Tensor, b: torch.Tensor,
                           heads: int) -> torch.Tensor:
    """LCA(a, b), written over all pairs (i, j) instead of through S, so that the order of the sums differs."""

    def split(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:-1], heads, -1).transpose(-2, -3)

    q = F.elu(split(linear(weights, f"{name}.q", a))) + 1
    k = F.elu(split(linear(weights, f"{name}.k", b))) + 1
    v = split(linear(weights, f"{name}.v", b))
    pairs = q @ k.transpose(-1, -2)
    mixed = (pairs @ v) / (pairs.sum(-1, keepdim=True) + 1e-6)
    return linear(weights, f"{name}.proj", mixed.transpose(-2, -3).flatten(-2))


def decode(weights: Weights, config: Config, fused: torch.Tensor) -> list[torch.Tensor]:
    """The decoder's outputs f_0 .. f_{L-1}, each [B, N, C], from F = mean of the taps."""
    p = weights["prototypes"].unsqueeze(0).expand(fused.shape[0], -1, -1)
    q = fused
    if config.adaptive_noisy_bottleneck:
        p, q = bottleneck(weights, p), bottleneck(weights, q)
    outputs = []
    for layer in range(config.decoder_layers):
        name = f"decoder.{layer}"

        def norm1(x: torch.Tensor) -> torch.Tensor:
            return layer_norm(weights, f"{name}.norm1", x, 1e-8)

        def ffn(x: torch.Tensor) -> torch.Tensor:
            x = layer_norm(weights, f"{name}.norm2", x, 1e-8)
            return linear(weights, f"{name}.ffn.fc2", gelu(linear(weights, f"{name}.ffn.fc1", x)))

        def attend(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return linear_cross_attention(weights, f"{name}.attn", norm1(a), norm1(b), config.heads)

        if config.dynamic_decoder:
            gathered = p + attend(p, q)
            p = gathered + ffn(gathered)
        rebuilt = q + attend(q, p)
        q = rebuilt + ffn(p if config.prototype_constraint else rebuilt)
        outputs.append(q)
    return outputs


def group_means(tensors: list[torch.Tensor], config: Config) -> list[torch.Tensor]:
    """Means of `groups` equal consecutive runs, without the prefix tokens: each [B, C, h, w]."""
    size = len(tensors) // config.groups
    assert size * config.groups == len(tensors)
    height, width = config.grid
    means = []
    for g in range(config.groups):
        mean = torch.stack(tensors[g * size:(g + 1) * size]).mean(0)
        means.append(mean[:, config.prefix:].transpose(1, 2).reshape(-1, config.width, height, width))
    return means


@dataclasses.dataclass
class Output:
    taps: list[torch.Tensor]
    encoder_groups: list[torch.Tensor]  # [B, C, h, w]
    decoder_groups: list[torch.Tensor]  # [B, C, h, w]
    map: torch.Tensor  # [B, 256, 256]
    score: torch.Tensor  # [B]


def forward(weights: Weights, config: Config, pixels: torch.Tensor) -> Output:
    taps = encode(weights, config, pixels)
    decoded = decode(weights, config, torch.stack(taps).mean(0))
    encoder_groups = group_means(taps, config)
    decoder_groups = group_means(decoded[::-1], config)
    anomaly = anomaly_map(encoder_groups, decoder_groups, config)
    return Output(taps, encoder_groups, decoder_groups, anomaly, image_score(anomaly))


# -------------------------------------------------------------------------------------- map and score


def cosine_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """1 - cos over the channels: [B, C, h, w] twice -> [B, h, w]."""
    norms = a.norm(dim=1).clamp_min(1e-8) * b.norm(dim=1).clamp_min(1e-8)
    return 1 - (a * b).sum(1) / norms


def gaussian_kernel(side: int = 5, sigma: float = 4.0) -> torch.Tensor:
    offsets = torch.arange(side) - (side - 1) / 2
    weight = torch.exp(-offsets**2 / (2 * sigma**2))
    kernel = weight[:, None] * weight[None, :]
    return kernel / kernel.sum()


def anomaly_map(encoder_groups: list[torch.Tensor], decoder_groups: list[torch.Tensor],
                config: Config) -> torch.Tensor:
    size = (config.height, config.width_px)
    maps = [F.interpolate(cosine_distance(e, d)[:, None], size=size, mode="bilinear", align_corners=True)
            for e, d in zip(encoder_groups, decoder_groups, strict=True)]
    mean = torch.stack(maps).mean(0)
    mean = F.interpolate(mean, size=(MAP_SIDE, MAP_SIDE), mode="bilinear", align_corners=False)
    return F.conv2d(mean, gaussian_kernel()[None, None], padding=2)[:, 0]


def image_score(anomaly: torch.Tensor) -> torch.Tensor:
    return anomaly.flatten(1).topk(TOP_PIXELS, dim=1).values.mean(1)


# ------------------------------------------------------------------------------------------- training


def loss(encoder_groups: list[torch.Tensor], decoder_groups: list[torch.Tensor], tau: float) -> torch.Tensor:
    """Eq. 11, with eq. 10 as a hook that changes the gradient on its way to the decoder's maps."""
    total = torch.zeros(())
    for target, rebuilt in zip(encoder_groups, decoder_groups, strict=True):
        target = target.detach()
        distance = cosine_distance(target, rebuilt.detach())
        factor = ((distance / distance.mean()) ** tau).unsqueeze(1)
        rebuilt.register_hook(lambda gradient, factor=factor: gradient * factor)
        for one_target, one_rebuilt in zip(target, rebuilt, strict=True):
            a, b = one_target.reshape(-1), one_rebuilt.reshape(-1)
            cosine = (a @ b) / (a.norm().clamp_min(1e-8) * b.norm().clamp_min(1e-8))
            total = total + (1 - cosine) / (len(encoder_groups) * len(target))
    return total


class StableAdamW:
    """The update rule of the lineage's optimiser, tensor by tensor, with amsgrad."""

    def __init__(self, parameters: Weights, weight_decay: float, clip: float = 1.0) -> None:
        self.parameters = parameters
        self.weight_decay = weight_decay
        self.clip = clip
        self.t = 0
        self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p), torch.zeros_like(p))
                        for name, p in parameters.items()}

    @torch.no_grad()
    def step(self, gradients: Weights, lr: float) -> None:
        beta1, beta2, eps = 0.9, 0.999, 1e-10
        self.t += 1
        for name, p in self.parameters.items():
            g = gradients[name]
            mean, square, largest = self.moments[name]
            mean = beta1 * mean + (1 - beta1) * g
            square = beta2 * square + (1 - beta2) * g * g
            largest = torch.maximum(largest, square)
            self.moments[name] = mean, square, largest
            d = largest.sqrt() / math.sqrt(1 - beta2**self.t) + eps
            rms = ((g / d) ** 2).mean().sqrt().item()
            scale = max(1.0, rms / self.clip)
            decayed = p * (1 - lr * self.weight_decay)
            p.copy_(decayed - lr / (1 - beta1**self.t) / scale * mean / d)


def clip_gradients(gradients: Weights, max_norm: float) -> tuple[Weights, float]:
    """The gradients with a joint norm of max_norm at most, and the norm before."""
    norm = math.sqrt(sum((g.double() ** 2).sum().item() for g in gradients.values()))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return {name: g * factor for name, g in gradients.items()}, norm


def learning_rates(base: float, final: float, warmup: int, total: int) -> list[float]:
    rise = [base * i / (warmup - 1) if warmup > 1 else 0.0 for i in range(warmup)]
    count = total - warmup
    fall = [final + 0.5 * (base - final) * (1 + math.cos(math.pi * i / count)) for i in range(count)]
    return rise + fall


@dataclasses.dataclass
class TrainingRun:
    losses: list[float]
    norms: list[float]  # of all gradients, before they are clipped
    gradients: Weights  # of the first step, before they are clipped
    weights: Weights  # after the last step


def train(encoder: Weights, trainable: Weights, config: Config, batches: torch.Tensor, rates: list[float],
          weight_decay: float, tau: float, max_norm: float) -> TrainingRun:
    """A step for every batch of [S, B, 3, H, W], without dropout, in the precision of the weights."""
    weights = {name: tensor.clone().requires_grad_() for name, tensor in trainable.items()}
    optimizer = StableAdamW(weights, weight_decay)
    run = TrainingRun([], [], {}, {})
    for batch, rate in zip(batches, rates, strict=True):
        with torch.no_grad():
            taps = encode(encoder, config, batch)
        decoded = decode(weights, config, torch.stack(taps).mean(0))
        value = loss(group_means(taps, config), group_means(decoded[::-1], config), tau)
        gradients = dict(zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True))
        run.gradients = run.gradients or gradients
        clipped, norm = clip_gradients(gradients, max_norm)
        optimizer.step(clipped, rate)
        run.losses.append(value.item())
        run.norms.append(norm)
    run.weights = {name: tensor.detach() for name, tensor in weights.items()}
    return run


# ------------------------------------------------------------------------------------- random weights


def normalise(rgb: torch.Tensor) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> normalised float [B, 3, H, W]."""
    x = rgb.permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)


def random_encoder(config: Config, generator: torch.Generator, depth: int | None = None) -> Weights:
    """An official state dict in which no tensor is trivial, so that a dropped or swapped one shows."""

    def normal(*shape: int, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
        return mean + std * torch.randn(*shape, generator=generator)

    c, hidden = config.width, 4 * config.width
    weights = {
        "cls_token": normal(1, 1, c, std=0.5),
        "pos_embed": normal(1, 1 + config.position_grid**2, c, std=0.3),
        "register_tokens": normal(1, config.registers, c, std=0.5),
        "mask_token": normal(1, c, std=0.1),
        "patch_embed.proj.weight": normal(c, 3, config.patch, config.patch, std=0.04),
        "patch_embed.proj.bias": normal(c, std=0.1),
        "norm.weight": normal(c, std=0.1, mean=1.0),
        "norm.bias": normal(c, std=0.1),
    }
    for i in range(depth or config.blocks):
        block = f"blocks.{i}"
        for name in ("norm1", "norm2"):
            weights[f"{block}.{name}.weight"] = normal(c, std=0.1, mean=1.0)
            weights[f"{block}.{name}.bias"] = normal(c, std=0.1)
        for name, rows, columns in (("attn.qkv", 3 * c, c), ("attn.proj", c, c),
                                    ("mlp.fc1", hidden, c), ("mlp.fc2", c, hidden)):
            weights[f"{block}.{name}.weight"] = normal(rows, columns, std=1 / math.sqrt(columns))
            weights[f"{block}.{name}.bias"] = normal(rows, std=0.1)
        weights[f"{block}.ls1.gamma"] = normal(c, std=0.1, mean=0.3)
        weights[f"{block}.ls2.gamma"] = normal(c, std=0.1, mean=0.3)
    return weights


def random_trainable(config: Config, generator: torch.Generator) -> Weights:
    def normal(*shape: int, std: float = 1.0, mean: float = 0.0) -> torch.Tensor:
        return mean + std * torch.randn(*shape, generator=generator)

    c, hidden = config.width, 4 * config.width
    weights = {"prototypes": normal(config.tokens, c)}

    def add_linear(name: str, rows: int, columns: int) -> None:
        weights[f"{name}.weight"] = normal(rows, columns, std=1 / math.sqrt(columns))
        weights[f"{name}.bias"] = normal(rows, std=0.1)

    if config.adaptive_noisy_bottleneck:
        add_linear("bottleneck.fc1", hidden, c)
        add_linear("bottleneck.fc2", c, hidden)
    for i in range(config.decoder_layers):
        for name in ("norm1", "norm2"):
            weights[f"decoder.{i}.{name}.weight"] = normal(c, std=0.1, mean=1.0)
            weights[f"decoder.{i}.{name}.bias"] = normal(c, std=0.1)
        for name in "q", "k", "v", "proj":
            add_linear(f"decoder.{i}.attn.{name}", c, c)
        add_linear(f"decoder.{i}.ffn.fc1", hidden, c)
        add_linear(f"decoder.{i}.ffn.fc2", c, hidden)
    return weights
