#!/usr/bin/env python3
"""Kills trainers and servers with SIGKILL at random instants, and checks that nothing is lost.

    PYTHON tests/e2e/kill_campaign.py [--trainer-kills 20] [--server-kills 20] [--seed 1]

Every fourth server dies together with its trainer, as when a machine goes down.

A small model is trained once without disturbance. Then jobs of the same specification are trained while their trainer,
or the server that runs them, is killed. Every job must succeed, publish once, and end in the same bytes as the
undisturbed one; every acknowledged job must be known after a restart, and no half version may ever be listed. Prints a
table of the kills; exit 0 only when all of that holds. PROAD_BINARY_DIR and PROAD_SOURCE_DIR say what to run.
"""

import argparse
import collections
import fcntl
import hashlib
import os
import pathlib
import random
import signal
import struct
import sys
import tempfile
import time

os.environ.setdefault("PROAD_SOURCE_DIR", str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("PROAD_BINARY_DIR", os.environ["PROAD_SOURCE_DIR"] + "/build/release")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import grpc  # noqa: E402
from real_server import SAMPLE, SOURCE, Server  # noqa: E402
from stubs import model_pb2, model_pb2_grpc, training_pb2, training_pb2_grpc  # noqa: E402

STATES = training_pb2.TrainJobState
ENDED = {STATES.TRAIN_JOB_STATE_SUCCEEDED, STATES.TRAIN_JOB_STATE_FAILED, STATES.TRAIN_JOB_STATE_CANCELLED}
PATIENCE = 180  # seconds for a job to end

Kill = collections.namedtuple("Kill", "what after phase step attempts version same")


class Campaign:
    def __init__(self, folder, seed):
        self.folder = folder
        self.random = random.Random(seed)
        self.store = folder / "store"
        self.store.mkdir()
        self.jobs = folder / "jobs"
        self.acknowledged = []
        config = folder / "server.yaml"
        config.write_text(f"""
training:
  data_root: {SAMPLE}
  jobs: {self.jobs}
  encoders: {SOURCE / "model" / "weights"}
  threads: 1
  checkpoint_interval: 0s
  max_crashes: 100
shutdown:
  lame_duck: 0s
""")
        self.server = Server(self.store, config, folder / "server.log")
        self.server.start()

    def training(self):
        return training_pb2_grpc.TrainingServiceStub(self.server.channel)

    def create(self):
        overrides = training_pb2.RecipeOverrides(
            epochs=60, batch_size=4, input_side=56, decoder_layers=2, seed=7, warmup_steps=5)
        spec = training_pb2.TrainJobSpec(
            model_name="campaign", dataset_path=".", categories=["brick"], recipe="quick", overrides=overrides)
        job = self.training().CreateTrainJob(training_pb2.CreateTrainJobRequest(spec=spec), timeout=30).job
        self.acknowledged.append(job.job_id)
        return job.job_id

    def job(self, job_id):
        return self.training().GetTrainJob(training_pb2.GetTrainJobRequest(job_id=job_id), timeout=30).job

    def await_state(self, job_id, done):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if done(job):
                return job
            self.check_versions()
            time.sleep(0.02)
        raise AssertionError(f"job {job_id} is still {STATES.Name(job.state)} after {PATIENCE} s:\n{job}")

    def finish(self, job_id):
        job = self.await_state(job_id, lambda job: job.state in ENDED)
        assert job.state == STATES.TRAIN_JOB_STATE_SUCCEEDED, f"job {job_id}: {job.reason_code}: {job.reason}"
        return job

    def digest(self, job):
        version = job.result_version.version
        return hashlib.sha256((self.store / "campaign" / version / "model.safetensors").read_bytes()).hexdigest()

    def check_versions(self):
        stub = model_pb2_grpc.ModelServiceStub(self.server.channel)
        for model in stub.ListModels(model_pb2.ListModelsRequest(page_size=1000), timeout=30).models:
            assert model.state != model_pb2.MODEL_STATE_FAILED, f"a half version is listed: {model}"

    def trainer_pid(self, job_id):
        """The process that holds the job's lock; 0: none."""
        try:
            with open(self.jobs / job_id / "trainer.lock", "rb+") as lock:
                answer = fcntl.fcntl(lock, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        except FileNotFoundError:
            return 0
        kind, _, _, _, pid = struct.unpack("hhqqi4x", answer)
        return 0 if kind == fcntl.F_UNLCK else pid

    def undisturbed(self):
        job_id = self.create()
        job = self.finish(job_id)
        self.reference = self.digest(job)
        began, ended = job.start_time.ToDatetime(), job.end_time.ToDatetime()
        self.duration = (ended - began).total_seconds()
        return job

    def row(self, what, after, before, job):
        progress = before.progress
        return Kill(what, f"{after:.2f} s", training_pb2.TrainPhase.Name(progress.phase)[len("TRAIN_PHASE_"):].lower(),
                    f"{progress.step}/{progress.steps}", job.attempts, job.result_version.version,
                    "yes" if self.digest(job) == self.reference else "NO")

    def kill_trainer(self):
        while True:
            job_id = self.create()
            self.await_state(job_id, lambda job: job.state == STATES.TRAIN_JOB_STATE_RUNNING)
            after = self.random.uniform(0, self.duration)
            time.sleep(after)
            before = self.job(job_id)
            pid = self.trainer_pid(job_id)
            if pid:
                os.kill(pid, signal.SIGKILL)
            job = self.finish(job_id)
            if pid:
                return self.row("trainer", after, before, job)
            # It had not taken its lock yet, or was through already: another job.

    def kill_server(self, and_trainer):
        running, waiting = self.create(), self.create()
        after = self.random.uniform(0, self.duration)
        time.sleep(after)
        before = self.job(running)
        self.server.kill()
        pid = self.trainer_pid(running) if and_trainer else 0
        if pid:
            os.kill(pid, signal.SIGKILL)
        self.server.start()
        listed = {job.job_id for job in self.training().ListTrainJobs(
            training_pb2.ListTrainJobsRequest(page_size=500), timeout=30).jobs}
        lost = [job_id for job_id in self.acknowledged if job_id not in listed]
        assert not lost, f"acknowledged jobs are lost: {lost}"
        row = self.row("server and trainer" if pid else "server", after, before, self.finish(running))
        also = self.finish(waiting)
        return row if self.digest(also) == self.reference else row._replace(same="NO (the job that waited)")

    def check_store(self):
        versions = sorted(entry.name for entry in (self.store / "campaign").iterdir() if entry.is_dir())
        assert len(versions) == len(self.acknowledged), f"{len(self.acknowledged)} jobs left the versions {versions}"
        return len(versions)


def print_table(rows):
    heads = ("killed", "after", "phase", "step", "attempts", "version", "same bytes")
    table = [heads, *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainer-kills", type=int, default=20)
    parser.add_argument("--server-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="proad-campaign-") as folder:
        campaign = Campaign(pathlib.Path(folder), arguments.seed)
        try:
            steps = campaign.undisturbed().progress.steps
            print(f"undisturbed: {campaign.duration:.1f} s, {steps} steps, SHA-256 {campaign.reference[:16]}...")
            rows = [campaign.kill_trainer() for _ in range(arguments.trainer_kills)]
            rows += [campaign.kill_server(and_trainer=i % 4 == 3) for i in range(arguments.server_kills)]
            versions = campaign.check_store()
        except BaseException:
            print("--- server log\n" + campaign.server.log()[-20000:])
            raise
        finally:
            campaign.server.kill()
    print_table(rows)
    wrong = [row for row in rows if row.same != "yes"]
    print(f"{len(rows)} kills, {len(campaign.acknowledged)} jobs acknowledged, all succeeded, "
          f"{versions} versions, {len(rows) - len(wrong)} of {len(rows)} with the undisturbed bytes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
