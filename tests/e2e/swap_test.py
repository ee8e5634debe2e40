"""Activations under load: no call fails, and a second server on the same store follows."""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import MODEL, PROAD, SAMPLE, SOURCE, RealServer, Server, run  # noqa: E402
from waiting import await_true  # noqa: E402

SWAPS = 6
IMAGE = SAMPLE / "brick/test/hole/002.png"


def import_second(store):
    weights = SOURCE / "model" / "weights"
    done = run(PROAD, "import", "--store", store, "--name", MODEL, "--version", "2", "--preset", MODEL,
               "--encoder", weights / "encoder-tiny.safetensors", "--weights", weights / "proad-tiny.safetensors")
    assert done.returncode == 0, done.stdout + done.stderr


class SwapTest(unittest.TestCase):
    @staticmethod
    def version_of(lines):
        """The version in the one row that `proad detect --json` printed."""
        return lines[0]["version"]

    @staticmethod
    def metrics_of(server):
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics") as answer:
            return answer.read().decode()

    def inspected(self, server):
        """How many images the server has inspected."""
        return int(re.search(r"^proad_batch_size_sum (\d+)", self.metrics_of(server), re.M).group(1))

    def test_no_call_fails_while_versions_change(self):
        with RealServer() as server:
            import_second(server.store)
            load = subprocess.Popen(
                [PROAD, "bench", SAMPLE, "--clients", "2", "--warmup", "1ms", "--duration", "10m", "--json"],
                stdout=subprocess.PIPE, text=True, env={**os.environ, "PROAD_SERVER": server.address})
            for number in range(SWAPS):
                version = str(1 + (number + 1) % 2)
                done = server.proad("models", "activate", f"{MODEL}@{version}")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertEqual(self.version_of(server.proad_json("detect", IMAGE)), version)
                # The load must reach this version too: of six images at most two still hold the version before.
                until = self.inspected(server) + 6
                await_true(f"the load to have {until} images inspected", lambda: self.inspected(server) >= until)
            # SIGINT ends the load early; it prints its report.
            load.send_signal(2)
            report = json.loads(load.communicate(timeout=60)[0])
            metrics = self.metrics_of(server)
        self.assertEqual(report["errors"], {})
        self.assertEqual(report["sent"], report["ok"])
        self.assertEqual(set(report["versions"]), {f"{MODEL}@1", f"{MODEL}@2"})
        self.assertIn(f'proad_model_swaps_total{{result="ok"}} {SWAPS}\n', metrics)
        self.assertRegex(metrics, rf'proad_model_info{{hash="[0-9a-f]{{64}}",model="{MODEL}",version="1"}} 1\n')
        self.assertTrue(re.search(r'^proad_device_memory_bytes{device="cpu",kind="weights"} [1-9]', metrics, re.M))

    def test_a_server_on_the_same_store_follows(self):
        with RealServer() as server:
            import_second(server.store)
            config = server.folder / "other.yaml"
            config.write_text("models:\n  follow_interval: 100ms\ntraining:\n  enabled: false\n"
                              "shutdown:\n  lame_duck: 0s\n")
            # The pointer names version 1 before the second server starts.
            self.assertEqual(server.proad("models", "activate", f"{MODEL}@1").returncode, 0)
            other = Server(server.store, config, server.folder / "other.log", ("--default-model", MODEL))
            other.start()
            try:
                other.await_ready()
                self.assertEqual(server.proad("models", "activate", f"{MODEL}@2").returncode, 0)
                await_true(f"the second server to activate {MODEL}@2", lambda: "ACTIVE" in run(
                    PROAD, "models", "show", f"{MODEL}@2", "--server", other.address).stdout)
                done = run(PROAD, "detect", IMAGE, "--server", other.address, "--json")
                self.assertEqual(self.version_of([json.loads(line) for line in done.stdout.splitlines()]), "2")
            finally:
                other.kill()


if __name__ == "__main__":
    unittest.main(verbosity=2)
