"""TLS and tokens with the real binaries: the command line gets in with what it was given, and not without; certificate
and tokens are replaced while pictures are inspected, and no call fails."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from certificates import Authority, replace  # noqa: E402
from real_server import PROAD, SAMPLE, SERVER, RealServer, run  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc  # noqa: E402
from waiting import LIMIT  # noqa: E402

PICTURE = SAMPLE / "brick/test/hole/002.png"


class Site:
    """The files of a server with mutual TLS and tokens, and of its clients."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="proad-security-"))
        self.ours = Authority(self.folder, "ours")
        self.certificate, self.key, self.tokens = (
            self.folder / name for name in ("server.pem", "server.key", "tokens"))
        self.rotate()
        self.client_certificate, self.client_key = self.ours.issue("camera")
        self.tokens.write_text("# who may call\n")
        for role in ("detect", "admin"):
            self.add_token(role, role)
        self.config = self.folder / "server.yaml"
        self.yaml = (
            f"server:\n  tls:\n    certificate: {self.certificate}\n    key: {self.key}\n"
            f"    client_ca: {self.ours.certificate}\nauth:\n  tokens: {self.tokens}\n")
        self.config.write_text(self.yaml)

    def rotate(self):
        """A new certificate with a new key in the place of the old ones."""
        certificate, key = self.ours.issue("server")
        replace(key, self.key)
        replace(certificate, self.certificate)

    def token(self, name):
        return self.folder / f"{name}.token"

    def add_token(self, name, role):
        """A new token, in self.token(name), and its line in the server's file."""
        done = run(PROAD, "token", "new", "--name", name, "--role", role, "--out", self.token(name))
        assert done.returncode == 0, done.stderr
        draft = self.folder / "tokens.draft"
        draft.write_text(self.tokens.read_text() + done.stdout)
        replace(draft, self.tokens)

    def flags(self, token="detect", certificate=True):
        flags = ["--tls-ca", self.ours.certificate]
        if certificate:
            flags += ["--tls-cert", self.client_certificate, "--tls-key", self.client_key]
        return flags + (["--token-file", self.token(token)] if token else [])

    def remove(self):
        shutil.rmtree(self.folder)


def scrape(server):
    """The server's metrics, by their names with labels."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


class SecurityTest(unittest.TestCase):
    def setUp(self):
        self.site = Site()
        self.addCleanup(self.site.remove)

    def test_who_gets_in(self):
        site = self.site
        with RealServer(site.yaml) as server:
            def proad(*arguments, flags, **environment):
                return run(PROAD, *arguments, *flags,
                           env={**os.environ, "PROAD_SERVER": server.address, **environment})

            done = proad("detect", PICTURE, flags=site.flags())
            self.assertEqual(done.returncode, 0, done.stderr)
            done = proad("models", "list", flags=[], PROAD_TLS_CA=str(site.ours.certificate),
                         PROAD_TLS_CERT=str(site.client_certificate), PROAD_TLS_KEY=str(site.client_key),
                         PROAD_TOKEN_FILE=str(site.token("detect")))
            self.assertEqual(done.returncode, 0, done.stderr)
            done = proad("models", "activate", "proad-tiny@1", flags=site.flags("admin"))
            self.assertEqual(done.returncode, 0, done.stderr)

            refused = [
                (site.flags("detect"), ("models", "activate", "proad-tiny@1"), 1, "takes admin"),
                (site.flags(None), ("models", "list"), 1, "asks for a token"),
                (site.flags("detect", certificate=False), ("models", "list"), 3, "no server answers"),
                (["--token-file", site.token("detect")], ("models", "list"), 3, "no server answers"),
                (["--tls-ca", Authority(site.folder, "others").certificate], ("models", "list"), 3,
                 "certificate verify failed"),
                ([*site.flags(), "--tls-server-name", "inspect.example"], ("models", "list"), 3, "no server answers"),
                ([*site.flags(None), "--token-file", site.folder / "none"], ("models", "list"), 1, "none: cannot be"),
            ]
            for flags, command, code, words in refused:
                done = proad(*command, flags=flags)
                self.assertEqual(done.returncode, code, f"{command} {flags}: {done.stdout}{done.stderr}")
                self.assertIn(words, done.stderr)

            # Nobody sends a token in plain text to another machine.
            done = run(PROAD, "models", "list", "--server", "inspect.example:50051",
                       "--token-file", site.token("detect"))
            self.assertEqual(done.returncode, 1)
            self.assertIn("in plain text", done.stderr)

            log, metrics = server.log(), scrape(server)
            for name in ("detect", "admin"):
                self.assertNotIn(site.token(name).read_text().strip(), log)
            self.assertRegex(log, r'msg="call admitted" rpc=proad.v1.ModelService.ActivateModel caller=admin')
            self.assertRegex(log, r'msg="call refused" reason=ROLE_INSUFFICIENT')
            self.assertGreaterEqual(metrics['proad_auth_failures_total{reason="missing"}'], 1)
            self.assertGreaterEqual(metrics['proad_auth_failures_total{reason="role"}'], 1)
            for certificate in ("server", "client_ca"):
                name = f'proad_certificate_expiry_timestamp_seconds{{certificate="{certificate}"}}'
                self.assertGreater(metrics[name], time.time() + 3600)
            self.assertEqual(server.terminate(), 0)

    def test_rotation_under_load(self):
        site = self.site
        with RealServer(site.yaml) as server:
            bench = subprocess.Popen(
                [PROAD, "bench", PICTURE, "--server", server.address, "--clients", "2", "--duration", "20s", "--json",
                 *map(str, site.flags())],
                stdout=subprocess.PIPE, text=True)
            connections = 0

            def connect_anew():
                """One call over a new connection, with the token of the day."""
                nonlocal connections
                credentials = grpc.ssl_channel_credentials(
                    site.ours.certificate.read_bytes(), site.client_key.read_bytes(),
                    site.client_certificate.read_bytes())
                with grpc.secure_channel(server.address, credentials) as channel:
                    token = site.token("detect").read_text().strip()
                    detection_pb2_grpc.DetectionServiceStub(channel).Detect(
                        detection_pb2.DetectRequest(encoded=PICTURE.read_bytes()), timeout=60,
                        metadata=[("authorization", f"Bearer {token}")])
                connections += 1

            def until(name, value):
                """New connections until a metric has come so far."""
                deadline = time.monotonic() + LIMIT
                while scrape(server).get(name, 0) < value:
                    self.assertLess(time.monotonic(), deadline, f"waited {LIMIT} s for {name} to reach {value}")
                    connect_anew()
                connect_anew()

            for round_ in range(1, 4):
                site.rotate()
                until('proad_credential_reloads_total{result="ok",what="certificate"}', round_)
                site.add_token(f"line-{round_}", "detect")
                until('proad_credential_reloads_total{result="ok",what="tokens"}', round_)
                # Known to the server: now the clients may have it.
                replace(site.token(f"line-{round_}"), site.token("detect"))
                connect_anew()
            output, _ = bench.communicate(timeout=120)
            report = json.loads(output)
            self.assertEqual(bench.returncode, 0, output)
            self.assertGreater(connections, 9)
            metrics = scrape(server)
            failed = {name: value for name, value in metrics.items()
                      if re.match(r'proad_(auth_failures|credential_reloads)_total\{.*(reason|failed)', name) and value}
            self.assertEqual(failed, {})
            print(f"{connections} new connections, and bench: {report}")

    def test_files_that_are_wrong(self):
        site = self.site

        def check():
            return run(SERVER, "--config", site.config, "--check-config")

        self.assertEqual(check().returncode, 0, check().stderr)
        tokens = site.tokens.read_text()
        site.tokens.write_text("line-4 detect proad_the-token-itself\n")
        done = check()
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"auth.tokens: {site.tokens}:1: ", done.stderr)
        self.assertNotIn("proad_the", done.stderr)
        site.tokens.write_text(tokens)
        replace(site.ours.issue("server")[1], site.key)
        done = check()
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"server.tls: {site.key}: is not the key of", done.stderr)
        done = run(SERVER, "--config", site.config, "--store", site.folder, "--listen", "127.0.0.1:0",
                   "--metrics-listen", "")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"server.tls: {site.key}: is not the key of", done.stderr)
        site.config.write_text(f"server:\n  listen: 0.0.0.0:50051\nauth:\n  tokens: {site.tokens}\n")
        done = check()
        self.assertEqual(done.returncode, 2)
        self.assertIn("auth.allow_plaintext", done.stderr)


class TokenTest(unittest.TestCase):
    def test_a_token_is_shown_once_and_is_no_other(self):
        seen = set()
        for _ in range(20):
            done = run(PROAD, "token", "new", "--name", "line-4", "--role", "train")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"^line-4 train [0-9a-f]{64}\n$")
            (token,) = re.findall(r"^proad_[\w-]{43}$", done.stderr, re.MULTILINE)
            seen.add((token, done.stdout))
        self.assertEqual(len({token for token, _ in seen}), 20)
        self.assertEqual(len({line for _, line in seen}), 20)

    def test_a_token_in_a_file_is_its_owners_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "token"
            done = run(PROAD, "token", "new", "--name", "a", "--role", "detect", "--out", path, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertNotIn("token", json.loads(done.stdout))
            again = run(PROAD, "token", "new", "--name", "a", "--role", "detect", "--out", path)
            self.assertEqual(again.returncode, 1, "an old token was written over")
            self.assertIn("File exists", again.stderr)

    def test_words_that_are_wrong(self):
        for words in (["--name", "Line 4", "--role", "detect"], ["--name", "a", "--role", "root"], ["--name", "a"],
                      ["--role", "detect"]):
            self.assertEqual(run(PROAD, "token", "new", *words).returncode, 2, words)


if __name__ == "__main__":
    unittest.main()
