"""The Python client: installed from its folder without a network, then every call against a fake server."""

import concurrent.futures
import io
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock
import zlib

import grpc
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from certificates import Authority, replace  # noqa: E402
from fake_server import FakeServer  # noqa: E402
from installed_client import FOLDER, SITE  # noqa: E402
import proad  # noqa: E402
from proad import endpoints, images, png16, retry  # noqa: E402
from proad.detection import decode_heatmap  # noqa: E402
from proad.v1 import detection_pb2, training_pb2  # noqa: E402

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])

# What the fake server's map holds: 4 x 3, or 6 x 5 at the picture's resolution.
MAP = (0.25 + 0.01 * np.arange(12, dtype=np.float32)).reshape(3, 4)
QUICK = proad.RetryPolicy(initial_backoff=0.001)


def picture(score):
    return f"score={score}".encode()


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(FakeServer())
        cls.client = cls.enterClassContext(proad.Client(cls.server.address, retry=QUICK))

    def test_detect(self):
        detection = self.client.detect(picture(0.5), category="pcb", model="m", request_id="me", labels={"lot": "7"})
        self.assertEqual(detection.score, 0.5)
        self.assertIs(detection.verdict, proad.Verdict.UNDECIDED)
        self.assertIsNone(detection.threshold)
        self.assertIsNone(detection.normalized_score)
        self.assertIsNone(detection.heatmap)
        self.assertIsNone(detection.overlay)
        self.assertEqual((detection.request_id, detection.category, detection.model.name), ("me", "pcb", "m"))
        self.assertIn("lot=7", detection.model.hash)
        self.assertEqual(detection.inspected_area, proad.Box(0, 0, 6, 5))
        self.assertEqual((detection.image_width, detection.image_height), (6, 5))
        self.assertAlmostEqual(detection.timing.inference, 0.007)

    def test_a_threshold_decides(self):
        for threshold, verdict in ((0.4, proad.Verdict.ANOMALOUS), (0.6, proad.Verdict.NORMAL)):
            detection = self.client.detect(picture(0.5), threshold=threshold)
            self.assertIs(detection.verdict, verdict)
            self.assertEqual(detection.threshold, threshold)
            self.assertIs(detection.threshold_source, proad.ThresholdSource.REQUEST)
            self.assertAlmostEqual(detection.normalized_score, 0.5 / (2 * threshold))

    def test_paths(self):
        path = FOLDER / "a part ä.png"
        path.write_bytes(picture(0.25))
        self.assertEqual(self.client.detect(path).score, 0.25)
        self.assertEqual(self.client.detect(str(path)).score, 0.25)
        with self.assertRaises(FileNotFoundError):
            self.client.detect(FOLDER / "nope.png")

    def test_heatmaps_are_the_same_in_every_format(self):
        for name in ("float32", "u16", "u8", "png16"):
            heatmap = self.client.detect(picture(0.5), heatmap=name).heatmap
            self.assertEqual(heatmap.dtype, np.float32)
            np.testing.assert_allclose(heatmap, MAP, atol=1e-6, err_msg=name)
            self.assertEqual(self.client.detect(picture(0), heatmap=name, resolution="original").heatmap.shape, (5, 6))

    def test_overlay(self):
        self.assertTrue(self.client.detect(picture(0.5), overlay=True).overlay.startswith(b"\x89PNG"))

    def test_arrays_become_frames(self):
        grey = np.full((3, 4), 51, np.uint8)
        colour = np.zeros((3, 4, 3), np.uint8)
        colour[..., 0] = 255
        for array, bgr, expected in [
            (grey, False, "MONO8 4x3 stride 0, 12 bytes"),
            (grey.astype(np.uint16), False, "MONO16 4x3 stride 0, 24 bytes"),
            (colour, False, "RGB8 4x3 stride 0, 36 bytes"),
            (colour, True, "BGR8 4x3 stride 0, 36 bytes"),
            (colour[:, ::2], False, "RGB8 2x3 stride 0, 18 bytes"),
        ]:
            self.assertIn(expected, self.client.detect(array, bgr=bgr).model.hash)
        self.assertAlmostEqual(self.client.detect(grey).score, 0.2)

    def test_what_is_no_image_is_refused_here(self):
        for wrong, kind in [
            (np.zeros((3, 4), np.float32), TypeError),
            (np.zeros((3, 4), bool), TypeError),
            (np.zeros((3, 4, 4), np.uint8), ValueError),
            (np.zeros((0, 4), np.uint8), ValueError),
            (np.zeros(4, np.uint8), ValueError),
            (7, TypeError),
        ]:
            with self.assertRaises(kind):
                self.client.detect(wrong)
        for option in ({"heatmap": "jpeg"}, {"resolution": "full"}):
            with self.assertRaises(ValueError):
                self.client.detect(picture(0), **option)

    def test_errors_name_field_and_reason(self):
        with self.assertRaises(proad.ProadError) as caught:
            self.client.detect(picture(0), category="invalid")
        error = caught.exception
        self.assertIs(error.code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertEqual((error.reason, error.field), ("STRIDE_TOO_SMALL", "frame.stride"))
        self.assertIn("30 bytes", error.message)
        self.assertIn("INVALID_ARGUMENT", str(error))

    def test_what_may_pass_is_tried_again(self):
        for script in ("unavailable:2", "busy:1:5", "pushback:2:5", "reset:2"):
            self.assertEqual(self.client.detect(picture(0.5), category=f"{script}").score, 0.5)

    def test_what_cannot_help_is_not(self):
        # A second attempt would succeed: it must not be made.
        for kind, code in [("full", "RESOURCE_EXHAUSTED"), ("internal", "INTERNAL"), ("expired", "DEADLINE_EXCEEDED"),
                           ("unknown", "NOT_FOUND")]:
            with self.assertRaises(proad.ProadError) as caught:
                self.client.detect(picture(0.5), category=f"{kind}:1")
            self.assertEqual(caught.exception.code.name, code)
            self.assertEqual(self.client.detect(picture(0.5), category=f"{kind}:1").score, 0.5)

    def test_overload_past_the_deadline_is_handed_on(self):
        with self.assertRaises(proad.ProadError) as caught:
            self.client.detect(picture(0), category="busy:9:900", timeout=0.8)
        self.assertIs(caught.exception.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual((caught.exception.reason, caught.exception.retry_after), ("QUEUE_FULL", 0.9))

    def test_nobody_there(self):
        with proad.Client("127.0.0.1:1", retry=QUICK) as client, self.assertRaises(proad.ProadError) as caught:
            client.detect(picture(0))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
        self.assertIsNone(caught.exception.reason)

    def test_a_server_is_waited_for(self):
        self.client.wait_until_serving(timeout=60)
        with proad.Client("127.0.0.1:1") as client, self.assertRaises(proad.ProadError) as caught:
            client.wait_until_serving(timeout=0.2)
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
        self.assertIn("127.0.0.1:1", caught.exception.message)

    def test_models(self):
        found = self.client.models()
        self.assertEqual([f"{model.version.name}@{model.version.version}" for model in found],
                         ["other@7", "proad-tiny@2", "proad-tiny@1"])
        self.assertIs(found[0].state, proad.ModelState.FAILED)
        self.assertIn("SHA-256", found[0].state_reason)
        self.assertTrue(found[1].default)
        self.assertEqual(found[1].created.year, 2023)
        self.assertEqual(len(self.client.models("other")), 1)

    # ---- streams

    def test_a_stream_answers_every_image(self):
        missing = FOLDER / "gone.png"
        sent = [missing if i % 10 == 3 else b"nothing" if i % 10 == 7 else picture(i) for i in range(100)]
        answers = {answer.index: answer for answer in self.client.detect_stream(iter(sent), heatmap="u16")}
        self.assertEqual(sorted(answers), list(range(100)))
        for index, answer in answers.items():
            if index % 10 == 3:
                self.assertIn("gone.png", answer.error.message)
            elif index % 10 == 7:
                self.assertEqual((answer.error.field, answer.error.reason), ("encoded", "IMAGE_DAMAGED"))
                with self.assertRaises(proad.ProadError):
                    answer.result()
            else:
                self.assertEqual(answer.result().score, index)
                np.testing.assert_allclose(answer.detection.heatmap, MAP, atol=1e-6)

    def test_a_stream_of_nothing_or_of_unreadable_files(self):
        self.assertEqual(list(self.client.detect_stream([])), [])
        (answer,) = self.client.detect_stream([FOLDER / "gone.png"])
        self.assertIn("gone.png", answer.error.message)

    def test_a_stream_that_breaks_raises(self):
        with self.assertRaises(proad.ProadError) as caught:
            list(self.client.detect_stream([picture(0)], category="end"))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(caught.exception.message, "going away")

    def test_what_the_images_raise_is_raised(self):
        def images_of_a_broken_camera():
            yield picture(0.5)
            raise RuntimeError("camera unplugged")

        answers = self.client.detect_stream(images_of_a_broken_camera())
        self.assertEqual(next(answers).result().score, 0.5)
        with self.assertRaisesRegex(RuntimeError, "camera unplugged"):
            next(answers)

    def test_a_stream_can_be_left(self):
        for answer in self.client.detect_stream(picture(i) for i in range(1000)):
            if answer.index >= 3:
                break
        self.assertEqual(self.client.detect(picture(0.5)).score, 0.5)

    def test_threads_share_a_client(self):
        wrong = []

        def work(offset):
            for i in range(20):
                if self.client.detect(picture(offset + i)).score != offset + i:
                    wrong.append(offset + i)

        threads = [threading.Thread(target=work, args=(100 * t,)) for t in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


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

    def test_every_word_reaches_the_server(self):
        job = self.client.create(
            "screws", dataset_id="mine", dataset_format="visa_1cls", categories=["pcb"], preset="proad-base",
            recipe="lineage", init_from="screws@1", encoder="mine", device="cuda:1", validation_share=0.0,
            false_reject_budget=0.25, activate_on_success=True, skip_unreadable=True, world_size=2,
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
        overrides = spec.overrides
        self.assertEqual((overrides.epochs, overrides.seed, overrides.precision, overrides.position_resize),
                         (3, 2**63, 3, 2))
        self.assertTrue(overrides.HasField("center_crop"))
        self.assertFalse(overrides.HasField("dropout"))
        self.assertEqual((spec.gate.minimums[0].category, spec.gate.tolerance), ("pcb", 0.125))
        self.assertEqual(dict(spec.labels), {"ticket": "7"})
        for name in ("validation_share", "overrides", "gate"):
            self.assertFalse(self.create().spec.HasField(name), name)

    def test_words_that_are_none_are_refused_here(self):
        for wrong in ({"dataset_format": "zip"}, {"overrides": {"lr": 1}}, {"overrides": {"precision": "fp8"}},
                      {"dataset_id": "both"}):
            with self.assertRaises(ValueError):
                self.create(**wrong)

    def test_errors_name_field_and_reason(self):
        error = self.failure(self.client.create, "bad", dataset_path="parts")
        self.assertEqual((error.code, error.field), (grpc.StatusCode.INVALID_ARGUMENT, "spec.model_name"))
        self.assertIs(self.failure(self.client.get, "nope").code, grpc.StatusCode.NOT_FOUND)

    def test_a_lost_answer_makes_no_second_job(self):
        self.assertEqual(self.create("lost").job_id, "job-1")
        self.assertEqual([job.job_id for job in self.client.list()], ["job-1"])
        ids = {self.create(request_id="me").job_id for _ in range(2)}
        self.assertEqual(ids, {"job-2"})
        self.assertEqual(self.create(validate_only=True).job_id, "")

    def test_a_watch_tells_every_report_and_the_end(self):
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

    def test_a_gate_that_refuses_says_why(self):
        job = self.client.wait(self.create("refused", activate_on_success=True).job_id)
        self.assertIs(job.state, proad.JobState.SUCCEEDED)
        self.assertEqual((job.gate.passed, job.gate.activated), (False, False))
        self.assertIn("0.9500", job.gate.reason)
        self.assertEqual((job.gate.compared_with.version, job.gate.compared_metrics[0].value), ("2", 0.94))

    def test_a_watch_goes_on_when_the_server_is_back(self):
        for script in ("interrupted", "hung up"):
            self.assertIs(self.client.wait(self.create(script).job_id).state, proad.JobState.SUCCEEDED)
        error = self.failure(self.client.wait, self.create("gone").job_id, patience=0.05)
        self.assertIs(error.code, grpc.StatusCode.UNAVAILABLE)
        self.assertIs(self.failure(self.client.wait, "nope").code, grpc.StatusCode.NOT_FOUND)

    def test_a_watch_can_be_left_and_the_job_goes_on(self):
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

    def test_a_folder_arrives_whole_and_in_order(self):
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

    def test_the_command_line_gives_the_same_name(self):
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

    def test_a_broken_upload_goes_on_after_the_last_whole_file(self):
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

    def test_what_cannot_be_sent_is_refused_here(self):
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

    def test_thresholds_are_set(self):
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


class RetryTest(unittest.TestCase):
    def test_the_table(self):
        policy = proad.RetryPolicy(max_attempts=3, initial_backoff=0.05, max_backoff=0.08)
        unavailable = proad.ProadError(grpc.StatusCode.UNAVAILABLE, "")
        busy = proad.ProadError(grpc.StatusCode.RESOURCE_EXHAUSTED, "", retry_after=1.5)
        full = proad.ProadError(grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        internal = proad.ProadError(grpc.StatusCode.INTERNAL, "", retry_after=1.5)
        for error, attempts, remaining, jitter, expected in [
            (unavailable, 1, 10, 0, 0.025), (unavailable, 1, 10, 1, 0.05), (unavailable, 2, 10, 1, 0.08),
            (unavailable, 3, 10, 0, None), (unavailable, 1, 0.02, 0, None), (unavailable, 1, float("inf"), 0, 0.025),
            (busy, 1, 10, 0, 1.525), (busy, 1, 1.5, 0, None), (full, 1, 10, 0, None), (internal, 1, 10, 0, None),
        ]:
            delay = retry.retry_delay(policy, error, attempts, remaining, jitter)
            if expected is None:
                self.assertIsNone(delay)
            else:
                self.assertAlmostEqual(delay, expected)


def filtered_png(array, filters):
    """A grey PNG of 16 bits whose rows use the given filters in turn, written from the standard's text."""
    height, width = array.shape
    data = array.astype(">u2").tobytes()
    rows = bytearray()
    for y in range(height):
        kind = filters[y % len(filters)]
        rows.append(kind)
        for x in range(2 * width):
            at = 2 * width * y + x
            left = data[at - 2] if x >= 2 else 0
            above = data[at - 2 * width] if y else 0
            corner = data[at - 2 * width - 2] if x >= 2 and y else 0
            estimate = left + above - corner
            paeth = min((abs(estimate - v), order, v) for order, v in enumerate((left, above, corner)))[2]
            rows.append((data[at] - (0, left, above, (left + above) // 2, paeth)[kind]) % 256)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class EndpointsTest(unittest.TestCase):
    def test_one_server_is_left_as_it_is(self):
        for address in ("localhost:50051", "[::1]:50051", "unix:/run/proad.sock"):
            self.assertEqual(endpoints.parse_endpoints(address), endpoints.Endpoints(address))

    def test_several_are_looked_up(self):
        several = endpoints.parse_endpoints("127.0.0.1:1, [::1]:2,")
        self.assertEqual(several.target, "ipv6:[::ffff:127.0.0.1]:1,[::1]:2")
        self.assertEqual(dict(several.options)["grpc.default_authority"], "127.0.0.1")
        name = endpoints.parse_endpoints("dns:///proad:50051")
        self.assertEqual(name.target, "dns:///proad:50051")
        self.assertEqual({key for key, _ in several.options} - {key for key, _ in name.options}, {"grpc.default_authority"})

    def test_one_that_dies_is_passed_over(self):
        with FakeServer() as lasting, FakeServer() as dying:
            with proad.Client(f"{dying.address},{lasting.address}", retry=QUICK) as client:
                for _ in range(4):
                    client.detect(picture(0.5))
                dying.stop()
                for _ in range(10):
                    client.detect(picture(0.5))

    def test_that_nobody_is_there_is_said(self):
        with proad.Client("127.0.0.1:1,127.0.0.1:2", retry=proad.RetryPolicy(max_attempts=1)) as client:
            with self.assertRaises(proad.ProadError) as caught:
                client.detect(picture(0.5))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)


class PngTest(unittest.TestCase):
    def setUp(self):
        self.array = np.random.default_rng(1).integers(0, 65536, (11, 7), dtype=np.uint16)

    def test_both_readers_know_every_row_filter(self):
        for filters in ([0], [1], [2], [3], [4], [0, 1, 2, 3, 4]):
            data = filtered_png(self.array, filters)
            np.testing.assert_array_equal(png16.read_grey_plainly(data), self.array, err_msg=str(filters))
            np.testing.assert_array_equal(png16.read_grey(data), self.array, err_msg=str(filters))

    def test_damage_is_an_error(self):
        data = filtered_png(self.array, [1])
        eight_bits = bytearray(data)
        eight_bits[24] = 8
        for bad in (b"", b"GIF89a", data[:60], data[:20], bytes(eight_bits)):
            for read in (png16.read_grey_plainly, png16.read_grey):
                with self.assertRaises(ValueError):
                    read(bad)
        wrong_size = detection_pb2.Heatmap(width=9, height=9, format=detection_pb2.HEATMAP_FORMAT_PNG16, data=data)
        with self.assertRaises(ValueError):
            decode_heatmap(wrong_size)

    def test_raw_maps_of_the_wrong_size_are_errors(self):
        short = detection_pb2.Heatmap(width=2, height=2, format=detection_pb2.HEATMAP_FORMAT_FLOAT32, data=b"123")
        with self.assertRaises(ValueError):
            decode_heatmap(short)
        with self.assertRaises(ValueError):
            decode_heatmap(detection_pb2.Heatmap())

    def test_colour_of_16_bits_travels_as_png(self):
        array = np.random.default_rng(2).integers(0, 65536, (3, 5, 3), dtype=np.uint16)
        request = detection_pb2.DetectRequest()
        images.fill(request, array)
        import PIL.Image
        # Pillow keeps 8 bits of colour; the high bytes must be right, and zlib has all of them.
        high = np.asarray(PIL.Image.open(io.BytesIO(request.encoded)))
        np.testing.assert_array_equal(high, array >> 8)
        start = request.encoded.index(b"IDAT")
        (length,) = struct.unpack(">I", request.encoded[start - 4 : start])
        rows = np.frombuffer(zlib.decompress(request.encoded[start + 4 : start + 4 + length]), np.uint8).reshape(3, -1)
        np.testing.assert_array_equal(np.ascontiguousarray(rows[:, 1:]).view(">u2").reshape(3, 5, 3), array)
        swapped = detection_pb2.DetectRequest()
        images.fill(swapped, array[:, :, ::-1], bgr=True)
        self.assertEqual(swapped.encoded, request.encoded)


class PackageTest(unittest.TestCase):
    def python(self, code, *path):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (SITE, *path)))}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    def test_everything_is_in_the_package(self):
        self.assertEqual({path.name.split("-")[0] for path in SITE.iterdir()}, {"proad"})
        self.assertTrue((SITE / "proad" / "py.typed").exists())
        version = re.search(r"project\(proad VERSION ([\d.]+)", (SOURCE / "CMakeLists.txt").read_text()).group(1)
        self.assertTrue((SITE / f"proad-{version}.dist-info").is_dir(), "pyproject.toml has another version")

    def test_google_rpc_of_others_is_used_where_there_is_one(self):
        # As another release of it would be: the process may hold google/rpc/error_details.proto only once.
        other = FOLDER / "other"
        shutil.copytree(FOLDER / "proto" / "google", other / "proto" / "google", dirs_exist_ok=True)
        details = other / "proto" / "google" / "rpc" / "error_details.proto"
        details.write_text(details.read_text() + "\nmessage OfAnotherRelease {}\n")
        from grpc_tools import protoc
        import grpc_tools
        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        self.assertEqual(protoc.main(["protoc", f"-I{other / 'proto'}", f"-I{well_known}", f"--python_out={other}",
                                      "google/rpc/error_details.proto", "google/rpc/status.proto"]), 0)
        script = "from proad._rpc import error_details_pb2 as e; print(e.__name__, hasattr(e, 'OfAnotherRelease'))"
        for order in ("", "import google.rpc.error_details_pb2\n"):
            done = self.python(order + script, other)
            self.assertEqual(done.stdout.split(), ["google.rpc.error_details_pb2", "True"], done.stderr)
        alone = self.python(script)
        self.assertEqual(alone.stdout.split()[-1], "False", alone.stderr)
        done = self.python(script + "\nimport google.rpc.error_details_pb2", other)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_it_is_typed(self):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--config-file", FOLDER / "client" / "python" / "pyproject.toml",
             "--cache-dir", FOLDER / "mypy", "-p", "proad"],
            capture_output=True, text=True, env={**os.environ, "MYPYPATH": str(SITE)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class _Doorkeeper(grpc.GenericRpcHandler):
    """Answers every call with one empty message, and remembers the authorizations that it was shown."""

    def __init__(self):
        self.shown = []

    def service(self, details):
        self.shown.append([value for key, value in details.invocation_metadata if key == "authorization"])

        def answer(requests, context):
            for _ in requests:
                pass
            yield b""

        return grpc.stream_stream_rpc_method_handler(answer)


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = FOLDER / "security"
        cls.ours, cls.others = Authority(cls.folder, "ours"), Authority(cls.folder, "others")
        cls.client_certificate, cls.client_key = cls.ours.issue("camera")
        cls.token = cls.folder / "token"

    def setUp(self):
        self.token.write_text("proad_one\n")

    def serve(self, credentials=None):
        """A server on a free port; its address and what it is shown."""
        doorkeeper = _Doorkeeper()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[doorkeeper])
        add = server.add_insecure_port if credentials is None else (
            lambda address: server.add_secure_port(address, credentials))
        port = add("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        return f"localhost:{port}", doorkeeper.shown

    def serve_tls(self, mutual=False):
        certificate, key = self.ours.issue("server")
        return self.serve(grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())],
            self.ours.certificate.read_bytes() if mutual else None, mutual))

    def visit(self, address, **files):
        security = proad.Security(**{name: str(value) for name, value in files.items()})
        with proad.ModelClient(address, security=security, timeout=20, retry=proad.RetryPolicy(max_attempts=1)) as client:
            return list(client.list())

    def test_tls_with_a_token(self):
        address, shown = self.serve_tls()
        self.assertEqual(self.visit(address, ca=self.ours.certificate, token_file=self.token), [])
        self.assertEqual(shown, [["Bearer proad_one"]])
        for files in ({"ca": self.others.certificate}, {}, {"ca": self.ours.certificate, "server_name": "other.example"}):
            with self.assertRaises(proad.ProadError) as caught:
                self.visit(address, **files)
            self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)

    def test_mutual_tls(self):
        address, _ = self.serve_tls(mutual=True)
        mine = {"cert": self.client_certificate, "key": self.client_key}
        self.assertEqual(self.visit(address, ca=self.ours.certificate, **mine), [])
        with self.assertRaises(proad.ProadError):
            self.visit(address, ca=self.ours.certificate)

    def test_the_environment(self):
        address, shown = self.serve_tls(mutual=True)
        environment = {"PROAD_TLS_CA": self.ours.certificate, "PROAD_TLS_CERT": self.client_certificate,
                       "PROAD_TLS_KEY": self.client_key, "PROAD_TOKEN_FILE": self.token}
        with unittest.mock.patch.dict(os.environ, {name: str(value) for name, value in environment.items()}):
            self.assertEqual(self.visit(address), [])
        self.assertEqual(shown, [["Bearer proad_one"]])

    def test_every_shape_of_call_carries_the_token(self):
        address, shown = self.serve()
        security = proad.Security(token_file=str(self.token))
        with proad.Client(address, security=security) as client:
            list(client._detection.DetectStream(iter([])))
        with proad.TrainingClient(address, security=security) as training:
            self.assertEqual(list(training.list()), [])
            list(training._training.WatchTrainJob(training_pb2.WatchTrainJobRequest()))
            training._training.UploadDataset(iter([]))
        self.assertGreaterEqual(len(shown), 4)
        self.assertEqual({tuple(values) for values in shown}, {("Bearer proad_one",)})

    def test_a_token_that_is_replaced(self):
        address, shown = self.serve()
        with proad.ModelClient(address, security=proad.Security(token_file=str(self.token))) as client:
            client.list()
            draft = self.folder / "draft"
            for text in ("proad_two\n", "not one token\n"):
                draft.write_text(text)
                replace(draft, self.token)
                client.list()
            self.token.unlink()
            client.list()
        self.assertEqual([values for (values,) in shown], ["Bearer proad_one"] + ["Bearer proad_two"] * 3)

    def test_what_is_wrong_is_said_at_once(self):
        wrong = [
            ({"token_file": self.token}, "in plain text", "inspect.example:50051"),
            ({"server_name": "a"}, "TLS is not asked for", "localhost:1"),
            ({"ca": self.ours.certificate, "cert": self.client_certificate}, "go together", "localhost:1"),
            ({"ca": self.token}, "holds nothing in PEM", "localhost:1"),
            ({"ca": self.folder / "none"}, "No such file", "localhost:1"),
            ({"token_file": self.ours.certificate}, "holds no token", "localhost:1"),
        ]
        for files, words, address in wrong:
            with self.assertRaisesRegex((ValueError, OSError), words):
                self.visit(address, **files)


if __name__ == "__main__":
    unittest.main(verbosity=2)
