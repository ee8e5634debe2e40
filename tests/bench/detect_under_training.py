#!/usr/bin/env python3
"""Latency of Detect without a training job and beside one, in one run.

    tests/bench/detect_under_training.py [DATASET] [--interval 0.1] [--seconds 60] [--threads 0] [--finish]

Sends one image every --interval seconds to a server with the shipped model, for --seconds without a job and for --seconds
while a job is in its training phase. DATASET: by default factory4 beside the project where it exists, and otherwise
deploy/sample. Prints the median, 90th and 99th percentile in milliseconds and their ratios. --finish waits for the job's
end and prints its metrics.
"""

import argparse
import os
import pathlib
import tempfile
import time

from environment import BUILD, DATASET, ROOT, program  # first: it selects the Python

os.environ.setdefault("PROAD_SOURCE_DIR", str(ROOT))
os.environ.setdefault("PROAD_BINARY_DIR", str(BUILD))
from real_server import MODEL, SAMPLE, SOURCE, Server, import_model  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc, training_pb2, training_pb2_grpc  # noqa: E402
from waiting import await_true  # noqa: E402

PERCENTILES = (50, 90, 99)


def latencies(channel, interval, seconds):
    """Milliseconds of one Detect every `interval` seconds, from when it was due: a late answer delays the next calls."""
    stub = detection_pb2_grpc.DetectionServiceStub(channel)
    image = (SAMPLE / "brick/test/hole/002.png").read_bytes()
    took = []
    start = time.monotonic()
    while (due := start + len(took) * interval) < start + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        stub.Detect(detection_pb2.DetectRequest(encoded=image), timeout=30)
        took.append(1000 * (time.monotonic() - due))
    return sorted(took)


def percentile(values, share):
    return values[min(len(values) - 1, int(len(values) * share / 100))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", type=pathlib.Path, default=DATASET)
    parser.add_argument("--interval", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--finish", action="store_true")
    arguments = parser.parse_args()
    for name in ("proad", "proad-server", "proad-trainer"):
        program(name)
    with tempfile.TemporaryDirectory(prefix="proad-bench-") as name:
        folder = pathlib.Path(name)
        import_model(folder / "store")
        config = folder / "server.yaml"
        config.write_text(f"""
training:
  data_root: {arguments.dataset.resolve()}
  encoders: {SOURCE / "model" / "weights"}
  threads: {arguments.threads}
shutdown:
  lame_duck: 0s
""")
        server = Server(folder / "store", config, folder / "server.log", ("--default-model", MODEL))
        server.start()
        try:
            server.await_ready()
            latencies(server.channel, arguments.interval, 5)
            alone = latencies(server.channel, arguments.interval, arguments.seconds)
            training = training_pb2_grpc.TrainingServiceStub(server.channel)
            job_id = training.CreateTrainJob(training_pb2.CreateTrainJobRequest(
                spec=training_pb2.TrainJobSpec(model_name="bench", dataset_path=".")), timeout=60).job.job_id
            await_true("the job's first step", lambda: training.GetTrainJob(
                training_pb2.GetTrainJobRequest(job_id=job_id), timeout=60).job.progress.step > 0, limit=1800, pause=0.5)
            beside = latencies(server.channel, arguments.interval, arguments.seconds)
            job = training.GetTrainJob(training_pb2.GetTrainJobRequest(job_id=job_id), timeout=60).job
            print(f"one image every {1000 * arguments.interval:.0f} ms for {arguments.seconds:.0f} s; the job trained "
                  f"{job.progress.images_per_second:.1f} images a second, step {job.progress.step}")
            print("percentile   alone, ms   beside a job, ms   ratio")
            for share in PERCENTILES:
                a, b = percentile(alone, share), percentile(beside, share)
                print(f"{share:10d} {a:11.1f} {b:18.1f} {b / a:7.2f}")
            if not arguments.finish:  # the trainer would continue without the server
                training.CancelTrainJob(training_pb2.CancelTrainJobRequest(job_id=job_id), timeout=60)
            for report in training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job_id)):
                job = report.job
            if arguments.finish:
                print(training_pb2.TrainJobState.Name(job.state), job.reason)
                for metric in job.evaluation.metrics:
                    if metric.name in ("image_auroc", "pixel_auroc", "aupro"):
                        print(f"{metric.name:12s} {metric.category or 'mean':8s} {metric.value:.3f}")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
