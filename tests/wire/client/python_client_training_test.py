"""The training client in Python against a fake server: jobs, uploads and activation."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from fake_server import FakeServer  # noqa: E402
from installed_client import QUICK  # noqa: E402
import proad  # noqa: E402


class TrainingTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(FakeServer())
        self.client = self.enterContext(proad.TrainingClient(self.server.address, retry=QUICK))
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def create(self, script="", **more):
        labels = {"script": script} if script else {}
        return self.client.create("screws", dataset_path="parts", labels=labels, **more)

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def failure(self, call, *arguments, **options):
        with self.assertRaises(proad.ProadError) as caught:
            call(*arguments, **options)
        return caught.exception

    def test_every_option_reaches_the_server(self):
        job = self.client.create(
            "screws", dataset_id="mine", dataset_format="visa_1cls", categories=["pcb"], preset="proad-base",
            recipe="lineage", init_from="screws@1", encoder="mine", device="cuda:1", validation_share=0.0,
            false_reject_budget=0.25, activate_on_success=True, skip_unreadable=True, world_size=2,
            orientation="apply", image_bits=12,
            overrides={"epochs": 3, "seed": 2**63, "center_crop": False, "precision": "bf16",
                       "position_resize": "lineage"},
            gate=proad.Gate((proad.Minimum("aupro", 0.5, "pcb"),), not_worse_than_active=True, tolerance=0.125),
            labels={"ticket": "7"})
        spec = job.spec
        self.assertEqual((spec.model_name, spec.dataset_id, list(spec.categories)), ("screws", "mine", ["pcb"]))
        self.assertEqual((spec.preset, spec.recipe, spec.init_from, spec.encoder, spec.device, spec.world_size),
                         ("proad-base", "lineage", "screws@1", "mine", "cuda:1", 2))
        self.assertTrue(spec.HasField("validation_share"))
        self.assertEqual((spec.false_reject_budget, spec.dataset_format), (0.25, 3))
        self.assertTrue(spec.activate_on_success and spec.skip_unreadable)
        self.assertEqual((spec.orientation, spec.image_bits), (2, 12))
        overrides = spec.overrides
        self.assertEqual((overrides.epochs, overrides.seed, overrides.precision, overrides.position_resize),
                         (3, 2**63, 3, 2))
        self.assertTrue(overrides.HasField("center_crop"))
        self.assertFalse(overrides.HasField("dropout"))
        self.assertEqual((spec.gate.minimums[0].category, spec.gate.tolerance), ("pcb", 0.125))
        self.assertEqual(dict(spec.labels), {"ticket": "7"})
        for name in ("validation_share", "overrides", "gate"):
            self.assertFalse(self.create().spec.HasField(name), name)

    def test_unknown_words_raise_before_the_call(self):
        for wrong in ({"dataset_format": "zip"}, {"overrides": {"lr": 1}}, {"overrides": {"precision": "fp8"}},
                      {"dataset_id": "both"}):
            with self.assertRaises(ValueError):
                self.create(**wrong)

    def test_errors_name_field_and_reason(self):
        error = self.failure(self.client.create, "bad", dataset_path="parts")
        self.assertEqual((error.code, error.field), (grpc.StatusCode.INVALID_ARGUMENT, "spec.model_name"))
        self.assertIs(self.failure(self.client.get, "nope").code, grpc.StatusCode.NOT_FOUND)

    def test_a_lost_response_creates_no_second_job(self):
        self.assertEqual(self.create("lost").job_id, "job-1")
        self.assertEqual([job.job_id for job in self.client.list()], ["job-1"])
        ids = {self.create(request_id="me").job_id for _ in range(2)}
        self.assertEqual(ids, {"job-2"})
        self.assertEqual(self.create(validate_only=True).job_id, "")

    def test_a_watch_reports_every_state_and_the_end(self):
        seen = list(self.client.watch(self.create().job_id))
        self.assertIs(seen[0].state, proad.JobState.QUEUED)
        self.assertIsNone(seen[0].progress)
        phases = [job.progress.phase.name for job in seen if job.state is proad.JobState.RUNNING]
        self.assertEqual(phases, ["PREPARING", "ENCODING"] + 4 * ["TRAINING"] + ["EVALUATING", "PUBLISHING"])
        training = seen[3].progress
        self.assertEqual((training.epoch, training.epochs, training.step, training.steps), (1, 2, 1, 4))
        self.assertEqual((training.loss, training.images_per_second, training.eta, training.device),
                         (0.5, 38.25, 60, "cpu"))
        job = seen[-1]
        self.assertTrue(job.has_ended)
        self.assertEqual([one.has_ended for one in seen[:-1]], [False] * (len(seen) - 1))
        self.assertEqual((job.version.name, job.version.version), ("screws", "3"))
        self.assertEqual((job.metric("image_auroc"), job.metric("image_auroc", "pcb"), job.metric("aupro", "pcb")),
                         (0.9, 0.95, None))
        self.assertIsNone(job.gate)
        self.assertEqual(job.created.year, 2023)
        self.assertEqual(len(list(self.client.watch(job.job_id))), 1)

    def test_a_failed_gate_has_a_reason(self):
        job = self.client.wait(self.create("refused", activate_on_success=True).job_id)
        self.assertIs(job.state, proad.JobState.SUCCEEDED)
        self.assertEqual((job.gate.passed, job.gate.activated), (False, False))
        self.assertIn("0.9500", job.gate.reason)
        self.assertEqual((job.gate.compared_with.version, job.gate.compared_metrics[0].value), ("2", 0.94))

    def test_a_watch_reconnects(self):
        for script in ("interrupted", "hung up"):
            self.assertIs(self.client.wait(self.create(script).job_id).state, proad.JobState.SUCCEEDED)
        error = self.failure(self.client.wait, self.create("gone").job_id, patience=0.05)
        self.assertIs(error.code, grpc.StatusCode.UNAVAILABLE)
        self.assertIs(self.failure(self.client.wait, "nope").code, grpc.StatusCode.NOT_FOUND)

    def test_a_watch_can_be_left_and_the_job_continues(self):
        job_id = self.create("endless").job_id
        for job in self.client.watch(job_id):
            if job.progress is not None and job.progress.step == 1:
                break
        self.assertIs(self.client.get(job_id).state, proad.JobState.RUNNING)

    def test_jobs_are_listed_cancelled_and_resumed(self):
        failed, endless, _ = (self.create(script).job_id for script in ("failed", "endless", ""))
        self.assertEqual(self.client.wait(failed).reason_code, "NON_FINITE_LOSS")
        self.assertEqual(self.client.cancel(endless).reason_code, "CANCELLED_BY_USER")
        self.assertEqual([job.job_id for job in self.client.list()], ["job-3", "job-2", "job-1"])
        listed = self.client.list(states=[proad.JobState.FAILED, proad.JobState.CANCELLED], model_name="screws")
        self.assertEqual([job.job_id for job in listed], [endless, failed])
        self.assertEqual(self.client.list(model_name="bolts"), [])
        self.assertIs(self.client.resume(failed).state, proad.JobState.QUEUED)
        succeeded = self.client.wait(failed)
        self.assertIs(succeeded.state, proad.JobState.SUCCEEDED)
        for call in (self.client.cancel, self.client.resume):
            self.assertIs(self.failure(call, failed).code, grpc.StatusCode.FAILED_PRECONDITION)

    # ---- uploads

    def test_a_folder_is_uploaded_completely_and_in_order(self):
        self.write("a/1.png", b"one")
        self.write("a-b/2.PNG", b"two")
        self.write("grüße/3.jpg", b"x" * (5 << 19))
        self.write("empty.bmp", b"")
        self.write("readme.txt", b"of no interest")
        self.write(".hidden/4.png", b"of no interest")
        listed = proad.dataset.list_folder(self.folder)
        self.assertEqual([file.path for file in listed.files], ["a-b/2.PNG", "a/1.png", "empty.bmp", "grüße/3.jpg"])
        self.assertEqual(listed.left_out, (".hidden/", "readme.txt"))
        told = []
        stored = self.client.upload(self.folder, "parts", on_progress=told.append)
        # The server checks order, sizes and digests.
        self.assertEqual((stored.dataset_id, stored.complete, stored.files, stored.size_bytes),
                         ("parts", True, 4, 6 + (5 << 19)))
        self.assertEqual(told[-1], proad.UploadProgress(4, 4, stored.size_bytes, stored.size_bytes))
        self.assertIs(self.failure(self.client.upload, self.folder, "parts").code, grpc.StatusCode.ALREADY_EXISTS)

    def test_the_command_line_client_generates_the_same_id(self):
        program = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "client" / "proad"
        for name in ("My Parts ä", "_ x-  -y. ", "ü", "\u212a" + 50 * "Z"):
            folder = self.folder / name
            self.write(f"{name}/a/1.png", b"one")
            self.write(f"{name}/a-b/ä.png", b"two")
            first = self.client.upload(folder)
            self.assertEqual(self.client.upload(folder), first)
            done = subprocess.run([program, "dataset", "upload", folder, "--server", self.server.address],
                                  capture_output=True, text=True)
            self.assertIn(f"the server has this dataset already: {first.dataset_id}\n", done.stdout, done.stderr)

    def test_a_broken_upload_continues_after_the_last_complete_file(self):
        for i in range(5):
            self.write(f"{i}.png", bytes([i]) * 1000)
        for name in ("broken", "held", "silent"):
            stored = self.client.upload(self.folder, name)
            self.assertEqual((stored.complete, stored.files, stored.last_path), (True, 5, "4.png"), name)
        self.assertIs(self.failure(self.client.upload, self.folder, "never").code, grpc.StatusCode.UNAVAILABLE)

    def test_another_folder_does_not_continue_an_upload(self):
        self.write("1.png", b"one")
        self.write("2.png", b"two")
        once = proad.TrainingClient(self.client, retry=proad.RetryPolicy(max_attempts=1))
        self.failure(once.upload, self.folder, "broken")
        self.write("0.png", b"zero")
        error = self.failure(once.upload, self.folder, "broken")
        self.assertIs(error.code, grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("another dataset", error.message)

    def test_an_invalid_folder_raises_before_the_upload(self):
        with self.assertRaises(NotADirectoryError):
            self.client.upload(self.folder / "nope")
        with self.assertRaises(FileNotFoundError):
            self.client.upload(self.folder)
        self.write("/".join(3 * ["p" * 200]) + ".png", b"")
        with self.assertRaisesRegex(ValueError, "512"):
            self.client.upload(self.folder)
        shutil.rmtree(self.folder / ("p" * 200))
        (pathlib.Path(os.fsdecode(os.fsencode(self.folder) + b"/bad\xff.png"))).write_bytes(b"")
        with self.assertRaisesRegex(ValueError, "UTF-8"):
            self.client.upload(self.folder)

    # ---- activation

    def test_a_version_is_activated(self):
        models = proad.ModelClient(self.client)
        done = models.activate("proad-tiny@1", expected="2")
        self.assertEqual((done.active.version, done.previous.version, done.seconds), ("1", "2", 1.0))
        for expected in ("1", ""):
            error = self.failure(models.activate, "proad-tiny@1", expected=expected)
            self.assertIs(error.code, grpc.StatusCode.ABORTED)
        self.assertIs(self.failure(models.activate, "nope@1").code, grpc.StatusCode.NOT_FOUND)
        self.assertEqual([model.version.version for model in models.list("proad-tiny")], ["2", "1"])
        models.close()  # the connection is the other client's
        self.assertEqual(self.client.list(), [])

    def test_calibrate_sets_thresholds(self):
        models = proad.ModelClient(self.client)
        self.assertEqual(models.calibrate(dataset_path="nuts"), {"nuts": 0.125})
        self.assertEqual(models.calibrate("proad-tiny@1", dataset_id="bolts", dry_run=True), {"bolts": 0.125})
        refused = self.failure(models.calibrate, dataset_path="nuts", false_reject_budget=0.001)
        self.assertIs(refused.code, grpc.StatusCode.FAILED_PRECONDITION)

    def test_a_version_is_rolled_back_loaded_unloaded_and_deleted(self):
        models = proad.ModelClient(self.client)
        done = models.rollback("proad-tiny")
        self.assertEqual((done.active.version, done.previous.version, done.seconds), ("1", "2", 0.1))
        self.assertIs(self.failure(models.rollback, "screws").code, grpc.StatusCode.FAILED_PRECONDITION)
        loaded = models.load("proad-tiny@1")
        self.assertEqual((loaded.version.version, loaded.state, loaded.seconds, loaded.memory_bytes),
                         ("1", proad.ModelState.LOADED, 1.0, 27_000_000))
        self.assertEqual(models.unload("proad-tiny@1"), 27_000_000)
        self.assertEqual(models.delete("proad-tiny@1"), 18_000_000)
        self.assertIs(self.failure(models.delete, "proad-tiny@2").code, grpc.StatusCode.FAILED_PRECONDITION)


if __name__ == "__main__":
    unittest.main(verbosity=2)
