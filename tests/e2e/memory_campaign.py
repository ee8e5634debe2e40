#!/usr/bin/env python3
"""Resident memory of a real server under the requests that take most of it, against the bound that
`proad-server --check-config` prints.

    PYTHON tests/e2e/memory_campaign.py [--short] [--only PART ...]

Parts, each on the same server:

    bursts       128 JPEG files of 12 megapixels at once, several times
    progressive  the same as progressive files, which take twice the memory
    outputs      heatmaps and overlays in the resolution of such images
    readers      streams that ask for such outputs and do not read the answers
    categories   an invented category with a near deadline for every image
    cancelled    calls that are cancelled after a few milliseconds (10,000; 500 with --short)

Exit code 1 when the resident memory exceeded the bound, or an ordinary call afterwards fails.
"""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import re
import sys
import threading
import time
from collections.abc import Callable

os.environ.setdefault("PROAD_SOURCE_DIR", str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("PROAD_BINARY_DIR", os.environ["PROAD_SOURCE_DIR"] + "/build/release")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from memory import Peak, resident  # noqa: E402
from real_server import SERVER, RealServer, run  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc  # noqa: E402

import grpc  # noqa: E402
import numpy  # noqa: E402
import PIL.Image  # noqa: E402

MIB = 1 << 20
# A pod of 3 GiB on a large node: many threads, and the budgets of that pod.
CONFIG = """log:
  level: warning
server:
  max_memory: 512MiB
image:
  max_pixels: 16000000
admission:
  max_images: 128
preprocessing:
  threads: 64
  max_bytes: 384MiB
batching:
  workers: 2
shutdown:
  lame_duck: 0s
training:
  enabled: false
"""


def large_jpeg(progressive: bool = False) -> bytes:
    """A JPEG file of 4000 x 3000 pixels."""
    noise = numpy.random.default_rng(1).normal(128, 30, (375, 500, 3)).clip(0, 255).astype("uint8")
    file = io.BytesIO()
    PIL.Image.fromarray(noise).resize((4000, 3000)).save(file, "JPEG", quality=85, progressive=progressive)
    return file.getvalue()


def small_image() -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (64, 64), (90, 90, 90)).save(file, "PNG")
    return file.getvalue()


class Campaign:
    def __init__(self, server: RealServer, short: bool) -> None:
        self.channel = grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)])
        self.stub = detection_pb2_grpc.DetectionServiceStub(self.channel)
        self.short = short

    def answers(self, request: detection_pb2.DetectRequest, count: int) -> dict[str, int]:
        """Sends `count` calls at once and waits for all. Returns the calls by status code."""
        calls = [self.stub.Detect.future(request, timeout=120) for _ in range(count)]
        codes: dict[str, int] = {}
        for call in calls:
            code = call.code().name
            codes[code] = codes.get(code, 0) + 1
        return codes

    def bursts(self) -> str:
        request = detection_pb2.DetectRequest(encoded=large_jpeg())
        return str([self.answers(request, 128) for _ in range(1 if self.short else 4)])

    def progressive(self) -> str:
        request = detection_pb2.DetectRequest(encoded=large_jpeg(progressive=True))
        return str([self.answers(request, 32 if self.short else 128) for _ in range(1 if self.short else 4)])

    @staticmethod
    def large_outputs() -> detection_pb2.DetectRequest:
        request = detection_pb2.DetectRequest(encoded=large_jpeg())
        request.outputs.heatmap = detection_pb2.HEATMAP_FORMAT_FLOAT32
        request.outputs.overlay = detection_pb2.OVERLAY_FORMAT_PNG
        request.outputs.resolution = detection_pb2.RESOLUTION_ORIGINAL
        return request

    def outputs(self) -> str:
        return str(self.answers(self.large_outputs(), 8 if self.short else 64))

    def readers(self) -> str:
        """Streams whose answers nobody reads: gRPC's flow control stops after some KiB."""
        request = detection_pb2.DetectStreamRequest(request=self.large_outputs())
        request.request.request_id = "unread"
        streams = []
        for _ in range(2 if self.short else 8):
            end = threading.Event()

            def requests(end: threading.Event = end):
                yield from [request] * 16
                end.wait()

            streams.append((self.stub.DetectStream(requests(), timeout=300), end))
        time.sleep(5 if self.short else 40)
        for stream, end in streams:
            stream.cancel()
            end.set()
        return f"{len(streams)} streams"

    def categories(self) -> str:
        count = 1000 if self.short else 100_000
        image, failed, lock = small_image(), 0, threading.Semaphore(64)

        def done(_: grpc.Future) -> None:
            lock.release()

        calls = []
        for number in range(count):
            lock.acquire()
            request = detection_pb2.DetectRequest(encoded=image, category=f"invented-{number}")
            call = self.stub.Detect.future(request, timeout=0.5)
            call.add_done_callback(done)
            calls.append(call)
            if len(calls) >= 1000:
                failed += sum(each.code() != grpc.StatusCode.OK for each in calls)
                calls = []
        return f"{count} images, {failed} refused or late"

    def cancelled(self) -> str:
        request = detection_pb2.DetectRequest(encoded=large_jpeg())
        count = 500 if self.short else 10_000
        for start in range(0, count, 50):
            calls = [self.stub.Detect.future(request, timeout=60) for _ in range(50)]
            time.sleep(0.01 * (start % 3))
            for call in calls:
                call.cancel()
        return f"{count} calls"


def bound_of(config: pathlib.Path, store: pathlib.Path) -> int:
    """Bytes, as `--check-config` prints them."""
    done = run(SERVER, "--config", config, "--store", store, "--check-config")
    assert done.returncode == 0, done.stderr
    print(done.stdout.strip())
    return int(re.findall(r"memory bound: (\d+) MiB", done.stdout)[0]) * MIB


def main() -> int:
    parts = ("bursts", "progressive", "outputs", "readers", "categories", "cancelled")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    good = True
    with RealServer(CONFIG) as server:
        bound = bound_of(server.folder / "server.yaml", server.store)
        campaign = Campaign(server, options.short)
        for part in options.only:
            run_part: Callable[[], str] = getattr(campaign, part)
            start = time.monotonic()
            with Peak(server.process.pid) as peak:
                what = run_part()
            under = peak.bytes <= bound
            good &= under
            print(f"{part:12s} peak {peak.bytes // MIB:5d} MiB {'' if under else 'OVER THE BOUND '}"
                  f"in {time.monotonic() - start:.0f} s: {what}", flush=True)
        # The server must have survived and have room again.
        answer = campaign.stub.Detect(
            detection_pb2.DetectRequest(encoded=small_image()), timeout=60, wait_for_ready=True)
        good &= answer.score >= 0
        print(f"afterwards   {resident(server.process.pid) // MIB} MiB resident")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
