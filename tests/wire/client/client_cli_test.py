"""Runs the command-line client against a fake server and checks its output and exit codes."""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from fake_server import FakeServer  # noqa: E402

PROAD = pathlib.Path(os.environ["PROAD_BINARY_DIR"]) / "client" / "proad"


class CommandLineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(FakeServer())

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def image(self, name, score):
        """A file that the fake server gives this score."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"score={score}")
        return path

    def proad(self, *arguments, server=True, **environment):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROAD_")}
        if server:
            clean["PROAD_SERVER"] = self.server.address
        return subprocess.run([PROAD, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              env={**clean, **environment})

    def rows(self, *arguments, code=0):
        done = self.proad("detect", *arguments, "--json")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertIn("summary", lines[-1])
        return lines[:-1], lines[-1]["summary"]

    # ---- detect

    def test_a_folder_gives_a_table_in_the_order_of_paths(self):
        for name in ("b/2.png", "b/1.png", "a part ä.png"):
            self.image(name, 0.25)
        done = self.proad("detect", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["file", "score", "threshold", "verdict", "ms"])
        self.assertEqual([line.split("  ")[0].strip() for line in lines[1:4]],
                         [str(self.folder / name) for name in ("a part ä.png", "b/1.png", "b/2.png")])
        for line in lines[1:4]:
            self.assertIn("0.2500", line)
            self.assertIn("UNDECIDED", line)
        self.assertIn("3 inspected", done.stdout)
        self.assertIn("--threshold", done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_json_has_one_object_per_line(self):
        rows, summary = self.rows(self.image("1.png", 0.5), "--threshold", 0.4, "--category", "pcb",
                                  "--label", "part=7", "--label", "lot=x=y", "--model", "m")
        (row,) = rows
        self.assertEqual((row["score"], row["verdict"], row["threshold"], row["threshold_source"]),
                         (0.5, "ANOMALOUS", 0.4, "REQUEST"))
        self.assertEqual((row["model"], row["category"]), ("m", "pcb"))
        self.assertIn("part=7", row["model_hash"])
        self.assertIn("lot=x=y", row["model_hash"])
        self.assertGreaterEqual(row["milliseconds"], 0)
        self.assertEqual(summary["anomalous"], 1)

    def test_rows_keep_their_order_at_any_concurrency(self):
        for i in range(40):
            self.image(f"{i:02}.png", i)
        for concurrency in (1, 16):
            rows, _ = self.rows(self.folder, "--concurrency", concurrency)
            self.assertEqual([row["score"] for row in rows], list(range(40)))

    def test_an_invalid_image_gives_a_row_and_the_run_continues(self):
        bad = self.folder / "0 bad.png"
        bad.write_text("nothing")
        good = self.image("1.png", 0.5)
        rows, summary = self.rows(bad, self.folder / "missing.png", good, code=1)
        self.assertEqual(rows[0]["error"]["code"], "INVALID_ARGUMENT")
        self.assertEqual(rows[0]["error"]["field"], "encoded")
        self.assertEqual(rows[0]["error"]["reason"], "IMAGE_DAMAGED")
        self.assertEqual(rows[1]["error"]["code"], "NOT_FOUND")
        self.assertEqual(rows[2]["score"], 0.5)
        for row in rows[:2]:
            self.assertNotIn("verdict", row)
            self.assertNotIn("score", row)
        self.assertEqual((summary["failed"], summary["undecided"]), (2, 1))
        done = self.proad("detect", bad, good)
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED", done.stdout)
        self.assertIn("encoded: not a picture", done.stdout)

    def test_a_too_large_image_is_a_row_and_the_run_continues(self):
        large = self.folder / "0 large.png"
        large.write_text("score=1" + "x" * 10_000)
        good = self.image("1.png", 0.5)
        rows, summary = self.rows(large, good, "--max-request-bytes", 10_000, code=1)
        self.assertEqual(rows[0]["error"]["code"], "INVALID_ARGUMENT")
        self.assertEqual(rows[0]["error"]["reason"], "MESSAGE_TOO_LARGE")
        self.assertIn("server.max_message_bytes", rows[0]["error"]["message"])
        self.assertEqual(rows[1]["score"], 0.5)
        self.assertEqual((summary["failed"], summary["undecided"]), (1, 1))

    def test_fail_on_anomaly_does_not_accept_undecided_images(self):
        low, high = self.image("low.png", 0.1), self.image("high.png", 0.9)
        flag = ("--fail-on-anomaly",)
        self.assertEqual(self.proad("detect", low, "--threshold", 0.5, *flag).returncode, 0)
        self.assertEqual(self.proad("detect", low, high, "--threshold", 0.5, *flag).returncode, 10)
        self.assertEqual(self.proad("detect", high, self.folder / "no", "--threshold", 0.5, *flag).returncode, 10)
        self.assertEqual(self.proad("detect", low, *flag).returncode, 1)
        self.assertEqual(self.proad("detect", low, high, "--threshold", 0.5).returncode, 0)

    def test_temporary_errors_are_retried(self):
        rows, _ = self.rows(self.image("1.png", 0.5), "--category", f"unavailable:2:{os.getpid()}")
        self.assertEqual(rows[0]["score"], 0.5)
        rows, _ = self.rows(self.image("1.png", 0.5), "--category", "full", code=1)
        self.assertEqual(rows[0]["error"]["code"], "RESOURCE_EXHAUSTED")

    def test_maps_are_written_to_the_output_folder(self):
        self.image("in/a/1.png", 0.5)
        self.image("in/b c/1.png", 0.5)
        out = self.folder / "out"
        for name, extension, samples in (("float32", "f32", 48), ("u16", "u16", 24), ("u8", "u8", 12)):
            rows, _ = self.rows(self.folder / "in", "--out", out, "--overlay", "--heatmap", name)
            self.assertEqual([row["heatmap"] for row in rows],
                             [str(out / f"{base}.heatmap.{extension}") for base in ("a/1.png", "b c/1.png")])
            self.assertEqual((out / f"a/1.png.heatmap.{extension}").stat().st_size, samples)
            sidecar = json.loads((out / "a/1.png.heatmap.json").read_text())
            self.assertEqual((sidecar["width"], sidecar["height"], sidecar["file"]),
                             (4, 3, f"1.png.heatmap.{extension}"))
            self.assertTrue((out / "b c/1.png.overlay.png").read_bytes().startswith(b"\x89PNG"))
        rows, _ = self.rows(self.folder / "in/a/1.png", "--out", out, "--heatmap", "png16", "--resolution", "original")
        self.assertTrue(pathlib.Path(rows[0]["heatmap"]).read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(json.loads((out / "1.png.heatmap.json").read_text())["width"], 6)

    def test_maps_never_overwrite_each_other(self):
        one, two = self.image("a/1.png", 0.1), self.image("b/1.png", 0.1)
        done = self.proad("detect", one, two, "--overlay", "--out", self.folder / "out")
        self.assertEqual(done.returncode, 2)
        self.assertIn(str(one), done.stderr)
        self.assertIn(str(two), done.stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_unwritable_maps_fail_their_row_only(self):
        image = self.image("1.png", 0.9)
        (self.folder / "file").write_text("in the way")
        rows, summary = self.rows(image, "--threshold", 0.5, "--overlay", "--out", self.folder / "file", code=1)
        self.assertEqual(rows[0]["verdict"], "ANOMALOUS")
        self.assertIn(str(self.folder / "file"), rows[0]["error"]["message"])
        self.assertEqual(summary["failed"], 1)

    def test_auroc_is_printed_for_the_layout_of_mvtec(self):
        for i, score in enumerate((0.1, 0.3)):
            self.image(f"pcb/test/good/{i}.png", score)
        for i, score in enumerate((0.2, 0.4)):
            self.image(f"pcb/test/hole/{i}.png", score)
            self.image(f"pcb/ground_truth/hole/{i}.png", 9)
        _, summary = self.rows(self.folder)
        self.assertEqual(summary["image_auroc"], {"categories": {"pcb": 0.75}, "mean": 0.75})
        done = self.proad("detect", self.folder / "pcb/test")
        self.assertRegex(done.stdout, r"pcb +4 +0\.7500")
        _, summary = self.rows(self.folder / "pcb/test/good")
        self.assertNotIn("image_auroc", summary)

    def test_words_for_good_parts_are_labels(self):
        for i, score in enumerate((0.1, 0.3)):
            self.image(f"part/test/OK /{i}.png", score)
        self.image("part/test/hole/1.png", 0.4)
        _, summary = self.rows(self.folder)
        self.assertEqual(summary["image_auroc"]["mean"], 1.0)
        self.assertEqual(summary["labels"], {"good": ["OK "], "defective": ["hole"], "ambiguous": []})
        self.assertIn("good folders: OK ", self.proad("detect", self.folder).stdout)

    def test_ambiguous_words_are_no_labels(self):
        self.image("part/test/Negative/1.png", 0.1)
        self.image("part/test/Positive/1.png", 0.4)
        rows, summary = self.rows(self.folder)
        self.assertEqual(len(rows), 2)
        self.assertEqual(summary["image_auroc"], {"categories": {}})
        self.assertEqual(summary["labels"]["ambiguous"], ["Negative", "Positive"])
        self.assertIn("folders without a label: Negative, Positive. The name can mean good or defective",
                      self.proad("detect", self.folder).stdout)

    def test_skipped_files_are_told(self):
        self.image("parts/a/1.png", 0.5)
        self.image("parts/2.JFIF", 0.5)
        self.image("parts/.thumbnails/1.png", 0.5)
        self.image("parts/a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", 0.5)
        self.image("parts/notes.txt", 0.5)
        self.image("pool/3.png", 0.5)
        (self.folder / "parts/b").symlink_to("../pool")
        parts = self.folder / "parts"
        maps = ("--overlay", "--heatmap", "png16", "--out", parts)
        for run in range(2):
            rows, summary = self.rows(parts, *maps)
            self.assertEqual([row["file"] for row in rows], [str(parts / "2.JFIF"), str(parts / "a/1.png")])
            self.assertEqual((summary["undecided"], summary["failed"]), (2, 0))
            counts = {reason: group["count"] for reason, group in summary["skipped"].items()}
            own = {"own_output": 6} if run else {}
            self.assertEqual(counts, {"hidden": 1, "system": 1, "linked_folder": 1, "not_an_image": 1, **own})
            self.assertEqual(summary["skipped"]["linked_folder"]["paths"], [str(parts / "b") + "/"])
        text = self.proad("detect", parts).stdout
        self.assertIn("skipped 10 files and folders:", text)
        self.assertRegex(text, r"1 links to folders .*: .*parts/b/")
        self.assertRegex(text, "6 written by proad detect: .*overlay.png")
        done = self.proad("detect", parts / "2.JFIF.overlay.png")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nothing to inspect", done.stderr)

    # ---- invalid usage and unreachable servers

    def test_invalid_arguments_are_usage_errors(self):
        image = self.image("1.png", 0.5)
        for words, hint in [
            ((), "Subcommands"),
            (("nonsense",), "nonsense"),
            (("detect",), "inputs"),
            (("detect", image, "--nonsense"), "--nonsense"),
            (("detect", image, "--heatmap", "jpeg", "--out", "x"), "float32"),
            (("detect", image, "--heatmap", "u8"), "--out"),
            (("detect", image, "--out", "x"), "--overlay"),
            (("detect", image, "--threshold", "0"), "--threshold"),
            (("detect", image, "--threshold", "nan"), "--threshold"),
            (("detect", image, "--threshold", "high"), "--threshold"),
            (("detect", image, "--deadline", "10"), "10s"),
            (("detect", image, "--deadline", "-1s"), "--deadline"),
            (("detect", image, "--label", "part"), "KEY=VALUE"),
            (("detect", image, "--concurrency", "0"), "--concurrency"),
            (("detect", image, "--server", "http://localhost:1"), "host:port"),
            (("detect", image, "--server", "--overlay"), "host:port"),
            (("models",), "show"),
            (("models", "nonsense"), "nonsense"),
            (("models", "activate", "proad-tiny"), "NAME@VERSION"),
            (("jobs",), "resume"),
            (("jobs", "watch"), "job"),
            (("jobs", "list", "--state", "busy"), "running"),
            (("train",), "DATASET"),
            (("train", "--upload"), "DATASET"),
            (("train", "x", "--dataset-id", "y"), "--upload"),
            (("train", "x", "--gate", "image_auroc"), "quotes"),
            (("train", "x", "--activate", "--gate", "image_auroc>=1.5"), "0 and 1"),
            (("train", "x", "--gate", "image_auroc>=0.5"), "--activate"),
            (("train", "x", "--not-worse-than-active"), "--activate"),
            (("train", "x", "--epochs", "many"), "--epochs"),
            (("train", "x", "--seed", "-1"), "--seed"),
            (("train", "x", "--precision", "fp8"), "bf16"),
            (("train", "x", "--format", "zip"), "mvtec"),
            (("train", "x", "--watch", "--validate-only"), "--watch"),
            (("train", "x", "--patience", "-1s"), "--patience"),
            (("dataset", "upload"), "folder"),
        ]:
            done = self.proad(*words)
            self.assertEqual(done.returncode, 2, f"{words}: {done.stdout}{done.stderr}")
            self.assertIn(hint, done.stderr, words)

    def test_an_unreachable_server_has_its_own_exit_code(self):
        image = self.image("1.png", 0.5)
        for words in (("detect", image), ("models", "list"), ("models", "show"), ("doctor",), ("train", "x"),
                      ("train", "x", "--watch"), ("jobs", "list"), ("jobs", "watch", "job-1"),
                      ("models", "activate", "m@1"), ("dataset", "upload", self.folder)):
            done = self.proad(*words, "--server", "127.0.0.1:1", "--deadline", "300ms",
                              PROAD_TRAINER="/bin/true")
            self.assertEqual(done.returncode, 3, f"{words}: {done.stdout}{done.stderr}")
            self.assertIn("127.0.0.1:1", done.stdout + done.stderr)

    def test_help_and_version(self):
        for words in (("--help",), ("detect", "--help"), ("models", "list", "--help"), ("doctor", "--help"),
                      ("train", "--help"), ("jobs", "watch", "--help"), ("dataset", "upload", "--help")):
            done = self.proad(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("Usage", done.stdout)
        self.assertRegex(self.proad("--version").stdout, r"^proad \d+\.\d+\.\d+ \((commit [\w.-]+, )?(gcc|clang) \d.*, gRPC ")

    # ---- models

    def test_models_are_listed_and_shown(self):
        done = self.proad("models", "list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"other@7 +FAILED .*SHA-256 differs")
        self.assertRegex(done.stdout, r"proad-tiny@2 +ACTIVE, default")
        listed = self.proad("models", "list", "proad-tiny", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line)["model_version"]["version"] for line in listed], ["2", "1"])
        self.assertEqual([json.loads(line)["default_model"] for line in listed], [True, False])
        shown = self.proad("models", "show", "proad-tiny", "--json")
        self.assertEqual(json.loads(shown.stdout)["calibrations"][0]["threshold"], 0.125)
        self.assertIn("4722432", self.proad("models", "show").stdout)

    def test_the_error_of_an_unknown_model_lists_the_known_ones(self):
        done = self.proad("models", "show", "nope")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nope", done.stderr)
        self.assertIn("known: proad-tiny", done.stderr)

    def test_a_version_is_activated(self):
        done = self.proad("models", "activate", "proad-tiny@1", "--expect", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("proad-tiny@1 serves now; before: proad-tiny@2", done.stdout)
        self.assertIn("serves already", self.proad("models", "activate", "proad-tiny@2").stdout)
        answer = json.loads(self.proad("models", "activate", "proad-tiny@1", "--json").stdout)
        self.assertEqual((answer["active"]["version"], answer["previous"]["version"]), ("1", "2"))
        for words, hint in ((("proad-tiny@1", "--expect", ""), "ABORTED"), (("nope@1",), "known")):
            done = self.proad("models", "activate", *words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(hint, done.stderr)

    def test_calibrate_sets_thresholds(self):
        done = self.proad("calibrate", "no-such-folder", "--false-reject-budget", "0.05")
        self.assertEqual(done.returncode, 0, done.stderr)
        for words in ("no-such-folder", "0.1250", "1 of 20", "5%", "proad-tiny@1 uses these thresholds from now on"):
            self.assertIn(words, done.stdout)
        done = self.proad("calibrate", "--dataset-id", "nuts", "--dry-run", "--json")
        self.assertEqual(json.loads(done.stdout)["calibrations"][0]["category"], "nuts", done.stderr)
        self.assertFalse(json.loads(done.stdout)["applied"])
        done = self.proad("calibrate", "nuts", "--false-reject-budget", "0.001")
        self.assertEqual(done.returncode, 1)
        self.assertIn("20 images of good parts", done.stderr)
        for words in ((), ("a", "--dataset-id", "b"), ("a", "--false-reject-budget", "2")):
            self.assertEqual(self.proad("calibrate", *words).returncode, 2, words)

    def test_a_version_is_rolled_back_loaded_unloaded_and_deleted(self):
        for words, said in (
                (("rollback", "proad-tiny"), "proad-tiny@1 serves now; before: proad-tiny@2. It took 0.1 s"),
                (("load", "proad-tiny@1"), "proad-tiny@1 is in memory, LOADED, with 27.0 MB of weights. It took 1.0 s"),
                (("unload", "proad-tiny@1"), "proad-tiny@1 is not in memory; 27.0 MB of weights were freed"),
                (("delete", "proad-tiny@1"), "proad-tiny@1 is deleted; 18.0 MB of disk space were freed")):
            done = self.proad("models", *words)
            self.assertEqual((done.returncode, done.stdout), (0, said + "\n"), done.stderr)
        for words, hint in ((("rollback", "screws"), "active before"), (("delete", "proad-tiny@2"), "active version")):
            done = self.proad("models", *words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(hint, done.stderr)
        self.assertEqual(self.proad("models", "delete", "proad-tiny").returncode, 2)

    # ---- commands that proad-trainer executes

    def trainer(self, script):
        path = self.folder / "trainer"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def test_import_forwards_arguments_and_exit_code(self):
        trainer = self.trainer('printf "%s|" "$@"; exit 7')
        done = self.proad("import", "--store", "a b", "--name=x", "--help", PROAD_TRAINER=str(trainer))
        self.assertEqual(done.stdout, "import|--store|a b|--name=x|--help|")
        self.assertEqual(done.returncode, 7)

    def test_import_without_trainer_names_the_missing_program(self):
        done = self.proad("import", PROAD_TRAINER="/nowhere/proad-trainer")
        self.assertEqual(done.returncode, 2)
        self.assertIn("/nowhere/proad-trainer", done.stderr)

    def test_evaluate_and_dataset_check_forward_arguments_and_exit_code(self):
        trainer = self.trainer('printf "%s|" "$@"; exit 1')
        for words in (("evaluate", "m@1", "data set", "--json"), ("dataset", "check", "data set", "--help")):
            done = self.proad(*words, PROAD_TRAINER=str(trainer))
            self.assertEqual(done.stdout, "".join(f"{word}|" for word in words))
            self.assertEqual(done.returncode, 1)

    def test_doctor_reports_problems_with_advice(self):
        report = {"libtorch": "2.11.0", "cuda": "", "cpu_capability": "DEFAULT", "threads": 2, "device": "cpu",
                  "precision": "fp32", "gpus": [],
                  "server_threads": {"cores": 4, "preprocess": 4, "workers": 2, "torch": 3}}
        trainer = self.trainer(f"cat <<'END'\n{json.dumps(report)}\nEND\n")
        done = self.proad("doctor", "--json", PROAD_TRAINER=str(trainer))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        self.assertIn("2.11.0", checks["libtorch"]["detail"])
        self.assertEqual(checks["kernels"]["status"], "warn")
        self.assertTrue(checks["kernels"]["fix"])
        self.assertIn("fp32", checks["inference"]["detail"])
        self.assertIn("4 usable cores: 4 to decode and draw, 2 workers, 3 LibTorch threads for a single batch",
                      checks["server threads"]["detail"])
        self.assertEqual(checks["server"]["status"], "ok")
        self.assertEqual(checks["default model"]["status"], "ok")
        self.assertIn("gRPC", checks["client"]["detail"])

    def test_doctor_checks_no_server_unless_named(self):
        done = self.proad("doctor", server=False, PROAD_TRAINER=str(self.trainer("echo '{}'")))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("server ", done.stdout)

    def test_doctor_health_sets_the_exit_code(self):
        done = self.proad("doctor", "--health", PROAD_TRAINER="/nowhere/proad-trainer")
        self.assertEqual((done.returncode, done.stdout), (0, f"{self.server.address} is serving\n"), done.stderr)
        with FakeServer("not-serving") as server:
            done = self.proad("doctor", "--health", "--server", server.address)
            self.assertEqual((done.returncode, done.stdout), (1, f"{server.address} is not serving\n"), done.stderr)
        done = self.proad("doctor", "--health", "--service", "nobody.Knows")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no service 'nobody.Knows'", done.stderr)
        done = self.proad("doctor", "--health", "--server", server.address, "--timeout", "200ms")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn(server.address, done.stderr)
        for words in (("--health", "--json"), ("--timeout", "1s"), ("--service", "x")):
            self.assertEqual(self.proad("doctor", *words).returncode, 2, words)

    def test_doctor_reports_a_trainer_of_another_version(self):
        trainer = self.trainer("""echo '{"version": "0.0.9"}'""")
        done = self.proad("doctor", server=False, PROAD_TRAINER=str(trainer))
        self.assertIn("version 0.0.9, but proad has version ", done.stdout)
        self.assertIn("install proad and proad-trainer of the same version", done.stdout)

    def test_doctor_reports_a_broken_trainer(self):
        for script in ("exit 127", "echo nonsense", "echo '{\"gpus\": 3, \"threads\": \"x\"}'"):
            done = self.proad("doctor", server=False, PROAD_TRAINER=str(self.trainer(script)))
            self.assertEqual(done.returncode, 1, f"{script}: {done.stdout}{done.stderr}")
            self.assertIn("fail", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
