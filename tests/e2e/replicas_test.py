"""One client, three real servers over one store: one is killed under load and comes back, and no call fails."""

import collections
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import installed_client  # noqa: E402,F401
from real_server import MODEL, PROAD, SAMPLE, SOURCE, import_model  # noqa: E402
from waiting import await_true, first_line  # noqa: E402

import proad  # noqa: E402

SERVER = PROAD.parents[1] / "server" / "proad-server"
PICTURES = sorted(SAMPLE.glob("*/test/*/*.png"))


class Replica:
    """A server that comes back at its address. Ports are picked by the first start."""

    def __init__(self, store, folder, number):
        self._config = folder / "server.yaml"
        self._config.write_text("models:\n  torch_threads: 1\nbatching:\n  workers: 1\ntraining:\n  enabled: false\n")
        self._store = store
        self._log = folder / f"server{number}.log"
        self.address = self.metrics = "127.0.0.1:0"
        self.start()

    def start(self):
        command = [SERVER, "--store", self._store, "--default-model", MODEL, "--config", self._config,
                   "--listen", self.address, "--metrics-listen", self.metrics]
        with open(self._log, "a") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True)
        line = first_line(self.process, "listening ")
        assert line, f"the server did not start:\n{self._log.read_text()}"
        self.address, self.metrics = (word.split("=")[1] for word in line.split()[1:3])
        assert first_line(self.process, "ready"), f"the server did not become ready:\n{self._log.read_text()}"

    def answered(self):
        """Detect calls that ended well."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=30) as page:
            for line in page.read().decode().splitlines():
                if line.startswith("proad_requests_total{") and 'code="OK"' in line and 'rpc="Detect"' in line:
                    return int(float(line.split()[-1]))
        return 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class ReplicasTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="proad-replicas-")
        cls.addClassCleanup(folder.cleanup)
        store = pathlib.Path(folder.name) / "store"
        import_model(store)
        cls.replicas = []
        for number in range(3):
            cls.replicas.append(Replica(store, pathlib.Path(folder.name), number))
            cls.addClassCleanup(cls.replicas[-1].kill)
        cls.address = ",".join(replica.address for replica in cls.replicas)

    def await_answers(self, replica, more, load):
        """Returns once the replica has answered `more` images more; `load()` must stay true until then."""
        until = replica.answered() + more

        def answered():
            self.assertTrue(load(), f"the load ended before {replica.address} answered {until} images")
            return replica.answered() >= until

        await_true(f"{replica.address} to answer {until} images", answered)

    def kill_and_bring_back(self, load):
        victim = self.replicas[1]
        for replica in self.replicas:
            self.await_answers(replica, 4, load)
        victim.kill()
        for replica in (self.replicas[0], self.replicas[2]):
            self.await_answers(replica, 10, load)
        victim.start()
        self.await_answers(victim, 4, load)

    def test_the_python_client_loses_no_call(self):
        outcomes = collections.Counter()
        done = threading.Event()
        bytes_of = [picture.read_bytes() for picture in PICTURES]

        def ask(client, offset):
            for picture in itertools.islice(itertools.cycle(bytes_of), offset, None):
                if done.is_set():
                    return
                try:
                    client.detect(picture, timeout=60)
                    outcomes["ok"] += 1
                except proad.ProadError as error:
                    outcomes[str(error)] += 1

        with proad.Client(self.address) as client:
            client.wait_until_serving()
            threads = [threading.Thread(target=ask, args=(client, offset)) for offset in range(6)]
            for thread in threads:
                thread.start()
            try:
                self.kill_and_bring_back(lambda: True)
            finally:
                done.set()
                for thread in threads:
                    thread.join()
        self.assertEqual(set(outcomes), {"ok"}, outcomes)

    def test_the_command_line_loses_no_call(self):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(200):  # more than it gets to
                for picture in PICTURES:
                    (pathlib.Path(folder) / f"{number}-{'-'.join(picture.parts[-4:])}").symlink_to(picture)
            load = subprocess.Popen(
                [PROAD, "detect", folder, "--server", self.address, "--concurrency", "6", "--deadline", "60s", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=SOURCE)
            written = []
            reader = threading.Thread(target=lambda: written.extend(load.communicate()))
            reader.start()
            try:
                self.kill_and_bring_back(lambda: load.poll() is None)
            finally:
                load.terminate()
                reader.join()
        *lines, _ = written[0].split("\n")  # the last one may be torn
        rows = [row for row in map(json.loads, lines) if "file" in row]
        self.assertGreater(len(rows), 20, written[1])
        self.assertEqual([row for row in rows if "error" in row], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
