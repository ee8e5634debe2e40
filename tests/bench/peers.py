#!/usr/bin/env python3
"""Times this project's inference against PyTorch and OpenVINO.

    tests/bench/peers.py [--presets tiny,base] [--batch 1] [--threads 2] [--rounds 11] [--json FILE]

Each preset gets random weights, the same for all peers. Every round runs every peer once, one after the other, so that
other load on the machine affects all of them; the table shows medians of wall clock and of CPU time (summed over
threads). A run goes from uint8 pixels in memory to the image's score: normalisation, network, map and score.

Peers:
    ours      FrozenProAd, through the program forward_bench
    eager     PyTorch eager: fused attention, linear-order LCA, positions interpolated once
    openvino  the same module, converted; float32, one stream

Exits 1 when the peers' scores differ by more than 1e-4 relative.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from environment import BUILD, program  # first: it selects the Python

# LibTorch's OpenMP reads it when it is loaded: waiting threads spin as briefly as the server's. forward_bench inherits it.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import reference  # noqa: E402

Peer = Callable[[], tuple[float, float, list[float]]]  # -> milliseconds, CPU milliseconds, scores
TOLERANCE = 1e-4


class Eager(torch.nn.Module):
    """Pro-AD in PyTorch. Weights are buffers under the checkpoint's names."""

    class_position: torch.Tensor
    grid_positions: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    gaussian: torch.Tensor

    def __init__(self, config: reference.Config, weights: reference.Weights) -> None:
        super().__init__()
        self.config = config
        for name, tensor in weights.items():
            self.register_buffer(name.replace(".", "/"), tensor)
        class_position, grid = reference.positions(weights, config)
        self.register_buffer("class_position", class_position)
        self.register_buffer("grid_positions", grid.contiguous())
        self.register_buffer("mean", torch.tensor(reference.IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(reference.IMAGENET_STD).view(1, 3, 1, 1))
        self.register_buffer("gaussian", reference.gaussian_kernel()[None, None])

    def weight(self, name: str) -> torch.Tensor:
        return getattr(self, name.replace(".", "/"))

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

    def norm(self, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), eps)

    def ffn(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.linear(f"{name}.fc2", F.gelu(self.linear(f"{name}.fc1", x)))

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.config.heads, -1)).transpose(-2, -3)

    def block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.linear(f"{name}.attn.qkv", self.norm(f"{name}.norm1", x, 1e-6)).chunk(3, dim=-1)
        mixed = F.scaled_dot_product_attention(self.heads(q), self.heads(k), self.heads(v))
        x = x + self.weight(f"{name}.ls1.gamma") * self.linear(f"{name}.attn.proj",
                                                                mixed.transpose(1, 2).flatten(2))
        return x + self.weight(f"{name}.ls2.gamma") * self.ffn(f"{name}.mlp", self.norm(f"{name}.norm2", x, 1e-6))

    def attend(self, name: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        q = F.elu(self.heads(self.linear(f"{name}.attn.q", a))) + 1
        k = F.elu(self.heads(self.linear(f"{name}.attn.k", b))) + 1
        v = self.heads(self.linear(f"{name}.attn.v", b))
        mixed = q @ (k.transpose(-2, -1) @ v) / (q @ k.sum(-2).unsqueeze(-1) + 1e-6)
        return self.linear(f"{name}.attn.proj", mixed.transpose(-2, -3).flatten(-2))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        config = self.config
        batch = pixels.shape[0]
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255 - self.mean) / self.std
        x = F.conv2d(x, self.weight("patch_embed.proj.weight"), self.weight("patch_embed.proj.bias"),
                     stride=config.patch).flatten(2).transpose(1, 2) + self.grid_positions
        first = (self.weight("cls_token") + self.class_position).expand(batch, -1, -1)
        x = torch.cat((first, self.weight("register_tokens").expand(batch, -1, -1), x), dim=1)
        taps = []
        for i in range(config.blocks):
            x = self.block(f"blocks.{i}", x)
            if i in config.taps:
                taps.append(x)
        q = self.ffn("bottleneck", torch.stack(taps).mean(0))
        p = self.ffn("bottleneck", self.weight("prototypes").unsqueeze(0)).expand(batch, -1, -1)
        outputs: list[torch.Tensor] = []
        for layer in range(config.decoder_layers):
            name = f"decoder.{layer}"
            image = self.norm(f"{name}.norm1", q, 1e-8)
            p = p + self.attend(name, self.norm(f"{name}.norm1", p, 1e-8), image)
            p = p + self.ffn(f"{name}.ffn", self.norm(f"{name}.norm2", p, 1e-8))
            q = q + self.attend(name, image, self.norm(f"{name}.norm1", p, 1e-8))
            q = q + self.ffn(f"{name}.ffn", self.norm(f"{name}.norm2", p, 1e-8))
            outputs.insert(0, q)
        return self.score(taps, outputs)

    def score(self, taps: list[torch.Tensor], outputs: list[torch.Tensor]) -> torch.Tensor:
        config = self.config
        size = (config.height, config.width_px)
        total = None
        for g in range(config.groups):
            e, d = (torch.stack(side[g * len(side) // config.groups:(g + 1) * len(side) // config.groups])
                    .mean(0)[:, config.prefix:] for side in (taps, outputs))
            distance = 1 - (e * d).sum(2) / (e.norm(dim=2) * d.norm(dim=2)).clamp_min(1e-8)
            distance = F.interpolate(distance.unflatten(1, config.grid)[:, None], size=size, mode="bilinear",
                                     align_corners=True)
            total = distance if total is None else total + distance
        anomaly = F.interpolate(total / config.groups, size=(256, 256), mode="bilinear", align_corners=False)
        anomaly = F.conv2d(anomaly, self.gaussian, padding=2)
        return anomaly.flatten(1).topk(reference.TOP_PIXELS, dim=1)[0].mean(1)


def timed(run: Callable[[], list[float]]) -> Peer:
    def peer() -> tuple[float, float, list[float]]:
        start, cpu_start = time.perf_counter(), time.process_time()
        scores = run()
        return (time.perf_counter() - start) * 1e3, (time.process_time() - cpu_start) * 1e3, scores

    return peer


def eager_peer(module: Eager, pixels: torch.Tensor) -> Peer:
    def run() -> list[float]:
        with torch.inference_mode():
            return module(pixels).tolist()

    return timed(run)


def openvino_peer(module: Eager, pixels: torch.Tensor, threads: int) -> Peer:
    import openvino

    converted = openvino.convert_model(module, example_input=pixels, input=[(list(pixels.shape), openvino.Type.u8)])
    compiled = openvino.Core().compile_model(converted, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    array = pixels.numpy()
    return timed(lambda: request.infer([array])[0].tolist())


class OurPeer:
    """The program forward_bench: one line of input runs the network once, one line of output has times and scores."""

    def __init__(self, executable: pathlib.Path, preset: str, folder: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [executable, preset, f"{folder}/encoder.safetensors", f"{folder}/weights.safetensors",
             f"{folder}/pixels.safetensors", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)})
        if self.answer() != ["ready"]:
            raise SystemExit("forward_bench did not start")

    def answer(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def __call__(self) -> tuple[float, float, list[float]]:
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        milliseconds, cpu, *scores = (float(word) for word in self.answer())
        return milliseconds, cpu, scores

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(preset: str, args: argparse.Namespace) -> list[dict[str, object]]:
    config = reference.PRESETS[preset]
    generator = torch.Generator().manual_seed(1)
    encoder = reference.random_encoder(config, generator)
    trainable = reference.random_trainable(config, generator)
    pixels = torch.randint(0, 256, (args.batch, config.height, config.width_px, 3), dtype=torch.uint8,
                           generator=generator)
    with tempfile.TemporaryDirectory() as folder:
        save_file(encoder, f"{folder}/encoder.safetensors")
        save_file(trainable, f"{folder}/weights.safetensors")
        save_file({"pixels": pixels}, f"{folder}/pixels.safetensors")
        ours = OurPeer(program("forward_bench", args.build), preset, folder, args.threads)
    module = Eager(config, encoder | trainable).eval()
    peers: dict[str, Peer] = {"ours": ours, "eager": eager_peer(module, pixels)}
    if not args.no_openvino:
        peers["openvino"] = openvino_peer(module, pixels, args.threads)

    times: dict[str, list[float]] = {name: [] for name in peers}
    cpu_times: dict[str, list[float]] = {name: [] for name in peers}
    scores: dict[str, list[float]] = {}
    for round_ in range(args.rounds + 1):
        for name, peer in peers.items():
            peer()  # not counted: the CPU caches still hold the previous peer's data
            milliseconds, cpu, scores[name] = peer()
            if round_ > 0:
                times[name].append(milliseconds / args.batch)
                cpu_times[name].append(cpu / args.batch)
    ours.close()

    eager = statistics.median(times["eager"])
    rows: list[dict[str, object]] = []
    for name, values in times.items():
        error = max(abs(a - b) / abs(b) for a, b in zip(scores[name], scores["eager"], strict=True))
        median = statistics.median(values)
        rows.append({"preset": preset, "peer": name, "batch": args.batch, "threads": args.threads,
                     "median_ms": median, "min_ms": min(values), "max_ms": max(values),
                     "median_cpu_ms": statistics.median(cpu_times[name]), "speed_of_eager": eager / median, "score_relative_error": error})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="tiny,base")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--no-openvino", action="store_true")
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    program("forward_bench", args.build)

    rows = []
    print(f"{'preset':12} {'peer':9} {'ms/image':>9} {'fastest':>9} {'cpu ms':>9} {'x eager':>8} {'score error':>12}")
    for preset in args.presets.split(","):
        for row in measure(f"proad-{preset}", args):
            rows.append(row)
            print(f"{row['preset']:12} {row['peer']:9} {row['median_ms']:9.1f} {row['min_ms']:9.1f} {row['median_cpu_ms']:9.1f} "
                  f"{row['speed_of_eager']:8.2f} {row['score_relative_error']:12.1e}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"torch": torch.__version__, "cpu": torch.backends.cpu.get_cpu_capability(),
                                         "rows": rows}, indent=2) + "\n")
    wrong = [row for row in rows if float(str(row["score_relative_error"])) > TOLERANCE]
    for row in wrong:
        print(f"{row['preset']} {row['peer']}: the score is off by {row['score_relative_error']}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
