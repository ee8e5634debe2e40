"""Evaluation and a look into datasets with the real trainer program: figures on real pictures, scores as the server
gives them, and bad input said clearly."""

import io
import json
import pathlib
import shutil
import sys
import tempfile
import unittest

from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import BINARY, MODEL, SAMPLE, SOURCE, RealServer, run  # noqa: E402

TRAINER = BINARY / "server" / "proad-trainer"
FACTORY4 = SOURCE / ".." / "shared" / "datasets" / "factory4"
PICTURE = SAMPLE / "brick" / "test" / "good" / "013.png"
DEFECT = SAMPLE / "brick" / "test" / "hole" / "002.png"
MASK = SAMPLE / "brick" / "ground_truth" / "hole" / "002_mask.png"

# What the model that comes with the project must reach: image AUROC by product.
LEAST = {"alien": 0.97, "pcb": 0.95, "brick": 0.98, "gravel": 0.86, "": 0.95}


def trainer(*words):
    return run(TRAINER, *words)


class TrainerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def json(self, *words, code=0):
        done = trainer(*words, "--json")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def refused(self, *words):
        """What a command that fails says; it says nothing on standard output."""
        done = trainer(*words)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertGreater(done.returncode, 0, f"killed: {done.stderr}")
        self.assertEqual(done.stdout, "")
        return done.stderr

    def dataset(self, *pictures):
        """A folder in MVTec-AD's layout with the sample's brick in it, and (name, bytes) of more files."""
        root = self.folder / "parts of Köln"
        for name, source in (("brick/train/good/1.png", SAMPLE / "brick/test/good/003.png"),
                             ("brick/test/good/größe 1.png", PICTURE),
                             ("brick/test/hole/loch ø 2.png", DEFECT),
                             ("brick/ground_truth/hole/loch ø 2_mask.png", MASK)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / name)
        for name, content in pictures:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root


class DatasetCheckTest(TrainerTest):
    def test_the_sample_is_counted(self):
        report = self.json("dataset", "check", SAMPLE)
        self.assertTrue(report["ok"])
        self.assertEqual(report["format"], "mvtec")
        counts = {row["category"]: (row["test"]["good"], row["test"]["defective"], row["test"]["masks"])
                  for row in report["categories"]}
        self.assertEqual(counts, {"alien": (4, 4, 0), "brick": (5, 6, 6), "gravel": (5, 5, 5), "pcb": (5, 5, 5)})
        pcb = report["categories"][3]
        self.assertEqual((pcb["min_width"], pcb["max_height"], pcb["mixed_sizes"]), (640, 640, False))
        self.assertEqual((report["unreadable"], report["bad_masks"], report["duplicates"]), ([], [], []))
        self.assertIsNone(report["train_error"])
        self.assertIsNone(report["evaluate_error"])
        self.assertRegex(report["fingerprint"], "^[0-9a-f]{64}$")

    def test_people_get_a_table(self):
        done = trainer("dataset", "check", SAMPLE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^alien +8 +4 +4 +0 +550 x 380$")
        self.assertRegex(done.stdout, r"(?m)^all +40 +19 +20 +16$")

    def test_what_it_cannot_be_used_for_is_said(self):
        root = self.dataset()
        shutil.rmtree(root / "brick/train")
        done = trainer("dataset", "check", root)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "cannot be trained on: .*brick")
        shutil.rmtree(root / "brick/test/good")
        self.assertIn("good", self.json("dataset", "check", root)["evaluate_error"])

    def test_names_of_any_language_are_kept(self):
        root = self.dataset(("brick/test/good/leer.png", b""))
        report = self.json("dataset", "check", root, code=1)
        self.assertEqual(report["dataset"], str(root))
        self.assertEqual([row["file"] for row in report["unreadable"]], ["brick/test/good/leer.png"])
        self.assertIsNone(report["train_error"])

    def test_what_is_wrong_with_files_is_named(self):
        picture, mask = PICTURE.read_bytes(), MASK.read_bytes()
        root = self.dataset(
            ("brick/test/good/empty.png", b""),
            ("brick/test/good/nul.png", bytes(4096)),
            ("brick/test/good/cut off.png", picture[:2000]),
            ("brick/test/good/twin.png", (SAMPLE / "brick/test/good/003.png").read_bytes()),
            ("brick/test/hole/3.png", DEFECT.read_bytes()),
            ("brick/ground_truth/hole/3_mask.png", mask[:100]),
            ("brick/test/good/readme.txt", b"not a picture"))
        report = self.json("dataset", "check", root, code=1)
        self.assertFalse(report["ok"])
        self.assertEqual({row["file"] for row in report["unreadable"]},
                         {f"brick/test/good/{name}.png" for name in ("empty", "nul", "cut off")})
        self.assertEqual([row["file"] for row in report["bad_masks"]], ["brick/ground_truth/hole/3_mask.png"])
        self.assertEqual(report["duplicates"],
                         [{"train": "brick/train/good/1.png", "test": "brick/test/good/twin.png"}])
        self.assertEqual(report["ignored"], ["brick/test/good/readme.txt"])
        for words in ("empty.png: ", "3_mask.png: ", "twin.png is the same as brick/train/good/1.png", "readme.txt"):
            self.assertIn(words, trainer("dataset", "check", root).stdout)

    def test_it_tells_how_each_folder_was_read(self):
        root = self.dataset(("brick/test/ok/1.png", PICTURE.read_bytes()), ("brick/test/ok/@eaDir/1.png", b"thumbnail"))
        report = self.json("dataset", "check", root)
        labels = {row["label"]: (row["split"], row["good"], row["defect"], row["images"]) for row in report["labels"]}
        self.assertEqual(labels["brick/test/ok"], ("test", True, "", 1))
        self.assertEqual(labels["brick/train/good"][:3], ("train", True, ""))
        self.assertEqual(report["skipped"],
                         [{"reason": "system", "count": 1, "names": ["brick/test/ok/@eaDir"]}])
        done = trainer("dataset", "check", root)
        self.assertRegex(done.stdout, r"(?m)^brick/test/ok +brick +test +good +1 +0$")
        self.assertIn("@eaDir", done.stdout)

    def test_every_kind_of_problem_fits_on_one_screen(self):
        mask = Image.open(MASK).convert("L")
        size = mask.size
        shape = mask.point(lambda value: 255 if value else 0)
        turned = Image.merge("RGBA", [Image.new("L", size, 255)] * 3 + [shape])
        damaged = bytearray(PICTURE.read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        files = [("brick/test/good/empty.png", b""), ("brick/test/good/damaged.png", bytes(damaged)),
                 ("brick/test/good/twin.png", (SAMPLE / "brick/test/good/003.png").read_bytes()),
                 ("brick/test/good/readme.txt", b"not an image")]
        for number, image in enumerate((
                Image.new("L", size), Image.new("L", size, 255), shape.point(lambda value: 255 - value), turned,
                Image.new("L", (8, 8), 255), shape.point(lambda value: value // 255).convert("I;16"))):
            files.append((f"brick/test/hole/{10 + number}.png", DEFECT.read_bytes()))
            stream = io.BytesIO()
            image.save(stream, "PNG")
            files.append((f"brick/ground_truth/hole/{10 + number}_mask.png", stream.getvalue()))
        root = self.dataset(*files)
        report = self.json("dataset", "check", root, code=1)
        found = {(row["file"][-11:-9], row["note"], row["contradicts_label"]) for row in report["mask_findings"]}
        self.assertEqual(found, {("10", False, True), ("11", False, False), ("12", False, False), ("13", True, False)})
        self.assertEqual([row["file"][-11:-9] for row in report["bad_masks"]], ["14"])
        done = trainer("dataset", "check", root)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertLessEqual(len(done.stdout.splitlines()), 48, done.stdout)
        for words in ("2 images that cannot be read", "damaged.png: ", "1 masks that cannot be used", "8x8",
                      "1 masks that mark no pixel of a defective image", "10_mask.png", "white background",
                      "12_mask.png", "opacity", "13_mask.png", "readme.txt", "correct the problems above"):
            self.assertIn(words, done.stdout)
        self.assertNotIn("15_mask.png", done.stdout)

    def test_one_category_alone(self):
        report = self.json("dataset", "check", "--category", "pcb", "--category", "brick", SAMPLE)
        self.assertEqual([row["category"] for row in report["categories"]], ["brick", "pcb"])

    def test_a_dataset_that_is_none_is_refused(self):
        (self.folder / "empty").mkdir()
        self.assertIn(str(self.folder / "empty"), self.refused("dataset", "check", self.folder / "empty"))
        self.assertIn("missing", self.refused("dataset", "check", self.folder / "missing"))
        self.assertIn("screws", self.refused("dataset", "check", SAMPLE, "--category", "screws"))
        self.assertIn("real_iad", self.refused("dataset", "check", SAMPLE, "--format", "jpeg"))
        self.assertIn("PATH", self.refused("dataset", "check"))


class EvaluateTest(TrainerTest):
    @classmethod
    def setUpClass(cls):
        cls.server = RealServer().__enter__()
        cls.addClassCleanup(cls.server.__exit__, None, None, None)

    def evaluate(self, *words, code=0):
        return self.json("evaluate", "--store", self.server.store, *words, code=code)

    def test_scores_are_those_that_the_server_gives(self):
        report = self.evaluate(MODEL, SAMPLE)
        self.assertEqual((report["model"], report["version"], report["images"]), (MODEL, "1", 39))
        scores = {row["name"]: row["score"] for row in report["samples"]}
        detected = [row for row in self.server.proad_json("detect", SAMPLE) if "score" in row]
        served = {str(pathlib.Path(row["file"]).relative_to(SAMPLE)): row["score"] for row in detected}
        for name, score in scores.items():
            self.assertAlmostEqual(score, served[name], delta=1e-5, msg=name)

    def test_people_get_a_table(self):
        done = trainer("evaluate", "--store", self.server.store, f"{MODEL}@1", SAMPLE, "--category", "alien")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{MODEL}@1", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^category +images +image_auroc .* aupro$")
        self.assertRegex(done.stdout, r"(?m)^alien +8 +[01]\.\d{4} .* -$")
        self.assertEqual(done.stderr, "", "progress is for terminals")

    def import_shipped(self, name):
        """The model that comes with the project, and its manifest."""
        weights = SOURCE / "model" / "weights"
        done = trainer("import", "--store", self.server.store, "--name", name,
                       "--encoder", weights / "encoder-pyramid.safetensors",
                       "--weights", weights / "proad-pyramid.safetensors", "--manifest", weights / "proad-pyramid.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads((self.server.store / name / "1" / "manifest.json").read_text(encoding="utf-8"))

    def test_nine_of_ten_verdicts_on_the_sample_are_right(self):
        thresholds = self.import_shipped("fresh")["categories"]
        samples = self.evaluate("fresh", SAMPLE)["samples"]
        wrong = [row["name"] for row in samples
                 if (row["score"] >= thresholds[row["category"]]["threshold"]) != bool(row["defect"])]
        self.assertEqual(len(samples), 39)
        self.assertLessEqual(len(wrong), len(samples) // 10, wrong)

    def test_the_figures_of_the_model_that_comes_with_the_project(self):
        if not FACTORY4.exists():
            self.skipTest(f"the pictures of factory4 are not at {FACTORY4}")
        self.import_shipped("shipped")
        report = self.evaluate("shipped", FACTORY4)
        figures = {(row["name"], row["category"]): row for row in report["metrics"]}
        for category, least in LEAST.items():
            self.assertGreaterEqual(figures["image_auroc", category]["value"], least, category)
        self.assertEqual(figures["image_auroc", ""]["images"], 308)
        self.assertGreaterEqual(figures["pixel_auroc", ""]["value"], 0.90)
        self.assertNotIn(("aupro", "alien"), figures, "alien has no masks")
        products = [figures["aupro", category]["value"] for category in ("brick", "gravel", "pcb")]
        self.assertAlmostEqual(figures["aupro", ""]["value"], sum(products) / 3, places=12)

    def test_a_versions_own_directory_will_do(self):
        root = self.dataset()
        report = self.json("evaluate", "--version-dir", self.server.store / MODEL / "1", root)
        self.assertEqual([row["name"] for row in report["samples"]],
                         ["brick/test/good/größe 1.png", "brick/test/hole/loch ø 2.png"])
        self.assertEqual(report["metrics"], self.evaluate(MODEL, root)["metrics"])

    def test_a_page_for_a_browser_is_whole_in_itself(self):
        root = self.dataset(("brick/test/a <b> & c/1.png", DEFECT.read_bytes()),
                            ("brick/ground_truth/a <b> & c/1_mask.png", MASK.read_bytes()))
        page = self.folder / "page.html"
        report = self.evaluate(MODEL, root, "--report", page)
        html = page.read_text(encoding="utf-8")
        scores = {row["name"]: f"{row['score']:.4f}" for row in report["samples"]}
        for words in (f"{MODEL}@1", report["manifest_hash"], "größe 1.png", "a &lt;b&gt; &amp; c",
                      "<svg", *scores.values()):
            self.assertIn(words, html)
        self.assertNotRegex(html, "<b>|src=|href=|url\\(")
        nowhere = self.folder / "no-folder" / "page.html"
        self.assertIn(str(nowhere), self.refused(
            "evaluate", "--store", self.server.store, MODEL, root, "--report", nowhere))

    def test_unreadable_pictures_are_named_or_left_out(self):
        root = self.dataset(("brick/test/good/leer.png", b""), ("brick/test/good/nul.png", bytes(4096)))
        error = self.refused("evaluate", "--store", self.server.store, MODEL, root)
        self.assertIn("leer.png", error)
        self.assertIn("empty", error)
        report = self.evaluate(MODEL, root, "--skip-unreadable")
        self.assertEqual(report["skipped"], ["brick/test/good/leer.png", "brick/test/good/nul.png"])
        self.assertEqual(report["images"], 2)

    def test_what_cannot_be_measured_is_refused(self):
        def refused(*words):
            return self.refused("evaluate", "--store", self.server.store, *words)

        root = self.dataset()
        shutil.rmtree(root / "brick/test/hole")
        shutil.rmtree(root / "brick/ground_truth")
        self.assertIn("defective", refused(MODEL, root))
        self.assertIn("missing", refused(MODEL, self.folder / "missing"))
        (self.folder / "empty").mkdir()
        self.assertIn("empty", refused(MODEL, self.folder / "empty"))
        self.assertIn("cpu", refused(MODEL, SAMPLE, "--device", "tpu"))

    def test_a_model_that_is_not_there_lists_those_that_are(self):
        store = self.server.store
        self.assertIn(MODEL, self.refused("evaluate", "--store", store, "nobody", SAMPLE))
        self.assertIn("it has 1", self.refused("evaluate", "--store", store, f"{MODEL}@7", SAMPLE))
        self.assertIn("no-store", self.refused("evaluate", "--store", self.folder / "no-store", MODEL, SAMPLE))
        self.assertIn("no-version", self.refused("evaluate", "--version-dir", self.folder / "no-version", SAMPLE))

    def test_words_that_are_missing_are_asked_for(self):
        store = self.server.store
        self.assertIn("--store", self.refused("evaluate", MODEL, SAMPLE))
        self.assertIn("DATASET", self.refused("evaluate", "--store", store, MODEL))
        refused = self.refused("evaluate", "--version-dir", store / MODEL / "1", MODEL, SAMPLE)
        self.assertIn("give only a dataset", refused)


if __name__ == "__main__":
    unittest.main(verbosity=2)
