"""Every benchmark that the documents cite runs, shortened, with the release build; and every script explains itself."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["PROAD_SOURCE_DIR"])
BINARY = pathlib.Path(os.environ["PROAD_BINARY_DIR"])
BENCH = SOURCE / "tests" / "bench"
SAMPLE = SOURCE / "deploy" / "sample"
DOCUMENTS = ("README.md", "model/README.md", "model/weights/HISTORY.md", "tests/README.md", "tests/bench/RESULTS.md")

SMALL = ("batch_size=2", "input_side=112", "decoder_layers=2", "warmup_steps=1")
STEPS = ("steps=2", *SMALL)
IMAGES = {"train": 10}  # images of the folders of the dataset; 2 of the others

# A short run of each benchmark and a pattern of its output. {brick} is a dataset of one category and {out} a folder.
SHORT = {
    "batching_delay.cc": (("0.05",), r"\d/s, [\d.]+ ms"),
    "detect_under_training.py": (("{brick}", "--seconds", "1", "--interval", "0.2"), r"99 .*\d"),
    "factory4.py": (("{brick}", "--seeds", "1", "--set", *STEPS), r"nearest neighbours, largest \| \d"),
    "nearest_neighbours.py": (("{brick}", "--coreset", "100"), r"mean of the largest 1 % \| \d"),
    "peers.py": (("--presets", "tiny", "--rounds", "1"), r"proad-tiny +eager"),
    "picture_bench.cc": (("--benchmark_min_time=0.001",), r"Benchmark +Time"),
    "processes.py": (("--dataset", "{brick}", "--processes", "1", "--rounds", "1", "--steps", "4", "--set", *SMALL),
                     r"1 processes: median [\d.]+ images/s"),
    "pyramid_encoder.py": (("--photographs", "{brick}", "--out", "{out}/encoder.safetensors"), r"% of the variance"),
    "quality.py": (("{brick}", "--report", "{brick}", "--seeds", "1", "--set", *STEPS),
                   r"odd-numbered, reported \| \d[^$]*data, reported \| \d"),
    "serving.sh": (("--only", "overhead", "--seconds", "0.3"), r"throughput beside the empty service"),
    "teacher_features.py": (("{brick}", "--crops", "4", "--spaces", "1", "--memory", "200"), r"layers 3, 5, 7, 9"),
    "train_bench.cc": (("{brick}", "--steps", "1"), r"equal bit for bit"),
}
# Benchmarks that other tests run, or that need a dataset that the repository does not have.
ELSEWHERE = {
    "evaluation_bench.cc": "evaluation_memory runs it",
    "forward_bench.cc": "peers.py runs it",
    "overhead_server.cc": "serving.sh runs it",
    "serving.py": "serving.sh runs it",
    "shipped_manifest.py": "needs factory4",
}


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240, cwd=SOURCE)


def dataset(folder, category):
    """A dataset with the first images of one category of the sample."""
    data = pathlib.Path(folder) / "data"
    for source in sorted((SAMPLE / category).rglob("*.png")):
        target = data / source.relative_to(SAMPLE)
        target.parent.mkdir(parents=True, exist_ok=True)
        if len(list(target.parent.iterdir())) < IMAGES.get(target.relative_to(data).parts[1], 2):
            shutil.copy(source, target)
    return data


class BenchTest(unittest.TestCase):
    def test_every_cited_benchmark_has_a_short_run(self):
        cited = set()
        for document in DOCUMENTS:
            text = (SOURCE / document).read_text(encoding="utf-8")
            cited |= set(re.findall(r"bench/(\w+\.(?:py|sh|cc))\b", text))
        self.assertTrue(cited)
        self.assertEqual(cited - SHORT.keys() - ELSEWHERE.keys(), set())

    def test_every_script_explains_itself(self):
        for script in sorted(BENCH.glob("*.py")):
            if os.access(script, os.X_OK):
                done = run(script, "--help")
                self.assertEqual(done.returncode, 0, f"{script.name}: {done.stderr}")
                self.assertIn("usage:", done.stdout, script.name)

    def test_a_missing_program_is_named_with_the_command_that_builds_it(self):
        with tempfile.TemporaryDirectory() as folder:
            for script in ("factory4.py", "peers.py", "processes.py", "quality.py"):
                done = run(BENCH / script, "--build", folder)
                self.assertEqual(done.returncode, 1, script)
                self.assertRegex(done.stderr, r"\S+ is missing; run: cmake --preset .* --target \S+\n$", script)
                self.assertNotIn("Traceback", done.stderr, script)

    def test_factory4_runs_on_a_dataset_without_masks(self):
        with tempfile.TemporaryDirectory(prefix="proad-bench-") as folder:
            done = run(BENCH / "factory4.py", dataset(folder, "alien"), "--seeds", "1", "--set", *STEPS, "--no-baseline")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("image AUROC", done.stdout)
        self.assertNotIn("pixel AUROC", done.stdout)


def add_short_run(name, arguments, pattern):
    def test(self):
        program = BINARY / "tests" / "bench" / pathlib.Path(name).stem if name.endswith(".cc") else BENCH / name
        with tempfile.TemporaryDirectory(prefix="proad-bench-") as folder:
            brick = dataset(folder, "brick")
            done = run(program, *(word.format(brick=brick, out=folder) for word in arguments))
        self.assertEqual(done.returncode, 0, f"{name}\n{done.stdout}\n{done.stderr}")
        self.assertRegex(done.stdout, pattern)

    setattr(BenchTest, f"test_{pathlib.Path(name).stem}_runs", test)


for name_, (arguments_, pattern_) in SHORT.items():
    add_short_run(name_, arguments_, pattern_)


if __name__ == "__main__":
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        print(f"skipped: this Python has no PyTorch ({error})")
        sys.exit(77)
    unittest.main(verbosity=2)
