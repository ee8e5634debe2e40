"""What `cmake --install` makes works where it is moved to, and alone in an empty root file system."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from installation import BINARY, RUNTIME_FILES, SOURCE, assemble, can_enter, command_in_root, in_root, install  # noqa: E402
from waiting import first_line  # noqa: E402

PICTURE = SOURCE / "deploy" / "sample" / "brick" / "test" / "hole" / "002.png"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=240, **options)


def server_line(process, prefix):
    line = first_line(process, prefix)
    assert line, f"the server ended with {process.wait()} before it printed '{prefix}'"
    return line


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="proad-install-")))
        install(cls.folder / "first", ("client", "runtime", "dev"))
        # Wherever it is moved as a whole it works.
        cls.prefix = cls.folder / "opt" / "proad"
        cls.prefix.parent.mkdir()
        (cls.folder / "first").rename(cls.prefix)

    def check_libraries(self, program):
        """LibTorch's libraries come from beside the program, and nothing from the build or the wheels."""
        listing = run("ldd", self.prefix / "bin" / program).stdout
        self.assertNotIn("not found", listing.replace("libcuda.so.1 => not found", ""))
        places = dict(re.findall(r"^\t(\S+) => (/\S+)", listing, re.MULTILINE))
        for name, place in places.items():
            beside = (self.prefix / "lib" / "proad" / name).exists()
            self.assertTrue(place.startswith(str(self.prefix)) if beside else place.startswith(("/lib", "/usr/lib")),
                            f"{name} comes from {place}")
        return places

    def test_the_programs_find_their_libraries(self):
        for program in ("proad-server", "proad-trainer"):
            self.assertIn("libtorch_cpu.so", self.check_libraries(program))
        self.assertNotIn("libtorch_cpu.so", self.check_libraries("proad"))

    def test_every_program_says_what_it_is(self):
        checkout = run("git", "-C", SOURCE, "rev-parse", "HEAD").returncode == 0
        for program in ("proad", "proad-server", "proad-trainer"):
            text = run(self.prefix / "bin" / program, "--version").stdout
            self.assertRegex(text, rf"^{program} \d+\.\d+\.\d+ \(.*(gcc|clang) \d+")
            if checkout:
                self.assertRegex(text, r"commit [0-9a-f]{12}")
        self.assertRegex(text, r"LibTorch \d+\.\d+\.\d+, (no CUDA|CUDA \d+\.\d+)\)$")

    def test_nothing_is_missing(self):
        for file in ("etc/proad/proad-server.yaml", "share/proad/weights/encoder-pyramid.safetensors",
                     "share/proad/weights/proad-pyramid.safetensors", "share/proad/weights/README.md",
                     "share/doc/proad/LICENSE", "share/doc/proad/licences/torch/LICENSE",
                     "share/proad/proto/proad/v1/detection.proto", "share/man/man1/proad.1",
                     "share/man/man1/proad-trainer.1", "share/man/man8/proad-server.8",
                     "share/bash-completion/completions/proad", "share/zsh/site-functions/_proad"):
            self.assertTrue((self.prefix / file).is_file(), file)
        unit = SOURCE / "deploy" / "systemd" / "proad-server.service"
        self.assertEqual((self.prefix / "lib" / "systemd" / "system" / unit.name).exists(), unit.exists())
        checked = run(self.prefix / "bin" / "proad-server", "--config",
                      self.prefix / "etc" / "proad" / "proad-server.yaml", "--check-config")
        self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_manual_has_every_command_and_option(self):
        page = (self.prefix / "share" / "man" / "man1" / "proad.1").read_text().replace("\\-", "-")
        for command in ("detect", "models rollback", "jobs watch", "import", "doctor"):
            self.assertIn(f"\n.SS {command}\n", page)
        options = re.findall(r"^  (?:-\w,)?(--[\w-]+)", run(self.prefix / "bin" / "proad", "train", "--help").stdout,
                             re.MULTILINE)
        self.assertGreater(len(options), 20)
        for option in options:
            self.assertRegex(page, rf"\n\.B (-\w,)?{option}\b")

    def test_a_foreign_project_finds_the_client_library(self):
        build = self.folder / "foreign"
        made = run("cmake", "-S", SOURCE / "tests" / "support" / "foreign_project", "-B", build, "-G", "Ninja",
                   f"-DCMAKE_PREFIX_PATH={self.prefix}", "-DCMAKE_BUILD_TYPE=Debug")
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        made = run("cmake", "--build", build)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        done = run(build / "foreign", "127.0.0.1:1", PICTURE)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("UNAVAILABLE", done.stderr)

    # ---- the files alone

    def test_the_list_of_a_build_has_the_loader_and_what_the_loader_loads(self):
        listed = run(RUNTIME_FILES, BINARY)
        self.assertEqual(listed.returncode, 0, listed.stderr)
        files = listed.stdout.splitlines()
        for file in files:
            self.assertTrue(os.path.isfile(file), file)
        self.assertEqual(len(set(files)), len(files))
        names = [pathlib.Path(file).name for file in files]
        for name in ("proad", "proad-server", "proad-trainer", "ld-linux-x86-64.so.2", "libc.so.6", "libtorch_cpu.so",
                     "libgomp.so.1", "libopencv_imgcodecs.so.406", "libgrpc++.so.1.51"):
            self.assertEqual(names.count(name), 1, name)
        self.assertNotIn("libcuda.so.1", names)
        self.assertIn("/usr/share/doc/libopencv-core406/copyright", files)

    def test_a_folder_without_programs_is_refused(self):
        for words, code in (((self.folder,), 1), ((), 2), (("--what", BINARY), 2), ((self.prefix, self.folder), 1)):
            done = run(RUNTIME_FILES, *words)
            self.assertEqual((done.returncode, done.stdout), (code, ""), words)
            self.assertTrue(done.stderr)

    def test_the_files_alone_serve_a_detection(self):
        if not can_enter():
            self.skipTest("this machine lets us neither mount nor change the root")
        root, state, programs = self.folder / "root", self.folder / "state", self.prefix / "bin"
        assemble(self.prefix, root)
        weights = self.prefix / "share" / "proad" / "weights"
        done = in_root(root, state, programs / "proad", "import", "--store", "/var/lib/proad/models", "--name",
                       "proad-pyramid", "--preset", "proad-pyramid", "--encoder", weights / "encoder-pyramid.safetensors",
                       "--weights", weights / "proad-pyramid.safetensors")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

        log = self.enterContext(open(self.folder / "server.log", "w+"))
        server = subprocess.Popen(
            command_in_root(root, state, programs / "proad-server", "--config",
                            self.prefix / "etc" / "proad" / "proad-server.yaml",
                            "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"),
            stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stdout.close()))
        address = re.search(r"grpc=(\S+)", server_line(server, "listening ")).group(1)
        server_line(server, "ready")

        (state / "picture.png").write_bytes(PICTURE.read_bytes())
        inside = in_root(root, state, programs / "proad", "detect", "/var/lib/proad/picture.png", "--json",
                         PROAD_SERVER=address)
        self.assertEqual(inside.returncode, 0, inside.stdout + inside.stderr)
        outside = run(programs / "proad", "detect", PICTURE, "--json", "--server", address)
        scores = [json.loads(done.stdout.splitlines()[0])["score"] for done in (inside, outside)]
        # That it is the right one is what the server checks with the version's probe when it loads it.
        self.assertEqual(scores[0], scores[1])
        self.assertGreater(scores[0], 0)

        doctor = in_root(root, state, programs / "proad", "doctor", "--json", "--server", address)
        self.assertEqual(doctor.returncode, 0, doctor.stdout + doctor.stderr)
        report = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
        for name in ("libtorch", "kernels", "server", "proad-trainer"):
            self.assertEqual(report[name]["status"], "ok", report[name])
        self.assertEqual(in_root(root, state, programs / "proad", "doctor", "--health", "--server", address).returncode, 0)

        # With the configuration as installed, jobs find the encoder of the installation.
        uploaded = run(programs / "proad", "dataset", "upload", SOURCE / "deploy" / "sample" / "brick", "--id", "bricks",
                       "--server", address)
        self.assertEqual(uploaded.returncode, 0, uploaded.stdout + uploaded.stderr)
        planned = run(programs / "proad", "train", "--dataset-id", "bricks", "--name", "parts", "--validate-only",
                      "--server", address)
        self.assertEqual(planned.returncode, 0, planned.stdout + planned.stderr)

        # Whatever it has mapped is of the list: the root has nothing else.
        mapped = set(re.findall(r" (/\S+)$", pathlib.Path("/proc", str(server.pid), "maps").read_text(), re.MULTILINE))
        self.assertTrue(any(file.endswith("/libtorch_cpu.so") for file in mapped), mapped)

        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(timeout=60), 0)
        gone = in_root(root, state, programs / "proad", "doctor", "--health", "--server", address, "--timeout", "100ms")
        self.assertEqual(gone.returncode, 3, gone.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
