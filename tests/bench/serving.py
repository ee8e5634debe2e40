#!/usr/bin/env python3
"""The server under load: what it adds to gRPC, at saturation, beyond it, and while versions are swapped.

    tests/bench/serving.py [--seconds 3] [--swaps 1000] [--cycles 200] [--only PART ...] [--json FILE]

Everything runs on this machine over the loopback device. The load generator stands for other machines; as root it runs
at niceness -10, before the server. The server has the default configuration where a part says nothing else. Parts:

    overhead    Detect of a 64 x 64 frame with a model that costs nothing, against an empty gRPC service
    saturation  proad-tiny with more and more clients, against the same network in a loop without a server
    overload    twice and ten times the rate of saturation, each call with a deadline of one second
    stampede    a period in which every deadline is shorter than the time of one image, and the period after it
    swaps       Detect while two versions alternate, against the same without swaps
    memory      versions loaded and unloaded repeatedly
    hostile     dropped and silent connections and invalid bytes, beside a regular client

Prints a table in Markdown, and the values as JSON. A value that misses its target is marked "no"; the exit code is 0 all
the same, since other load on the machine changes the values.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from environment import BUILD, ROOT, program  # first: it selects the Python

os.environ.setdefault("PROAD_SOURCE_DIR", str(ROOT))
os.environ.setdefault("PROAD_BINARY_DIR", str(BUILD))
from memory import Peak, resident  # noqa: E402
from real_server import MODEL, PROAD, SAMPLE, SOURCE, RealServer, run  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc  # noqa: E402

import grpc  # noqa: E402
import numpy  # noqa: E402
import safetensors.numpy  # noqa: E402
from attack import Attack  # noqa: E402

Report = dict[str, Any]

MIB = 1 << 20

CONFIG = "log:\n  level: warning\nshutdown:\n  lame_duck: 0s\ntraining:\n  enabled: false\n"


def rows(address: str, *arguments: Any) -> list[Report]:
    """What `proad ... --json` prints as a client that goes before the server."""
    command = ("nice", "-n", "-10", PROAD, *arguments, "--server", address, "--json")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, cwd=SOURCE)
    assert done.returncode in (0, 1), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def bench(address: str, *arguments: Any) -> Report:
    return rows(address, "bench", *arguments)[-1]


def detect(address: str) -> list[Report]:
    """Inspects every image of the sample, one after the other, with `proad detect`, which retries calls."""
    return [row for row in rows(address, "detect", SAMPLE, "--concurrency", 1) if "file" in row]


def median_milliseconds(answers: list[Report]) -> float:
    return statistics.median(answer["milliseconds"] for answer in answers)


def metric(server: RealServer, name: str) -> float:
    """The sum over its labels."""
    host, port = server.metrics_address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rows: list[tuple[str, str, str, str]] = []
        self.values: dict[str, Any] = {}
        self._capacity: float | None = None

    def say(self, part: str, what: str, measured: float, text: str, wanted: str, holds: bool | None = None) -> None:
        mark = "" if holds is None else ("yes" if holds else "**no**")
        self.rows.append((f"{part}: {what}", text, wanted, mark))
        self.values[f"{part}.{what}"] = measured
        print(f"{part:11s} {what:52s} {text:>18s}  {wanted:24s} {mark}", file=sys.stderr, flush=True)

    # ---- parts

    def overhead(self) -> None:
        with overhead_server() as (server, echo):
            frame = ("--frame", 64, "--duration", f"{self.options.seconds}s", "--warmup", "500ms")
            one: dict[str, list[Report]] = {server: [], echo: []}
            many: dict[str, list[Report]] = {server: [], echo: []}
            for _ in range(3):  # side by side, so that a busy machine is busy for both
                for address in (server, echo):
                    one[address].append(bench(address, *frame, "--clients", 1))
                    many[address].append(bench(address, *frame, "--clients", 64))
        for percentile in ("p50", "p99"):
            added = 1000 * (min(r["latency_ms"][percentile] for r in one[server]) -
                            min(r["latency_ms"][percentile] for r in one[echo]))
            limit = 150 if percentile == "p50" else None
            self.say("overhead", f"added at {percentile}, one client", added, f"{added:.0f} us",
                     f"at most {limit} us" if limit else "", added <= limit if limit else None)
        rates = [statistics.median(r["images_per_second"] for r in many[address]) for address in (server, echo)]
        share = rates[0] / rates[1]
        self.say("overhead", "throughput beside the empty service's, 64 clients", share,
                 f"{100 * share:.0f} % of {rates[1]:.0f}/s", "at least 60 %", share >= 0.6)

    def capacity(self, server: RealServer) -> float:
        """Images a second at saturation."""
        if self._capacity is None:
            self._capacity = bench(server.address, SAMPLE, "--clients", 16, "--duration",
                                   f"{2 * self.options.seconds}s")["images_per_second"]
        return self._capacity

    def saturation(self) -> None:
        rates: dict[int, float] = {}
        alone: list[float] = []
        beside: list[float] = []
        with RealServer(CONFIG) as server:
            for clients in (1, 4, 16, 64):
                # So many clients wait for seconds: a round before what counts, and three that count.
                round_ = clients / rates.get(1, clients)
                report = bench(server.address, SAMPLE, "--clients", clients, "--warmup", f"{max(1.0, round_):.1f}s",
                               "--duration", f"{max(self.options.seconds, 3 * round_):.1f}s")
                latency = report["latency_ms"]
                rates[clients] = report["images_per_second"]
                self.say("saturation", f"{clients} clients", rates[clients], f"{rates[clients]:.1f}/s",
                         f"p50 {latency['p50']:.0f}, p99 {latency['p99']:.0f} ms", None)
            for _ in range(4):  # in turns, so that a busy machine is busy for both
                alone.append(in_process_rate(self.options.seconds))
                beside.append(bench(server.address, SAMPLE, "--clients", 16, "--duration",
                                    f"{2 * self.options.seconds}s")["images_per_second"])
        self.say("saturation", "the network alone, batches of 4, in a loop", statistics.mean(alone),
                 f"{statistics.mean(alone):.1f}/s", "", None)
        share = statistics.mean(beside) / statistics.mean(alone)
        self.say("saturation", "the rate for 16 clients in turn with that", share, f"{100 * share:.0f} %",
                 "at least 95 %", share >= 0.95)

    def overload(self) -> None:
        with RealServer(CONFIG) as server:
            capacity = self.capacity(server)
            with Peak(server.process.pid) as calm:
                bench(server.address, SAMPLE, "--rate", 0.8 * capacity, "--duration", f"{self.options.seconds}s",
                      "--deadline", "1s")
            for factor in (2, 10):
                saturated: list[Report] = []
                beyond: list[Report] = []
                with Peak(server.process.pid) as peak:
                    for _ in range(6):  # in turns: a machine that others use, too, is not always as fast
                        saturated.append(bench(server.address, SAMPLE, "--clients", 16, "--duration",
                                               f"{1.5 * self.options.seconds}s"))
                        beyond.append(bench(server.address, SAMPLE, "--rate",
                                            factor * saturated[-1]["images_per_second"], "--duration",
                                            f"{1.5 * self.options.seconds}s", "--warmup", "2s", "--deadline", "1s"))
                self.say_overload(factor, saturated, beyond, peak.bytes / calm.bytes - 1)

    def say_overload(self, factor: int, saturated: list[Report], beyond: list[Report], growth: float) -> None:
        answered, at_best = (sum(report["images_per_second"] for report in reports) for reports in (beyond, saturated))
        goodput = answered / at_best
        self.say("overload", f"{factor}x: good answers a second, of those at saturation", goodput,
                 f"{100 * goodput:.0f} %", "at least 90 %", goodput >= 0.9)
        late = sum(count for report in beyond for name, count in report["errors"].items()
                   if "DEADLINE_EXCEEDED" in name)
        accepted = sum(report["ok"] for report in beyond) + late
        self.say("overload", f"{factor}x: accepted and not answered in time", late / accepted,
                 f"{late} of {accepted}", "none", late == 0)
        refusals = [report["error_latency_ms"] or {"p50": 0, "p99": 0} for report in beyond]
        median, slow = (statistics.median(each[percentile] for each in refusals) for percentile in ("p50", "p99"))
        self.say("overload", f"{factor}x: time to refuse, p50 and p99", slow, f"{median:.1f}, {slow:.1f} ms",
                 "p99 within 5 ms", slow <= 5)
        self.say("overload", f"{factor}x: resident memory beside that below saturation", growth,
                 f"{100 * growth:+.0f} %", "within 10 %", growth <= 0.1)

    def stampede(self) -> None:
        with RealServer(CONFIG) as server:
            capacity = self.capacity(server)
            bench(server.address, SAMPLE, "--rate", 2 * capacity, "--duration", f"{4 * self.options.seconds}s",
                  "--deadline", "5ms")
            after = bench(server.address, SAMPLE, "--rate", 0.5 * capacity, "--duration", f"{self.options.seconds}s",
                          "--warmup", "500ms", "--deadline", "2s")
            self.say("stampede", "answered half a second after it", after["ok"] / after["sent"],
                     f"{after['ok']} of {after['sent']}", "all", after["ok"] == after["sent"])

    def swaps(self) -> None:
        with RealServer(CONFIG) as server:
            self.second_version(server)
            models = model_pb2_grpc.ModelServiceStub(grpc.insecure_channel(server.address))
            seconds = 6 * self.options.seconds
            with Scores(server.address) as scores:
                # The same work beside: what is compared is the swap, and not the load of a version.
                calm = bench(server.address, SAMPLE, "--clients", 1, "--duration", f"{seconds}s")
                swapper = Swapper(models, self.options.swaps, seconds)
                swapper.start()
                beside = bench(server.address, SAMPLE, "--clients", 1, "--warmup", "1ms", "--duration", f"{seconds}s")
                swapper.join()
            counted = metric(server, "proad_model_swaps_total")
        failed = calm["sent"] - calm["ok"] + beside["sent"] - beside["ok"] + len(swapper.failures) + scores.failed
        self.say("swaps", f"{self.options.swaps} swaps in {swapper.took:.0f} s: failed calls", failed, f"{failed}",
                 "none", failed == 0)
        self.say("swaps", "swaps that the metrics count", counted, f"{counted:.0f}", f"{self.options.swaps}",
                 counted == self.options.swaps)
        by = beside["versions"]
        self.say("swaps", "versions that answered", len(by), ", ".join(f"{v}: {n}" for v, n in sorted(by.items())),
                 "both", len(by) == 2)
        wrong = sum(len(found) - 1 for found in scores.by_version.values())
        self.say("swaps", "scores that are not those of the version that the answer names", wrong,
                 f"{wrong} of {scores.answers}", "none", wrong == 0 and len(scores.by_version) == 2)
        for name in ("p50", "p99.9"):
            ratio = beside["latency_ms"][name] / calm["latency_ms"][name]
            self.say("swaps", f"{name} beside that without swaps", ratio, f"{ratio:.2f}x",
                     "at most 1.5x" if name == "p99.9" else "", ratio <= 1.5 if name == "p99.9" else None)

    def memory(self) -> None:
        with RealServer(CONFIG) as server:
            self.second_version(server)
            models = model_pb2_grpc.ModelServiceStub(grpc.insecure_channel(server.address))
            sizes = []
            for _ in range(self.options.cycles):
                models.LoadModel(model_pb2.LoadModelRequest(model=f"{MODEL}@2"), timeout=60)
                models.UnloadModel(model_pb2.UnloadModelRequest(model=f"{MODEL}@2"), timeout=60)
                sizes.append(resident(server.process.pid) / MIB)
        half = len(sizes) // 2
        growth = sizes[-1] - sizes[half]
        self.say("memory", f"resident after {half} and {len(sizes)} loads", growth,
                 f"{sizes[half]:.0f}, {sizes[-1]:.0f} MiB", "no growth", growth <= 0.02 * sizes[half])

    def hostile(self) -> None:
        limit = 512
        with RealServer(CONFIG + f"server:\n  max_memory: {limit}MiB\n") as server:
            calm = detect(server.address) + detect(server.address)
            before = resident(server.process.pid) / MIB
            attack = Attack(int(server.address.rsplit(":", 1)[1]))
            beside = []
            with Peak(server.process.pid) as peak:
                attack.start()
                while attack.is_alive():
                    beside += detect(server.address)
                attack.join()
            after = detect(server.address)
        lost = sum("verdict" not in row for row in calm + beside + after)
        self.say("hostile", f"{attack.dropped} connections dropped, {attack.nonsense} of nonsense, {len(attack.silent)} "
                 f"silent, {attack.sent >> 20} MiB of messages that never end: images that another client, which "
                 "repeats calls, has no answer to", lost, f"{lost} of {len(beside)}", "none", lost == 0)
        growth = peak.bytes / MIB - before
        self.say("hostile", f"resident memory more than before, server.max_memory {limit} MiB", growth,
                 f"{growth:+.0f} MiB", f"at most {2 * limit}", growth <= 2 * limit)
        for name, answers in (("during", beside), ("after", after)):
            ratio = median_milliseconds(answers) / median_milliseconds(calm)
            self.say("hostile", f"its median {name} that, beside that before", ratio, f"{ratio:.2f}x", "", None)

    @staticmethod
    def second_version(server: RealServer) -> None:
        """Version 2, whose scores differ."""
        weights = SOURCE / "model" / "weights"
        tensors = safetensors.numpy.load_file(weights / "proad-tiny.safetensors")
        name = max(tensors, key=lambda key: tensors[key].size)
        tensors[name] = tensors[name] * numpy.float32(1.02)
        other = server.folder / "other.safetensors"
        safetensors.numpy.save_file(tensors, other)
        done = run(PROAD, "import", "--store", server.store, "--name", MODEL, "--version", "2", "--preset", MODEL,
                   "--encoder", weights / "encoder-tiny.safetensors", "--weights", other)
        assert done.returncode == 0, done.stderr


class Swapper(threading.Thread):
    """Lets two versions take turns, so often, spread over so many seconds."""

    def __init__(self, models: Any, swaps: int, seconds: float) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.took = 0.0
        self._models = models
        self._swaps = swaps
        self._pause = seconds / swaps

    def run(self) -> None:
        start = time.monotonic()
        for number in range(self._swaps):
            request = model_pb2.ActivateModelRequest(model=f"{MODEL}@{1 + (number + 1) % 2}")
            try:
                self._models.ActivateModel(request, timeout=60)
            except grpc.RpcError as error:
                self.failures.append(str(error))
            time.sleep(max(0.0, start + (number + 1) * self._pause - time.monotonic()))
        self.took = time.monotonic() - start


class Scores:
    """Inspects one image repeatedly and records the scores of each version."""

    def __init__(self, address: str) -> None:
        self.by_version: dict[str, set[float]] = {}
        self.answers = 0
        self.failed = 0
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Scores:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        request = detection_pb2.DetectRequest(encoded=(SAMPLE / "brick/test/hole/002.png").read_bytes())
        with grpc.insecure_channel(self._address) as channel:
            stub = detection_pb2_grpc.DetectionServiceStub(channel)
            while not self._over.wait(0.05):
                try:
                    answer = stub.Detect(request, timeout=30)
                except grpc.RpcError:
                    self.failed += 1
                    continue
                # Batches of other sizes add up in another order: equal to six digits.
                self.by_version.setdefault(answer.model_version.version, set()).add(float(f"{answer.score:.5g}"))
                self.answers += 1


def in_process_rate(seconds: float) -> float:
    """Images a second of the network without a server, laid out as the server's workers are when there is enough for
    all: a loop for each core, with one thread, on batches of 4."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = pathlib.Path(folder) / "pixels.safetensors"
        random = numpy.random.default_rng(1)
        safetensors.numpy.save_file(
            {"pixels": random.integers(0, 256, (4, 280, 280, 3), dtype=numpy.uint8)}, pixels)
        cores = os.cpu_count() or 1
        with concurrent.futures.ThreadPoolExecutor(cores) as pool:
            return sum(pool.map(lambda _: one_loop_rate(pixels, seconds), range(cores)))


def one_loop_rate(pixels: pathlib.Path, seconds: float) -> float:
    weights = SOURCE / "model" / "weights"
    command = [program("forward_bench"), MODEL, weights / "encoder-tiny.safetensors",
               weights / "proad-tiny.safetensors", pixels, 1]
    with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "OMP_WAIT_POLICY": "passive"}) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        took: list[float] = []
        while sum(took) < 1000 * (seconds + 0.5) or len(took) < 4:
            process.stdin.write("go\n")
            process.stdin.flush()
            took.append(float(process.stdout.readline().split()[0]))
        process.stdin.close()
    return 4000 / statistics.mean(took[1:])


@contextlib.contextmanager
def overhead_server() -> Iterator[tuple[str, str]]:
    process = subprocess.Popen([program("overhead_server")], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        yield re.findall(r"server=(\S+) echo=(\S+)", process.stdout.readline())[0]
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def main() -> int:
    parts = ("overhead", "saturation", "overload", "stampede", "swaps", "memory", "hostile")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    for name in ("proad", "proad-server", "proad-trainer", "forward_bench", "overhead_server"):
        program(name)
    every = Bench(options)
    for part in options.only:
        getattr(every, part)()
    print("| | measured | wanted | |\n|---|---|---|---|")
    for row in every.rows:
        print("| " + " | ".join(row) + " |")
    print(json.dumps(every.values))
    if options.json:
        options.json.write_text(json.dumps(every.values, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
