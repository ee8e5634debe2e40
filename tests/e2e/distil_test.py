#!/usr/bin/env python3
"""A student learns from a teacher, by the command line: the file, its card, stops, and what is refused."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from safetensors import safe_open

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from waiting import first_line  # noqa: E402

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
PROAD = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "client" / "proad"
TEACHER = SOURCE / "model" / "weights" / "encoder-tiny.safetensors"
PHOTOGRAPHS = SOURCE / "deploy" / "sample"
STOPPED = 75


class DistilTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def command(self, out, **options):
        chosen = {"teacher": TEACHER, "photographs": PHOTOGRAPHS, "out": self.folder / out, "steps": 8, "batch-patches": 128,
                  "sides": 112, **options}
        return [str(PROAD), "encoder", "distil", "--json",
                *(word for name, value in chosen.items() for word in (f"--{name}", str(value)))]

    def distil(self, out, code=0, **options):
        run = subprocess.run(self.command(out, **options), capture_output=True, text=True, timeout=200, check=False)
        self.assertEqual(run.returncode, code, run.stderr)
        return run

    def test_a_student_with_its_card(self):
        run = self.distil("student.safetensors")
        last = json.loads(run.stdout.splitlines()[-1])
        self.assertEqual((last["step"], last["steps"]), (8, 8))
        with safe_open(self.folder / "student.safetensors", "numpy") as student, safe_open(TEACHER, "numpy") as teacher:
            self.assertEqual(sorted(student.keys()), sorted(teacher.keys()))
            for name in student.keys():
                self.assertEqual(student.get_slice(name).get_dtype(), "F16")
                self.assertEqual(student.get_slice(name).get_shape(), teacher.get_slice(name).get_shape(), name)
        card = json.loads((self.folder / "student.safetensors.json").read_text())
        digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertEqual(card["sha256"], digest(self.folder / "student.safetensors"))
        self.assertEqual(card["teacher"]["sha256"], digest(TEACHER))
        self.assertEqual(card["photographs"]["folders"], ["sample"])
        self.assertEqual(card["photographs"]["count"], sum(1 for _ in PHOTOGRAPHS.rglob("*.png")))
        self.assertEqual((card["steps"], card["batch_patches"], card["sides"]), (8, 128, [112]))
        self.assertTrue(all(0 < share < 2 for share in card["unexplained"]), card["unexplained"])

        self.distil("student.safetensors")  # done already
        again = json.loads((self.folder / "student.safetensors.json").read_text())
        self.assertEqual({**again, "created": card["created"]}, card)

        version = subprocess.run(
            [str(PROAD), "import", "--store", self.folder / "store", "--name", "small", "--preset", "proad-tiny",
             "--encoder", self.folder / "student.safetensors",
             "--weights", SOURCE / "model" / "weights" / "proad-tiny.safetensors"],
            capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(version.returncode, 0, version.stderr)

    def test_stopped_and_killed_it_goes_on_to_the_same_bytes(self):
        many = {"steps": 30, "checkpoint-seconds": 0}
        self.distil("whole.safetensors", **many)
        for ending, code in ((signal.SIGTERM, STOPPED), (signal.SIGKILL, -signal.SIGKILL)):
            command = self.command(f"{ending.name}.safetensors", **many)
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
                self.assertTrue(first_line(run, b""), "no step within the deadline")
                run.send_signal(ending)
                run.stdout.read()
            self.assertEqual(run.returncode, code)
            self.assertFalse((self.folder / f"{ending.name}.safetensors").exists())
            self.distil(f"{ending.name}.safetensors", **many)
            self.assertEqual((self.folder / f"{ending.name}.safetensors").read_bytes(),
                             (self.folder / "whole.safetensors").read_bytes(), ending.name)

    def test_a_picture_that_cannot_be_read_is_said(self):
        shutil.copytree(PHOTOGRAPHS / "pcb", self.folder / "photos")
        (self.folder / "photos" / "broken.png").write_bytes(b"not a picture")
        self.assertIn("broken.png", self.distil("student.safetensors", photographs=self.folder / "photos").stderr)
        card = json.loads((self.folder / "student.safetensors.json").read_text())
        self.assertEqual(card["photographs"]["skipped"], 1)

    def test_another_run_in_the_same_directory_is_refused(self):
        self.distil("student.safetensors")
        for change in ({"learning-rate": 1e-4}, {"photographs": PHOTOGRAPHS / "pcb"}, {"seed": 7}):
            with self.subTest(change):
                self.assertIn("use the same ones, or another directory", self.distil("student.safetensors", code=1, **change).stderr)

    def test_what_cannot_be_learned_from_is_named(self):
        (self.folder / "empty").mkdir()
        for options, words in (
                ({"photographs": self.folder / "empty"}, "no readable image"),
                ({"teacher": SOURCE / "model" / "weights" / "proad-tiny.safetensors"}, "trained weights of a Pro-AD"),
                ({"teacher": SOURCE / "README.md"}, "README.md"),
                ({"sides": 100}, "sides must be multiples of the patch"),
                ({"steps": 0}, "steps must be at least 1"),
                ({"precision": "tf32", "device": "cpu"}, "precision tf32 needs a CUDA device")):
            with self.subTest(words):
                self.assertIn(words, self.distil("none.safetensors", code=1, **options).stderr)
                self.assertFalse((self.folder / "none.safetensors").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
