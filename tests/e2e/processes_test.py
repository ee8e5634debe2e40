"""Training on several processes with the real trainer and server: two make what one makes, and one that dies costs an attempt."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import BINARY, SAMPLE, SOURCE, RealServer, run  # noqa: E402
from waiting import await_true  # noqa: E402

TRAINER = BINARY / "server" / "proad-trainer"
ENCODER = SOURCE / "model" / "weights" / "encoder-pyramid.safetensors"
ALONE = 77  # kTrainerAlone
STEPS = 24


def free_port():
    import socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def children(pid):
    """Pids of the processes that `pid` has started and that live."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


class ProcessesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="proad-processes-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def plan(self, name, world_size, *overrides, code=0):
        done = run(TRAINER, "plan", "--job", self.folder / name, "--name", name, "--dataset", SAMPLE, "--category", "brick",
                   "--encoder-file", ENCODER, "--world-size", world_size, "--set", f"steps={STEPS}", "batch_size=4",
                   "input_side=112", "decoder_layers=2", "warmup_steps=4", "dropout=0.3", *overrides)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def start(self, name, **environment):
        variables = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
        process = subprocess.Popen(
            [TRAINER, "train", "--job", self.folder / name, "--store", self.folder / "store", "--checkpoint-seconds", "0",
             "--peer-timeout", "60"],
            env={**variables, "OMP_NUM_THREADS": "2", **environment}, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def finish(self, process, code=0):
        _, errors = process.communicate(timeout=240)
        self.assertEqual(process.returncode, code, errors)
        return errors

    def weights(self, name):
        return (self.folder / "store" / name / "1" / "model.safetensors")

    def train(self, name, world_size, *overrides):
        self.plan(name, world_size, *overrides)
        self.finish(self.start(name))
        return self.weights(name)

    def ranks(self, name, port, address="127.0.0.1"):
        return [self.start(name, RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR=address, MASTER_PORT=str(port),
                           OMP_NUM_THREADS="1") for rank in range(2)]

    def await_step(self, name, process, step):
        """Returns once the job has trained so far."""
        progress = self.folder / name / "progress.jsonl"

        def reached():
            self.assertIsNone(process.poll(), f"the trainer ended before step {step}")
            lines = progress.read_text().splitlines() if progress.exists() else []
            return any(f'"step":{done}' in line.replace(" ", "") for line in lines for done in range(step, STEPS))

        await_true(f"step {step} of {name}", reached)

    def test_a_job_is_planned_once_and_checked(self):
        self.plan("job", 2)
        before = (self.folder / "job" / "spec.json").read_bytes()
        self.plan("job", 2)
        self.assertEqual((self.folder / "job" / "spec.json").read_bytes(), before)
        self.assertIn("another job", self.plan("job", 2, "seed=9", code=1))
        self.assertIn("batch of 4", self.plan("odd", 3, code=1))
        self.assertIn("overrides.tau", self.plan("bad", 2, "tau=99", code=1))
        self.assertIn("epoch", self.plan("bad", 2, "epoch=3", code=1))

    def test_a_job_planned_again_publishes_a_version_of_its_own(self):
        steps = ("steps=2", "warmup_steps=0")
        self.train("again", 1, *steps, "seed=1")
        shutil.rmtree(self.folder / "again")
        self.train("again", 1, *steps, "seed=2")
        result = json.loads((self.folder / "again" / "result.json").read_text())
        versions = self.folder / "store" / "again"
        self.assertEqual(sorted(entry.name for entry in versions.iterdir() if entry.is_dir()), ["1", "2"])
        self.assertEqual(result["version"], "2")
        jobs = [json.loads((versions / name / "manifest.json").read_text())["parent_job"] for name in ("1", "2")]
        self.assertEqual(jobs[1], json.loads((self.folder / "again" / "spec.json").read_text())["id"])
        self.assertNotEqual(*jobs)

        self.finish(self.start("again"))  # its version is published, so this is a success
        shutil.rmtree(versions / "2")
        self.assertIn("does not have; remove the job's directory", self.finish(self.start("again"), code=1))

    def test_two_processes_make_what_one_makes(self):
        # Steps are few, since what rounding does grows with them; and principal directions turn with the last bits of the
        # features, which processes of one thread each round otherwise than one of two: 2e-5 before the first step.
        steps = ("steps=6", "principal_start=false")
        one, two = load_file(self.train("one", 1, *steps)), load_file(self.train("two", 2, *steps))
        self.assertEqual(one.keys(), two.keys())
        furthest = max(float(np.abs(one[name] - two[name]).max()) for name in one)
        moved = max(float(np.abs(one[name]).max()) for name in one)
        self.assertGreater(moved, 0.01)
        self.assertLessEqual(furthest, 1e-5)
        # With another dropout, or with the mean of the factor over half a batch, they would be this far apart or further.
        self.assertGreater(furthest, 0, "sums in another order are not equal to the last bit")

    def test_started_from_outside_they_make_the_same(self):
        inside = self.train("inside", 2).read_bytes()
        self.plan("outside", 2)
        for process in self.ranks("outside", free_port()):
            self.finish(process)
        self.assertEqual(self.weights("outside").read_bytes(), inside)

    def test_when_one_is_killed_all_end_and_the_job_goes_on_to_the_same_bytes(self):
        undisturbed = self.train("undisturbed", 2).read_bytes()
        for victim in (1, 0):
            name = f"killed{victim}"
            self.plan(name, 2)
            first = self.start(name)
            self.await_step(name, first, 6)
            others = children(first.pid)
            self.assertEqual(len(others), 1)
            os.kill(others[0] if victim == 1 else first.pid, signal.SIGKILL)
            first.communicate(timeout=60)
            self.assertEqual(first.returncode, ALONE if victim == 1 else -signal.SIGKILL)
            await_true("rank 1 to end after rank 0", lambda: not pathlib.Path(f"/proc/{others[0]}").exists())
            self.assertFalse((self.folder / name / "error.json").exists(), "a death is no verdict")
            self.finish(self.start(name))
            self.assertEqual(self.weights(name).read_bytes(), undisturbed)

    def test_from_outside_too_all_end_when_one_is_killed(self):
        undisturbed = self.train("undisturbed", 2).read_bytes()
        self.plan("outside", 2)
        for victim in (0, 1):
            processes = self.ranks("outside", free_port())
            self.await_step("outside", processes[0], 6 + 6 * victim)
            processes[victim].kill()
            self.finish(processes[1 - victim], ALONE)
        for process in self.ranks("outside", free_port()):
            self.finish(process)
        self.assertEqual(self.weights("outside").read_bytes(), undisturbed)

    def test_one_that_never_comes_is_waited_for_no_longer_than_asked(self):
        self.plan("lonely", 2)
        process = subprocess.run(
            [TRAINER, "train", "--job", self.folder / "lonely", "--store", self.folder / "store", "--peer-timeout", "2"],
            env={**os.environ, "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": str(free_port())}, capture_output=True, text=True, timeout=120)
        self.assertEqual(process.returncode, ALONE, process.stderr)
        self.assertIn("another process of this training", process.stderr)

    def test_a_stop_saves_and_ends_all(self):
        self.plan("stopped", 2)
        processes = self.ranks("stopped", free_port())
        self.await_step("stopped", processes[0], 6)
        processes[1].terminate()  # whichever is asked, all stop
        for process in processes:
            self.finish(process, 75)
        self.assertTrue((self.folder / "stopped" / "work" / "checkpoint.json").exists())

    def test_a_stop_of_a_server_is_no_death(self):
        self.plan("stopped", 2)
        process = self.start("stopped")
        self.await_step("stopped", process, 6)
        process.terminate()
        self.finish(process, 75)
        self.assertTrue((self.folder / "stopped" / "work" / "checkpoint.json").exists())

    def test_what_is_wrong_is_a_verdict_and_no_death(self):
        self.plan("wrong", 2)
        (self.folder / "wrong" / "spec.json").write_text(
            (self.folder / "wrong" / "spec.json").read_text().replace(str(SAMPLE), str(self.folder / "missing")))
        self.finish(self.start("wrong"), 1)
        self.assertIn("missing", json.loads((self.folder / "wrong" / "error.json").read_text())["message"])

    def test_a_job_of_a_server_survives_one_that_is_killed(self):
        config = f"""
training:
  data_root: {SAMPLE}
  jobs: {self.folder / "jobs"}
  encoders: {ENCODER.parent}
  checkpoint_interval: 100ms
  nice: 0
"""
        with RealServer(config) as server:
            arguments = ("train", SAMPLE, "--category", "brick", "--name", "parts", "--world-size", "2", "--batch-size", "4",
                         "--epochs", "8", "--input-side", "112", "--decoder-layers", "2")
            started = server.proad(*arguments)
            self.assertEqual(started.returncode, 0, started.stderr)
            (job,) = server.proad_json("jobs", "list")
            name = job["job_id"]
            lock = self.folder / "jobs" / name / "trainer.lock"
            progress = self.folder / "jobs" / name / "progress.jsonl"
            await_true("the job's training phase", lambda: progress.exists() and '"training"' in progress.read_text())
            os.kill(children(int(lock.read_text()))[0], signal.SIGKILL)
            watched = server.proad("jobs", "watch", name)
            self.assertEqual(watched.returncode, 0, watched.stdout + watched.stderr)
            (job,) = server.proad_json("jobs", "list")
            self.assertEqual((job["state"], job["attempts"]), ("TRAIN_JOB_STATE_SUCCEEDED", 2), job)


if __name__ == "__main__":
    unittest.main(verbosity=2)
