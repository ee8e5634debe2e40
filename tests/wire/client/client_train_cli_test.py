"""Runs the training commands of the client against a fake server and checks output and exit codes."""

import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from fake_server import FakeServer  # noqa: E402

PROAD = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "client" / "proad"
PHASES = ["queued", "preparing", "encoding", "training", "evaluating", "publishing"]


class TrainCommandTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(FakeServer())
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def environment(self, **more):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROAD_") and key != "NO_COLOR"}
        return {**clean, "PROAD_SERVER": self.server.address, **more}

    def proad(self, *arguments, code=0):
        done = subprocess.run([PROAD, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              env=self.environment(), cwd=self.folder)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def train(self, *arguments, script="", code=0):
        labels = ("--label", f"script={script}") if script else ()
        return self.proad("train", "parts", "--name", "screws", *arguments, *labels, code=code)

    def spec(self, *arguments):
        """Returns the spec that the server received."""
        return json.loads(self.proad("train", *arguments, "--json").stdout)["spec"]

    def job(self, job_id):
        return json.loads(self.proad("jobs", "show", job_id, "--json").stdout)

    def on_terminal(self, *arguments, columns=80, **environment):
        """The same with a terminal for standard output; returns what it was sent and the exit code."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([PROAD, *arguments], stdout=theirs, stderr=subprocess.DEVNULL,
                                   env=self.environment(TERM="xterm", **environment))
        os.close(theirs)
        text = b""
        try:
            while chunk := os.read(ours, 4096):
                text += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(ours)
        return text.decode(), process.wait(timeout=120)

    # ---- options

    def test_every_option_reaches_the_server(self):
        spec = self.spec(
            "parts", "--name", "screws", "--preset", "proad-base", "--recipe", "lineage", "--epochs", 3,
            "--batch-size", 8, "--learning-rate", "2e-3", "--weight-decay", 0.5, "--warmup-steps", 9,
            "--dropout", 0.25, "--seed", 2**63, "--input-side", 392, "--decoder-layers", 6, "--center-crop",
            "--precision", "bf16", "--position-resize", "lineage", "--category", "pcb", "--category", "alien 2",
            "--init-from", "screws@1", "--encoder", "mine", "--device", "cuda:1", "--world-size", 2,
            "--validation-share", 0.25, "--false-reject-budget", 0.125, "--activate", "--gate", "image_auroc>=0.5",
            "--gate", "aupro/a/b=0.25", "--not-worse-than-active", "--tolerance", 0.125, "--skip-unreadable",
            "--orientation", "apply", "--image-bits", 12,
            "--label", "ticket=7", "--label", "line=a=b", "--format", "visa_1cls", "--no-adaptive-noisy-bottleneck",
            "--no-dynamic-decoder", "--no-prototype-constraint")
        self.assertEqual(spec.pop("overrides"), {
            "epochs": 3, "batch_size": 8, "learning_rate": 0.002, "weight_decay": 0.5, "warmup_steps": 9,
            "dropout": 0.25, "seed": str(2**63), "precision": "PRECISION_BF16", "center_crop": True,
            "position_resize": "POSITION_RESIZE_LINEAGE", "decoder_layers": 6, "input_side": 392,
            "adaptive_noisy_bottleneck": False, "dynamic_decoder": False, "prototype_constraint": False})
        self.assertEqual(spec.pop("gate"), {
            "minimums": [{"name": "image_auroc", "category": "", "minimum": 0.5},
                         {"name": "aupro", "category": "a/b", "minimum": 0.25}],
            "not_worse_than_active": True, "tolerance": 0.125})
        self.assertEqual(spec, {
            "model_name": "screws", "dataset_path": "parts", "dataset_format": "DATASET_FORMAT_VISA_1CLS",
            "categories": ["pcb", "alien 2"], "preset": "proad-base", "recipe": "lineage", "init_from": "screws@1",
            "encoder": "mine", "device": "cuda:1", "validation_share": 0.25, "false_reject_budget": 0.125,
            "activate_on_success": True, "skip_unreadable": True, "world_size": 2,
            "orientation": "ORIENTATION_APPLY", "image_bits": 12,
            "labels": {"ticket": "7", "line": "a=b"}})

    def test_absent_options_are_not_sent(self):
        spec = self.spec("parts")
        for name in ("overrides", "gate", "validation_share", "false_reject_budget"):
            self.assertNotIn(name, spec)
        self.assertEqual(spec["model_name"], "proad-pyramid")
        self.assertIs(self.spec("parts", "--no-center-crop")["overrides"]["center_crop"], False)

    def test_the_default_model_name_is_that_of_init_from_or_the_preset(self):
        self.assertEqual(self.spec("parts", "--preset", "proad-large")["model_name"], "proad-large")
        self.assertEqual(self.spec("parts", "--init-from", "bolts@3")["model_name"], "bolts")

    def test_an_existing_path_is_sent_without_links(self):
        (self.folder / "real").mkdir()
        (self.folder / "link").symlink_to("real")
        self.assertEqual(self.spec("link")["dataset_path"], str((self.folder / "real").resolve()))
        self.assertEqual(self.spec("only there")["dataset_path"], "only there")

    def test_the_same_request_id_creates_one_job(self):
        ids = {json.loads(self.train("--request-id", "me", "--json").stdout)["job_id"] for _ in range(2)}
        self.assertEqual(len(ids), 1)

    def test_validate_only_creates_no_job(self):
        done = self.train("--validate-only", "--seed", 7)
        self.assertIn("the job is valid", done.stdout)
        self.assertIn("seed: 7", done.stdout)
        self.assertEqual(json.loads(self.train("--validate-only", "--json").stdout)["job_id"], "")
        self.assertIn("no jobs", self.proad("jobs", "list").stdout)

    def test_refusals_are_explained(self):
        done = self.proad("train", "parts", "--name", "bad", code=1)
        self.assertIn("INVALID_ARGUMENT: spec.model_name:", done.stderr)
        done = self.proad("train", "/outside/parts", code=1)
        self.assertIn("PERMISSION_DENIED", done.stderr)
        self.assertIn("--upload", done.stderr)

    # ---- watching

    def test_a_log_gets_a_line_per_phase_and_the_metrics(self):
        done = self.train("--watch")
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^job job-1: screws from parts, proad-tiny, recipe quick$")
        self.assertEqual([line.split()[0] for line in lines[1:7]], PHASES)
        self.assertRegex(lines[4], r"epoch 1/2  step 1/4  loss 0\.5000  lr 1\.0e-04  38\.2 images/s  ETA 1m00s")
        for row in (r"SUCCEEDED after 2m10s: screws@3", r"category +images +image_auroc +aupro",
                    r"alien +10 +0\.8500 +0\.7500", r"pcb +10 +0\.9500 +-", r"mean +20 +0\.9000 +0\.8000",
                    r"pcb +0\.1250 +0 of 60 +1%", r"proad models activate screws@3"):
            self.assertRegex(done.stdout, row)
        self.assertNotIn("\x1b", done.stdout)
        self.assertNotIn("\r", done.stdout)

    def test_a_terminal_gets_one_redrawn_line(self):
        words = ("train", "parts", "--name", "screws", "--watch")
        for columns in (40, 80, 200):
            text, code = self.on_terminal(*words, columns=columns)
            self.assertEqual(code, 0, text)
            drawn = re.findall(r"\r([^\r\n]*)\x1b\[K", text)
            self.assertGreaterEqual(len(drawn), len(PHASES))
            for line in drawn:
                self.assertLess(len(line), columns, line)
            training = [line for line in drawn if line.startswith("training")]
            self.assertIn("epoch 2/2", training[-1])
            self.assertEqual("lr 1.0e-04" in training[-1], columns == 200)
            self.assertEqual("[####" in training[-1], columns > 40)
            # The bar is gone when the result comes.
            self.assertRegex(text, r"\r\x1b\[K(\x1b\[32m)?SUCCEEDED")
        self.assertIn("\x1b[32m", text)
        plain, _ = self.on_terminal(*words, NO_COLOR="1")
        self.assertNotRegex(plain, r"\x1b\[\d+m")

    def test_json_has_one_job_per_line(self):
        done = self.train("--watch", "--json")
        jobs = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({job["job_id"] for job in jobs}, {"job-1"})
        self.assertEqual(jobs[0]["state"], "TRAIN_JOB_STATE_QUEUED")
        self.assertEqual(jobs[-1]["state"], "TRAIN_JOB_STATE_SUCCEEDED")
        self.assertEqual(jobs[-1]["result_version"]["version"], "3")
        self.assertEqual([job["progress"]["step"] for job in jobs if "progress" in job][-1], "4")

    def test_a_failed_gate_is_reported_and_is_no_failure(self):
        words = ("--watch", "--activate", "--gate", "image_auroc>=0.95")
        done = self.train(*words, script="refused")
        self.assertIn("NOT ACTIVATED: screws@3 failed the gate: image_auroc is 0.9000 and must reach 0.9500",
                      done.stdout)
        self.assertRegex(done.stdout, r"mean of screws@2 +20 +0\.9400")
        done = self.train(*words, "--json", script="refused")
        self.assertIn("NOT ACTIVATED", done.stderr)
        self.assertIs(json.loads(done.stdout.splitlines()[-1])["gate_result"]["passed"], False)
        done = self.train(*words)
        self.assertNotIn("NOT ACTIVATED", done.stdout)
        self.assertIn("screws@3", done.stdout)

    def test_failed_and_cancelled_jobs_have_exit_code_1(self):
        done = self.train("--watch", script="failed", code=1)
        self.assertIn("FAILED (NON_FINITE_LOSS)", done.stdout)
        self.assertIn("step 2, learning rate 0.0001", done.stdout)
        self.assertIn("proad jobs resume job-1", done.stdout)
        self.train(script="endless")
        self.proad("jobs", "cancel", "job-2")
        self.assertIn("CANCELLED", self.proad("jobs", "watch", "job-2", code=1).stdout)
        self.proad("jobs", "resume", "job-1", "--watch")

    def test_a_watch_reconnects_to_the_server(self):
        done = self.train("--watch", script="interrupted")
        self.assertIn("reconnecting", done.stderr)
        self.assertIn("SUCCEEDED", done.stdout)
        done = self.train("--watch", "--patience", "200ms", script="gone", code=3)
        self.assertIn("UNAVAILABLE", done.stderr)

    def test_ctrl_c_ends_the_watch_but_not_the_job(self):
        process = subprocess.Popen([PROAD, "train", "parts", "--watch", "--label", "script=endless"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment())
        for line in process.stdout:
            if line.startswith("training"):
                break
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("the job continues", stderr)
        self.assertIn("proad jobs watch job-1", stderr)
        self.assertIn("proad jobs cancel job-1", stderr)
        self.assertEqual(self.job("job-1")["state"], "TRAIN_JOB_STATE_RUNNING")

    # ---- jobs

    def test_jobs_are_listed_newest_first(self):
        for script in ("", "failed", "endless"):
            self.train(script=script)
        self.proad("jobs", "watch", "job-1")
        self.proad("jobs", "watch", "job-2", code=1)
        rows = self.proad("jobs", "list").stdout.splitlines()
        self.assertEqual([row.split()[0] for row in rows], ["job", "job-3", "job-2", "job-1"])
        self.assertRegex(rows[1], r"QUEUED +screws +parts")
        self.assertRegex(rows[2], r"FAILED .*50% .*script=failed +NON_FINITE_LOSS: ")
        self.assertRegex(rows[3], r"SUCCEEDED .*100% +0\.9000 .*screws@3")
        for words, expected in [((), ["job-3", "job-2", "job-1"]), (("--model", "x"), []),
                                (("--state", "failed", "--state", "queued", "--model", "screws"), ["job-3", "job-2"])]:
            lines = self.proad("jobs", "list", "--json", *words).stdout.splitlines()
            self.assertEqual([json.loads(line)["job_id"] for line in lines], expected)

    def test_a_job_is_shown_with_its_result(self):
        self.train("--seed", 7)
        self.assertRegex(self.proad("jobs", "show", "job-1").stdout, r"state +QUEUED")
        self.proad("jobs", "watch", "job-1")
        shown = self.proad("jobs", "show", "job-1").stdout
        for row in (r"model +screws", r"overrides +seed: 7", r"SUCCEEDED", r"mean +20 +0\.9000"):
            self.assertRegex(shown, row)
        self.assertEqual(self.job("job-1")["state"], "TRAIN_JOB_STATE_SUCCEEDED")

    def test_errors_of_job_commands_are_explained(self):
        self.train("--watch")
        for word in ("cancel", "resume"):
            self.assertIn("FAILED_PRECONDITION", self.proad("jobs", word, "job-1", code=1).stderr)
        for word in ("show", "watch", "cancel", "resume"):
            self.assertIn("NOT_FOUND", self.proad("jobs", word, "nope", code=1).stderr)

    def test_cancel_and_resume_return_the_job(self):
        self.train(script="endless")
        cancelled = json.loads(self.proad("jobs", "cancel", "job-1", "--json").stdout)
        self.assertEqual(cancelled["reason_code"], "CANCELLED_BY_USER")
        self.assertEqual(json.loads(self.proad("jobs", "resume", "job-1", "--json").stdout)["state"],
                         "TRAIN_JOB_STATE_QUEUED")
        self.assertIn("proad jobs resume job-1", self.proad("jobs", "cancel", "job-1").stdout)

    # ---- uploads

    def dataset(self):
        folder = self.folder / "Parts of ä"
        (folder / "train" / "good").mkdir(parents=True)
        (folder / "train" / "good" / "1.png").write_bytes(b"1")
        (folder / "train" / "good" / "2.png").write_bytes(b"22" * 700_000)
        (folder / "readme.txt").write_text("of no interest")
        return folder

    def test_a_folder_is_uploaded(self):
        folder = self.dataset()
        done = self.proad("dataset", "upload", folder, "--id", "parts")
        self.assertIn("uploaded 2 files, 1.4 MB: dataset parts", done.stdout)
        self.assertIn("readme.txt", done.stderr)
        self.assertIn("ALREADY_EXISTS", self.proad("dataset", "upload", folder, "--id", "parts", code=1).stderr)
        answer = json.loads(self.proad("dataset", "upload", folder, "--id", "broken", "--json").stdout)
        self.assertEqual((answer["dataset_id"], answer["complete"], answer["files"]), ("broken", True, "2"))
        text, code = self.on_terminal("dataset", "upload", str(folder), "--id", "again")
        self.assertEqual(code, 0)
        self.assertIn("1/2 files  1.0 MB of 1.4 MB", text)
        self.assertIn("nope", self.proad("dataset", "upload", self.folder / "nope", code=1).stderr)

    def test_training_on_a_folder_uploads_it_once(self):
        folder = self.dataset()
        first = json.loads(self.proad("train", folder, "--upload", "--json").stdout)["spec"]
        self.assertRegex(first["dataset_id"], r"^parts-of-[0-9a-f]{12}$")
        done = self.proad("train", folder, "--upload")
        self.assertIn("has this dataset already", done.stdout)
        self.assertIn(first["dataset_id"], done.stdout)
        named = json.loads(self.proad("train", folder, "--upload", "--dataset-id", "mine", "--json").stdout)["spec"]
        self.assertEqual(named["dataset_id"], "mine")
        self.assertIn("ALREADY_EXISTS",
                      self.proad("train", folder, "--upload", "--dataset-id", "mine", code=1).stderr)
        self.assertEqual(self.spec("--dataset-id", "mine")["dataset_id"], "mine")


if __name__ == "__main__":
    unittest.main(verbosity=2)
