"""The connection of the Python client: retries, several servers, TLS and tokens."""

import concurrent.futures
import os
import pathlib
import sys
import unittest
import unittest.mock

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from certificates import Authority, replace  # noqa: E402
from fake_server import FakeServer, picture  # noqa: E402
from installed_client import FOLDER, QUICK  # noqa: E402
import proad  # noqa: E402
from proad import endpoints, errors, retry  # noqa: E402
from proad.v1 import training_pb2  # noqa: E402


class RetryTest(unittest.TestCase):
    def test_delays_follow_the_policy(self):
        policy = proad.RetryPolicy(max_attempts=3, initial_backoff=0.05, max_backoff=0.08)
        unavailable = proad.ProadError(grpc.StatusCode.UNAVAILABLE, "")
        busy = proad.ProadError(grpc.StatusCode.RESOURCE_EXHAUSTED, "", retry_after=1.5)
        full = proad.ProadError(grpc.StatusCode.RESOURCE_EXHAUSTED, "")
        internal = proad.ProadError(grpc.StatusCode.INTERNAL, "", retry_after=1.5)
        for error, attempts, remaining, jitter, expected in [
            (unavailable, 1, 10, 0, 0.025), (unavailable, 1, 10, 1, 0.05), (unavailable, 2, 10, 1, 0.08),
            (unavailable, 3, 10, 0, None), (unavailable, 1, 0.02, 0, None), (unavailable, 1, float("inf"), 0, 0.025),
            (busy, 1, 10, 0, 1.525), (busy, 1, 1.5, 0, None), (full, 1, 10, 0, None), (internal, 1, 10, 0, None),
        ]:
            delay = retry.retry_delay(policy, error, attempts, remaining, jitter)
            if expected is None:
                self.assertIsNone(delay)
            else:
                self.assertAlmostEqual(delay, expected)

    def test_the_backoff_stays_bounded_over_many_attempts(self):
        policy = proad.RetryPolicy(max_attempts=2**31)
        unavailable = proad.ProadError(grpc.StatusCode.UNAVAILABLE, "")
        for attempts in (100, 1_100, 100_000):
            self.assertAlmostEqual(retry.retry_delay(policy, unavailable, attempts, float("inf"), 1.0), 2.0)

    def test_a_retry_time_out_of_range_is_no_delay(self):
        for retry_after, expected in ((3e11, None), (86_400.0, None), (3_600.0, 3_600.05), (-5.0, 0.05)):
            busy = proad.ProadError(grpc.StatusCode.RESOURCE_EXHAUSTED, "", retry_after=retry_after)
            delay = retry.retry_delay(proad.RetryPolicy(), busy, 1, float("inf"), 1.0)
            self.assertEqual(delay is None, expected is None, retry_after)
            if expected is not None:
                self.assertAlmostEqual(delay, expected)

    def test_a_pushback_out_of_range_is_ignored(self):
        class Busy:
            def __init__(self, pushback):
                self.pushback = pushback

            def trailing_metadata(self):
                return (("grpc-retry-pushback-ms", self.pushback),)

            def code(self):
                return grpc.StatusCode.RESOURCE_EXHAUSTED

            def details(self):
                return ""

        for pushback, expected in (("250", 0.25), ("-1", None), ("9" * 400, None), ("9" * 5_000, None), ("1.5", None)):
            self.assertEqual(errors.from_rpc_error(Busy(pushback)).retry_after, expected, pushback[:10])

    def test_every_timeout_is_accepted(self):
        with FakeServer() as server:
            for timeout in (None, 60.0, 1e30, float("inf")):
                with proad.Client(server.address, timeout=timeout, retry=QUICK) as client:
                    self.assertEqual(client.detect(picture(0.5)).score, 0.5)
                    client.wait_until_serving(60.0 if timeout is None else timeout)


class EndpointsTest(unittest.TestCase):
    def test_a_single_server_is_unchanged(self):
        for address in ("localhost:50051", "[::1]:50051", "unix:/run/proad.sock"):
            self.assertEqual(endpoints.parse_endpoints(address), endpoints.Endpoints(address))

    def test_several_servers_are_resolved(self):
        several = endpoints.parse_endpoints("127.0.0.1:1, [::1]:2,")
        self.assertEqual(several.target, "ipv6:[::ffff:127.0.0.1]:1,[::1]:2")
        self.assertEqual(dict(several.options)["grpc.default_authority"], "127.0.0.1")
        name = endpoints.parse_endpoints("dns:///proad:50051")
        self.assertEqual(name.target, "dns:///proad:50051")
        self.assertEqual({key for key, _ in several.options} - {key for key, _ in name.options}, {"grpc.default_authority"})

    def test_a_stopped_server_gets_no_calls(self):
        with FakeServer() as lasting, FakeServer() as dying:
            with proad.Client(f"{dying.address},{lasting.address}", retry=QUICK) as client:
                for _ in range(4):
                    client.detect(picture(0.5))
                dying.stop()
                for _ in range(10):
                    client.detect(picture(0.5))

    def test_unreachable_servers_are_unavailable(self):
        with proad.Client("127.0.0.1:1,127.0.0.1:2", retry=proad.RetryPolicy(max_attempts=1)) as client:
            with self.assertRaises(proad.ProadError) as caught:
                client.detect(picture(0.5))
        self.assertIs(caught.exception.code, grpc.StatusCode.UNAVAILABLE)


class _RecordingHandler(grpc.GenericRpcHandler):
    """Answers every call with one empty message and records the authorization headers."""

    def __init__(self):
        self.shown = []

    def service(self, details):
        self.shown.append([value for key, value in details.invocation_metadata if key == "authorization"])

        def answer(requests, context):
            for _ in requests:
                pass
            yield b""

        return grpc.stream_stream_rpc_method_handler(answer)


class SecurityTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = FOLDER / "security"
        cls.ours, cls.others = Authority(cls.folder, "ours"), Authority(cls.folder, "others")
        cls.client_certificate, cls.client_key = cls.ours.issue("camera")
        cls.token = cls.folder / "token"

    def setUp(self):
        self.token.write_text("proad_one\n")

    def serve(self, credentials=None):
        """Starts a server on a free port. Returns its address and the list of recorded headers."""
        handler = _RecordingHandler()
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[handler])
        add = server.add_insecure_port if credentials is None else (
            lambda address: server.add_secure_port(address, credentials))
        port = add("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(0).wait())
        return f"localhost:{port}", handler.shown

    def serve_tls(self, mutual=False):
        certificate, key = self.ours.issue("server")
        return self.serve(grpc.ssl_server_credentials(
            [(key.read_bytes(), certificate.read_bytes())],
            self.ours.certificate.read_bytes() if mutual else None, mutual))

    def visit(self, address, **files):
        security = proad.Security(**{name: str(value) for name, value in files.items()})
        with proad.ModelClient(address, security=security, timeout=20, retry=proad.RetryPolicy(max_attempts=1)) as client:
            return list(client.list())

    def test_tls_with_a_token(self):
        address, shown = self.serve_tls()
        self.assertEqual(self.visit(address, ca=self.ours.certificate, token_file=self.token), [])
        self.assertEqual(shown, [["Bearer proad_one"]])
        for files in ({"ca": self.others.certificate}, {}, {"ca": self.ours.certificate, "server_name": "other.example"}):
            with self.assertRaises(proad.ProadError) as caught:
                self.visit(address, **files)
            self.assertEqual(caught.exception.code, grpc.StatusCode.UNAVAILABLE)

    def test_mutual_tls(self):
        address, _ = self.serve_tls(mutual=True)
        mine = {"cert": self.client_certificate, "key": self.client_key}
        self.assertEqual(self.visit(address, ca=self.ours.certificate, **mine), [])
        with self.assertRaises(proad.ProadError):
            self.visit(address, ca=self.ours.certificate)

    def test_files_from_the_environment(self):
        address, shown = self.serve_tls(mutual=True)
        environment = {"PROAD_TLS_CA": self.ours.certificate, "PROAD_TLS_CERT": self.client_certificate,
                       "PROAD_TLS_KEY": self.client_key, "PROAD_TOKEN_FILE": self.token}
        with unittest.mock.patch.dict(os.environ, {name: str(value) for name, value in environment.items()}):
            self.assertEqual(self.visit(address), [])
        self.assertEqual(shown, [["Bearer proad_one"]])

    def test_every_kind_of_call_carries_the_token(self):
        address, shown = self.serve()
        security = proad.Security(token_file=str(self.token))
        with proad.Client(address, security=security) as client:
            list(client._detection.DetectStream(iter([])))
        with proad.TrainingClient(address, security=security) as training:
            self.assertEqual(list(training.list()), [])
            list(training._training.WatchTrainJob(training_pb2.WatchTrainJobRequest()))
            training._training.UploadDataset(iter([]))
        self.assertGreaterEqual(len(shown), 4)
        self.assertEqual({tuple(values) for values in shown}, {("Bearer proad_one",)})

    def test_a_replaced_token_is_used(self):
        address, shown = self.serve()
        with proad.ModelClient(address, security=proad.Security(token_file=str(self.token))) as client:
            client.list()
            draft = self.folder / "draft"
            for text in ("proad_two\n", "not one token\n"):
                draft.write_text(text)
                replace(draft, self.token)
                client.list()
            self.token.unlink()
            client.list()
        self.assertEqual([values for (values,) in shown], ["Bearer proad_one"] + ["Bearer proad_two"] * 3)

    def test_invalid_options_raise_at_once(self):
        wrong = [
            ({"token_file": self.token}, "in plain text", "inspect.example:50051"),
            ({"server_name": "a"}, "TLS is not enabled", "localhost:1"),
            ({"ca": self.ours.certificate, "cert": self.client_certificate}, "go together", "localhost:1"),
            ({"ca": self.token}, "holds no certificate or key in PEM", "localhost:1"),
            ({"ca": self.folder / "none"}, "No such file", "localhost:1"),
            ({"token_file": self.ours.certificate}, "holds no token", "localhost:1"),
        ]
        for files, words, address in wrong:
            with self.assertRaisesRegex((ValueError, OSError), words):
                self.visit(address, **files)


if __name__ == "__main__":
    unittest.main(verbosity=2)
