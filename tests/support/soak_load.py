"""The load of a soak: each actor is a thread that sends one kind of request until it is told to stop."""

import random
import threading
import time
import urllib.request

import grpc

from dropping_proxy import DroppingProxy
from real_server import MODEL, SAMPLE
from stubs import (
    detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc, training_pb2, training_pb2_grpc)

OK = grpc.StatusCode.OK
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED
BAD = grpc.StatusCode.INVALID_ARGUMENT
EXPIRED = grpc.StatusCode.DEADLINE_EXCEEDED
CANCELLED = grpc.StatusCode.CANCELLED
LOST = grpc.StatusCode.UNAVAILABLE

# What each kind of request may end with.
ALLOWED = {
    "Detect": {OK, FULL},
    "Detect, bursts": {OK, FULL},
    "Detect, bad pictures": {BAD, FULL},
    "Detect, short deadlines": {OK, FULL, EXPIRED},
    "Detect, cancelled": {OK, FULL, CANCELLED},
    "Detect, connection reset": {OK, FULL, LOST},
    "frames of streams": {OK, FULL},
    "frames of streams cut off": {OK, FULL, CANCELLED},
    "ActivateModel, RollbackModel": {OK},
    "training calls": {OK},
    "scrapes": {OK},
}
DETECT = [kind for kind in ALLOWED if kind.startswith("Detect")]
FRAMES = [kind for kind in ALLOWED if kind.startswith("frames")]

STATES = training_pb2.TrainJobState
SAME_SCORE = 1e-5
PATIENCE = 600  # seconds, for what is not meant to expire


class Load:
    """The actors against one server. Each names a kind of ALLOWED for what it sends."""

    def __init__(self, server, account, seed):
        self._server = server
        self._account = account
        self._seed = seed
        self._stop = threading.Event()
        self._threads = []
        self._pictures = [path.read_bytes() for path in sorted(SAMPLE.glob("*/test/*/*.png"))]
        self._scores = {}
        self.jobs = {}  # state -> how many jobs ended in it
        self.swaps = 0

    def __enter__(self):
        actors = [self._detect, self._detect, self._burst, self._bad, self._short, self._cancel, self._reset,
                  self._stream, self._cut_stream, self._swap, self._train, self._scrape]
        for number, actor in enumerate(actors):
            generator = random.Random(f"{self._seed} {number}")
            thread = threading.Thread(target=self._act, args=(actor, generator), name=actor.__name__)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_):
        """What is under way is still awaited."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, seconds):
        """True once an actor has given up."""
        return self._stop.wait(seconds)

    def _act(self, actor, generator):
        with grpc.insecure_channel(self._server.address) as channel:
            try:
                actor(channel, generator)
            except Exception as error:  # of any kind: nothing may end an actor unseen
                self._account.complain(f"{actor.__name__} gave up: {error!r}")
                self._stop.set()

    def _call(self, kind, method, request, timeout=PATIENCE):
        return self._account.call(kind, method, request, timeout)

    def _picture(self, generator):
        return generator.randrange(len(self._pictures))

    def _request(self, number, **fields):
        return detection_pb2.DetectRequest(encoded=self._pictures[number], **fields)

    def _check(self, number, detection):
        """The same picture has the same score, whatever else goes on."""
        known = self._scores.setdefault(number, detection.score)
        if not abs(detection.score - known) <= SAME_SCORE:
            self._account.complain(f"picture {number} scored {known} and then {detection.score}")

    # ---- Detect

    def _detect(self, channel, generator):
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        heatmaps = (0, 0, 0, detection_pb2.HEATMAP_FORMAT_FLOAT32, detection_pb2.HEATMAP_FORMAT_PNG16)
        while not self._stop.is_set():
            number = self._picture(generator)
            outputs = detection_pb2.Outputs(heatmap=generator.choice(heatmaps))
            answer = self._call("Detect", stub.Detect, self._request(number, outputs=outputs))
            if answer is not None:
                self._check(number, answer)

    def _finish(self, kind, number, call):
        """Accounts for a call that was started; its status is known."""
        code = call.code()
        self._account.end(kind, code, call.details() or "")
        if code is OK:
            self._check(number, call.result())

    def _burst(self, channel, generator):
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(5, 15)):
            numbers = [self._picture(generator) for _ in range(60)]
            self._account.send("Detect, bursts", len(numbers))
            calls = [stub.Detect.future(self._request(number), timeout=PATIENCE) for number in numbers]
            for number, call in zip(numbers, calls, strict=True):
                self._finish("Detect, bursts", number, call)

    def _bad(self, channel, generator):
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(0.1, 0.5)):
            whole = self._pictures[self._picture(generator)]
            bad = generator.choice((b"", generator.randbytes(5000), whole[:len(whole) // 2], whole[:40]))
            self._call("Detect, bad pictures", stub.Detect, detection_pb2.DetectRequest(encoded=bad))

    def _short(self, channel, generator):
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(0.05, 0.4)):
            self._call("Detect, short deadlines", stub.Detect, self._request(self._picture(generator)),
                       timeout=generator.uniform(0.001, 0.2))

    def _cancel(self, channel, generator):
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(0.05, 0.4)):
            number = self._picture(generator)
            self._account.send("Detect, cancelled")
            call = stub.Detect.future(self._request(number), timeout=PATIENCE)
            time.sleep(generator.uniform(0, 0.2))
            call.cancel()
            self._finish("Detect, cancelled", number, call)

    def _reset(self, _, generator):
        with DroppingProxy(self._server.address) as proxy:
            while not self._stop.wait(generator.uniform(0.2, 2)):
                with grpc.insecure_channel(proxy.address) as channel:
                    stub = detection_pb2_grpc.DetectionServiceStub(channel)
                    numbers = [self._picture(generator) for _ in range(4)]
                    self._account.send("Detect, connection reset", len(numbers))
                    calls = [stub.Detect.future(self._request(number), timeout=PATIENCE) for number in numbers]
                    time.sleep(generator.uniform(0, 0.4))
                    proxy.drop()
                    for number, call in zip(numbers, calls, strict=True):
                        self._finish("Detect, connection reset", number, call)

    # ---- DetectStream

    def _frames(self, numbers, taken=None):
        for place, number in enumerate(numbers):
            if taken is not None:
                taken.append(place)
            yield detection_pb2.DetectStreamRequest(request=self._request(number, request_id=str(place)))

    def _answer(self, kind, numbers, response):
        """The place of the frame that is answered."""
        place = int(response.request_id)
        if response.WhichOneof("result") == "detection":
            self._account.end(kind, OK)
            self._check(numbers[place], response.detection)
        else:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            self._account.end(kind, codes[response.error.code], response.error.message)
        return place

    def _stream(self, channel, generator):
        kind = "frames of streams"
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(0, 2)):
            numbers = [self._picture(generator) for _ in range(generator.randrange(1, 60))]
            self._account.send(kind, len(numbers))
            responses = stub.DetectStream(self._frames(numbers), timeout=PATIENCE)
            places = [self._answer(kind, numbers, response) for response in responses]
            if sorted(places) != list(range(len(numbers))):
                self._account.complain(f"a stream of {len(numbers)} frames was answered at {sorted(places)}")

    def _cut_stream(self, channel, generator):
        kind = "frames of streams cut off"
        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        while not self._stop.wait(generator.uniform(0.5, 4)):
            numbers = [self._picture(generator) for _ in range(40)]
            taken = []
            answered = generator.randrange(0, 20)
            call = stub.DetectStream(self._frames(numbers, taken), timeout=PATIENCE)
            for _ in range(answered):
                self._answer(kind, numbers, next(call))
            call.cancel()
            if call.code() is not CANCELLED:
                self._account.complain(f"a stream that was cut off ended with {call.code().name}: {call.details()}")
            # What gRPC takes after the end is not sent any more.
            count = len(taken)
            self._account.send(kind, count)
            self._account.end(kind, CANCELLED, count=count - answered)

    # ---- the rest

    def _swap(self, channel, generator):
        kind = "ActivateModel, RollbackModel"
        stub = model_pb2_grpc.ModelServiceStub(channel)
        while not self._stop.wait(generator.uniform(2, 6)):
            if generator.random() < 0.5:
                request = model_pb2.ActivateModelRequest(model=f"{MODEL}@{generator.choice((1, 2))}")
                done = self._call(kind, stub.ActivateModel, request)
            else:
                done = self._call(kind, stub.RollbackModel, model_pb2.RollbackModelRequest(name=MODEL))
            self.swaps += done is not None

    def _train(self, channel, generator):
        kind = "training calls"
        training = training_pb2_grpc.TrainingServiceStub(channel)
        models = model_pb2_grpc.ModelServiceStub(channel)
        overrides = training_pb2.RecipeOverrides(epochs=4, batch_size=4, input_side=112, decoder_layers=2)
        while not self._stop.wait(generator.uniform(1, 10)):
            spec = training_pb2.TrainJobSpec(model_name="soak", dataset_path="brick", overrides=overrides)
            created = self._call(kind, training.CreateTrainJob, training_pb2.CreateTrainJobRequest(spec=spec))
            job_id = created.job.job_id
            if generator.random() < 0.3:
                self._call(kind, training.CancelTrainJob, training_pb2.CancelTrainJobRequest(job_id=job_id))
            self._account.send(kind)
            *_, last = training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job_id), timeout=PATIENCE)
            self._account.end(kind, OK)
            state = STATES.Name(last.job.state).removeprefix("TRAIN_JOB_STATE_")
            self.jobs[state] = self.jobs.get(state, 0) + 1
            if state == "SUCCEEDED":
                version = last.job.result_version.version
                self._call(kind, models.DeleteModel, model_pb2.DeleteModelRequest(model=f"soak@{version}"))
            elif state != "CANCELLED":
                self._account.complain(f"job {job_id}: {state}: {last.job.reason}")

    def _scrape(self, _, generator):
        while not self._stop.wait(generator.uniform(0.5, 1.5)):
            self._account.send("scrapes")
            text = scrape(self._server)
            self._account.end("scrapes", OK if text.startswith("# HELP") else LOST, text[:80])


def scrape(server):
    return urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=30).read().decode()
