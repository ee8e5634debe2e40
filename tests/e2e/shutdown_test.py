"""SIGTERM under load: what was accepted is answered, the rest is refused in a way that is safe to retry, exit 0."""

import pathlib
import signal
import sys
import threading
import unittest

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import SAMPLE, RealServer  # noqa: E402
from soak_load import SAME_SCORE  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc  # noqa: E402

CLIENTS = 8
# Refused before it was accepted: draining, or nobody listens any more.
REFUSED = {grpc.StatusCode.UNAVAILABLE}


class ShutdownTest(unittest.TestCase):
    def test_unary_calls_under_load(self):
        picture = (SAMPLE / "brick/test/hole/002.png").read_bytes()
        answered, refused, wrong = [], [], []
        flowing = threading.Semaphore(0)

        def client(address):
            with grpc.insecure_channel(address) as channel:
                stub = detection_pb2_grpc.DetectionServiceStub(channel)
                while True:
                    try:
                        response = stub.Detect(detection_pb2.DetectRequest(encoded=picture), timeout=60)
                        answered.append(response.score)
                        flowing.release()
                    except grpc.RpcError as error:
                        (refused if error.code() in REFUSED else wrong).append(error)
                        return

        with RealServer() as server:
            threads = [threading.Thread(target=client, args=(server.address,)) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for _ in range(3 * CLIENTS):
                flowing.acquire()
            exit_code = server.terminate()
            for thread in threads:
                thread.join()
        self.assertEqual(exit_code, 0)
        self.assertEqual([str(error) for error in wrong], [])
        self.assertEqual(len(refused), CLIENTS)
        self.assertGreaterEqual(len(answered), 3 * CLIENTS)
        # Batches of other sizes add up in another order.
        self.assertLess(max(answered) - min(answered), SAME_SCORE, "the same picture got different scores")

    def test_a_stream_is_answered_to_the_end(self):
        picture = (SAMPLE / "brick/test/hole/002.png").read_bytes()
        with RealServer() as server:
            stop = threading.Event()

            def frames():
                number = 0
                while not stop.is_set():
                    yield detection_pb2.DetectStreamRequest(
                        request=detection_pb2.DetectRequest(request_id=str(number), encoded=picture))
                    number += 1

            with grpc.insecure_channel(server.address) as channel:
                call = detection_pb2_grpc.DetectionServiceStub(channel).DetectStream(frames())
                ids = [next(call).request_id for _ in range(5)]
                server.process.send_signal(signal.SIGTERM)
                ids += [response.request_id for response in call]
                stop.set()
                self.assertEqual(call.code(), grpc.StatusCode.OK, call.details())
            self.assertEqual(server.process.wait(timeout=60), 0)
        # Everything that was read was answered, once, without a hole.
        self.assertEqual(sorted(map(int, ids)), list(range(len(ids))))


if __name__ == "__main__":
    unittest.main(verbosity=2)
