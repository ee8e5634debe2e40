#!/usr/bin/env python3
"""Speed of training on one process with all threads, and on several processes with fewer threads each.

    tests/bench/processes.py [--dataset DIR] [--processes 1 2] [--rounds 3] [--steps 40] [--threads N]
                             [--set KEY=VALUE ...] [--build build/release]

Prints images per second of the training steps for each round, and the medians. The numbers of processes alternate within
a round, since the speed of a shared machine changes.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from environment import BUILD, ENCODER, SAMPLE, program, run_program


def train(options: argparse.Namespace, folder: pathlib.Path, processes: int) -> float:
    """Images per second of the steps between the first report and the last one, which a phase writes at its end. A
    training that is over before a second report is timed from its beginning."""
    trainer = program("proad-trainer", options.build)
    job = folder / "job"
    run_program(
        [trainer, "plan", "--job", job, "--name", "bench", "--dataset", options.dataset.resolve(), "--encoder-file",
         ENCODER, "--world-size", str(processes), "--set",
         f"steps={options.steps}", *options.set], stdout=subprocess.DEVNULL)
    run_program([trainer, "train", "--job", job, "--store", folder / "store", "--checkpoint-seconds", "3600"],
                env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    batch = json.loads((job / "spec.json").read_text())["train"]["recipe"]["batch_size"]
    records = [json.loads(line) for line in (job / "progress.jsonl").read_text().splitlines()]
    training = [record for record in records if record["phase"] == "training"]
    steps = training[1:] if len(training) > 2 else training
    times = [datetime.datetime.fromisoformat(record["time"]) for record in (steps[0], steps[-1])]
    return batch * (steps[-1]["step"] - steps[0]["step"]) / (times[1] - times[0]).total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of training on several processes of one machine")
    parser.add_argument("--dataset", type=pathlib.Path, default=SAMPLE)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--build", type=pathlib.Path, default=BUILD)
    options = parser.parse_args()
    speeds: dict[int, list[float]] = {processes: [] for processes in options.processes}
    for number in range(options.rounds):
        for processes in options.processes:
            with tempfile.TemporaryDirectory() as folder:
                speeds[processes].append(train(options, pathlib.Path(folder), processes))
            print(f"round {number + 1}: {processes} processes, {options.threads} threads in all: "
                  f"{speeds[processes][-1]:.1f} images/s", flush=True)
    for processes, values in speeds.items():
        print(f"{processes} processes: median {statistics.median(values):.1f} images/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
