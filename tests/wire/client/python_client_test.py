"""The Python client: installation from its folder without a network, and detection against a fake server."""

import io
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import threading
import unittest
import zlib

import grpc
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from fake_server import FakeServer, picture  # noqa: E402
from installed_client import FOLDER, QUICK, SITE  # noqa: E402
import proad  # noqa: E402
from proad import images, png16  # noqa: E402
from proad.detection import decode_heatmap  # noqa: E402
from proad.v1 import detection_pb2  # noqa: E402

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])

# What the fake server's map holds: 4 x 3, or 6 x 5 at the picture's resolution.
MAP = (0.25 + 0.01 * np.arange(12, dtype=np.float32)).reshape(3, 4)


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

    def test_camera_frames(self):
        frame = proad.Frame(bytes(38), 4, 3, "BAYER_RG12", stride=15)
        self.assertIn("BAYER_RG12 4x3 stride 15, 38 bytes", self.client.detect(frame).model.hash)
        for name in ("RGGB", "UNSPECIFIED", "mono8"):
            with self.assertRaisesRegex(ValueError, f"pixel_format is '{name}'; known: MONO8, .*YUV422_8_UYVY"):
                self.client.detect(proad.Frame(bytes(12), 4, 3, name))

    def test_invalid_images_raise_before_the_call(self):
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

    def test_temporary_errors_are_retried(self):
        for script in ("unavailable:2", "busy:1:5", "pushback:2:5", "reset:2"):
            self.assertEqual(self.client.detect(picture(0.5), category=f"{script}").score, 0.5)

    def test_other_errors_are_not_retried(self):
        # A second attempt would succeed: it must not be made.
        for kind, code in [("full", "RESOURCE_EXHAUSTED"), ("internal", "INTERNAL"), ("expired", "DEADLINE_EXCEEDED"),
                           ("unknown", "NOT_FOUND")]:
            with self.assertRaises(proad.ProadError) as caught:
                self.client.detect(picture(0.5), category=f"{kind}:1")
            self.assertEqual(caught.exception.code.name, code)
            self.assertEqual(self.client.detect(picture(0.5), category=f"{kind}:1").score, 0.5)

    def test_a_retry_time_past_the_deadline_is_raised(self):
        with self.assertRaises(proad.ProadError) as caught:
            self.client.detect(picture(0), category="busy:9:900", timeout=0.8)
        self.assertIs(caught.exception.code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertEqual((caught.exception.reason, caught.exception.retry_after), ("QUEUE_FULL", 0.9))

    def test_an_unreachable_server_is_unavailable(self):
        with proad.Client("127.0.0.1:1", retry=QUICK) as client, self.assertRaises(proad.ProadError) as caught:
            client.detect(picture(0))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
        self.assertIsNone(caught.exception.reason)

    def test_wait_until_serving(self):
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

    def test_a_too_large_image_is_refused_alone(self):
        large = picture(1) + bytes(10_000)
        with proad.Client(self.client.address, max_request_bytes=10_000) as client:
            with self.assertRaises(proad.ProadError) as caught:
                client.detect(large)
            self.assertIs(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(caught.exception.reason, "MESSAGE_TOO_LARGE")
            self.assertIn("server.max_message_bytes", caught.exception.message)
            answers = {answer.index: answer for answer in client.detect_stream([picture(0), large, picture(2)])}
        self.assertEqual(sorted(answers), [0, 1, 2])
        self.assertEqual(answers[1].error.reason, "MESSAGE_TOO_LARGE")
        self.assertEqual((answers[0].result().score, answers[2].result().score), (0, 2))

    def test_an_empty_stream_and_unreadable_files(self):
        self.assertEqual(list(self.client.detect_stream([])), [])
        (answer,) = self.client.detect_stream([FOLDER / "gone.png"])
        self.assertIn("gone.png", answer.error.message)

    def test_a_broken_stream_raises(self):
        with self.assertRaises(proad.ProadError) as caught:
            list(self.client.detect_stream([picture(0)], category="end"))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(caught.exception.message, "going away")

    def test_exceptions_of_the_images_are_raised(self):
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


class PngTest(unittest.TestCase):
    def setUp(self):
        self.array = np.random.default_rng(1).integers(0, 65536, (11, 7), dtype=np.uint16)

    def test_both_readers_support_every_row_filter(self):
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

    def test_colour_with_16_bits_is_sent_as_png(self):
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

    def test_an_installed_google_rpc_is_used(self):
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
