"""A production line for tests: sends pictures of the sample to a server, and does what goes wrong in a factory."""

import concurrent.futures
import itertools
import shutil

import grpc

from real_server import MODEL, SAMPLE, SOURCE, import_model
from stubs import (
    detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc, training_pb2, training_pb2_grpc)

# Between good and bad for the shipped model; gravel has none, so its verdicts stay UNDECIDED.
THRESHOLDS = {"alien": 0.11, "brick": 0.085}


def config(data, max_images=24):
    """Of a server for a Line: a short queue, and training from the folder `data`, which need not be there yet."""
    return f"""
admission: {{max_images: {max_images}}}
training:
  data_root: {data}
  encoders: {SOURCE / "model" / "weights"}
shutdown: {{lame_duck: 0s}}
"""


def pictures(category, *kinds):
    """Those of the sample's test split, of these kinds or of all, as bytes."""
    found = sorted(path for path in (SAMPLE / category / "test").glob("*/*.png")
                   if not kinds or path.parent.name in kinds)
    assert found, f"{category} has no pictures of {kinds}"
    return [path.read_bytes() for path in found]


class Line:
    """`server`: a RealServer with `config(data)`."""

    def __init__(self, server, data):
        self._server = server
        self._data = data
        self.channel = grpc.insecure_channel(server.address)
        self.detection = detection_pb2_grpc.DetectionServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)
        self.training = training_pb2_grpc.TrainingServiceStub(self.channel)

    def close(self):
        """Ends the jobs that still run: their trainers would outlive a server that is killed."""
        for job in self.training.ListTrainJobs(training_pb2.ListTrainJobsRequest(), timeout=60).jobs:
            if job.state in (training_pb2.TRAIN_JOB_STATE_QUEUED, training_pb2.TRAIN_JOB_STATE_RUNNING):
                self.cancel(job.job_id)
        self.channel.close()

    def detect(self, picture, category="", timeout=60, **fields):
        """One picture; returns the status code."""
        if category in THRESHOLDS and "model" not in fields:
            fields.setdefault("threshold", THRESHOLDS[category])
        request = detection_pb2.DetectRequest(encoded=picture, category=category, **fields)
        try:
            self.detection.Detect(request, timeout=timeout)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def inspect(self, category, count, *kinds, **fields):
        """`count` pictures of a category, one after the other."""
        for picture in itertools.islice(itertools.cycle(pictures(category, *kinds)), count):
            assert self.detect(picture, category, **fields) == grpc.StatusCode.OK

    def stream(self, category, count):
        """A camera that keeps a stream open."""
        frames = [detection_pb2.DetectStreamRequest(request=detection_pb2.DetectRequest(
            request_id=str(index), encoded=picture, category=category, threshold=THRESHOLDS.get(category)))
            for index, picture in enumerate(itertools.islice(itertools.cycle(pictures(category)), count))]
        answers = list(self.detection.DetectStream(iter(frames), timeout=60))
        assert len(answers) == count

    def overlays(self, count):
        """Somebody who looks at heatmaps and overlays."""
        outputs = detection_pb2.Outputs(heatmap=detection_pb2.HEATMAP_FORMAT_FLOAT32,
                                        overlay=detection_pb2.OVERLAY_FORMAT_PNG,
                                        resolution=detection_pb2.RESOLUTION_ORIGINAL)
        self.inspect("brick", count, outputs=outputs)

    def wrong(self, count):
        """Damaged pictures, and a model that is not there."""
        for _ in range(count):
            assert self.detect(b"no picture") == grpc.StatusCode.INVALID_ARGUMENT
        assert self.detect(pictures("brick")[0], model="nobody") == grpc.StatusCode.NOT_FOUND

    def rush(self, clients, calls, timeout=60):
        """More at once than the server lets in; returns the status codes."""
        picture = pictures("alien", "good")[0]

        def client(_):
            return [self.detect(picture, "alien", timeout=timeout) for _ in range(calls)]

        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            return list(itertools.chain.from_iterable(pool.map(client, range(clients))))

    def swap(self):
        """Another version of the shipped model takes over."""
        import_model(self._server.store)
        newest = max(int(path.name) for path in (self._server.store / MODEL).iterdir() if path.name.isdigit())
        self.models.ActivateModel(model_pb2.ActivateModelRequest(model=f"{MODEL}@{newest}"), timeout=120)

    def fail_to_swap(self):
        """A version with damaged weights is to take over; the one that serves goes on."""
        import_model(self._server.store)
        newest = max(int(path.name) for path in (self._server.store / MODEL).iterdir() if path.name.isdigit())
        weights = self._server.store / MODEL / str(newest) / "model.safetensors"
        weights.chmod(0o644)
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
        try:
            self.models.ActivateModel(model_pb2.ActivateModelRequest(model=f"{MODEL}@{newest}"), timeout=120)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DATA_LOSS, error
        else:
            raise AssertionError("damaged weights took over")

    def start_job(self, name, epochs, *products, **fields):
        """A training job over some products of the sample; returns its id."""
        folder = self._data / name
        for product in products:
            shutil.copytree(SAMPLE / product, folder / product)
        overrides = training_pb2.RecipeOverrides(epochs=epochs, batch_size=4, input_side=112, decoder_layers=2)
        spec = training_pb2.TrainJobSpec(model_name=name, dataset_path=name, overrides=overrides, **fields)
        return self.training.CreateTrainJob(training_pb2.CreateTrainJobRequest(spec=spec), timeout=60).job.job_id

    def start_bad_job(self, name):
        """One that fails: a picture cannot be read."""
        shutil.copytree(SAMPLE / "brick", self._data / name / "brick")
        (self._data / name / "brick" / "train" / "good" / "broken.png").write_bytes(b"no picture")
        return self.start_job(name, 1)

    def await_job(self, job_id, timeout=240):
        """The job at its end."""
        job = None
        for report in self.training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job_id), timeout=timeout):
            job = report.job
        return job

    def cancel(self, job_id):
        self.training.CancelTrainJob(training_pb2.CancelTrainJobRequest(job_id=job_id), timeout=60)
