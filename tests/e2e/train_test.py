"""Training with the real server and the real trainer: what is published is what was measured, and bad input is told."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import grpc
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import SAMPLE, SOURCE, Server  # noqa: E402
from stubs import (  # noqa: E402
    detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc, training_pb2, training_pb2_grpc)

STATES = training_pb2.TrainJobState


class TrainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="proad-train-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = self.folder / "data"
        (self.folder / "store").mkdir()

    def start(self, jobs="jobs", keys=""):
        config = self.folder / "server.yaml"
        config.write_text(f"""
training:
  data_root: {self.data}
  jobs: {self.folder / jobs}
  encoders: {SOURCE / "model" / "weights"}
{keys}shutdown:
  lame_duck: 0s
""")
        server = Server(self.folder / "store", config, self.folder / "server.log")
        server.start()
        self.addCleanup(server.kill)
        self.training = training_pb2_grpc.TrainingServiceStub(server.channel)
        self.models = model_pb2_grpc.ModelServiceStub(server.channel)
        self.detection = detection_pb2_grpc.DetectionServiceStub(server.channel)
        return server

    def copy(self, *products):
        for product in products:
            shutil.copytree(SAMPLE / product, self.data / product)

    def spec(self, **fields):
        overrides = training_pb2.RecipeOverrides(epochs=4, batch_size=4, input_side=112, decoder_layers=2)
        return training_pb2.TrainJobSpec(**{"model_name": "parts", "dataset_path": ".", "overrides": overrides, **fields})

    def train(self, **fields):
        """A job, watched to its end."""
        job = self.training.CreateTrainJob(
            training_pb2.CreateTrainJobRequest(spec=self.spec(**fields)), timeout=60).job
        for report in self.training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job.job_id), timeout=200):
            job = report.job
        return job

    def succeed(self, **fields):
        job = self.train(**fields)
        self.assertEqual(job.state, STATES.TRAIN_JOB_STATE_SUCCEEDED, f"{job.reason_code}: {job.reason}")
        return job

    def fail_with(self, code, *words, **fields):
        job = self.train(**fields)
        self.assertEqual((STATES.Name(job.state), job.reason_code), ("TRAIN_JOB_STATE_FAILED", code), job.reason)
        for word in words:
            self.assertIn(word, job.reason)
        return job

    def versions(self, name="parts"):
        listed = self.models.ListModels(model_pb2.ListModelsRequest(name=name), timeout=30).models
        return {model.model_version.version: model_pb2.ModelState.Name(model.state) for model in listed}

    def test_a_version_scores_as_its_job_reported(self):
        self.copy("brick", "gravel")
        self.start()
        gate = training_pb2.ActivationGate(minimums=[training_pb2.MetricMinimum(name="image_auroc", minimum=0.1)])
        job = self.succeed(activate_on_success=True, gate=gate)
        self.assertTrue(job.gate_result.activated, job.gate_result.reason)
        self.assertEqual(self.versions(), {"1": "MODEL_STATE_ACTIVE"})
        figures = {(metric.name, metric.category) for metric in job.evaluation.metrics}
        for name in ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"):
            self.assertLessEqual({(name, ""), (name, "brick"), (name, "gravel")}, figures)

        result = json.loads((self.folder / "jobs" / job.job_id / "result.json").read_text())
        reported = {sample["name"]: sample["score"] for sample in result["evaluation"]["samples"]}
        self.assertEqual(len(reported), 21)
        for name, score in reported.items():
            answer = self.detection.Detect(detection_pb2.DetectRequest(
                model="parts", category=name.split("/")[0], encoded=(self.data / name).read_bytes()), timeout=60)
            self.assertAlmostEqual(answer.score, score, delta=1e-5, msg=name)
            self.assertIn(answer.verdict, (detection_pb2.VERDICT_NORMAL, detection_pb2.VERDICT_ANOMALOUS))

        card = self.models.GetModel(model_pb2.GetModelRequest(model="parts@1"), timeout=30).model
        self.assertEqual((card.parent_job, card.training.recipe, card.training.steps),
                         (job.job_id, "quick", job.progress.steps))

    def test_a_refused_gate_leaves_the_version_inactive(self):
        self.copy("brick")
        server = self.start()
        gate = training_pb2.ActivationGate(minimums=[training_pb2.MetricMinimum(name="aupro", minimum=1)])
        job = self.succeed(activate_on_success=True, gate=gate)
        self.assertFalse(job.gate_result.passed)
        self.assertIn("aupro", job.gate_result.reason)
        self.assertEqual(self.versions(), {"1": "MODEL_STATE_STORED"})
        server.kill()
        server.start()
        self.models = model_pb2_grpc.ModelServiceStub(server.channel)
        self.assertEqual(self.versions(), {"1": "MODEL_STATE_STORED"}, "nor after a restart")

    def test_unreadable_pictures_fail_the_job_or_are_counted(self):
        self.copy("brick")
        good = self.data / "brick" / "train" / "good"
        (good / "leer und ü.png").write_bytes(b"")
        (good / "text.png").write_text("no picture")
        self.start()
        self.fail_with("UNREADABLE_IMAGE", "text.png", "skip_unreadable")
        self.assertEqual(self.versions(), {})
        job = self.succeed(skip_unreadable=True)
        self.assertEqual(sorted(job.skipped_paths), ["brick/train/good/leer und ü.png", "brick/train/good/text.png"])

    def damage(self, name):
        """Flips bytes in the middle of a file below the data and returns its content before."""
        path = self.data / name
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle:middle + 8]) + whole[middle + 8:])
        return whole

    def test_damaged_test_images_and_masks_fail_the_job_before_the_first_step(self):
        self.copy("brick")
        self.start()
        name = "brick/test/hole/002.png"
        whole = self.damage(name)
        job = self.fail_with("UNREADABLE_IMAGE", name)
        self.assertEqual(job.progress.step, 0)
        (self.data / name).write_bytes(whole)
        mask = "brick/ground_truth/hole/002_mask.png"
        whole = self.damage(mask)
        job = self.fail_with("INVALID_SPEC", mask)
        self.assertEqual(job.progress.step, 0)
        (self.data / mask).write_bytes(whole)

    def test_an_evaluation_is_repeated_alone_after_a_repair(self):
        self.copy("brick")
        self.start()
        path = self.data / "brick/test/hole/002.png"
        whole = path.read_bytes()
        # Long enough that the image is damaged long before the evaluation.
        overrides = training_pb2.RecipeOverrides(epochs=30, batch_size=4, input_side=112, decoder_layers=2)
        job = self.training.CreateTrainJob(
            training_pb2.CreateTrainJobRequest(spec=self.spec(overrides=overrides)), timeout=60).job
        for report in self.training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job.job_id), timeout=200):
            job = report.job
            if job.progress.phase == training_pb2.TRAIN_PHASE_TRAINING:
                path.write_bytes(b"no image")
        self.assertEqual((STATES.Name(job.state), job.reason_code), ("TRAIN_JOB_STATE_FAILED", "UNREADABLE_IMAGE"))
        self.assertEqual(job.progress.step, job.progress.steps)
        checkpoint = self.folder / "jobs" / job.job_id / "work" / "checkpoint.json"
        trained = checkpoint.read_bytes()

        path.write_bytes(whole + b"\0")  # repaired, with other bytes
        self.training.ResumeTrainJob(training_pb2.ResumeTrainJobRequest(job_id=job.job_id), timeout=60)
        phases = set()
        for report in self.training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job.job_id), timeout=200):
            if checkpoint.exists():
                self.assertEqual(checkpoint.read_bytes(), trained, "nothing was trained again")
            phases.add(report.job.progress.phase)
            job = report.job
        self.assertEqual(job.state, STATES.TRAIN_JOB_STATE_SUCCEEDED, f"{job.reason_code}: {job.reason}")
        self.assertNotIn(training_pb2.TRAIN_PHASE_TRAINING, phases)
        self.assertEqual(job.progress.step, job.progress.steps)
        self.assertEqual(self.versions(), {"1": "MODEL_STATE_STORED"})

    def test_masks_that_contradict_labels_are_told_and_refused_for_a_pixel_gate(self):
        self.copy("brick")
        mask = self.data / "brick/ground_truth/hole/002_mask.png"
        with Image.open(mask) as whole:
            black = Image.new("L", whole.size)
        black.save(mask)
        self.start()
        gate = training_pb2.ActivationGate(minimums=[training_pb2.MetricMinimum(name="aupro", minimum=0.1)])
        self.fail_with("INVALID_SPEC", "002_mask.png", activate_on_success=True, gate=gate)
        job = self.succeed()
        self.assertEqual(len(job.warnings), 1)
        self.assertIn("002_mask.png", job.warnings[0])
        self.assertIn("002_mask.png", (self.folder / "jobs" / job.job_id / "trainer.log").read_text())

    def test_a_trainer_beyond_its_memory_limit_fails_alone(self):
        self.copy("brick")
        server = self.start(keys="  memory_limit: 100MiB\n")
        self.fail_with("OUT_OF_MEMORY", "its limit is 100 MiB")
        self.assertIsNone(server.process.poll(), "the server still runs")
        self.assertEqual(self.versions(), {})

    def test_a_full_disk_fails_the_job_and_leaves_nothing(self):
        self.copy("brick")
        disk = self.folder / "jobs"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.start()
        self.fail_with("DISK_FULL", "No space left on device")
        self.assertEqual(self.versions(), {})

    def test_what_cannot_be_trained_on_is_refused_at_once(self):
        shutil.copytree(SAMPLE / "brick", self.data / "good" / "brick")
        (self.data / "empty").mkdir()
        only_bad = self.data / "only_bad" / "screw" / "test"
        shutil.copytree(SAMPLE / "brick" / "test" / "hole", only_bad / "hole")
        outside = self.folder / "outside"
        shutil.copytree(SAMPLE / "brick", outside / "brick")
        (self.data / "link").symlink_to(outside)
        self.start()
        for fields, code, words in (
                ({"dataset_path": "empty"}, grpc.StatusCode.INVALID_ARGUMENT, "empty"),
                ({"dataset_path": "only_bad"}, grpc.StatusCode.INVALID_ARGUMENT, "good"),
                ({"dataset_path": "link"}, grpc.StatusCode.PERMISSION_DENIED, "link"),
                ({"dataset_path": "../outside"}, grpc.StatusCode.PERMISSION_DENIED, "outside"),
                ({"dataset_path": "missing"}, grpc.StatusCode.NOT_FOUND, "missing"),
                ({"recipe": "slow"}, grpc.StatusCode.INVALID_ARGUMENT, "quick"),
                ({"categories": ["screw"]}, grpc.StatusCode.NOT_FOUND, "screw"),
                ({"overrides": training_pb2.RecipeOverrides(learning_rate=-1)}, grpc.StatusCode.INVALID_ARGUMENT,
                 "learning_rate"),
                ({"overrides": training_pb2.RecipeOverrides(batch_size=64)}, grpc.StatusCode.INVALID_ARGUMENT,
                 "batch_size")):
            with self.subTest(**{key: str(value) for key, value in fields.items()}):
                with self.assertRaises(grpc.RpcError) as refused:
                    self.train(**{"dataset_path": "good", **fields})
                self.assertEqual(refused.exception.code(), code, refused.exception.details())
                self.assertIn(words, refused.exception.details())


if __name__ == "__main__":
    unittest.main(verbosity=2)
