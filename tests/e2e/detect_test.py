"""The main job with the real binaries: pictures in, scores and heatmaps out, and what goes wrong said clearly."""

import csv
import json
import pathlib
import struct
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import MODEL, PROAD, SAMPLE, SOURCE, RealServer, run  # noqa: E402

# Scores of images of the sample under proad-tiny with the shipped weights, computed by Pillow's resize and PyTorch in
# float32. Another implementation must agree to 1e-3.
with (SOURCE / "tests/support/reference_scores.csv").open(newline="") as table:
    REFERENCE = {row["image"]: float(row["score"]) for row in csv.DictReader(table)}


def png_that_claims(width, height):
    """A PNG of a few bytes whose header claims a huge picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


class DetectTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = RealServer().__enter__()
        cls.addClassCleanup(cls.server.__exit__, None, None, None)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def rows(self, *arguments):
        return [row for row in self.server.proad_json("detect", *arguments) if "file" in row]

    def test_scores_are_those_of_the_reference(self):
        rows = self.rows(*(SAMPLE / name for name in REFERENCE))
        scores = {str(pathlib.Path(row["file"]).relative_to(SAMPLE)): row["score"] for row in rows}
        self.assertEqual(scores.keys(), REFERENCE.keys())
        for name, expected in REFERENCE.items():
            self.assertLess(abs(scores[name] - expected) / expected, 1e-3, f"{name}: {scores[name]}, not {expected}")

    def test_without_a_calibration_nothing_is_called_normal(self):
        rows = self.rows(SAMPLE / "brick")
        self.assertEqual({row["verdict"] for row in rows}, {"UNDECIDED"})

    def test_a_threshold_of_the_caller_decides(self):
        rows = self.rows(SAMPLE / "brick/test/hole/002.png", SAMPLE / "brick/test/good/013.png", "--threshold", "0.08")
        self.assertEqual([row["verdict"] for row in rows], ["ANOMALOUS", "NORMAL"])

    def test_an_anomaly_can_be_the_exit_code(self):
        done = self.server.proad(
            "detect", SAMPLE / "brick/test/hole/002.png", "--threshold", "0.08", "--fail-on-anomaly")
        self.assertEqual(done.returncode, 10, done.stderr)

    def test_overlays_have_the_size_of_their_pictures(self):
        out = self.folder / "overlays"
        done = self.server.proad(
            "detect", SAMPLE / "alien/test/damaged/000.png", "--overlay", "--resolution", "original", "--out", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        (overlay,) = out.rglob("*.png")
        self.assertEqual(struct.unpack(">II", overlay.read_bytes()[16:24]), (550, 380))

    def test_a_bad_picture_is_reported_and_the_others_are_inspected(self):
        bad = self.folder / "truncated part ä.png"
        bad.write_bytes((SAMPLE / "pcb/test/good/097.png").read_bytes()[:5000])
        bomb = self.folder / "bomb.png"
        bomb.write_bytes(png_that_claims(60000, 60000))
        done = self.server.proad("detect", bad, bomb, SAMPLE / "pcb/test/good/097.png", "--json")
        self.assertEqual(done.returncode, 1, done.stderr)
        rows = [row for row in map(json.loads, done.stdout.splitlines()) if "file" in row]
        self.assertEqual(len(rows), 3)
        by_name = {pathlib.Path(row["file"]).name: row for row in rows}
        for name in (bad.name, bomb.name):
            self.assertNotIn("verdict", by_name[name])
            self.assertEqual(by_name[name]["error"]["code"], "INVALID_ARGUMENT")
        self.assertIn("60000", by_name[bomb.name]["error"]["message"])
        self.assertAlmostEqual(by_name["097.png"]["score"], REFERENCE["pcb/test/good/097.png"], delta=1e-4)

    def test_an_unknown_model_lists_the_known_ones(self):
        done = self.server.proad("detect", SAMPLE / "brick/test/hole/002.png", "--model", "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nobody", done.stdout + done.stderr)
        self.assertIn(MODEL, done.stdout + done.stderr)

    def test_models_are_listed_and_shown(self):
        listed = self.server.proad("models", "list")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertIn(MODEL, listed.stdout)
        shown = self.server.proad("models", "show", MODEL)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("280", shown.stdout)

    def test_the_shipped_manifest_brings_verdicts(self):
        weights = SOURCE / "model" / "weights"
        done = run(PROAD, "import", "--store", self.server.store, "--name", "calibrated",
                   "--encoder", weights / "encoder-pyramid.safetensors", "--weights", weights / "proad-pyramid.safetensors",
                   "--manifest", weights / "proad-pyramid.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.server.proad_json("models", "load", "calibrated@1")
        pictures = (SAMPLE / "brick/test/hole/002.png", SAMPLE / "brick/test/good/013.png")
        for arguments in ((), ("--category-from-folder",)):
            rows = self.rows(*pictures, "--model", "calibrated@1", *arguments)
            self.assertEqual([row["verdict"] for row in rows], ["ANOMALOUS", "NORMAL"], arguments)

    def test_versions_come_serve_go_back_and_leave(self):
        weights = SOURCE / "model" / "weights"
        for _ in range(2):
            done = run(PROAD, "import", "--store", self.server.store, "--name", "second", "--preset", "proad-tiny",
                       "--encoder", weights / "encoder-tiny.safetensors", "--weights", weights / "proad-tiny.safetensors")
            self.assertEqual(done.returncode, 0, done.stderr)
        picture = SAMPLE / "brick/test/hole/002.png"

        def version(model):
            return self.server.proad_json("detect", picture, "--model", model)[0]["version"]

        (loaded,) = self.server.proad_json("models", "load", "second@2")
        self.assertEqual(loaded["state"], "MODEL_STATE_LOADED")
        self.assertGreater(int(loaded["device_memory_bytes"]), 1e7)
        self.assertAlmostEqual(loaded["probe"]["score"], loaded["probe"]["expected_score"], delta=1e-5)
        self.assertEqual(version("second@2"), "2")
        self.server.proad_json("models", "activate", "second@1")
        self.server.proad_json("models", "activate", "second@2")
        self.assertEqual(version("second"), "2")
        self.server.proad_json("models", "rollback", "second")
        self.assertEqual(version("second"), "1")
        self.assertEqual(self.server.proad("models", "delete", "second@2").returncode, 1, "it is in memory")
        self.server.proad_json("models", "unload", "second@2")
        self.server.proad_json("models", "delete", "second@2")
        self.assertFalse((self.server.store / "second" / "2").exists())
        self.assertNotEqual(self.server.proad("detect", picture, "--model", "second@2").returncode, 0)

    def test_a_server_that_is_not_there_has_its_own_exit_code(self):
        done = run(PROAD, "detect", SAMPLE / "brick/test/hole/002.png", "--server", "127.0.0.1:1", "--deadline", "2s")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)

    def test_a_client_that_knows_only_the_contract_gets_a_detection(self):
        done = run(sys.executable, SOURCE / "tests/wire/client/stranger_test.py", self.server.address,
                   SAMPLE / "brick/test/hole/002.png")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_doctor_finds_libtorch_and_the_server(self):
        done = self.server.proad("doctor", "--server", self.server.address)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("2.11.0", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
